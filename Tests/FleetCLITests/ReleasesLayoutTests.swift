import FleetTestSupport
import Foundation
import Testing

/// Releases side by side, switched by a link, with real services.
@Suite(.serialized) struct ReleasesLayoutTests {
    private let fixture: FleetFixture

    init() throws {
        fixture = try FleetFixture(hosts: 2)
        for server in fixture.servers {
            let path = server.home + "/appctl"
            let text = try String(contentsOfFile: path, encoding: .utf8)
            try text.replacing("$HOME/app/app.py", with: "$HOME/app/current/app.py")
                .write(toFile: path, atomically: false, encoding: .utf8)
        }
        try fixture.directory.write(
            """
            name: Deploy app
            serial: [1, "100%"]
            steps:
              - name: unpack
                releases: { path: ~/app, repository: "${{ vars.repository }}", shared: [instance] }
              - name: test
                run: test -s app.py && pwd >>"$HOME/tested"
              - name: switch
                switch: { path: ~/app, keep: 2 }
              - name: restart
                service: { name: app, control: ~/appctl }
            revert:
              - name: switch
                switch: { path: ~/app }
              - name: restart
                service: { name: app, control: ~/appctl }
            smoke:
              - name: health
                http: { url: "http://${{ vars.address }}:${{ vars.port }}/health", contains: "${{ release.tag }}" }
                deadline: 4s
            """,
            to: "project/playbooks/deploy.yml"
        )
    }

    /// Row K2.
    @Test(
        "Files that a release brings into its own directory are nothing to put back in the old one's"
    )
    func filesOfARelease() throws {
        try fixture.directory.write("greeting: {{release.tag}}\n", to: "project/app.ini")
        try fixture.directory.write("SECRET=1\n", to: "project/production.env")
        try Command.shell("mkdir public; echo a >public/a", in: fixture.directory.path + "/project")
        let path = fixture.directory.path + "/project/playbooks/deploy.yml"
        let playbook = try String(contentsOfFile: path, encoding: .utf8)
        try fixture.directory.write(
            playbook.replacing(
                "  - name: test\n",
                with: """
                      - name: config
                        template: { source: app.ini, destination: app.ini }
                      - name: secrets
                        env_file: { source: production.env, destination: .env }
                      - name: media
                        upload: { source: public, destination: media }
                      - name: install
                        run: { script: "cat VERSION >installed", digest: "cat installed" }
                      - name: test

                    """
            ),
            to: "project/playbooks/deploy.yml"
        )
        #expect(try fixture.fleet("check").status == 0)
        for tag in ["v1.0.0", "v1.1.0"] {
            let done = try fixture.fleet("deploy", "production", "--tag", tag)
            #expect(done.status == 0, "\(done.output)\(done.errors)")
        }
        func files(_ index: Int) throws -> String {
            try Command.shell(
                "cat VERSION app.ini .env media/a installed",
                in: fixture.servers[index].home + "/app/current"
            )
        }
        func expectBad(_ status: Int32) throws {
            let bad = try fixture.fleet(
                "deploy",
                "production",
                "--limit",
                "web1",
                "--tag",
                "v1.2.0",
                "--force-quarantined",
                "a test"
            )
            #expect(bad.status == status, "\(bad.output)\(bad.errors)")
        }
        // The second time the bad release's directory is there already.
        for _ in 1...2 {
            try expectBad(10)
            #expect(try files(0) == "v1.1.0\ngreeting: v1.1.0\nSECRET=1\na\nv1.1.0\n")
        }
        let back = try fixture.fleet("revert", "production", "--yes")
        #expect(back.status == 0, "\(back.output)\(back.errors)")
        for index in 0..<2 {
            #expect(try files(index) == "v1.0.0\ngreeting: v1.0.0\nSECRET=1\na\nv1.0.0\n")
        }
        // Without a `revert` of its own the playbook goes the steps back.
        let steps = try String(contentsOfFile: path, encoding: .utf8)
        let own = try #require(steps.range(of: "revert:\n"))
        let smoke = try #require(steps.range(of: "smoke:\n"))
        try fixture.directory.write(
            steps.replacingCharacters(in: own.lowerBound..<smoke.lowerBound, with: "")
                .replacing(
                    "  - name: test\n",
                    with:
                        "  - name: unit\n    template: { source: app.ini, destination: ~/unit.conf }\n  - name: test\n"
                ),
            to: "project/playbooks/deploy.yml"
        )
        let good = try fixture.fleet("deploy", "production", "--limit", "web1", "--tag", "v1.0.0")
        #expect(good.status == 0, "\(good.output)\(good.errors)")
        try expectBad(10)
        // A file outside of the release is put back.
        #expect(
            try Command.shell("cat unit.conf", in: fixture.servers[0].home) == "greeting: v1.0.0\n"
        )
        #expect(try files(0) == "v1.0.0\ngreeting: v1.0.0\nSECRET=1\na\nv1.0.0\n")
        // The digest is that of the release that ran.
        try Command.shell(
            "sed -i 's/cat VERSION >installed/cat VERSION >installed; echo x >>..\\/..\\/current\\/installed/' \(path)",
            in: fixture.directory.path
        )
        try expectBad(20)
    }

    private func current(_ index: Int) -> String {
        (try? String(
            contentsOfFile: fixture.servers[index].home + "/app/current/VERSION",
            encoding: .utf8
        )) ?? ""
    }

    @Test("Deployed, reverted by the link when it is bad, and told by status")
    func deployAndRevert() throws {
        for tag in ["v1.0.0", "v1.1.0"] {
            let done = try fixture.fleet("deploy", "production", "--tag", tag)
            #expect(done.status == 0, "\(done.output)\(done.errors)")
            for index in 0..<2 { #expect(current(index) == tag + "\n") }
        }
        let bad = try fixture.fleet("deploy", "production", "--tag", "v1.2.0")
        #expect(bad.status == 10, "\(bad.output)\(bad.errors)")
        for index in 0..<2 { #expect(current(index) == "v1.1.0\n") }
        let status = try fixture.fleet("status", "production")
        #expect(
            status.status == 0 && status.output.contains("v1.1.0"),
            "\(status.output)\(status.errors)"
        )
        let tested = try String(
            contentsOfFile: fixture.servers[0].home + "/tested",
            encoding: .utf8
        )
        #expect(
            tested.split(separator: "\n").count == 3,
            "tests ran in each new directory: \(tested)"
        )
        let back = try fixture.fleet("revert", "production", "--yes")
        #expect(back.status == 0, "\(back.output)\(back.errors)")
        for index in 0..<2 { #expect(current(index) == "v1.0.0\n") }
    }
}
