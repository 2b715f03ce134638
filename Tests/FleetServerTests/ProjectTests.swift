import FleetOperations
import FleetTestSupport
import Foundation
import Testing

@testable import FleetServer

/// What a push to the project may make the server do.
struct ProjectTests {
    @Test(
        "What would run code on the server waits until an administrator has seen it, and again when it changes"
    )
    func ask() async throws {
        let server = try ServerFixture(production: "")
        let file = try String(contentsOfFile: server.path + "/server.yml", encoding: .utf8)
        try server.directory.write(
            file.replacing("trust: branch", with: "trust: ask"),
            to: "server.yml"
        )
        try server.commit("first", tag: "v1.0.0")
        try await server.start()
        let bob = try await server.signedIn("bob")
        let ada = try await server.signedIn("ada")
        func preview() async throws -> Client.Reply {
            let page = try await bob.get("/environments/staging")
            return try await bob.post(
                "/environments/staging/deploy/preview",
                ["release": "v1.0.0"],
                on: page
            )
        }
        let refused = try await preview()
        #expect(refused.status == 422 && refused.body.contains("E_UNTRUSTED"), "\(refused.body)")
        let shown = try await bob.get("/project")
        #expect(
            shown.body.contains("its steps run on this machine")
                && !shown.body.contains("Agree to exactly")
        )
        #expect(try await bob.post("/project/agree", [:], on: shown).status == 403)
        func agree() async throws -> Client.Reply {
            let page = try await ada.get("/project")
            let digest = page.body.firstRange(of: "name=\"digest\" value=\"").map {
                String(page.body[$0.upperBound...].prefix { $0 != "\"" })
            }
            return try await ada.post("/project/agree", ["digest": digest ?? ""], on: page)
        }
        #expect(try await agree().status == 303)
        #expect(try await preview().status == 200)
        // Somebody pushes a command that would run here.
        try server.directory.write(
            try String(contentsOfFile: server.path + "/app/inventory/staging.yml", encoding: .utf8)
                + "notify: [{ command: \"touch \(server.path)/owned\", on: [succeeded] }]\n",
            to: "app/inventory/staging.yml"
        )
        let looked = try await ada.get("/project")
        try server.commit("second")
        let again = try await preview()
        #expect(again.status == 422 && again.body.contains("touch"), "\(again.body)")
        // What was looked at before the push is not what would be agreed to.
        let stale = try await ada.post(
            "/project/agree",
            ["digest": RecordPages.digest(of: [])],
            on: looked
        )
        #expect(stale.status == 409)
        #expect(try await agree().status == 303)
        #expect(try await preview().status == 200)
        #expect(!FileManager.default.fileExists(atPath: server.path + "/owned"))
        await server.stop()
    }
}
