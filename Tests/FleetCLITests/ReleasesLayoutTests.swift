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
