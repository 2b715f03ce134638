import FleetJournal
import FleetPlan
import FleetRollout
import FleetTestSupport
import FleetTransport
import Testing

/// What keeps the journal's contracts.
enum JournalKind: String, CaseIterable, Sendable {
    case sqlite, memory
}

/// A journal to write rollouts into.
private struct Book {
    private let directory: TemporaryDirectory
    let journal: any JournalReader & JournalWriter

    init(_ kind: JournalKind) throws {
        directory = try TemporaryDirectory()
        journal =
            switch kind {
            case .sqlite: try Journal(in: StateDirectory(path: directory.path + "/state/fleet"))
            case .memory: MemoryJournal()
            }
    }

    static func commit(_ letter: Character) -> String {
        String(repeating: letter, count: 40)
    }

    /// Records a rollout from its plan to its end, each one a second after the one before.
    func record(
        _ number: Int,
        _ kind: Plan.Kind,
        _ letter: Character?,
        _ outcome: RolloutOutcome?,
        undoing: Int? = nil,
        hosts: [HostName] = ["web1"],
        of hostCount: Int? = nil,
        smokeTests: [String] = [],
        second: Int? = nil
    ) async throws {
        let id = try #require(RolloutID("r\(10_000 + number)"))
        let plan = Plan(
            kind: kind,
            environment: "staging",
            title: "t",
            release: letter.map { Release(tag: "v\($0)", commit: Self.commit($0)) },
            releaseStep: "pull",
            fanout: 1,
            maxFailures: 0,
            onFailure: .revert,
            batches: [hosts],
            hosts: hosts.map { host in
                PlannedHost(
                    endpoint: HostEndpoint(name: host),
                    steps: [],
                    checks: smokeTests.map { name in
                        PlannedCheck(name: name, action: .script(Script("true")))
                    }
                )
            },
            adoptsLocksOf: undoing.map { "r\(10_000 + $0)" },
            environmentHostCount: hostCount
        )
        let origin = RolloutOrigin(user: "u", machine: "m", command: "c", version: "0")
        var bodies: [JournalEntry.Body] = [.planned(plan: plan, origin: origin)]
        if let outcome { bodies.append(.effect(.finish(outcome))) }
        try await journal.append(
            bodies.enumerated().map { index, body in
                JournalEntry(
                    rollout: id,
                    sequence: index + 1,
                    elapsedMilliseconds: index,
                    unixMilliseconds: 1_700_000_000_000 + (second ?? number) * 1000 + index,
                    body: body
                )
            }
        )
    }

    func live() async throws -> String? { try await journal.live(in: "staging")?.release.tag }
    /// Which of some releases are staged, as their letters.
    func staged(of letters: String) async throws -> String {
        var found = ""
        for letter in letters
        where try await journal.succeeded(Self.commit(letter), in: "staging") != nil {
            found.append(letter)
        }
        return found
    }

    /// Which of some releases were taken back, as their letters.
    func takenBack(of letters: String) async throws -> String {
        var found = ""
        for letter in letters
        where try await journal.reverted(Self.commit(letter), in: "staging") != nil {
            found.append(letter)
        }
        return found
    }
}

/// What every journal promises, whatever it is kept in; and what it says of releases: staged, live, taken back.
struct JournalContractTests {
    @Test(arguments: JournalKind.allCases)
    func aGoodDeployIsLiveAndStaged(_ kind: JournalKind) async throws {
        let book = try Book(kind)
        try await book.record(1, .deploy, "a", .succeeded)
        try await book.record(2, .deploy, "b", .reverted)
        try await book.record(3, .deploy, "c", .refused)
        #expect(try await book.live() == "va")
        #expect(try await book.staged(of: "abc") == "a")
        #expect(try await book.takenBack(of: "abc") == "b")
    }

