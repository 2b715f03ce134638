import FleetJournal
import FleetOperations
import FleetReport
import FleetServing
import FleetTestSupport
import Foundation
import Testing

@testable import FleetServer

/// What a push leads to: real git, real HTTP, real hosts (this machine), and signatures that openssl makes.
struct DeliveryTests {
    private func state(_ server: ServerFixture, _ environment: String, _ ref: String) async throws
        -> Wish.State?
    {
        try await server.engine.store.wishes(of: environment).last { $0.ref == ref }?.state
    }

    private func succeeded(_ state: Wish.State?) -> Bool {
        if case .done(_, "succeeded") = state { true } else { false }
    }

    /// Row S21.
    @Test("A push reaches staging; a tag goes on to production once somebody else has approved it")
    func wholeWay() async throws {
        let server = try ServerFixture(
            production: "policy: { require: [approved], approval: { by_another: true } }"
        )
        try server.commit("first", tag: "v1.0.0")
        try await server.start()
        let client = try server.client()
        // What was there before the server is not deployed.
        #expect(
            try await server.eventually {
                try await server.engine.store.seen(of: "app").isEmpty == false
            }
        )
        #expect(try await server.engine.store.openWishes().isEmpty)
        try server.commit("second")
        #expect(try await client.deliver(Client.push("refs/heads/main"), id: "1").status == 202)
        #expect(
            try await server.eventually {
                succeeded(try await state(server, "staging", "refs/heads/main"))
            }
        )
        #expect(
            try Command.shell("git -C staging rev-parse HEAD", in: server.path).hasPrefix(
                try server.revision()
            )
        )
        // A tag: staging runs it already, production waits for somebody who did not make it.
        try Command.shell(
            "git tag -am v1.1.0 v1.1.0 && git push -q origin v1.1.0",
            in: server.path + "/app"
        )
        #expect(try await client.deliver(Client.push("refs/tags/v1.1.0"), id: "2").status == 202)
        #expect(
            try await server.eventually {
                guard
                    case .held(let reasons) = try await state(
                        server,
                        "production",
                        "refs/tags/v1.1.0"
                    )
                else { return false }
                return reasons.contains { $0.hasPrefix("E_NOT_APPROVED") }
            }
        )
        let ada = try await server.signedIn("ada")
        let bob = try await server.signedIn("bob")
        let fields = ["release": "v1.1.0", "note": "looks good"]
        func approve(_ who: Client) async throws -> Int {
            let page = try await who.get("/environments/production")
            return try await who.post("/environments/production/approve", fields, on: page).status
        }
        // Who pushed it approves in vain.
        #expect(try await approve(ada) == 303)
        #expect(
            try await server.eventually {
                guard
                    case .held(let reasons) = try await state(
                        server,
                        "production",
                        "refs/tags/v1.1.0"
                    )
                else { return false }
                return reasons.contains { $0.hasPrefix("E_OWN_APPROVAL") }
            }
        )
        #expect(try await approve(bob) == 303)
        #expect(
            try await server.eventually {
                succeeded(try await state(server, "production", "refs/tags/v1.1.0"))
            }
        )
        #expect(
            try Command.shell("git -C production rev-parse HEAD", in: server.path).hasPrefix(
                try server.revision()
            )
        )
        await server.stop()
    }

    /// Rows S1, S2.
    @Test("Redelivered, replayed and forged deliveries change nothing twice")
    func again() async throws {
        let server = try ServerFixture()
        try server.commit("first")
        try await server.start()
        let client = try server.client()
        #expect(
            try await server.eventually {
                try await server.engine.store.seen(of: "app").isEmpty == false
            }
        )
        try server.commit("second", tag: "v1.0.0")
        let push = Client.push("refs/heads/main")
        #expect(try await client.deliver(push, id: "1").body.hasPrefix("accepted"))
        #expect(
            try await server.eventually {
                succeeded(try await state(server, "staging", "refs/heads/main"))
            }
        )
        // The same name; the same body under another name; an older tag that was never delivered.
        #expect(try await client.deliver(push, id: "1").body.hasPrefix("known"))
        #expect(try await client.deliver(push, id: "2").status == 202)
        #expect(
            try await server.eventually {
                try await server.engine.store.dueDeliveries(at: .max, limit: 9).isEmpty
            }
        )
        #expect(try await server.engine.store.wishes(of: "staging").count == 1)
        let forged = try await client.deliver(push, id: "3", secret: "another secret of them")
        #expect(forged.status == 401 && !forged.body.contains("accepted"))
        #expect(try await client.deliver(push, id: "4", hook: "other").body == forged.body)
        #expect(try await server.engine.store.deliveries(limit: 9).count == 2)
        #expect(try await server.engine.controller.records.history(HistoryRequest()).count == 1)
        await server.stop()
    }

    /// Row S9.
    @Test("What nobody wants is answered with a 2xx and says so")
    func unasked() async throws {
        let server = try ServerFixture()
        try server.commit("first")
        try await server.start()
        let client = try server.client()
        let cases = [
            (Client.push("refs/heads/other"), "push", "no rule watches"),
            (Client.push("refs/tags/v9"), "push", "not there"),
            (#"{"zen":"x"}"#, "ping", "somebody listens"),
            (#"{"repository":{"full_name":"acme/app"}}"#, "star", "the event `star`"),
            (
                Client.push("refs/heads/main").replacing("acme/app", with: "acme/evil"), "push",
                "not `acme/app`"
            ),
            (String(repeating: "[", count: 10_000), "push", "no JSON"),
        ]
        for (number, (body, event, _)) in cases.enumerated() {
            #expect(try await client.deliver(body, event: event, id: "\(number)").status == 202)
        }
        #expect(
            try await server.eventually {
                try await server.engine.store.dueDeliveries(at: .max, limit: 9).isEmpty
            }
        )
        let notes = try await server.engine.store.deliveries(limit: 9).reversed().map(\.note)
        for (note, (_, _, words)) in zip(notes, cases) { #expect(note.contains(words), "\(note)") }
        #expect(try await server.engine.store.newestWishes(limit: 9).isEmpty)
        await server.stop()
    }

    /// Rows S8, S10.
    @Test(
        "A push that nobody told of is found by looking, and an unreachable repository deploys nothing old"
    )
    func poll() async throws {
        let server = try ServerFixture()
        try server.commit("first")
        try await server.start()
        #expect(
            try await server.eventually {
                try await server.engine.store.seen(of: "app").isEmpty == false
            }
        )
        try server.commit("second", tag: "v1.0.0")
        let hook = try #require(server.engine.file.hook(named: "app"))
        let dispatcher = Dispatcher(for: server.engine)
        try await dispatcher.look(at: hook, at: ServerEngine.now())
        #expect(try await server.engine.store.newestWishes(limit: 9).count == 2)
        server.engine.bell.ring()
        #expect(
            try await server.eventually {
                succeeded(try await state(server, "staging", "refs/tags/v1.0.0"))
            }
        )
        // Gone: what is told now waits, and says why.
        try Command.shell("mv app.git gone.git", in: server.path)
        try await dispatcher.look(at: hook, at: ServerEngine.now())
        #expect(await dispatcher.problems["app"] != nil)
        let client = try server.client()
        #expect(try await client.deliver(Client.push("refs/heads/main"), id: "9").status == 202)
        #expect(
            try await server.eventually {
                try await server.engine.store.deliveries(limit: 1).first?.note.contains(
                    "cannot be asked"
                ) ?? false
            }
        )
        let ada = try await server.signedIn("ada")
        let page = try await ada.get("/environments/staging")
        let refused = try await ada.post(
            "/environments/staging/deploy/preview",
            ["release": "v1.0.0"],
            on: page
        )
        #expect(refused.status == 422 && refused.body.contains("E_PROJECT"), "\(refused.status)")
        await server.stop()
    }

    @Test("A bad release goes back, and is not deployed again by the same delivery")
    func bad() async throws {
        let server = try ServerFixture()
        try server.commit("first")
        try await server.start()
        let client = try server.client()
        #expect(
            try await server.eventually {
                try await server.engine.store.seen(of: "app").isEmpty == false
            }
        )
        try server.commit("good one", tag: "v1.0.0")
        #expect(try await client.deliver(Client.push("refs/heads/main"), id: "1").status == 202)
        #expect(
            try await server.eventually {
                succeeded(try await state(server, "staging", "refs/heads/main"))
            }
        )
        let good = try server.revision()
        try server.commit("bad one", state: "evil")
        #expect(try await client.deliver(Client.push("refs/heads/main"), id: "2").status == 202)
        #expect(
            try await server.eventually {
                if case .done(_, "reverted") = try await state(server, "staging", "refs/heads/main")
                {
                    true
                } else {
                    false
                }
            }
        )
        #expect(try Command.shell("git -C staging rev-parse HEAD", in: server.path).hasPrefix(good))
        #expect(try await client.deliver(Client.push("refs/heads/main"), id: "3").status == 202)
        #expect(
            try await server.eventually {
                try await server.engine.store.dueDeliveries(at: .max, limit: 9).isEmpty
            }
        )
        #expect(try await server.engine.controller.records.history(HistoryRequest()).count == 2)
        await server.stop()
    }

    /// Row S11.
    @Test(
        "A server that ended between storing a delivery and acting is followed by one that acts, once"
    )
    func restart() async throws {
        let server = try ServerFixture()
        try server.commit("first")
        try await server.start()
        #expect(
            try await server.eventually {
                try await server.engine.store.seen(of: "app").isEmpty == false
            }
        )
        await server.stop()
        try server.commit("second")
        do {
            let engine = try await server.open()
            _ = try await engine.store.accept(
                Delivery.Arrival(
                    hook: "app",
                    name: "1",
                    event: "push",
                    body: Array(Client.push("refs/heads/main").utf8),
                    address: "192.0.2.1",
                    unixMilliseconds: ServerEngine.now()
                )
            )
        }
        try await server.start()
        #expect(
            try await server.eventually {
                succeeded(try await state(server, "staging", "refs/heads/main"))
            }
        )
        // It ended while a wish was being started, and nothing had begun: it is begun now.
        await server.stop()
        try server.commit("third")
        do {
            let engine = try await server.open()
            let wish = Wish(
                environment: "staging",
                later: [],
                hook: "app",
                ref: "refs/heads/main",
                commit: try server.revision(),
                person: HookFacts.Person(login: nil, address: nil),
                delivery: nil,
                unixMilliseconds: ServerEngine.now()
            )
            let number = try #require(try await engine.store.add(wish, seen: true).number)
            var stored = wish
            stored.id = number
            #expect(try await engine.store.move(stored, to: .starting(digest: "d", at: 1)))
            stored.state = .starting(digest: "d", at: 1)
            // And its rollout had a name, and no record yet.
            let state = Wish.State.running(rollout: "20261130-203843-njxg")
            #expect(try await engine.store.move(stored, to: state))
        }
        try await server.start()
        #expect(
            try await server.eventually {
                let all = try await server.engine.store.wishes(of: "staging")
                return all.count == 2 && all.allSatisfy { succeeded($0.state) }
            }
        )
        let history = try await server.engine.controller.records.history(HistoryRequest())
        #expect(history.count == 2)
        // It ended while a rollout was under way, which somebody else has brought to its end since.
        await server.stop()
        try server.commit("fourth")
        let number: Int
        do {
            let engine = try await server.open()
            let wish = Wish(
                environment: "staging",
                later: ["production"],
                hook: "app",
                ref: "refs/heads/main",
                commit: try server.revision(),
                person: HookFacts.Person(login: nil, address: nil),
                delivery: nil,
                unixMilliseconds: ServerEngine.now()
            )
            number = try #require(try await engine.store.add(wish, seen: true).number)
            var stored = wish
            stored.id = number
            #expect(try await engine.store.move(stored, to: .running(rollout: history[0].rollout)))
        }
        try await server.start()
        let isDone = try await server.eventually {
            succeeded(try await server.engine.store.wish(number)?.state)
        }
        let now = try await server.engine.store.wish(number)
        #expect(isDone, "\(String(describing: now)) \(server.said)")
        // And what comes after it is wanted then.
        #expect(
            try await server.eventually {
                try await !server.engine.store.wishes(of: "production").isEmpty
            }
        )
        await server.stop()
    }

    @Test("A rule that is added deploys nothing that was there before it")
    func newRule() async throws {
        let server = try ServerFixture()
        let file = try String(contentsOfFile: server.path + "/server.yml", encoding: .utf8)
        try server.directory.write(
            file.replacing("      - { tag: \"v*\", deploy: [staging, production] }\n", with: ""),
            to: "server.yml"
        )
        try server.commit("first", tag: "v1.0.0")
        try await server.start()
        #expect(
            try await server.eventually {
                try await server.engine.store.seen(of: "app").isEmpty == false
            }
        )
        await server.stop()
        try server.directory.write(file, to: "server.yml")
        try await server.start()
        #expect(
            try await server.eventually {
                try await server.engine.store.seen(of: "app")["refs/tags/v1.0.0"] != nil
            }
        )
        #expect(try await server.engine.store.newestWishes(limit: 9).isEmpty)
        await server.stop()
    }

    @Test("Files of a commit that were half written when the server was killed are written again")
    func halfWritten() async throws {
        let server = try ServerFixture()
        try server.commit("first", tag: "v1.0.0")
        try await server.start()
        let commit = try server.revision()
        await server.stop()
        let files = server.path + "/state/project/files/" + commit
        try Command.shell("rm '\(files).complete' '\(files)/playbooks/deploy.yml'")
        try await server.start()
        #expect(await server.engine.keeper.version?.commit == commit)
        #expect(FileManager.default.fileExists(atPath: files + "/playbooks/deploy.yml"))
        // Killed inside git: it has left its lock, and the folder is no work tree.
        await server.stop()
        try Command.shell(
            "rm -rf '\(files)'* && mkdir '\(files)' && touch '\(files)/x' && echo initializing >state/project/repository.git/worktrees/\(commit)/locked",
            in: server.path
        )
        try await server.start()
        #expect(await server.engine.keeper.version?.commit == commit)
        #expect(await server.engine.keeper.problem == nil)
        await server.stop()
    }

    @Test("A body in a form, one with letters beyond ASCII, and a signature of odd bytes")
    func bodies() async throws {
        let server = try ServerFixture()
        try server.commit("first")
        try await server.start()
        let client = try server.client()
        let push = Client.push("refs/heads/other").replacing("ada-l", with: "Zoë 🚀")
        #expect(try await client.deliver(push, id: "1").status == 202)
        // GitHub's other content type: the form is what is signed.
        let form = "payload=" + Percent.encoded(push)
        #expect(
            try await client.deliver(form, id: "2", type: "application/x-www-form-urlencoded")
                .status
                == 202
        )
        #expect(
            try await server.eventually {
                try await server.engine.store.dueDeliveries(at: .max, limit: 9).isEmpty
            }
        )
        let notes = try await server.engine.store.deliveries(limit: 9).map(\.note)
        #expect(notes.count == 2 && notes.allSatisfy { $0.contains("no rule watches") }, "\(notes)")
        for odd in ["sha256=é", "sha256=\u{FF}", "💥"] {
            let reply = try await client.send(
                "/hooks/app",
                ["-X", "POST", "-H", "X-Hub-Signature-256: \(odd)", "--data-binary", push]
            )
            #expect(reply.status == 401 || reply.status == 400, "\(odd) \(reply.status)")
        }
        #expect(try await client.get("/healthz").body == "ok\n")
        await server.stop()
    }
}
