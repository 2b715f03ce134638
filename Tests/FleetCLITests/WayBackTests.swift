import FleetTestSupport
import Foundation
import Testing

/// The ways back that are not the usual one: a first deploy, a host that goes by itself, a release
/// that was bad before.
@Suite(.serialized) struct WayBackTests {
    private let fixture: FleetFixture

    init() throws { fixture = try FleetFixture(hosts: 2) }

    private func playbook(_ more: String = "", restart: String = "", smoke: String = "") throws {
        try fixture.directory.write(
            """
            name: Deploy app
            serial: [1, "100%"]
            \(more)
            steps:
              - name: pull
                checkout: { path: ~/app, repository: "${{ vars.repository }}" }
              - name: restart
                service: { name: app, control: ~/appctl }
            \(restart)
            smoke:
              - name: health
                http: { url: "http://${{ vars.address }}:${{ vars.port }}/health", contains: "${{ release.tag }}" }
                passes: 1
                deadline: 5s
            \(smoke)
            """,
            to: "project/playbooks/deploy.yml"
        )
    }

    private func deploy(_ tag: String, _ more: String...) throws -> Command {
        try fixture.fleet(["deploy", "production", "--tag", tag] + more, environment: [:])
    }

    /// Row K2.
    @Test("`revert --playbook` takes that application back, and not the one that was deployed last")
    func theNamedApplication() throws {
        try playbook()
        for name in ["shop", "api"] {
            try fixture.directory.write(
                "name: The \(name)\nsteps:\n  - { name: pull, checkout: { path: ~/\(name), repository: \"${{ vars.repository }}\" } }\n",
                to: "project/playbooks/\(name).yml"
            )
            for tag in ["v1.0.0", "v1.1.0"] {
                #expect(try deploy(tag, "-p", name, "--force-quarantined", "a test").status == 0)
            }
        }
        func version(_ name: String) throws -> String {
            try Command.shell("cat \(name)/VERSION", in: fixture.servers[0].home)
        }
        let done = try fixture.fleet("revert", "production", "-p", "shop", "--yes")
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        #expect(try version("shop") == "v1.0.0\n")
        #expect(try version("api") == "v1.1.0\n")
        let unknown = try fixture.fleet("revert", "production", "-p", "deploy", "--yes")
        #expect(
            unknown.status == 11
                && unknown.errors.contains("no rollout of `Deploy app` on production"),
            "\(unknown.errors)"
        )
        let asked = try fixture.fleet("revert", "production")
        #expect(asked.errors.contains("revert `The api` on production"), "\(asked.errors)")
    }

    private func exists(_ path: String, _ host: Int) -> Bool {
        FileManager.default.fileExists(atPath: fixture.servers[host].home + "/" + path)
    }

    @Test("A host is back only where its dependencies are what they were, if the playbook says so")
    func dependencies() throws {
        func write(_ install: String) throws {
            try playbook(
                restart: """
                      - name: install
                        run: { script: \(install), digest: cat ~/installed }
                        idempotent: true
                    """
            )
        }
        try write("cp VERSION ~/installed")
        let first = try deploy("v1.0.0")
        #expect(first.status == 0, "\(first.output)\(first.errors)")
        #expect(try deploy("v1.1.0").status == 0)
        let bad = try deploy("v1.2.0")
        #expect(bad.status == 10, "\(bad.output)\(bad.errors)")
        #expect(bad.errors.contains("verify install ok"), "\(bad.errors)")

        // An install that only ever adds does not bring back what was there.
        try write("cat VERSION >>~/installed")
        let more = try deploy("v1.2.0", "--force-quarantined", "to see")
        #expect(more.status == 20, "\(more.output)\(more.errors)")
        #expect(
            more.output.contains("`cat ~/installed` does not print what it printed before"),
            "\(more.output)"
        )
        #expect(try fixture.tag(0) == "v1.1.0")
    }

    @Test("H41: a first deploy that fails is taken down again, where the playbook says how")
    func firstDeployIsTakenDown() throws {
        try playbook(
            """
            teardown:
              - name: stop
                run: read -r pid <~/app.pid && kill "$pid"; echo "$FLEET_HOST" >~/torn-down
            """
        )
        let failed = try deploy("v1.2.0")
        #expect(failed.status == 10, "\(failed.output)\(failed.errors)")
        #expect(failed.output.contains("removed"), "\(failed.output)")
        #expect(!exists("app", 0) && exists("torn-down", 0))
        // What the service may have written there meanwhile is not lost.
        #expect(exists("app.fleet-removed/VERSION", 0))
        #expect(!exists("torn-down", 1), "the second batch was never touched")
        let again = try deploy("v1.0.0")
        #expect(again.status == 0, "\(again.output)\(again.errors)")
    }

    @Test("H43: hosts that are not healthy before are not touched, unless told so")
    func unhealthyBefore() throws {
        try playbook("revert_within: 1m")
        #expect(try deploy("v1.0.0").status == 0)
        try Command.shell("kill $(cat app.pid)", in: fixture.servers[1].home)
        let refused = try deploy("v1.1.0")
        #expect(refused.status == 11, "\(refused.output)")
        #expect(
            refused.output.contains("E_UNHEALTHY before anything was touched, health"),
            "\(refused.output)"
        )
        #expect(refused.output.contains("--even-if-unhealthy"))
        #expect(try fixture.tag(0) == "v1.0.0" && fixture.tag(1) == "v1.0.0")
        let cured = try deploy("v1.1.0", "--even-if-unhealthy")
        #expect(cured.status == 0, "\(cured.output)")
        let bad = try deploy("v1.2.0")
        #expect(bad.status == 10, "\(bad.output)")
        #expect(bad.output.contains("within the 1m00s that the playbook allows"), "\(bad.output)")
    }

    @Test func theWayBackIsRehearsedOnTheCanary() throws {
        try playbook(
            restart: """
                  - name: log
                    run: echo "$FLEET_TAG" >>~/log
                    idempotent: true
                """
        )
        #expect(try deploy("v1.0.0").status == 0)
        let rehearsed = try deploy("v1.1.0", "--rehearse")
        #expect(rehearsed.status == 0, "\(rehearsed.output)\(rehearsed.errors)")
        func log(_ host: Int) throws -> String {
            try String(contentsOfFile: fixture.servers[host].home + "/log", encoding: .utf8)
        }
        #expect(try log(0) == "v1.0.0\nv1.1.0\nv1.0.0\nv1.1.0\n")
        #expect(try log(1) == "v1.0.0\nv1.1.0\n")
        #expect(try fixture.tag(0) == "v1.1.0" && fixture.tag(1) == "v1.1.0")
        // A way back that does not work stops the rollout at the canary.
        try Command.shell("printf 'exit 1\\n' >no-back", in: fixture.servers[0].home)
        try playbook(
            restart: """
                  - name: log
                    run: '[ "$FLEET_TAG" != v1.1.0 ] || [ ! -e ~/no-back ] || { rm ~/no-back; exit 1; }'
                    idempotent: true
                """
        )
        let repeated = try deploy("v1.0.0", "--rehearse", "--force-quarantined", "a test")
        #expect(repeated.status == 0, "tried three times: \(repeated.output)\(repeated.errors)")
    }

    // MARK: The dead-man switch

    @Test func aConfirmedHostStays() throws {
        try playbook("deadman: 30s")
        #expect(try deploy("v1.0.0").status == 0, "nothing ran before: nothing to arm")
        let done = try deploy("v1.1.0")
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        #expect(try fixture.tag(0) == "v1.1.0" && fixture.tag(1) == "v1.1.0")
        let still = try Command.run(["pgrep", "-f", "\(fixture.servers[0].home)/.fleet/runs"])
        #expect(still.output.isEmpty, "nobody waits there any more")
    }

    @Test func aHostWhoseControllerIsGoneGoesBackByItself() async throws {
        try playbook(
            "deadman: 20s",
            restart: """
                  - name: last
                    run: |
                      [ "$FLEET_TAG" = v1.0.0 ] || { echo "$(git -C ~/app describe --tags)" >>~/holding; sleep 600; }
                  - name: stamp
                    run: '[ -z "$FLEET_REVERT" ] || echo >>VERSION'
                    idempotent: true
                """
        )
        #expect(try deploy("v1.0.0").status == 0)
        let before = fixture.process(0)
        let controller = try fixture.start(["deploy", "production", "--tag", "v1.1.0"])
        try await eventually("the canary runs the new release") { exists("holding", 0) }
        let held = try String(contentsOfFile: fixture.servers[0].home + "/holding", encoding: .utf8)
        #expect(held.hasPrefix("v1.1.0"))
        kill(controller.pid, SIGKILL)
        controller.wait()
        try await eventually("the host has gone back by itself") {
            try fixture.tag(0) == "v1.0.0" && fixture.process(0) != before
        }
        // Whoever takes the rollout up finds it so: nothing forward, verified, no lock left.
        let resumed = try fixture.fleet("resume")
        #expect(resumed.status == 10, "\(resumed.output)\(resumed.errors)")
        #expect(try fixture.tag(0) == "v1.0.0" && fixture.tag(1) == "v1.0.0")
        #expect(try fixture.fleet("lock", "status", "production").status == 0)
        #expect(
            try String(contentsOfFile: fixture.servers[0].home + "/holding", encoding: .utf8)
                == "v1.1.0\n"
        )
    }

    @Test func oneRenameDecidesAndTheRestGoesBack() throws {
        // The smoke test takes longer than the switch waits: the host wins, and the rollout agrees.
        try playbook(
            "deadman: 10s",
            smoke: """
                  - name: slow
                    command: '[ "$FLEET_TAG" != v1.1.0 ] || sleep 14'
                    passes: 1
                    deadline: 1m
                """
        )
        #expect(try deploy("v1.0.0").status == 0)
        let late = try deploy("v1.1.0")
        #expect(late.status == 10, "\(late.output)\(late.errors)")
        #expect(try fixture.tag(0) == "v1.0.0" && fixture.tag(1) == "v1.0.0")
        let shown = try fixture.fleet("show", "--outputs")
        #expect(late.output.contains("has fired"), "\(late.output)\(shown.output)")
    }
}
