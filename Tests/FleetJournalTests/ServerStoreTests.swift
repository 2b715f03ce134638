import FleetJournal
import FleetServing
import FleetTestSupport
import Testing

struct ServerStoreTests {
    private let directory: TemporaryDirectory
    private let place: StateDirectory

    init() throws {
        directory = try TemporaryDirectory()
        place = try StateDirectory(path: directory.path + "/state")
    }

    private func arrival(_ name: String, at time: Int = 1_000) -> Delivery.Arrival {
        Delivery.Arrival(
            hook: "app",
            name: name,
            event: "push",
            body: [0x7B, 0x7D],
            address: "192.0.2.1",
            unixMilliseconds: time
        )
    }

    private func wish(_ ref: String, _ commit: String, in environment: String = "staging") -> Wish {
        Wish(
            environment: environment,
            later: ["production"],
            hook: "app",
            ref: ref,
            commit: commit,
            person: HookFacts.Person(login: "ada", address: nil),
            delivery: 1,
            unixMilliseconds: 5,
            gate: .named("build"),
            state: .awaitingCI
        )
    }

    /// Row S3.
    @Test("A delivery is stored once, however often and however many at a time arrive")
    func deliveries() async throws {
        let store = try ServerStore(in: place, for: "a test")
        let first = try await store.accept(arrival("one"))
        #expect(first.isNew)
        let again = try await store.accept(arrival("one", at: 2_000))
        #expect(!again.isNew && again.number == first.number)
        let numbers = try await withThrowingTaskGroup(of: (Int, Bool).self) { group in
            for index in 0..<200 {
                group.addTask {
                    let stored = try await store.accept(arrival("many \(index % 100)"))
                    return (stored.number, stored.isNew)
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(numbers.count { $0.1 } == 100 && Set(numbers.map(\.0)).count == 100)
        let due = try await store.dueDeliveries(at: 1_000, limit: 500)
        #expect(due.count == 101 && due.first?.arrival == arrival("one"))
        try await store.settle(first.number, .acted, note: "staging: main is wanted")
        try await store.postpone(due[1].number, until: 9_000, note: "later")
        #expect(try await store.dueDeliveries(at: 8_999, limit: 500).count == 99)
        #expect(try await store.dueDeliveries(at: 9_000, limit: 500).count == 100)
        #expect(try await store.delivery(first.number)?.state == .acted)
        #expect(try await store.deliveries(limit: 2).map(\.arrival.body) == [[], []])
    }

    /// Row S13.
    @Test(
        "What was stored is there for the next server; two at once are refused, and the first one is named"
    )
    func owners() async throws {
        do {
            let store = try ServerStore(in: place, for: "process 1 on box")
            _ = try await store.accept(arrival("one"))
            let error = #expect(throws: JournalError.self) {
                try ServerStore(in: place, for: "process 2")
            }
            guard case .locked(_, "process 1 on box") = error else {
                return #expect(Bool(false), "\(String(describing: error))")
            }
            // Whoever only looks is let in.
            let looking = try ServerStore(in: place, for: nil)
            #expect(try await looking.deliveries(limit: 9).count == 1)
        }
        let next = try ServerStore(in: place, for: "process 3")
        #expect(try await next.dueDeliveries(at: .max, limit: 9).map(\.arrival.name) == ["one"])
    }

    @Test(
        "A wish keeps all that it says, takes the place of others, and moves only from where it is"
    )
    func wishes() async throws {
        let store = try ServerStore(in: place, for: "a test")
        let first = try #require(
            try await store.add(wish("refs/heads/main", "a"), seen: true).number
        )
        let stored = try #require(try await store.wish(first))
        var expected = wish("refs/heads/main", "a")
        expected.id = first
        #expect(stored == expected)
        let second = try await store.add(wish("refs/heads/main", "b"), seen: true)
        #expect(second.verdict == .wanted(instead: [first]))
        guard case .dropped = try await store.wish(first)?.state else {
            return #expect(Bool(false))
        }
        #expect(try await store.openWishes().map(\.commit) == ["b"])
        // It was dropped since it was read.
        #expect(try await !store.move(stored, to: .running(rollout: "r")))
        let other = try #require(try await store.openWishes().first)
        for state: Wish.State in [
            .queued, .held(reasons: ["E_FROZEN x", "y"]), .starting(digest: "d", at: 7),
            .running(rollout: "r"),
            .done(rollout: "r", outcome: "succeeded"),
        ] {
            let now = try #require(try await store.wish(other.id))
            #expect(try await store.move(now, to: state))
            #expect(try await store.wish(other.id)?.state == state)
        }
        #expect(try await store.openWishes().isEmpty)
        guard case .known = try await store.add(wish("refs/heads/main", "b"), seen: true).verdict
        else {
            return #expect(Bool(false))
        }
    }

    @Test("What CI has passed and what refs pointed at is remembered by hook")
    func facts() async throws {
        let store = try ServerStore(in: place, for: "a test")
        #expect(try await store.seen(of: "app").isEmpty)
        #expect(try await store.looked(at: ["here", "there"]).isEmpty)
        try await store.look(at: [:], of: "app", places: ["here"], at: 1)
        #expect(try await store.looked(at: ["here", "there"]) == ["here"])
        try await store.look(at: ["refs/heads/main": "a"], of: "app", places: [], at: 1)
        _ = try await store.add(wish("refs/heads/main", "b"), seen: true)
        #expect(try await store.seen(of: "app") == ["refs/heads/main": "b"])
        for name in ["lint", "build", "build"] {
            try await store.pass("b", name: name, of: "app", at: 1)
        }
        #expect(try await store.passed(["a", "b"], of: "app") == ["b": ["lint", "build"]])
        #expect(try await store.passed(["b"], of: "other").isEmpty)
    }

    @Test("Sessions and tokens are found by their hash, and end when they are ended")
    func sessions() async throws {
        let store = try ServerStore(in: place, for: "a test")
        func session(_ hash: String, _ account: String = "ada") -> ServerSession {
            ServerSession(
                hash: hash,
                account: account,
                began: 10,
                used: 10,
                fresh: 10,
                address: "192.0.2.1",
                agent: "a browser",
                secret: "s"
            )
        }
        for hash in ["a", "b"] { try await store.begin(session(hash)) }
        try await store.begin(session("c", "bob"))
        #expect(try await store.session("a") == session("a"))
        try await store.use("a", at: 50, address: "192.0.2.2", isFresh: false)
        #expect(try await store.session("a")?.fresh == 10)
        try await store.use("a", at: 60, address: "192.0.2.2", isFresh: true)
        #expect(try await store.session("a")?.fresh == 60)
        #expect(try await store.sessions(of: "ada").map(\.hash) == ["a", "b"])
        // Nobody ends somebody else's.
        #expect(try await !store.end("c", of: "ada"))
        #expect(try await store.end("b", of: "ada"))
        try await store.setPassword("$scrypt$x", of: "ada", at: 1)
        #expect(try await store.sessions(of: nil).map(\.hash) == ["c"])
        try await store.endSessions(usedBefore: 11, begunBefore: 0)
        #expect(try await store.sessions(of: nil).isEmpty)
        let token = ServerToken(
            hash: "t",
            account: "ada",
            name: "ci",
            scopes: [.read, .write],
            made: 1,
            expires: 99
        )
        let number = try await store.keep(token)
        #expect(try await store.token("t")?.scopes == [.read, .write])
        try await store.use(token: number, at: 5, address: "192.0.2.3")
        #expect(try await store.tokens(of: "ada").map(\.used) == [5])
        #expect(try await store.revoke(token: number, of: "bob") == nil)
        #expect(try await store.revoke(token: number, of: "ada") == "ci")
        #expect(try await store.token("t") == nil)
    }

    @Test("An invitation holds for its time, for one account, and once")
    func invitations() async throws {
        let store = try ServerStore(in: place, for: "a test")
        try await store.invite("old", account: "ada", until: 100)
        try await store.invite("new", account: "ada", until: 100)
        #expect(try await store.invited("old", at: 1) == nil)
        #expect(try await store.invited("new", at: 99) == "ada")
        #expect(try await store.invited("new", at: 100) == nil)
        #expect(try await store.takeInvitation("new", settingPassword: "h", at: 101) == nil)
        #expect(try await store.takeInvitation("new", settingPassword: "h", at: 50) == "ada")
        #expect(try await store.takeInvitation("new", settingPassword: "i", at: 50) == nil)
        #expect(try await store.passwordHash(of: "ada") == "h")
    }

    @Test("What is old is forgotten: bodies first, and no delivery that was not acted upon")
    func age() async throws {
        let store = try ServerStore(in: place, for: "a test")
        let acted = try await store.accept(arrival("acted")).number
        let open = try await store.accept(arrival("open")).number
        try await store.settle(acted, .acted, note: "")
        try await store.note("x", by: "ada", from: "", at: 1_000)
        try await store.age(at: 1_001 + ServerStore.bodyMilliseconds)
        #expect(try await store.delivery(acted)?.arrival.body == [])
        #expect(try await store.events(limit: 9).count == 1)
        try await store.age(at: 1_001 + ServerStore.deliveryMilliseconds)
        #expect(try await store.delivery(acted) == nil)
        #expect(try await store.delivery(open) != nil)
        #expect(try await store.events(limit: 9).isEmpty)
    }

    @Test("A store of a newer fleet is refused, and stays as it is")
    func newer() async throws {
        do {
            let store = try ServerStore(in: place, for: "a test")
            _ = try await store.accept(arrival("one"))
        }
        let path = place.path + "/server.sqlite"
        _ = try Command.run([
            "sqlite3", path, "INSERT INTO grdb_migrations (identifier) VALUES ('2')",
        ])
        let error = #expect(throws: JournalError.self) { try ServerStore(in: place, for: "a test") }
        guard case .newerSchema(2, 1) = error else {
            return #expect(Bool(false), "\(String(describing: error))")
        }
        let count = try Command.run(["sqlite3", path, "SELECT count(*) FROM delivery"]).output
        #expect(count == "1\n")
    }
}
