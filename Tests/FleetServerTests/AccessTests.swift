import FleetJournal
import FleetOperations
import FleetServing
import FleetTestSupport
import Foundation
import HTTPTypes
import Testing

@testable import FleetServer

/// Who gets in, who may do what, and what a request cannot do.
struct AccessTests {
    @Test("Every route asks for what it is said to ask for, from everybody")
    func matrix() async throws {
        let server = try ServerFixture()
        try server.commit("first", tag: "v1.0.0")
        try await server.start()
        _ = try await server.engine.keeper.refresh()
        let people: [(name: String?, client: Client)] = [
            (nil, try server.client()), ("eve", try await server.signedIn("eve")),
            ("dan", try await server.signedIn("dan")), ("bob", try await server.signedIn("bob")),
            ("ada", try await server.signedIn("ada")),
        ]
        let table = try await FleetServer(server.engine, fastPasswords: true).table
        var checked = 0
        for route in table.routes where route.face == .page && route.need != .nothing {
            for environment in ["staging", "production"] {
                let path = route.path.replacing("{environment}", with: environment)
                    .replacing("{wish}", with: "9").replacing("{delivery}", with: "9")
                    .replacing("{token}", with: "9").replacing("{session}", with: "x")
                    .replacing("{account}", with: "ada")
                guard !path.contains("{"), path != "/sign-out", path != "/people/ada/end",
                    !path.hasSuffix("/hosts")
                else {
                    continue
                }
                for (name, client) in people {
                    let account = name.flatMap { server.engine.file.account(named: $0) }
                    let isAllowed: Bool =
                        switch route.need {
                        case .nothing, .account: account != nil
                        case .server(let right): account?.roles.allow(right, in: nil) ?? false
                        case .environment(let right), .rollout(let right):
                            account?.roles.allow(right, in: environment) ?? false
                        case .named(let right):
                            account?.roles.byEnvironment.values.contains {
                                $0.contains { $0.allows(right) }
                            } ?? false
                        }
                    let status: Int
                    if route.method == .get {
                        let reply = try await client.get(path)
                        let isSentAway =
                            reply.status == 303
                            && (reply.header("location") ?? "").hasPrefix("/sign-in")
                        status = isSentAway ? 401 : reply.status
                    } else {
                        let page = try await client.get("/")
                        status = try await client.post(path, [:], on: page).status
                    }
                    let isRefused = [401, 403, 404].contains(status)
                    // A thing that there is not is refused to those who may, too.
                    let mayBeMissing = path.contains("/9") || path.hasSuffix("/x/end")
                    #expect(
                        isAllowed ? !isRefused || mayBeMissing && status == 404 : isRefused,
                        "\(name ?? "nobody"): \(route.method) \(path): \(status)"
                    )
                    checked += 1
                }
            }
        }
        #expect(checked > 200, "\(checked)")
        await server.stop()
    }

    @Test(
        "A table with a route that anybody could take, or that changes something by a GET, is not served"
    )
    func table() throws {
        func route(_ method: HTTPRequest.Method, _ path: String, _ need: Need) -> Route {
            Route(method, path, need, .page) { _ in .empty(.ok) }
        }
        for bad in [
            [route(.get, "/secret", .nothing)], [route(.post, "/sign-in", .account)],
            [route(.get, "/x", .server(.deploy))], [route(.get, "/x", .environment(.view))],
            [route(.post, "/rollouts", .rollout(.stop))],
            [route(.get, "/x", .account), route(.get, "/x", .account)],
        ] {
            #expect(throws: RouteTable.Unsafe.self) { try RouteTable(bad) }
        }
        _ = try RouteTable([
            route(.get, "/x/{environment}", .environment(.view)), route(.get, "/healthz", .nothing),
        ])
    }

    /// Rows S18, S19.
    @Test(
        "Signing in: the wrong password, somebody unknown, guessing, signing out, and another site"
    )
    func signIn() async throws {
        let server = try ServerFixture()
        try server.commit("first")
        try await server.start()
        _ = try await server.signedIn("bob")
        let client = try server.client()
        func signIn(_ account: String, _ password: String, origin: String = ServerFixture.publicURL)
            async throws
            -> Client.Reply
        {
            let page = try await client.get("/sign-in?back=/approvals")
            return try await client.post(
                "/sign-in",
                ["account": account, "password": password, "back": "/approvals"],
                on: page,
                origin: origin
            )
        }
        for (account, password) in [
            ("bob", "not it at all"), ("nobody", "not it at all"), ("eve", "no password yet"),
            ("bob", ""),
        ] {
            let reply = try await signIn(account, password)
            #expect(
                reply.status == 422 && reply.body.contains("is not right"),
                "\(account) \(reply.status)"
            )
        }
        #expect(
            try await signIn("bob", ServerFixture.password, origin: "https://evil.example").status
                == 403
        )
        #expect(
            try await client.post(
                "/sign-in",
                ["account": "bob", "password": ServerFixture.password]
            ).status == 403
        )
        let good = try await signIn("bob", ServerFixture.password)
        #expect(good.status == 303 && good.header("location") == "/approvals")
        let cookie = try #require(good.header("set-cookie"))
        #expect(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax")
                && cookie.contains("Path=/")
        )
        let page = try await client.get("/approvals")
        #expect(page.status == 200)
        // Without the form's secret, with another one, and from elsewhere nothing is done.
        #expect(try await client.post("/sign-out", [:]).status == 403)
        #expect(
            try await client.post("/sign-out", ["csrf": String(repeating: "0", count: 64)]).status
                == 403
        )
        #expect(
            try await client.post("/sign-out", [:], on: page, origin: "http://evil.test").status
                == 403
        )
        let other = try await client.send(
            "/sign-out",
            [
                "-X", "POST", "-H", "Sec-Fetch-Site: cross-site", "--data-urlencode",
                "csrf=\(page.csrf)",
            ]
        )
        #expect(other.status == 403)
        #expect(try await client.post("/sign-out", [:], on: page).status == 303)
        #expect(try await client.get("/approvals").status == 303)
        // Whoever guesses has to wait, and it is said how long; the account is not locked for others for good.
        var waiting = try await signIn("dan", "guess")
        for _ in 0..<20 where waiting.status != 429 { waiting = try await signIn("dan", "guess") }
        #expect(waiting.status == 429 && waiting.body.contains("counts in"))
        await server.stop()
    }

    /// Row S18.
    @Test("A redirection after signing in leads nowhere else")
    func openRedirect() async throws {
        let server = try ServerFixture()
        try server.commit("first")
        try await server.start()
        _ = try await server.signedIn("bob")
        for back in [
            "https://evil.example/", "//evil.example", "/\\evil.example", "/%2f%2fevil.example",
            "javascript:alert(1)", "/../..",
        ] {
            let client = try server.client()
            let page = try await client.get("/sign-in")
            let reply = try await client.post(
                "/sign-in",
                ["account": "bob", "password": ServerFixture.password, "back": back],
                on: page
            )
            #expect(reply.status == 303 && reply.header("location") == "/", "\(back)")
        }
        await server.stop()
    }

    @Test(
        "A path that could be read in two ways is refused",
        arguments: [
            "/environments/..", "/environments/%2e%2e/audit", "/assets/..%2fserver.yml",
            "/assets/%2e%2e%2fx", "/a;/b",
            "/environments;x=1/staging", "//audit", "/audit/", "/audit/.", "/audit%00",
            "/%252e%252e", "/a%5cb", "/audit%", "/aud%69t;",
            "/a%0d%0aX: y",
        ]
    )
    func paths(path: String) {
        #expect(RequestPath.segments(path[...]) == nil)
    }

    @Test("What a path means is decoded once")
    func decoding() {
        #expect(RequestPath.segments("/") == [])
        #expect(
            RequestPath.segments("/environments/g%C3%B6ttingen") == ["environments", "göttingen"]
        )
        #expect(RequestPath.segments("/rollouts/20261130-203843-njxg/hosts/web-1.x") != nil)
        #expect(Percent.encoded("a b/ö") == "a%20b%2F%C3%B6")
    }

    /// Row S6.
    @Test("Bodies and headers that are too long are refused, and the server goes on")
    func limits() async throws {
        let server = try ServerFixture()
        try server.commit("first")
        try await server.start()
        let client = try server.client()
        try Command.shell("head -c 26000000 /dev/zero >big", in: server.path)
        let big = try await client.send(
            "/hooks/app",
            [
                "-X", "POST", "-H", "X-Hub-Signature-256: sha256=00", "--data-binary",
                "@\(server.path)/big",
            ]
        )
        #expect(big.status == 413)
        let chunked = try await client.send(
            "/hooks/app",
            [
                "-X", "POST", "-H", "X-Hub-Signature-256: sha256=00", "-H",
                "Transfer-Encoding: chunked",
                "--data-binary",
                "@\(server.path)/big",
            ]
        )
        #expect(chunked.status == 413)
        // Without a signature nothing is read.
        let unsigned = try await client.send(
            "/hooks/app",
            ["-X", "POST", "--data-binary", "@\(server.path)/big"]
        )
        #expect(unsigned.status == 401)
        let header = try await client.send(
            "/",
            ["-H", "X-Long: " + String(repeating: "x", count: 60_000)]
        )
        #expect(
            header.status == 431 || header.status == 400 || header.status == 0,
            "\(header.status)"
        )
        let many = try await client.send("/", (0..<300).flatMap { ["-H", "X-\($0): y"] })
        #expect(many.status == 431 || many.status == 400 || many.status == 0, "\(many.status)")
        #expect(try await client.get("/healthz").body == "ok\n")
        let unknown = try await client.send("/audit", ["-X", "PUT"])
        #expect(unknown.status == 405 && unknown.header("allow") == "GET")
        await server.stop()
    }

    /// Row S18.
    @Test("Every answer has the headers that keep a page to itself")
    func headers() async throws {
        let server = try ServerFixture()
        try server.commit("first")
        try await server.start()
        let client = try server.client()
        for path in [
            "/", "/sign-in", "/nothing", "/assets/fleet.css", "/api/v1/environments", "/healthz",
        ] {
            let reply = try await client.get(path)
            let policy = reply.header("content-security-policy") ?? ""
            #expect(
                policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
                "\(path)"
            )
            #expect(!policy.contains("unsafe-inline"))
            #expect(
                reply.header("x-content-type-options") == "nosniff"
                    && reply.header("x-frame-options") == "DENY"
            )
            #expect(reply.header("access-control-allow-origin") == nil)
        }
        #expect(try await client.get("/api/v1/environments").status == 401)
        await server.stop()
    }

    /// Row S17.
    @Test("Rights that are taken away and sessions that end count at once")
    func revocation() async throws {
        let server = try ServerFixture()
        try server.commit("first")
        try await server.start()
        let bob = try await server.signedIn("bob")
        #expect(try await bob.get("/audit").status == 200)
        for session in try await server.engine.store.sessions(of: "bob") {
            try await server.engine.store.end(session.hash)
        }
        #expect(try await bob.get("/audit").status == 303)
        await server.stop()
        // A role that is taken away in the file.
        let file = try String(contentsOfFile: server.path + "/server.yml", encoding: .utf8)
        try await server.start()
        let again = try await server.signedIn("bob")
        #expect(try await again.get("/environments/production").status == 200)
        await server.stop()
        try server.directory.write(
            file.replacing("role: [deploy, approve]", with: "role: { staging: see }"),
            to: "server.yml"
        )
        try await server.start()
        #expect(try await again.get("/environments/production").status == 404)
        #expect(try await again.get("/environments/staging").status == 200)
        await server.stop()
    }
}

