import FleetJournal
import FleetOperations
import FleetReport
import FleetRollout
import FleetServing
import FleetTestSupport
import Foundation
import Testing

@testable import FleetServer

/// What people see, and what they can ask for on pages.
struct PageTests {
    @Test("Deploying, watching, output, stopping and going back, as a person does it")
    func story() async throws {
        let server = try ServerFixture(production: "")
        try server.commit("first", tag: "v1.0.0")
        try server.commit("second", tag: "v1.1.0")
        try await server.start()
        let bob = try await server.signedIn("bob")
        func deploy(_ release: String) async throws -> String {
            let page = try await bob.get("/environments/staging")
            let preview = try await bob.post(
                "/environments/staging/deploy/preview",
                ["release": release],
                on: page
            )
            #expect(
                preview.status == 200 && preview.body.contains("deploy \(release)"),
                "\(preview.body)"
            )
            let id = preview.preview
            let begun = try await bob.post(
                "/environments/staging/deploy/begin",
                ["preview": try #require(id)],
                on: preview
            )
            #expect(begun.status == 303)
            let again = try await bob.post(
                "/environments/staging/deploy/begin",
                ["preview": try #require(id)],
                on: preview
            )
            #expect(again.status == 422 && again.body.contains("E_STALE"), "begun once")
            return try #require(begun.header("location"))
        }
        let first = try await deploy("v1.0.0")
        #expect(
            try await server.eventually { try await bob.get(first).body.contains("✓ succeeded") }
        )
        let second = try await deploy("v1.1.0")
        // The stream ends by itself when the rollout does, and its last picture has the end in it.
        let stream = try await bob.send(second + "/live", ["-N", "--max-time", "30"])
        #expect(stream.header("content-type") == "text/event-stream")
        #expect(
            stream.body.contains("event: board\ndata: ")
                && stream.body.hasSuffix("event: over\ndata: \n\n")
        )
        let last = stream.body.components(separatedBy: "event: board").last ?? ""
        #expect(last.contains("succeeded") && last.contains("1 of 1 hosts are through"))
        let page = try await bob.get(second)
        #expect(
            page.body.contains("verified on") && page.body.contains("Look at what would go back")
        )
        let host = try await bob.get(second + "/hosts/staging1")
        #expect(host.body.contains("hello"))
        let output = try await bob.get(second + "/hosts/staging1/output")
        #expect(output.body.contains("==> say <==\nhello\n"))
        #expect(output.header("content-disposition")?.hasPrefix("attachment") == true)
        #expect(try await bob.get(second + "/hosts/nobody").status == 404)
        #expect(try await bob.get(second + "/report").body.contains("<!doctype html>"))
        // Back to what ran before.
        let preview = try await bob.post(
            "/environments/staging/revert/preview",
            ["rollout": String(second.dropFirst("/rollouts/".count)), "reason": "a test"],
            on: page
        )
        #expect(preview.status == 200, "\(preview.body)")
        let id = try #require(preview.preview)
        // What was looked at as a revert is no deploy.
        let back = try await bob.post(
            "/environments/staging/revert/begin",
            ["preview": id],
            on: preview
        )
        let third = try #require(back.header("location"))
        #expect(
            try await server.eventually { try await bob.get(third).body.contains("✓ succeeded") }
        )
        #expect(
            try Command.shell("cat staging/said; git -C staging describe --tags", in: server.path)
                .contains("v1.0.0")
        )
        #expect(try await bob.get("/audit").body.contains("a test"))
        #expect(try await bob.get("/releases").body.contains("taken back"))
        await server.stop()
    }

    @Test("A rollout stops when it is asked to on its page, and goes on or back from there")
    func stop() async throws {
        let server = try ServerFixture()
        try server.commit("first", tag: "v1.0.0")
        let waiting = """
            name: Deploy
            steps:
              - { name: code, checkout: { repository: "\(server.path)/app.git", path: "${{ vars.place }}" } }
              - { name: wait, run: "until [ -e \(server.path)/go ]; do sleep 0.05; done" }
              - { name: more, run: "true" }
            """
        try server.directory.write(waiting, to: "app/playbooks/deploy.yml")
        try server.commit("waits")
        try await server.start()
        let bob = try await server.signedIn("bob")
        let page = try await bob.get("/environments/staging")
        let preview = try await bob.post(
            "/environments/staging/deploy/preview",
            ["release": "v1.0.0"],
            on: page
        )
        let id = try #require(preview.preview)
        let begun = try await bob.post(
            "/environments/staging/deploy/begin",
            ["preview": id],
            on: preview
        )
        let path = try #require(begun.header("location"))
        #expect(try await server.eventually { try await bob.get(path).body.contains("wait") })
        let eve = try await server.signedIn("eve")
        let seen = try await eve.get(path)
        #expect(seen.status == 200 && !seen.body.contains("Ask it to stop"))
        #expect(try await eve.post(path + "/stop", ["after": "step"], on: seen).status == 403)
        let stopping = try await bob.post(
            path + "/stop",
            ["after": "step", "reason": "enough"],
            on: try await bob.get(path)
        )
        #expect(stopping.status == 303)
        // Its controller has heard it.
        #expect(try await server.eventually { try await bob.get(path).body.contains("enough") })
        try server.directory.write("", to: "go")
        #expect(
            try await server.eventually {
                try await bob.get(path).body.contains("Look at going on")
            }
        )
        let body = try await bob.get(path).body
        #expect(body.contains("enough") && body.contains("interrupted"), "\(body)")
        let resume = try await bob.post(
            path + "/resume/preview",
            ["direction": "onward"],
            on: try await bob.get(path)
        )
        let resumeID = try #require(resume.preview)
        let resumed = try await bob.post(
            "/environments/staging/revert/begin",
            ["preview": resumeID],
            on: resume
        )
        #expect(resumed.header("location") == path)
        // Its page follows it at once.
        let taken = try await bob.get(path)
        #expect(taken.body.contains("data-stream") || taken.body.contains("✓ succeeded"))
        #expect(
            try await server.eventually { try await bob.get(path).body.contains("✓ succeeded") }
        )
        await server.stop()
    }

    /// Row S20.
    @Test(
        "Markup, escapes and turned text from commits, people and hosts are shown as what they are"
    )
    func escaping() async throws {
        let evil = "<script>alert(1)</script>\u{202E}\u{1B}[31m\"'&"
        let server = try ServerFixture(production: "")
        try server.commit("first \(evil)", said: evil, tag: "v1.0.0")
        try await server.start()
        let ada = try await server.signedIn("ada")
        let page = try await ada.get("/environments/staging")
        let preview = try await ada.post(
            "/environments/staging/deploy/preview",
            ["release": "v1.0.0", "hotfix": evil],
            on: page
        )
        let id = try #require(preview.preview)
        let begun = try await ada.post(
            "/environments/staging/deploy/begin",
            ["preview": id],
            on: preview
        )
        let path = try #require(begun.header("location"))
        #expect(
            try await server.eventually { try await ada.get(path).body.contains("✓ succeeded") }
        )
        let client = try server.client()
        _ = try await client.deliver(
            Client.push("refs/heads/" + #"<img\u0020src=x>"#, by: "<b>x</b>"),
            id: "<i>1</i>"
        )
        for place in [
            path, path + "/hosts/staging1", path + "/report", "/audit", "/deliveries",
            "/environments/staging", "/approvals",
            "/rollouts?environment=%3Cscript%3E", "/audit?who=%22%3E%3Cscript%3E",
            "/environments/%3Cscript%3E", "/account",
        ] {
            let reply = try await ada.get(place)
            #expect(
                !reply.body.contains("<script>alert") && !reply.body.contains("\"><script>"),
                "\(place)"
            )
            #expect(
                !reply.body.contains("<b>x") && !reply.body.contains("<i>1")
                    && !reply.body.contains("<img"),
                "\(place)"
            )
            #expect(
                !reply.body.unicodeScalars.contains { $0 == "\u{202E}" || $0 == "\u{1B}" },
                "\(place)"
            )
        }
        for release in ["-oProxyCommand=id", "$(id)", "../../etc", "v1;id", "v1.0.0\nx"] {
            let refused = try await ada.post(
                "/environments/staging/deploy/preview",
                ["release": release],
                on: page
            )
            #expect(refused.status == 422 || refused.status == 400, "\(release) \(refused.status)")
        }
        await server.stop()
    }

    @Test("A protected environment wants its name typed, and a password that was just given")
    func protected() async throws {
        let server = try ServerFixture(production: "policy: { protected: true }")
        try server.commit("first", tag: "v1.0.0")
        try await server.start()
        let bob = try await server.signedIn("bob")
        let session = try #require(try await server.engine.store.sessions(of: "bob").first)
        func preview() async throws -> Client.Reply {
            let page = try await bob.get("/environments/production")
            return try await bob.post(
                "/environments/production/deploy/preview",
                ["release": "v1.0.0"],
                on: page
            )
        }
        let good = try await preview()
        let id = try #require(good.preview)
        let untyped = try await bob.post(
            "/environments/production/deploy/begin",
            ["preview": id],
            on: good
        )
        #expect(untyped.status == 422 && untyped.body.contains("the name that was typed"))
        // The password is old by now.
        try await server.engine.store.end(session.hash)
        let old = ServerSession(
            hash: session.hash,
            account: "bob",
            began: session.began,
            used: session.used,
            fresh: session.fresh - 16 * 60_000,
            address: session.address,
            agent: session.agent,
            secret: session.secret
        )
        try await server.engine.store.begin(old)
        let asked = try await preview()
        #expect(
            asked.status == 303 && asked.header("location")?.hasPrefix("/password?back=") == true
        )
        let form = try await bob.get("/password")
        #expect(try await bob.post("/password", ["password": "wrong one"], on: form).status == 422)
        #expect(
            try await bob.post("/password", ["password": ServerFixture.password], on: form).status
                == 303
        )
        #expect(try await preview().status == 200)
        await server.stop()
    }
}
