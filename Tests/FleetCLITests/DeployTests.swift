import FleetTestSupport
import Foundation
import Testing

/// The built program against real hosts: the main job, from the first deploy to the way back.
@Suite(.serialized) struct DeployTests {
    @Test(
        "Hardened hosts are deployed to and put back like any other, by the client that reaches them"
    )
    func hardenedHosts() throws {
        let fixture = try FleetFixture(
            configurations: [
                [],
                // As ssh-audit's guide for Debian 12 has it.
                [
                    "KexAlgorithms sntrup761x25519-sha512@openssh.com,curve25519-sha256,curve25519-sha256@libssh.org",
                    "Ciphers chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes256-ctr",
                    "MACs hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,umac-128-etm@openssh.com",
                    "MaxAuthTries 2",
                ],
                ["Ciphers aes256-gcm@openssh.com", "MaxSessions 2"],
            ]
        )
        for (tag, status) in [("v1.0.0", 0), ("v1.1.0", 0)] {
            let ended = try fixture.fleet("deploy", "production", "--tag", tag)
            #expect(ended.status == status, "\(ended.output)\(ended.errors)")
        }
        let doctor = try fixture.fleet("doctor", "production")
        #expect(doctor.status == 0, "\(doctor.output)\(doctor.errors)")
        #expect(doctor.output.contains("web2 is not reached by libssh2"), "\(doctor.output)")
        let plan = try fixture.fleet("plan", "production", "--tag", "v1.2.0")
        #expect(
            plan.output.contains("client     libssh2: web") && plan.output.contains("; ssh: web"),
            "\(plan.output)\(plan.errors)"
        )
        // The canary is the hardened one.
        let bad = try fixture.fleet(
            "deploy",
            "production",
            "--tag",
            "v1.2.0",
            "--limit",
            "web[2:3]"
        )
        #expect(bad.status == 10, "\(bad.output)\(bad.errors)")
        #expect(bad.errors.contains("reached by OpenSSH_"), "\(bad.errors)")
        #expect(try (0..<3).map(fixture.tag) == ["v1.1.0", "v1.1.0", "v1.1.0"])
        let back = try fixture.fleet("revert", "production", "--to", "v1.0.0")
        #expect(back.status == 0, "\(back.output)\(back.errors)")
        #expect(try (0..<3).map(fixture.tag) == ["v1.0.0", "v1.0.0", "v1.0.0"])
    }

    @Test("Certificates, FIDO keys, tickets, post-quantum exchanges: deployed to and put back")
    func hostsThatOnlySSHReaches() async throws {
        let place = try TemporaryDirectory()
        let path = place.path
        let token = try SecurityKey(in: path)
        let made = try Command.run(
            ["ssh-keygen", "-q", "-t", "ed25519-sk", "-N", "", "-f", path + "/sk"],
            environment: ["SSH_SK_PROVIDER": token.library]
        )
        try #require(made.status == 0, "\(made.errors)")
        try Command.shell(
            """
            for name in authority me host_key; do ssh-keygen -q -t ed25519 -N '' -f "$name"; done
            ssh-keygen -q -s authority -I me -n "$(id -un)" me.pub
            ssh-keygen -q -s authority -I host -h -n 127.0.0.1 host_key.pub
            echo "@cert-authority * $(cat authority.pub)" >authorities
            """,
            in: path
        )
        let realm = try KerberosRealm()
        try await eventually("the KDC answers") { try realm.getTicket() }
        let servers = [
            try SSHDServer(
                configuration: ["KexAlgorithms sntrup761x25519-sha512@openssh.com"],
                hostKeyType: "rsa -b 2048"
            ),
            try SSHDServer(hostKeyType: "rsa -b 2048"),
            try SSHDServer(
                configuration: [
                    "HostKey \(path)/host_key", "HostCertificate \(path)/host_key-cert.pub",
                    "TrustedUserCAKeys \(path)/authority.pub", "AuthorizedKeysFile none",
                ]
            ),
            try SSHDServer(configuration: ["AuthorizedKeysFile \(path)/sk.pub"]),
            try SSHDServer(
                configuration: KerberosRealm.configuration,
                environment: realm.variables
            ),
            try SSHDServer(configuration: ["Ciphers aes256-gcm@openssh.com"]),
            try SSHDServer(),
        ]
        let fixture = try FleetFixture(in: try TemporaryDirectory(), servers: servers)
        let ticket = servers[4]
        try ticket.directory.write(
            (ticket.directory.read("known_hosts") ?? "").replacing(
                "[127.0.0.1]",
                with: "[localhost]"
            ),
            to: "known_hosts"
        )
        var inventory = fixture.inventory()
        for (old, new) in [
            (servers[2].keyFile + ",", path + "/me,"),
            (servers[2].knownHostsFile, path + "/authorities"),
            (servers[3].keyFile + ",", path + "/sk,"),
            (
                "hostname: 127.0.0.1, port: \(ticket.port), identity_file: \(ticket.keyFile)",
                "hostname: localhost, port: \(ticket.port)"
            ),
        ] {
            inventory = inventory.replacing(old, with: new)
        }
        try fixture.directory.write(inventory, to: "project/inventory/production.yml")
        try fixture.directory.write(
            """
            Host web4
              SecurityKeyProvider \(token.library)
            Host web5
              GSSAPIAuthentication yes
            Host web6 web7
              ProxyCommand python3 \(path)/relay.py %h %p
            """,
            to: ".ssh/config",
            mode: 0o600
        )
        try place.write(
            """
            import os, socket, sys, threading
            peer = socket.create_connection((sys.argv[1], int(sys.argv[2])))
            open(os.path.dirname(sys.argv[0]) + "/relayed", "a").write("x")
            def pump(read, write):
                while data := read(): write(data)
            threading.Thread(target=pump, args=(lambda: peer.recv(65536), lambda d: os.write(1, d)), daemon=True).start()
            pump(lambda: os.read(0, 65536), peer.sendall)
            """,
            to: "relay.py"
        )
        func fleet(_ words: String...) throws -> Command {
            try fixture.fleet(words, environment: realm.variables)
        }
        for (tag, status) in [("v1.0.0", 0), ("v1.2.0", 10)] {
            let ended = try fleet("deploy", "production", "--tag", tag)
            #expect(ended.status == status, "\(ended.output)\(ended.errors)")
        }
        #expect(try (0..<7).map(fixture.tag) == Array(repeating: "v1.0.0", count: 7))
        #expect((place.read("relayed") ?? "").count >= 4, "both went through their ProxyCommand")
        let doctor = try fleet("doctor", "production")
        #expect(doctor.status == 0, "\(doctor.output)\(doctor.errors)")
        for host in ["web1", "web3", "web4", "web5", "web6"] {
            #expect(
                doctor.output.contains("\(host) is not reached by libssh2"),
                "\(host): \(doctor.output)"
            )
        }
    }

    @Test("A service that takes its time to answer is waited for, there and back, by hand too")
    func slowService() throws {
        let fixture = try FleetFixture(hosts: 2)
        try Command.shell(
            "sed -i 's|setsid /usr/bin/python3 \"$HOME/app/app.py\"|setsid sh -c \"sleep 1.5; exec /usr/bin/python3 $HOME/app/app.py\"|' appctl; grep -q 'sleep 1.5' appctl",
            in: fixture.servers[0].home
        )
        for tag in ["v1.0.0", "v1.1.0"] {
            let done = try fixture.fleet("deploy", "production", "--tag", tag)
            #expect(done.status == 0, "\(done.output)\(done.errors)")
        }
        let back = try fixture.fleet("revert", "production", "--yes")
        #expect(back.status == 0, "\(back.output)\(back.errors)")
        #expect(try (0..<2).map(fixture.tag) == ["v1.0.0", "v1.0.0"])
    }

    @Test("A host that something else reaches than the last time is told of")
    func anotherClient() throws {
        let fixture = try FleetFixture(hosts: 2)
        #expect(try fixture.fleet("deploy", "production", "--tag", "v1.0.0").status == 0)
        let second = fixture.inventory(", client: openssh", hosts: 1..<2)
        let first = fixture.inventory(hosts: 0..<1)
        try fixture.directory.write(
            first
                + (second.range(of: "      web2:").map { String(second[$0.lowerBound...]) } ?? ""),
            to: "project/inventory/production.yml"
        )
        let next = try fixture.fleet("deploy", "production", "--tag", "v1.1.0")
        #expect(next.status == 0, "\(next.errors)")
        let told = next.errors.split(separator: "\n").filter { $0.contains("no longer by") }
        #expect(told.count == 1 && told[0].contains("web2"), "\(next.errors)")
        #expect(told.first?.contains("no longer by libssh2") ?? false, "\(next.errors)")
        let again = try fixture.fleet("deploy", "production", "--tag", "v1.0.0")
        #expect(!again.errors.contains("no longer by"), "\(again.errors)")
        // A host's own tags say nothing: the name is the one that was deployed.
        try Command.shell(
            "git -c safe.directory='*' tag v9.9.9",
            in: fixture.servers[0].home + "/app"
        )
        let status = try fixture.fleet("status", "production").output
        #expect(status.contains("v1.0.0") && !status.contains("v9.9.9"), "\(status)")
    }

    /// Rows H34, H16.
    @Test func deploysFailsRevertsAndRevertsByHand() throws {
        let fixture = try FleetFixture()

        let playbook = fixture.directory.path + "/project/playbooks/deploy.yml"
        let text = try String(contentsOfFile: playbook, encoding: .utf8)
        try fixture.directory.write(
            "vars: { unused: a, more: b }\n"
                + text.replacing(
                    "run: cp VERSION",
                    with: "run: ': ${{ vars.unused }} ${{ vars.more }}; cp VERSION"
                )
                .replacing(#">>"$HOME/installs""#, with: #">>"$HOME/installs"'"#),
            to: "project/playbooks/deploy.yml"
        )
        // A first deploy: nothing is there, so everything is cloned.
        let first = try fixture.fleet(
            "deploy",
            "production",
            "--tag",
            "v1.0.0",
            "-e=unused=topsecret",
            "-ye",
            "more=topsecret"
        )
        #expect(first.status == 0, "\(first.output)\(first.errors)")
        // The command line is recorded without values, however they were written.
        let listed = try fixture.fleet("history").output
        let rollout = try #require(listed.firstMatch(of: /\d{8}-\d{6}-\w+/), "\(listed)")
        let recorded = try fixture.fleet("show", String(rollout.output)).output
        #expect(
            recorded.contains("-e=unused=*** -ye more=***") && !recorded.contains("topsecret"),
            "\(recorded)"
        )
        #expect(first.output.contains("succeeded  production runs v1.0.0, verified on all 3 hosts"))
        #expect(first.errors.contains("ready: web[1-3], nothing deployed yet"))
        #expect(try (0..<3).map(fixture.tag) == ["v1.0.0", "v1.0.0", "v1.0.0"])

        let second = try fixture.fleet("deploy", "production", "--tag", "v1.1.0")
        #expect(second.status == 0, "\(second.output)\(second.errors)")
        #expect(second.errors.contains("batch 2 of 2: web[2-3]"))

        // A bad release: the canary fails its smoke test, goes back, and nobody else is touched.
        let before = (0..<3).map(fixture.process)
        let bad = try fixture.fleet("deploy", "production", "--tag", "v1.2.0")
        #expect(bad.status == 10, "\(bad.output)\(bad.errors)")
        #expect(bad.errors.contains("the body reports an error: services.queue = \"error\""))
        #expect(bad.errors.contains("HALT after web1"))
        #expect(
            bad.output.contains(
                "reverted  v1.2.0 failed, and every touched host of production is verified back"
            )
        )
        #expect(try (0..<3).map(fixture.tag) == ["v1.1.0", "v1.1.0", "v1.1.0"])
        #expect(fixture.process(0) != before[0])
        #expect(fixture.process(1) == before[1])
        #expect(fixture.process(2) == before[2])
        let home = fixture.servers[0].home
        #expect(
            try Command.run(
                ["wc", "-l"],
                input: String(contentsOfFile: home + "/tests", encoding: .utf8)
            ).output.contains("3"),
            "the tests are not run again on the way back"
        )
        #expect(
            try Command.run(
                ["wc", "-l"],
                input: String(contentsOfFile: home + "/installs", encoding: .utf8)
            ).output.contains("4"),
            "the install is"
        )

        let status = try fixture.fleet("status", "production")
        #expect(status.status == 0, "\(status.output)")
        #expect(status.output.contains("as deployed"))

        // Hosts that something else has changed are not led back by a journal that does not know of it.
        let apps = fixture.servers.map { $0.home + "/app" }
        let commit = "git -c user.name=t -c user.email=t@t commit -q --allow-empty -m unknown"
        for app in apps { try Command.shell(commit, in: app) }
        let elsewhere = try fixture.fleet("revert", "production", "--yes")
        #expect(elsewhere.status == 11, "\(elsewhere.output)\(elsewhere.errors)")
        #expect((elsewhere.output + elsewhere.errors).contains("E_OTHER_RELEASE"))
        for app in apps { try Command.shell("git checkout -q v1.1.0", in: app) }

        // By hand: back to what ran before v1.1.0.
        let back = try fixture.fleet("revert", "production", "--yes")
        #expect(back.status == 0, "\(back.output)\(back.errors)")
        #expect(try (0..<3).map(fixture.tag) == ["v1.0.0", "v1.0.0", "v1.0.0"])

        // And to a tag.
        let refused = try fixture.fleet("revert", "production", "--to", "v1.1.0", "--yes")
        #expect(refused.status == 11)
        #expect(refused.errors.contains("E_QUARANTINE v1.1.0 was taken back from production"))
        let to = try fixture.fleet(
            "revert",
            "production",
            "--to",
            "v1.1.0",
            "--yes",
            "--force-quarantined",
            "it was fine"
        )
        #expect(to.status == 0, "\(to.output)\(to.errors)")
        #expect(try fixture.tag(2) == "v1.1.0")

        // Somebody changes a host behind our back: status says so.
        try Command.shell("git checkout -q v1.0.0", in: fixture.servers[1].home + "/app")
        let drifted = try fixture.fleet("status", "production")
        #expect(drifted.status == 1)
        #expect(drifted.output.contains("drifted: the last rollout left v1.1.0 here"))

        // Everything is in the journal, and nothing is left on the hosts.
        let history = try fixture.fleet("history", "production").output
        #expect(history.split(separator: "\n").count == 7)
        let id = try #require(
            history.split(separator: "\n").dropFirst(4).first?.split(separator: " ").first
        )
        let shown = try fixture.fleet("show", String(id), "--outputs")
        #expect(shown.output.contains("decision: revert"))
        #expect(shown.output.contains("v1.1.0 -> v1.2.0"))
        let json = try fixture.fleet("show", String(id), "-o", "json").output
        for line in json.split(separator: "\n") {
            #expect((try? JSONSerialization.jsonObject(with: Data(line.utf8))) != nil)
        }
        #expect(!FileManager.default.fileExists(atPath: home + "/.fleet/runs/\(id)"))
    }

    @Test func aFirstDeployThatFailsIsHeld() throws {
        let fixture = try FleetFixture(hosts: 2)
        let result = try fixture.fleet("deploy", "production", "--tag", "v1.2.0")
        #expect(result.status == 12, "\(result.output)\(result.errors)")
        #expect(result.output.contains("held"))
        #expect(!FileManager.default.fileExists(atPath: fixture.servers[1].home + "/app"))
    }

    /// Row O1.
    @Test func ctrlCDrainsAndTheHostIsPutBack() async throws {
        let fixture = try FleetFixture(hosts: 2)
        #expect(try fixture.fleet("deploy", "production", "--tag", "v1.0.0").status == 0)
        // The canary's test waits until it is told to go on.
        let playbook = try #require(fixture.directory.read("project/playbooks/deploy.yml"))
        try fixture.directory.write(
            playbook.replacingOccurrences(
                of: "test -s app.py;",
                with: "touch ~/waiting; until [ -e ~/go ]; do sleep 0.05; done;"
            ),
            to: "project/playbooks/deploy.yml"
        )
        let home = fixture.servers[0].home
        let process = try fixture.start(["deploy", "production", "--tag", "v1.1.0"])
        try await eventually("the canary waits") {
            FileManager.default.fileExists(atPath: home + "/waiting")
        }
        kill(process.pid, SIGINT)
        try await eventually("the interrupt is seen") {
            fixture.said().contains("interrupted (signal 2)")
        }
        try Data().write(to: URL(fileURLWithPath: home + "/go"))
        #expect(process.wait() == 30)
        #expect(fixture.said().contains("fleet resume "))
        #expect(try fixture.tag(0) == "v1.1.0")
        #expect(try fixture.tag(1) == "v1.0.0")

        let status = try fixture.fleet("status", "production")
        #expect(status.status == 1)
        #expect(status.output.contains("which came to no verified end"))
        let back = try fixture.fleet("revert", "production", "--yes")
        #expect(back.status == 0, "\(back.output)\(back.errors)")
        #expect(try fixture.tag(0) == "v1.0.0")
        #expect(try fixture.fleet("status", "production").status == 0)
    }

    @Test func execFoldsWhatHostsSay() throws {
        let fixture = try FleetFixture()
        let good = try fixture.fleet("exec", "production", "--", "echo same; echo lines")
        #expect(good.status == 0)
        #expect(good.output == "web[1-3] (3)  ok\nsame\nlines\n")
        let bad = try fixture.fleet("exec", "production", "-l", "web2", "--", "sh", "-c", "exit 3")
        #expect(bad.status == 1)
        #expect(bad.output == "web2  exited 3\n")
        fixture.servers[2].stop()
        let partly = try fixture.fleet("exec", "production", "--", "true")
        #expect(partly.status == 1)
        #expect(partly.output.hasPrefix("web[1-2] (2)  ok\nweb3  E_UNREACHABLE: "))
        let json = try fixture.fleet("exec", "production", "-l", "web1", "-o", "json", "--", "true")
        #expect(json.output.contains("\"type\":\"rollout.ended\""))
        #expect(json.output.hasPrefix("{\"v\":1,"))
    }

    @Test func thePlanIsWhatWouldRun() throws {
        let fixture = try FleetFixture()
        let plan = try fixture.fleet("plan", "production", "--tag", "v1.0.0")
        #expect(plan.status == 0, "\(plan.errors)")
        #expect(plan.output.contains("batch 1, the canary   web1"), "\(plan.output)")
        #expect(plan.output.contains("way back") && !plan.output.contains("│"))
        let deeper = try fixture.fleet(
            "plan",
            "production",
            "--tag",
            "v1.0.0",
            "--host",
            "web2"
        )
        #expect(deeper.output.contains("│") && !deeper.output.contains("web1"), "\(deeper.output)")
        let foreign = try fixture.fleet("plan", "production", "--host", "web9")
        #expect(foreign.status == 64 && foreign.errors.contains("its hosts are web[1-"))
        let dry = try fixture.fleet("deploy", "production", "--tag", "v1.0.0", "--dry-run")
        #expect(dry.status == 0)
        #expect(!FileManager.default.fileExists(atPath: fixture.servers[0].home + "/app"))
    }
}