    @Test(
        "What was taken back by hand is neither live nor staged, wherever its hosts came from",
        arguments: JournalKind.allCases
    )
    func takenBackByHand(_ kind: JournalKind) async throws {
        let book = try Book(kind)
        try await book.record(1, .deploy, "a", .succeeded)
        try await book.record(2, .deploy, "b", .succeeded)
        try await book.record(3, .revert, nil, .succeeded, undoing: 2)
        #expect(try await book.live() == nil, "the hosts run different ones")
        #expect(try await book.staged(of: "ab") == "a")
        #expect(try await book.takenBack(of: "b") == "b")
        try await book.record(4, .revert, "a", .succeeded, undoing: 2)
        #expect(try await book.live() == "va")
    }

    @Test(
        "A way back that did not come to a good end leaves the release taken back",
        arguments: [RolloutOutcome.revertFailed, .held, .unknown],
        JournalKind.allCases
    )
    func failedWayBack(_ outcome: RolloutOutcome, _ kind: JournalKind) async throws {
        let book = try Book(kind)
        try await book.record(1, .deploy, "b", .succeeded)
        try await book.record(2, .revert, "a", outcome, undoing: 1)
        #expect(try await book.staged(of: "b") == "")
        #expect(try await book.takenBack(of: "b") == "b")
        #expect(try await book.live() == nil, "a mixed state")
    }

