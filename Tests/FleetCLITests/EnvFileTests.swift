import FleetTestSupport
import Foundation
import Testing

/// `env_file`: the environment's secrets on the hosts.
@Suite(.serialized) struct EnvFileTests {
    private let fixture: FleetFixture

    init() throws {
        fixture = try FleetFixture(hosts: 2)
        try fixture.directory.write(
            """
            name: Deploy app
            steps:
              - name: pull
                checkout: { path: ~/app, repository: "${{ vars.repository }}" }
              - name: settings
                env_file: { destination: ~/app.env, example: config/.env.example }
              - name: restart
                service: { name: app, control: ~/appctl }
            smoke:
              - name: health
                http: { url: "http://${{ vars.address }}:${{ vars.port }}/health", contains: "${{ release.tag }}" }
                deadline: 3s
            """,
            to: "project/playbooks/deploy.yml"
        )
        try write("# keys that every environment has\nAPI_KEY=\nDEBUG=\n", to: ".env.example")
    }

    private func write(_ text: String, to name: String) throws {
        try fixture.directory.write(text, to: "project/config/\(name)")
    }

    private func deploy(_ tag: String) throws -> Command {
        try fixture.fleet("deploy", "production", "--tag", tag)
    }

    private func installed(_ index: Int) -> String? {
        try? String(contentsOfFile: fixture.servers[index].home + "/app.env", encoding: .utf8)
    }

    @Test("Put there for the owner's eyes only, put back with the release, told by key names only")
    func wholeLife() throws {
        try write("API_KEY=first-secret\nDEBUG=0\n", to: ".env.production")
        let first = try deploy("v1.0.0")
        #expect(first.status == 0, "\(first.output)\(first.errors)")
        #expect(installed(0) == "API_KEY=first-secret\nDEBUG=0\n")
        let attributes = try FileManager.default.attributesOfItem(
            atPath: fixture.servers[1].home + "/app.env"
        )
        #expect(attributes[.posixPermissions] as? Int == 0o600)

        try write("API_KEY=second-secret\nDEBUG=0\nexport NEW=1\n", to: ".env.production")
        let bad = try deploy("v1.2.0")
        #expect(bad.status == 10, "\(bad.output)\(bad.errors)")
        #expect(installed(0) == "API_KEY=first-secret\nDEBUG=0\n", "it went back with the release")

        let good = try deploy("v1.1.0")
        #expect(good.status == 0, "\(good.output)\(good.errors)")
        #expect(installed(1) == "API_KEY=second-secret\nDEBUG=0\nexport NEW=1\n")
        let id = try #require(
            try fixture.fleet("history", "production", "-o", "json").output.split(separator: "\n")
                .first.flatMap {
                    try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
                }?["rollout"] as? String
        )
        let shown = try fixture.fleet("show", id, "--outputs")
        #expect(shown.output.contains("key added: NEW"), "\(shown.output)")
        #expect(shown.output.contains("key changed: API_KEY"), "\(shown.output)")
        #expect(!shown.output.contains("key changed: DEBUG"))
        // The values are nowhere but in the two places where they belong.
        let places = try Command.run(
            ["grep", "-rlaE", "first-secret|second-secret", fixture.directory.path]
        ).output
        #expect(
            places.split(separator: "\n").allSatisfy { $0.hasSuffix("config/.env.production") },
            "\(places)"
        )
    }

    @Test(
        "A key that the example has and the environment lacks is found before anything is touched"
    )
    func missingKey() throws {
        try write("DEBUG=0\n", to: ".env.production")
        let refused = try deploy("v1.0.0")
        #expect(refused.status == 11, "\(refused.output)\(refused.errors)")
        #expect(refused.errors.contains("E_ENV_KEY config/.env.production lacks API_KEY"))
        #expect(installed(0) == nil)
        let app = fixture.servers[0].home + "/app"
        #expect(!FileManager.default.fileExists(atPath: app))
    }

    @Test("Files that are not there, or hold something else, are refused without showing it")
    func badFiles() throws {
        let missing = try deploy("v1.0.0")
        #expect(missing.status == 65)
        #expect(missing.errors.contains("cannot read `config/.env.production`"))
        try write("API_KEY=x\nnot-an-assignment-but-a-secret\n", to: ".env.production")
        let bad = try deploy("v1.0.0")
        #expect(bad.status == 65)
        #expect(bad.errors.contains("line 2") && !bad.errors.contains("but-a-secret"))
    }
}
