import FleetTestSupport
import Foundation
import Testing

/// What hosts and services do to a rollout.
@Suite(.serialized) struct HostTroubleTests {
    private let fixture: FleetFixture

    init() throws { fixture = try FleetFixture(hosts: 2) }

    private func playbook(_ steps: String = "", smoke: String = "") throws {
        try fixture.directory.write(
            """
            name: Deploy app
            serial: [1, "100%"]
            steps:
              - name: pull
                checkout: { path: ~/app, repository: "${{ vars.repository }}" }
            \(steps)
              - name: restart
                service: { name: app, control: ~/appctl }
            smoke:
              - name: health
                http: { url: "http://${{ vars.address }}:${{ vars.port }}/health", contains: "${{ release.tag }}" }
                passes: 1
                deadline: 3s
            \(smoke)
            """,
            to: "project/playbooks/deploy.yml"
        )
    }

    private func deploy(_ tag: String, _ more: String...) throws -> Command {
        try fixture.fleet(["deploy", "production", "--tag", tag] + more, environment: [:])
    }

    private func tags() throws -> [String] { try [0, 1].map(fixture.tag) }

    /// Row K3.
    @Test("A host that forbids forwarding is asked by a program of its own, there and back")
    func forwardingForbidden() throws {
        try playbook()
        let server = fixture.servers[1]
        try Command.shell("sed -i 's/^/restrict /' key.pub", in: server.directory.path)
        let first = try deploy("v1.0.0")
        #expect(first.status == 0, "\(first.output)\(first.errors)")
        #expect(
            first.errors.contains("web2, nothing deployed yet, smoke tests by python3 there"),
            "\(first.errors)"
        )
        let bad = try deploy("v1.2.0")
        #expect(bad.status == 10, "\(bad.output)\(bad.errors)")
        #expect(try tags() == ["v1.0.0", "v1.0.0"])
        let health = try fixture.fleet("health", "production")
        #expect(health.status == 0, "\(health.output)\(health.errors)")
        // The service is what is asked, not the way to it.
        try fixture.control("stop", on: 1)
        let ill = try fixture.fleet("health", "production")
        #expect(ill.status != 0 && ill.output.contains("nobody answers"), "\(ill.output)")
    }

    @Test("H32: a step that ends the connection it came over goes on")
    func aStepThatEndsItsConnection() throws {
        try playbook(
            """
              - name: network
                run: |
                  [ "$FLEET_TAG" = v1.0.0 ] || {
                    pkill -KILL -P "$(cat "$HOME/sshd.pid")"
                    sleep 0.3
                    echo x >>~/ended
                  }
            """
        )
        #expect(try deploy("v1.0.0").status == 0)
        for server in fixture.servers {
            try "\(server.pid)".write(
                toFile: server.home + "/sshd.pid",
                atomically: true,
                encoding: .utf8
            )
        }
        let done = try deploy("v1.1.0")
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        #expect(try tags() == ["v1.1.0", "v1.1.0"])
        for server in fixture.servers {
            let ended = try String(contentsOfFile: server.home + "/ended", encoding: .utf8)
            #expect(ended == "x\n", "it ran once, to its end")
        }
    }

    @Test("H37: a restart that leaves the old process serving is found out")
    func theOldProcessStillServes() throws {
        try playbook()
        #expect(try deploy("v1.0.0").status == 0)
        let control = fixture.servers[0].home + "/appctl"
        let honest = try String(contentsOfFile: control, encoding: .utf8)
        try honest.replacing("restart) stop; start ;;", with: "restart) ;;").write(
            toFile: control,
            atomically: false,
            encoding: .utf8
        )
        let before = fixture.process(0)
        let found = try deploy("v1.1.0")
        #expect(found.status == 10, "\(found.output)")
        #expect(try fixture.process(0) == before && tags() == ["v1.0.0", "v1.0.0"])
    }

    @Test("H38: a service that falls over after its first good answer is found out")
    func aServiceThatFallsOver() throws {
        try playbook(
            """
              - name: weaken
                run: '[ "$FLEET_TAG" != v1.1.0 ] || echo >~/weak; [ "$FLEET_TAG" = v1.1.0 ] || rm -f ~/weak'
                idempotent: true
            """,
            smoke: """
                  - name: still there
                    http: { url: "http://${{ vars.address }}:${{ vars.port }}/health" }
                    settle: 2s
                    passes: 1
                    deadline: 3s
                """
        )
        for server in fixture.servers {
            let control = server.home + "/appctl"
            let honest = try String(contentsOfFile: control, encoding: .utf8)
            try honest.replacing(
                "restart) stop; start ;;",
                with: "restart) stop; start; [ ! -e ~/weak ] || (sleep 1; kill $(cat ~/app.pid)) "
                    + "</dev/null >/dev/null 2>&1 & ;;"
            ).write(toFile: control, atomically: false, encoding: .utf8)
        }
        #expect(try deploy("v1.0.0").status == 0)
        let found = try deploy("v1.1.0")
        #expect(found.status == 10, "\(found.output)")
        #expect(try tags() == ["v1.0.0", "v1.0.0"])
    }

    @Test("H42: a host whose commit has no tag goes back to that commit")
    func anUntaggedCommit() throws {
        try playbook()
        #expect(try deploy("v1.0.0").status == 0)
        try Command.shell(
            "echo v1.0.0-local >VERSION; git -c user.name=t -c user.email=t@t commit -qam local",
            in: fixture.servers[0].home + "/app"
        )
        func head() throws -> String {
            try Command.run(["git", "rev-parse", "HEAD"], in: fixture.servers[0].home + "/app")
                .output
        }
        let commit = try head()
        let bad = try deploy("v1.2.0", "--even-if-unhealthy")
        // Its smoke test asks for a tag, and it has none: any answer will do.
        #expect(bad.status == 10, "\(bad.output)")
        #expect(try head() == commit)
        #expect(bad.output.contains(String(commit.prefix(12))), "\(bad.output)")
    }

    // MARK: Replaced and unwritable hosts

    /// A deploy whose second host becomes another machine while the first one is being changed.
    private func deployWhileReplaced(keepingHostKey keepsHostKey: Bool) async throws
        -> (status: Int32, output: String)
    {
        try playbook(
            """
              - name: hold
                run: |
                  [ "$FLEET_TAG" = v1.0.0 ] || {
                    echo x >~/holding
                    until [ -e ~/go ]; do sleep 0.02; done
                  }
            """
        )
        #expect(try deploy("v1.0.0").status == 0)
        let controller = try fixture.start(["deploy", "production", "--tag", "v1.1.0"])
        let first = fixture.servers[0].home
        try await eventually("the first host is at it") {
            FileManager.default.fileExists(atPath: first + "/holding")
        }
        fixture.servers[1].stop()
        let other = try SSHDServer(replacing: fixture.servers[1], keepsHostKey: keepsHostKey)
        try Command.shell("touch go", in: first)
        let status = controller.wait()
        let fresh = try Command.shell("find . -name VERSION", in: other.home)
        #expect(fresh.isEmpty, "nothing was put on the other machine")
        return (status, fixture.said())
    }

    @Test("H46: a host that came back with another key is not touched, and the others go back")
    func replacedByAnotherMachine() async throws {
        let ended = try await deployWhileReplaced(keepingHostKey: false)
        #expect([10, 20, 21].contains(ended.status), "\(ended.output)")
        #expect(ended.output.contains("E_HOSTKEY_CHANGED"), "\(ended.output)")
        #expect(try fixture.tag(0) == "v1.0.0", "\(ended.output)")
    }

    @Test("H46: a host that came back with its key and without its lock is not touched")
    func replacedByItsOwnImage() async throws {
        let ended = try await deployWhileReplaced(keepingHostKey: true)
        #expect(ended.status == 21, "\(ended.output)")
        #expect(ended.output.contains("E_FENCED"), "\(ended.output)")
    }

    @Test("H7: a host whose file system is read-only or has no inodes left", .enabled(if: canMount))
    func unwritableHosts() throws {
        try playbook()
        #expect(try deploy("v1.0.0").status == 0)
        let home = fixture.servers[1].home
        try Command.shell("mount --bind . . && mount -o remount,ro,bind .", in: home)
        let unwritable = try deploy("v1.1.0")
        try Command.shell("umount -l '\(home)'", in: "/")
        #expect(unwritable.status == 11, "\(unwritable.output)\(unwritable.errors)")
        #expect(unwritable.errors.contains("E_READONLY"), "\(unwritable.errors)")

        try Command.shell(
            "cp -a home full.copy && mount -t tmpfs -o mode=700,size=200m,nr_inodes=700 none home"
                + " && cp -a full.copy/. home/",
            in: fixture.servers[1].directory.path
        )
        let full = try deploy("v1.1.0")
        try Command.shell("umount -l '\(home)'", in: "/")
        #expect(full.status == 11, "\(full.output)\(full.errors)")
        #expect(full.errors.contains("inodes"), "\(full.errors)")
        #expect(try tags() == ["v1.0.0", "v1.0.0"])
        #expect(try deploy("v1.1.0").status == 0)
    }

    // MARK: After the last batch

    @Test("A service that falls ill while the release soaks sends everything back")
    func illWhileSoaking() async throws {
        try playbook()
        #expect(try deploy("v1.0.0").status == 0)
        let path = fixture.directory.path + "/project/playbooks/deploy.yml"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try fixture.directory.write("soak: 1m\n" + text, to: "project/playbooks/deploy.yml")
        let controller = try fixture.start(["deploy", "production", "--tag", "v1.1.0"])
        try await eventually("everything is deployed") { fixture.said().contains("soaking") }
        let home = fixture.servers[1].home
        try Command.shell("kill $(cat app.pid)", in: home)
        #expect(controller.wait() == 10, "\(fixture.said())")
        #expect(try tags() == ["v1.0.0", "v1.0.0"])
        #expect(try fixture.fleet("health", "production").status == 0)
    }

    @Test("A release that stays well while it soaks stays")
    func wellWhileSoaking() throws {
        try playbook()
        let path = fixture.directory.path + "/project/playbooks/deploy.yml"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try fixture.directory.write("soak: 3s\n" + text, to: "project/playbooks/deploy.yml")
        let done = try deploy("v1.0.0")
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        #expect(done.errors.contains("soaking: every host is asked again and again for 3.0s"))
    }
}