    @Test(
        "However many commands there were, what was deployed and what is unfinished is known",
        arguments: JournalKind.allCases
    )
    func commandsInBetween(_ kind: JournalKind) async throws {
        let book = try Book(kind)
        let journal = book.journal
        try await book.record(1, .deploy, "a", .succeeded)
        try await book.record(2, .deploy, "b", .reverted)
        try await book.record(3, .deploy, "c", nil)
        for number in 10..<260 { try await book.record(number, .exec, nil, .succeeded) }
        #expect(try await book.staged(of: "a") == "a")
        #expect(try await book.takenBack(of: "b") == "b")
        #expect(try await journal.unfinished(in: "staging")?.id.description == "r10003")
        #expect(try await journal.beginnings(limit: 3).count == 3)
        // How long a rollout took is on the clock that never jumps, and only told where it is asked for.
        let timed = try await journal.rollouts(
            RolloutQuery(environment: "staging", limit: nil, changesOnly: true, withTimes: true)
        )
        for record in timed {
            let last = try await journal.entries(of: record.id).last?.elapsedMilliseconds
            #expect(record.elapsedMilliseconds == last && last != nil)
        }
        #expect(
            try await journal.rollouts(RolloutQuery(limit: 3)).allSatisfy {
                $0.elapsedMilliseconds == nil
            }
        )
        #expect(
            try await journal.rollouts(RolloutQuery(environment: "staging", limit: 5)).allSatisfy {
                $0.kind == .exec
            }
        )
    }

    @Test(
        "A deploy to some of the hosts is live where the others have the same, and stages nothing",
        arguments: JournalKind.allCases
    )
    func someOfTheHosts(_ kind: JournalKind) async throws {
        let book = try Book(kind)
        let journal = book.journal
        let both: [HostName] = ["web1", "web2"]
        let tests: Set = ["up command true", "import command true"]
        try await book.record(1, .deploy, "a", .succeeded, hosts: both, of: 2, smokeTests: ["up"])
        #expect(try await book.live() == "va")
        #expect(
            try await journal.succeeded(
                Book.commit("a"),
                in: "staging",
                passing: ["up command true"]
            )
                != nil
        )
        #expect(
            try await journal.succeeded(Book.commit("a"), in: "staging", passing: tests) == nil,
            "one of the smoke tests was never asked"
        )
        try await book.record(2, .deploy, "b", .succeeded, of: 2, smokeTests: ["up", "import"])
        #expect(try await book.live() == nil, "web2 runs another one")
        #expect(
            try await journal.succeeded(Book.commit("b"), in: "staging", passing: tests) == nil,
            "web2 never had it"
        )
        #expect(try await book.staged(of: "b") == "b", "that it succeeded somewhere is known")
        try await book.record(3, .deploy, "b", .succeeded, hosts: ["web2"], of: 2)
        #expect(try await book.live() == "vb")
        try await book.record(
            4,
            .deploy,
            "b",
            .succeeded,
            hosts: both,
            of: 2,
            smokeTests: ["up", "import"]
        )
        #expect(try await journal.succeeded(Book.commit("b"), in: "staging", passing: tests) != nil)
    }

    @Test(
        "A smoke test for some of the hosts counts, and so does a playbook that asks for none",
        arguments: JournalKind.allCases
    )
    func smokeTestsOfSome(_ kind: JournalKind) async throws {
        let book = try Book(kind)
        let journal = book.journal
        let plan = Plan(
            kind: .deploy,
            environment: "staging",
            title: "t",
            release: Release(tag: "va", commit: Book.commit("a")),
            releaseStep: "pull",
            fanout: 1,
            maxFailures: 0,
            onFailure: .revert,
            batches: [["web1", "db1"]],
            hosts: ["web1", "db1"].map { (name: HostName) in
                PlannedHost(
                    endpoint: HostEndpoint(name: name),
                    steps: [],
                    checks: name == "db1"
                        ? []
                        : [
                            PlannedCheck(name: "up", action: .script(Script("true"))),
                            PlannedCheck(
                                name: "confirm",
                                action: .deadman(.confirm),
                                isAskedAfresh: true
                            ),
                        ]
                )
            },
            environmentHostCount: 2
        )
        #expect(plan.smokeTests == ["up command true"])
        try await book.record(1, .deploy, "b", .succeeded)
        #expect(try await journal.succeeded(Book.commit("b"), in: "staging", passing: []) != nil)
        #expect(
            try await journal.succeeded(
                Book.commit("b"),
                in: "staging",
                passing: ["up command true"]
            )
                == nil
        )
    }

    /// Row K8.
    @Test(
        "What was written last is the newest, whatever the clock said and the name sorts to",
        arguments: JournalKind.allCases
    )
    func clockSetBack(_ kind: JournalKind) async throws {
        let book = try Book(kind)
        let journal = book.journal
        try await book.record(9, .deploy, "a", .succeeded, second: 900)
        try await book.record(1, .deploy, "b", .succeeded, second: 100)
        #expect(try await book.live() == "vb")
        #expect(
            try await journal.rollouts(RolloutQuery(environment: "staging", limit: 1)).first?.id
                .description == "r10001"
        )
        try await book.record(8, .deploy, "c", nil, second: 50)
        try await book.record(2, .exec, nil, .succeeded, second: 2000)
        #expect(try await journal.unfinished(in: "staging")?.id.description == "r10008")
    }

    @Test(arguments: JournalKind.allCases)
    func approvalsAndRemarksStandAlone(_ kind: JournalKind) async throws {
        let book = try Book(kind)
        let journal = book.journal
        let approval = Approval(
            environment: "production",
            release: Release(tag: "v1", commit: Book.commit("a")),
            planDigest: "d",
            approver: "qa@example.com",
            machine: "m",
            note: "good",
            unixMilliseconds: 1,
            expiresUnixMilliseconds: 2
        )
        let stamp = try #require(RolloutID("20261125-000000-abcd"))
        try await journal.note(.approved(approval), stamp: stamp, at: 1)
        let remark = Remark(
            environment: "production",
            what: "w",
            reason: "r",
            user: "u",
            machine: "m"
        )
        try await journal.note(.remarked(remark), stamp: stamp, at: 2)
        #expect(try await journal.approvals(for: "production") == [approval])
        #expect(try await journal.approvals(for: "staging").isEmpty)
        #expect(
            try await journal.beginnings(limit: 10).map(\.body) == [
                .remarked(remark), .approved(approval),
            ]
        )
        #expect(try await journal.verify() == 2)
        await #expect(throws: JournalError.self) {
            try await journal.note(.approved(approval), stamp: stamp, at: 3)
        }
    }

    // MARK: Requests, pages, heads

    private static func entry(
        _ rollout: String,
        _ sequence: Int,
        _ body: JournalEntry.Body
    ) throws -> JournalEntry {
        JournalEntry(
            rollout: try #require(RolloutID(rollout)),
            sequence: sequence,
            elapsedMilliseconds: 0,
            unixMilliseconds: sequence,
            body: body
        )
    }

    @Test(
        "A request reaches the rollout that it is for, once, in order",
        arguments: JournalKind.allCases
    )
    func requests(_ kind: JournalKind) async throws {
        let book = try Book(kind)
        let journal = book.journal
        try await book.record(1, .deploy, "a", nil)
        let id = try #require(RolloutID("r10001"))
        let stamp = try #require(RolloutID("s1"))
        let other = try #require(RolloutID("s2"))
        let batch = StopRequest(id, after: .batch, user: "ann", machine: "m", reason: "lunch")
        let now = StopRequest(id, after: .now, user: "bob", machine: "m")
        try await journal.note(.askedToStop(batch), stamp: stamp, at: 1)
        let first = try await journal.requests(to: id, after: 0)
        #expect(first.map(\.request) == [batch])
        try await journal.note(.askedToStop(now), stamp: other, at: 2)
        let second = try await journal.requests(to: id, after: try #require(first.last).number)
        #expect(second.map(\.request) == [now])
        #expect(try await journal.requests(to: id, after: try #require(second.last).number).isEmpty)
        #expect(try await journal.requests(to: stamp, after: 0).isEmpty)
        #expect(try await journal.verify() == 3)
    }

    @Test("Records and rollouts come in pages", arguments: JournalKind.allCases)
    func pages(_ kind: JournalKind) async throws {
        let book = try Book(kind)
        let journal = book.journal
        for number in 1...5 { try await book.record(number, .deploy, "a", .succeeded) }
        var seen: [String] = []
        var before: RolloutID?
        while true {
            let page = try await journal.rollouts(
                RolloutQuery(environment: "staging", limit: 2, before: before)
            )
            seen += page.map(\.id.description)
            guard let last = page.last else { break }
            before = last.id
        }
        #expect(seen == ["r10005", "r10004", "r10003", "r10002", "r10001"])
        let id = try #require(RolloutID("r10001"))
        #expect(try await journal.entries(of: id, after: 0, limit: 1).map(\.sequence) == [1])
        #expect(try await journal.entries(of: id, after: 1, limit: nil).map(\.sequence) == [2])
        #expect(try await journal.entries(of: id, after: 2, limit: nil).isEmpty)
    }

    @Test(
        "Each environment has a chain, which others do not touch",
        arguments: JournalKind.allCases
    )
    func chains(_ kind: JournalKind) async throws {
        let book = try Book(kind)
        let journal = book.journal
        try await book.record(1, .deploy, "a", nil)
        let remark = Remark(
            environment: "production",
            what: "w",
            reason: "r",
            user: "u",
            machine: "m"
        )
        let stamp = try #require(RolloutID("s1"))
        let before = try #require(try await journal.heads()["staging"])
        try await journal.note(.remarked(remark), stamp: stamp, at: 1)
        let heads = try await journal.heads()
        #expect(Set(heads.keys) == ["staging", "production"])
        #expect(heads["staging"] == before)
        #expect(heads["production"]?.rollout.description == "remark-s1")
        let next = try Self.entry("r10001", 2, .event(.started))
        let told = try #require(try await journal.append([next]))
        #expect(try await journal.heads()["staging"] == told)
        #expect(try await journal.holds(told) == true)
        let changed = JournalHead(
            rollout: told.rollout,
            sequence: told.sequence,
            hash: String(repeating: "0", count: 64),
            journal: told.journal
        )
        #expect(try await journal.holds(changed) == false)
        let foreign = JournalHead(rollout: stamp, sequence: 1, hash: told.hash, journal: told.hash)
        #expect(try await journal.holds(foreign) == nil)
    }

    @Test("What was asked back is told from what failed", arguments: JournalKind.allCases)
    func askedBack(_ kind: JournalKind) async throws {
        let book = try Book(kind)
        try await book.record(1, .deploy, "a", nil)
        let decision = try Self.entry(
            "r10001",
            2,
            .effect(.decide(.revert, reason: Rollout.askedBack))
        )
        let end = try Self.entry("r10001", 3, .effect(.finish(.reverted)))
        try await book.journal.append([decision, end])
        #expect(try await book.takenBack(of: "a") == "")
        try await book.record(2, .deploy, "b", .reverted)
        #expect(try await book.takenBack(of: "ab") == "b")
        let records = try await book.journal.changes(in: "staging")
        #expect(records.map(\.wasAskedBack) == [false, true])
        #expect(records.map { $0.aim?.release?.tag } == ["vb", "va"])
        #expect(records.allSatisfy { $0.aim?.groups.isEmpty ?? false }, "hosts were not asked for")
    }

    @Test("What reached a host the last time is known", arguments: JournalKind.allCases)
    func clients(_ kind: JournalKind) async throws {
        let book = try Book(kind)
        func check(_ rollout: String, _ host: HostName, _ client: String?, _ sequence: Int)
            async throws
        {
            let facts = client.map { Snapshot(facts: [Snapshot.hostFacts: ["client": $0]]) }
            let outcome = facts.map(CheckOutcome.ready) ?? .lost(Failure("cut"))
            try await book.journal.append([
                try Self.entry(
                    rollout,
                    sequence,
                    .event(.hostChecked(host: host, outcome: outcome))
                )
            ])
        }
        try await book.record(1, .deploy, "a", nil, hosts: ["web1", "web2"])
        try await check("r10001", "web1", "OpenSSH 9.2", 2)
        try await check("r10001", "web2", "libssh2 1.10.0", 3)
        // Checked again when the rollout was taken up: nobody reads on for that.
        try await check("r10001", "web1", "OpenSSH 9.9", 4)
        try await book.record(2, .deploy, "b", nil, hosts: ["web1", "web2"])
        try await check("r10002", "web1", nil, 2)
        try await check("r10002", "web2", "OpenSSH 9.3", 3)
        #expect(
            try await book.journal.clients(of: ["web1", "web2"], in: "staging")
                == ["web1": "OpenSSH 9.2", "web2": "OpenSSH 9.3"]
        )
        // The newest rollout knows the only host that is asked about.
        #expect(
            try await book.journal.clients(of: ["web2"], in: "staging") == ["web2": "OpenSSH 9.3"]
        )
        #expect(try await book.journal.clients(of: ["web1"], in: "production").isEmpty)
    }
}

