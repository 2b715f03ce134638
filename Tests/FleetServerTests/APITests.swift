import FleetJournal
import FleetOperations
import FleetServing
import FleetTestSupport
import Foundation
import Testing

@testable import FleetServer

/// The API: tokens, what they may do, and the same way to a rollout as the pages have.
struct APITests {
    private func token(
        _ server: ServerFixture,
        _ account: String,
        _ scopes: Set<TokenScope>,
        days: Int = 1
    ) async throws
        -> String
    {
        let secret = Sessions.tokenPrefix + Secrets.make()
        let now = ServerEngine.now()
        _ = try await server.engine.store.keep(
            ServerToken(
                hash: Secrets.hash(secret),
                account: account,
                name: "test",
                scopes: scopes,
                made: now,
                expires: now + days * 86_400_000
            )
        )
        return secret
    }

    private func object(_ reply: Client.Reply) throws -> [String: Any] {
        try #require(
            try JSONSerialization.jsonObject(with: Data(reply.body.utf8)) as? [String: Any]
        )
    }

    @Test("Look first, then begin exactly that; follow the events to the end")
    func story() async throws {
        let server = try ServerFixture(production: "")
        try server.commit("first", tag: "v1.0.0")
        try await server.start()
        let client = try server.client(token: try await token(server, "bob", [.write]))
        #expect(try object(await client.get("/api/v1/account"))["account"] as? String == "bob")
        let preview = try await client.post(
            "/api/v1/environments/staging/deploys/preview",
            json: #"{"tag":"v1.0.0"}"#
        )
        #expect(preview.status == 200)
        let seen = try object(preview)
        #expect(seen["environment"] as? String == "staging" && seen["v"] as? Int == 1)
        let id = try #require(seen["id"] as? String)
        let begun = try await client.post(
            "/api/v1/environments/staging/deploys",
            json: #"{"preview":"\#(id)"}"#
        )
        #expect(begun.status == 201)
        let rollout = try #require(try object(begun)["rollout"] as? String)
        let events = try await client.get("/api/v1/rollouts/\(rollout)/events?follow=true")
        let lines = events.body.split(separator: "\n")
        #expect(
            lines.first?.contains("rollout.planned") == true
                && lines.last?.contains("rollout.ended") == true,
            "\(lines.last ?? "")"
        )
        let some = try await client.get("/api/v1/rollouts/\(rollout)/events?after=5").body.split(
            separator: "\n"
        )
        #expect(!some.isEmpty && some.count < lines.count && some == lines.suffix(some.count))
        #expect(
            try object(await client.get("/api/v1/rollouts/\(rollout)"))["outcome"] as? String
                == "succeeded"
        )
        #expect(try await client.get("/api/v1/rollouts?environment=staging").body.contains(rollout))
        #expect(
            try await client.get("/api/v1/environments/staging/status").body.contains("as deployed")
        )
        #expect(
            try object(await client.get("/api/v1/environments/staging"))["release"] as? String
                == "v1.0.0"
        )
        for path in [
            "/api/v1/environments", "/api/v1/audit", "/api/v1/releases",
            "/api/v1/environments/staging/wishes",
        ] {
            let reply = try await client.get(path)
            #expect(reply.status == 200, "\(path)")
            for line in reply.body.split(separator: "\n") { #expect(line.hasPrefix(#"{"v":1,"#)) }
        }
        let again = try await client.post(
            "/api/v1/environments/staging/deploys",
            json: #"{"preview":"\#(id)"}"#
        )
        #expect(again.status == 422)
        #expect(try object(again)["code"] as? String == "E_STALE")
        await server.stop()
    }

    @Test("A token does what its scopes and its owner may, until it expires or is revoked")
    func tokens() async throws {
        let server = try ServerFixture(production: "policy: { protected: true }")
        try server.commit("first", tag: "v1.0.0")
        try await server.start()
        _ = try await server.engine.keeper.refresh()
        func deploy(_ token: String, _ environment: String) async throws -> Int {
            try await server.client(token: token).post(
                "/api/v1/environments/\(environment)/deploys/preview",
                json: #"{"tag":"v1.0.0"}"#
            ).status
        }
        let read = try await token(server, "bob", [.read])
        #expect(try await deploy(read, "staging") == 403)
        #expect(
            try await server.client(token: read).get("/api/v1/environments/production").status
                == 200
        )
        let write = try await token(server, "bob", [.write])
        #expect(try await deploy(write, "staging") == 200)
        #expect(try await deploy(write, "production") == 403)
        #expect(
            try await deploy(try await token(server, "bob", [.production]), "production") == 200
        )
        // Never more than the owner may.
        let eve = try await token(server, "eve", [.read, .write, .production])
        #expect(try await deploy(eve, "staging") == 403)
        #expect(try await deploy(eve, "production") == 404)
        // A token administers nothing, whoever owns it, and is no browser.
        let all: Set<TokenScope> = [.read, .write, .production]
        let admin = try server.client(token: try await token(server, "ada", all))
        #expect(try await admin.get("/audit/export").status == 403)
        #expect(try await admin.post("/project/agree", ["digest": "x"]).status == 403)
        for bad in [
            "fleet_" + Secrets.make(), "nonsense",
            try await token(server, "bob", [.write], days: -1),
            try await token(server, "gone", [.write]),
        ] {
            let reply = try await server.client(token: bad).get("/api/v1/environments")
            #expect(
                reply.status == 401 && reply.header("www-authenticate") == "Bearer",
                "\(reply.status)"
            )
        }
        let number = try #require(
            try await server.engine.store.tokens(of: "bob").first {
                $0.hash == Secrets.hash(write)
            }
        ).number
        #expect(try await server.engine.store.revoke(token: number, of: "bob") != nil)
        #expect(try await deploy(write, "staging") == 401)
        // A browser's session reads through the API, and changes nothing through it.
        let bob = try await server.signedIn("bob")
        #expect(try await bob.get("/api/v1/environments").status == 200)
        let forged = try await bob.post("/api/v1/environments/staging/deploys/preview", json: "{}")
        #expect(forged.status == 403)
        await server.stop()
    }

    @Test("A token that is made on the page is shown once, and works")
    func made() async throws {
        let server = try ServerFixture()
        try server.commit("first")
        try await server.start()
        let bob = try await server.signedIn("bob")
        let page = try await bob.get("/account")
        let made = try await bob.post(
            "/account/tokens",
            ["name": "ci", "scope": "read", "days": "7"],
            on: page
        )
        let secret = try #require(
            made.body.firstRange(of: "fleet_").map {
                "fleet_" + made.body[$0.upperBound...].prefix(64)
            }
        )
        #expect(try await server.client(token: secret).get("/api/v1/account").status == 200)
        #expect(try await !bob.get("/account").body.contains("fleet_"))
        for days in ["0", "91", "x"] {
            #expect(
                try await bob.post(
                    "/account/tokens",
                    ["name": "ci", "scope": "read", "days": days],
                    on: page
                ).status == 400
            )
        }
        await server.stop()
    }

    @Test(
        "A body that is nonsense is refused in the form that errors have",
        arguments: [
            "[]", "nonsense", #"{"tag":1}"#, #"{"tag":"v1","branch":"main"}"#,
            #"{"playbook":"/etc/passwd","tag":"v1.0.0"}"#,
            #"{"playbook":"../x.yml","tag":"v1.0.0"}"#, #"{"tag":"@/etc/passwd"}"#,
        ]
    )
    func nonsense(body: String) async throws {
        let server = try ServerFixture()
        try server.commit("first", tag: "v1.0.0")
        try await server.start()
        let client = try server.client(token: try await token(server, "bob", [.write]))
        let reply = try await client.post(
            "/api/v1/environments/staging/deploys/preview",
            json: body
        )
        #expect(reply.status == 400 || reply.status == 422, "\(reply.status)")
        #expect(try object(reply)["type"] as? String == "error" && !reply.body.contains("root:"))
        await server.stop()
    }
}