struct BodyBudgetTests {
    @Test("What all requests hold together is bounded, and given back")
    func budget() {
        let budget = BodyBudget()
        do {
            let one = budget.share()
            let other = budget.share()
            #expect(one.take(200 << 20) && !other.take(100 << 20) && other.take(50 << 20))
        }
        #expect(budget.share().take(256 << 20))
    }
}

struct ThrottleTests {
    @Test(
        "Five failures cost nothing, then the wait doubles up to a minute, and a success forgets them"
    )
    func waits() {
        let throttle = Throttle()
        for _ in 0..<5 { #expect(throttle.attempt(["a"], at: 1_000) == 0) }
        #expect(throttle.attempt(["a", "b"], at: 1_000) == 1_000)
        #expect(throttle.attempt(["b"], at: 1_000) == 0)
        var now = 1_000
        var waits: [Int] = []
        for _ in 0..<9 {
            let wait = throttle.attempt(["a"], at: now)
            waits.append(wait)
            now += wait
            #expect(throttle.attempt(["a"], at: now) == 0)
        }
        #expect(waits == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000])
        // A clock that was set back keeps nobody out.
        #expect(throttle.attempt(["a"], at: 500) == 0)
        throttle.succeeded(["a"])
        #expect(throttle.attempt(["a"], at: now) == 0)
    }

    @Test("Many tries at once are not all let through")
    func atOnce() async {
        let throttle = Throttle()
        let entered = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<100 { group.addTask { throttle.attempt(["a"], at: 1_000) } }
            return await group.reduce(0) { $0 + ($1 == 0 ? 1 : 0) }
        }
        #expect(entered == 5)
    }