/// Who may change an environment, whatever keeps it.
struct EnvironmentLeasesTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func leases(_ kind: JournalKind) throws -> any EnvironmentLeases {
        switch kind {
        case .sqlite: FileLeases(in: try StateDirectory(path: directory.path + "/state"))
        case .memory: MemoryLeases()
        }
    }

    @Test("One at a time, by name, until it is given back", arguments: JournalKind.allCases)
    func oneAtATime(_ kind: JournalKind) async throws {
        let leases = try leases(kind)
        #expect(try leases.holder(of: "production") == nil)
        let first = try await leases.acquire("production", for: "ann")
        #expect(try leases.holder(of: "production") == "ann")
        await #expect(throws: JournalError.locked(environment: "production", owner: "ann")) {
            _ = try await leases.acquire("production", for: "bob")
        }
        let other = try await leases.acquire("staging", for: "bob")
        first.release()
        first.release()
        let second = try await leases.acquire("production", for: "bob")
        // What was given back is nobody's to give back a second time.
        first.release()
        #expect(try leases.holder(of: "production") == "bob")
        withExtendedLifetime((first, second, other)) {}
    }

    @Test("What nobody holds any more is free", arguments: JournalKind.allCases)
    func forgotten(_ kind: JournalKind) async throws {
        let leases = try leases(kind)
        var lease: (any EnvironmentLease)? = try await leases.acquire("production", for: "ann")
        #expect(lease != nil)
        lease = nil
        // A process that another test starts just now holds our descriptors until it runs.
        try await eventually("it is free again") { try leases.holder(of: "production") == nil }
    }
}