    @Test("A million names do not fill the memory, and those that guess most are still slowed down")
    func many() {
        let throttle = Throttle()
        for second in 0..<10 { _ = throttle.attempt(["attacker"], at: 1_000 + second * 70_000) }
        for number in 0..<50_000 { _ = throttle.attempt(["name \(number)"], at: 631_000) }
        #expect(throttle.attempt(["attacker"], at: 631_000) > 0)
    }
}

struct PasswordTests {
    @Test("A hash is of the form that scrypt has elsewhere, and only the password matches it")
    func hashes() async {
        let passwords = Passwords(logRounds: 10)
        let hash = await passwords.hash("correct horse battery")
        #expect(hash.hasPrefix("$scrypt$ln=10,r=8,p=1$") && hash.split(separator: "$").count == 4)
        #expect(await passwords.matches("correct horse battery", hash))
        for wrong in ["", "correct horse", "correct horse battery ", "Correct horse battery"] {
            #expect(await !passwords.matches(wrong, hash))
        }
        for bad in [
            nil, "", "$scrypt$ln=99,r=8,p=1$00$00", "$scrypt$", "plain", String(hash.dropLast(60)),
        ] {
            #expect(await !passwords.matches("correct horse battery", bad))
        }
        #expect(await passwords.hash("correct horse battery") != hash)
    }

    @Test("It is the scrypt of RFC 7914")
    func reference() async throws {
        let hash = await Passwords(logRounds: 10).hash("password of a test")
        let parts = hash.split(separator: "$").map(String.init)
        let python =
            "import hashlib,sys; print(hashlib.scrypt(b'password of a test', salt=bytes.fromhex('\(parts[2])'), n=1024, r=8, p=1, dklen=32).hex())"
        let reference = try Command.run(["python3", "-c", python]).output
        #expect(reference.hasPrefix(parts[3]))
    }

    @Test("A weak password is refused with its reason")
    func weak() {
        #expect(Passwords.objection(to: "short", account: "ada") != nil)
        #expect(Passwords.objection(to: "aaaaaaaaaaaaaaaa", account: "ada") != nil)
        #expect(Passwords.objection(to: "robert is robert", account: "robert") != nil)
        #expect(
            Passwords.objection(to: String(repeating: "abcde", count: 300), account: "ada") != nil
        )
        #expect(Passwords.objection(to: "correct horse battery", account: "ada") == nil)
    }
}
