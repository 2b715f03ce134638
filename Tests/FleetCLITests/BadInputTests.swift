import FleetTestSupport
import Foundation
import Testing

/// Every kind of bad input: one clear error, the right status, and nothing changed.
@Suite(.serialized) struct BadInputTests {
    private let fixture: FleetFixture

    init() throws { fixture = try FleetFixture(hosts: 2) }

    /// Runs a deploy that must be refused, and looks at every host afterwards.
    private func refused(
        _ status: Int32,
        _ parts: [String],
        _ arguments: [String] = ["production", "--tag", "v1.1.0"],
        environment: [String: String] = [:]
    ) throws {
        let before = try fingerprint()
        let result = try Command.run(
            [Package.binary, "deploy"] + arguments,
            in: fixture.directory.path + "/project",
            environment: [
                "FLEET_STATE_DIR": fixture.directory.path + "/state",
                "FLEET_TRUSTED_FILES": "all",
                "HOME": fixture.directory.path,
                "SSH_AUTH_SOCK": "",
            ].merging(environment) { $1 }
        )
        let said = result.output + result.errors
        #expect(result.status == status, "\(said)")
        for part in parts { #expect(said.contains(part), "`\(part)` is missing in: \(said)") }
        #expect(try fingerprint() == before, "something changed on a host")
    }

    private func fingerprint() throws -> [String] {
        try fixture.servers.map { server in
            try Command.run(
                [
                    "sh", "-c",
                    "find . -path ./.fleet -prune -o -path '*/.git/*' -prune -o -type f -exec cksum {} + | sort; git -C app rev-parse HEAD 2>&1",
                ],
                in: server.home
            ).output
        }
    }

    /// Row K3.
    @Test(
        "What was typed and has no effect, and hosts for which there is nothing to do, are refused"
    )
    func withoutEffect() throws {
        try refused(
            64,
            ["`colour` was given a value", "${{ vars.colour }}"],
            ["production", "--tag", "v1.1.0", "-e", "colour=red"]
        )
        // A section asks only whether it says yes, and another host's step may be the one that asks.
        try fixture.directory.write("{{#vars.debug}}on{{/vars.debug}}\n", to: "project/t")
        try fixture.directory.write(
            "vars: { color: blue }\nsteps:\n  - template: { source: t, destination: ~/t }\n  - { when: db, run: \"echo ${{ vars.color }}\" }\n",
            to: "project/playbooks/asks.yml"
        )
        try fixture.directory.write(
            fixture.inventory() + "  db:\n    hosts: [db1.test]\n",
            to: "project/inventory/production.yml"
        )
        let asked = try fixture.fleet(
            "run",
            "asks",
            "production",
            "-l",
            "web",
            "-e",
            "debug=1",
            "-e",
            "color=red",
            "-n"
        )
        #expect(asked.status == 0, "\(asked.errors)")
        try fixture.directory.write(
            "name: Restore\nvars: { from: newest, color: red }\nsteps:\n  - restore: { database: ~/jobs.sqlite3, directory: ~/b }\n",
            to: "project/playbooks/restore.yml"
        )
        let named = try fixture.fleet("restore", "production", "--from", "2026_none.gz", "--yes")
        #expect(
            named.status == 64 && named.errors.contains("`from` was given a value"),
            "\(named.errors)"
        )
        try fixture.directory.write(
            try String(
                contentsOfFile: fixture.directory.path + "/project/playbooks/deploy.yml",
                encoding: .utf8
            )
            .replacing("  - name: pull\n", with: "  - name: pull\n    when: db\n"),
            to: "project/playbooks/deploy.yml"
        )
        try fixture.directory.write(
            fixture.inventory() + "  db:\n    hosts: [db1.test]\n",
            to: "project/inventory/production.yml"
        )
        try refused(
            65,
            ["`pull` deploys the release, and `when` leaves out every chosen host"],
            ["production", "--commit", String(repeating: "a", count: 40), "--limit", "web"]
        )
        try fixture.directory.write(
            "name: Back up\nsteps:\n  - { name: save, when: db, run: date }\n",
            to: "project/playbooks/backup.yml"
        )
        let nothing = try fixture.fleet("backup", "production", "--limit", "web", "--yes")
        #expect(
            nothing.status == 65 && nothing.errors.contains("no step of `Back up` is for web[1-2]"),
            "\(nothing.errors)"
        )
    }

    /// Row K2.
    @Test("A host for which there is nothing to do is not said to run the release")
    func nothingToDoThere() throws {
        try fixture.directory.write(
            """
            steps:
              - { name: pull, when: web1, checkout: { path: ~/app, repository: "${{ vars.repository }}" } }
            """.replacing("web1", with: "first"),
            to: "project/playbooks/deploy.yml"
        )
        try fixture.directory.write(
            fixture.inventory() + "  first:\n    hosts: [web1]\n",
            to: "project/inventory/production.yml"
        )
        let done = try fixture.fleet("deploy", "production", "--tag", "v1.1.0")
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        #expect(done.output.contains("verified on 1 of 2 hosts (web1)"), "\(done.output)")
        #expect(done.output.contains(/web2 +nothing to do +-/), "\(done.output)")
    }

    /// Row K2.
    @Test("A host on which a step runs for all others is not left out")
    func runOnceIsNotLeftOut() throws {
        try fixture.directory.write(
            """
            unreachable: exclude
            steps:
              - { name: pull, checkout: { path: ~/app, repository: "${{ vars.repository }}" } }
              - { name: migrate, run: date, run_once: true }
            """,
            to: "project/playbooks/deploy.yml"
        )
        let inventory = fixture.inventory()
        let port = try #require(inventory.firstMatch(of: /port: ([0-9]+), identity_file/)?.1)
        try fixture.directory.write(
            inventory.replacing(
                "port: \(port), identity",
                with: "port: 1, connect_timeout: 1s, identity"
            ),
            to: "project/inventory/production.yml"
        )
        try fixture.directory.write(
            "unreachable: exclude\nserial: [2]\n"
                + (try String(
                    contentsOfFile: fixture.directory.path + "/project/playbooks/deploy.yml",
                    encoding: .utf8
                )).replacing("unreachable: exclude\n", with: ""),
            to: "project/playbooks/deploy.yml"
        )
        let done = try fixture.fleet("deploy", "production", "--tag", "v1.1.0")
        #expect(done.status == 11, "\(done.output)\(done.errors)")
        #expect(
            done.errors.contains("`migrate` runs there for all hosts")
                || done.output.contains("`migrate` runs there for all hosts"),
            "\(done.output)\(done.errors)"
        )
        #expect(!FileManager.default.fileExists(atPath: fixture.servers[1].home + "/app"))
    }

    @Test func filesThatAreMissingOrMalformed() throws {
        try refused(
            64,
            ["there is no environment `prodution`", "did you mean `production`?"],
            ["prodution", "--tag", "v1"]
        )
        try refused(
            64,
            ["there is no playbook `nope`"],
            ["production", "--tag", "v1.1.0", "-p", "nope"]
        )
        try fixture.directory.write(
            "steps:\n  - run: x\n    retires: 1\n",
            to: "project/playbooks/bad.yml"
        )
        try refused(
            65,
            [
                "playbooks/bad.yml:3:5: error: unknown key `retires` in a step", "| ^",
                "did you mean `retries`?",
            ].map { $0 == "| ^" ? "    ^" : $0 },
            ["production", "--tag", "v1.1.0", "-p", "bad"]
        )
        try fixture.directory.write(
            "groups: { web: { hosts: [a, b] }\n",
            to: "project/inventory/staging.yml"
        )
        try refused(
            65,
            ["inventory/staging.yml:2:1: error: not valid YAML"],
            ["staging", "--tag", "v1"]
        )
        try fixture.directory.write(
            "steps:\n  - run: echo ${{ vars.nope }}\n",
            to: "project/playbooks/bad.yml"
        )
        let check = try fixture.fleet("check", "production")
        #expect(check.status == 65)
        #expect(
            check.errors.contains("playbooks/bad.yml:2:10: error: `vars.nope` has no value on web1")
        )
        #expect(try fixture.fleet("hosts", "production", "--project", "/nowhere").status == 64)
    }

    @Test(
        "Files that `check` cannot look at are an error, and no file that is well",
        .enabled(if: getuid() == 0)
    )
    func filesThatCannotBeRead() throws {
        try Command.shell("chmod -R a+rX .", in: fixture.directory.path)
        func check() throws -> Command {
            try Command.run(
                ["setpriv", "--reuid=1", "--regid=1", "--clear-groups", Package.binary, "check"],
                in: fixture.directory.path + "/project",
                environment: [
                    "FLEET_STATE_DIR": fixture.directory.path + "/theirs",
                    "FLEET_TRUSTED_FILES": "all", "HOME": fixture.directory.path,
                    "SSH_AUTH_SOCK": "",
                ]
            )
        }
        for folder in ["inventory", "playbooks"] {
            let path = fixture.directory.path + "/project/" + folder
            chmod(path, 0o711)
            let bad = try check()
            #expect(bad.status != 0, "\(bad.output)")
            #expect((bad.output + bad.errors).contains(folder), "\(bad.output)\(bad.errors)")
            chmod(path, 0o755)
            let file = path + (folder == "inventory" ? "/production.yml" : "/deploy.yml")
            chmod(file, 0o600)
            let unreadable = try check()
            #expect(unreadable.status != 0, "\(unreadable.output)")
            #expect(
                (unreadable.output + unreadable.errors).contains("ermission denied"),
                "\(unreadable.output)\(unreadable.errors)"
            )
            chmod(file, 0o644)
        }
    }

    @Test func limitsThatSelectNothing() throws {
        try refused(
            64,
            ["the host pattern `` is empty"],
            ["production", "--tag", "v1.1.0", "--limit", ""]
        )
        try refused(
            64,
            ["`wbe1` matches no host or group of production", "did you mean `web1`?"],
            ["production", "--tag", "v1.1.0", "-l", "wbe1"]
        )
        try refused(64, ["leaves no host"], ["production", "--tag", "v1.1.0", "-l", "web1:!web"])
    }

    /// Row H10.
    @Test func tagsThatAreNoneOrDoNotExist() throws {
        try refused(
            11,
            ["tag `v9.9.9` does not exist", "the newest releases are v1.2.0, v1.1.0, v1.0.0"],
            ["production", "--tag", "v9.9.9"]
        )
        for tag in ["$(touch /tmp/x)", "v1;id", "a b", "v1.0.0'"] {
            try refused(11, ["is not a tag name"], ["production", "--tag", tag])
        }
        try refused(11, ["is not a tag name"], ["production", "--tag=--upload-pack=id"])
        try refused(11, ["is not a full commit id"], ["production", "--commit", "abc"])
        try refused(
            11,
            ["branch `mian` does not exist", "did you mean `main`?"],
            ["production", "--branch", "mian"]
        )
        try refused(
            64,
            ["give only one of"],
            ["production", "--tag", "v1.0.0", "--branch", "main"]
        )
    }

    @Test func nothingIsChosenWithoutAConfirmation() throws {
        try refused(11, ["this needs a confirmation: deploy v1.2.0", "add --yes"], ["production"])
    }

    @Test func hostsThatCannotBeReachedOrTrusted() throws {
        let first = try fixture.fleet("deploy", "production", "--tag", "v1.0.0")
        #expect(first.status == 0, "\(first.errors)")
        // The key is not known, then another one is.
        let known = fixture.servers[1].knownHostsFile
        let text = try String(contentsOfFile: known, encoding: .utf8)
        try Data().write(to: URL(fileURLWithPath: known))
        try refused(11, ["web2  refused: E_HOSTKEY_UNKNOWN", "ssh-ed25519 SHA256:", known])
        try Command.shell("ssh-keygen -q -t ed25519 -N '' -f other", in: fixture.directory.path)
        let other = (fixture.directory.read("other.pub") ?? "").split(separator: " ").prefix(2)
        try Data("[127.0.0.1]:* \(other.joined(separator: " "))\n".utf8).write(
            to: URL(fileURLWithPath: known)
        )
        try refused(11, ["E_HOSTKEY_CHANGED", "HAS CHANGED", "\(known):1"])
        try Data(text.utf8).write(to: URL(fileURLWithPath: known))
        // The login is refused.
        let keys = fixture.servers[1].directory.path + "/key.pub"
        let key = try String(contentsOfFile: keys, encoding: .utf8)
        try Data(other.joined(separator: " ").utf8).write(to: URL(fileURLWithPath: keys))
        try refused(
            11,
            ["web2  refused: E_AUTH", "tried ssh-ed25519", "the server accepts publickey"]
        )
        try Data(key.utf8).write(to: URL(fileURLWithPath: keys))
        // Nobody is there.
        fixture.servers[1].stop()
        try refused(11, ["web2  refused: E_UNREACHABLE", "Connection refused"])
    }

    @Test func hostsThatAreNotAsTheyMustBe() throws {
        let first = try fixture.fleet("deploy", "production", "--tag", "v1.0.0")
        #expect(first.status == 0, "\(first.errors)")
        let app = fixture.servers[1].home + "/app"
        try Data("changed".utf8).write(to: URL(fileURLWithPath: app + "/app.py"))
        try refused(
            11,
            [
                "web2  refused: pull: E_DIRTY", "app.py (content)",
                "nothing was changed on production",
            ]
        )
        try Command.shell("git checkout -q app.py && mv .git git", in: app)
        try refused(11, ["web2  refused: pull: E_GIT_REPOSITORY", "is not a git repository"])
        try Command.shell("mv git .git", in: app)
        let text = fixture.inventory().replacingOccurrences(
            of: "vars: { repository",
            with: "vars: { unused"
        )
        try fixture.directory.write(text + "\n", to: "project/inventory/production.yml")
        try refused(65, ["`vars.repository` has no value on web1"])
    }

    /// Row O20.
    @Test func aStateDirectoryThatCannotBeUsed() throws {
        try fixture.directory.write("a file", to: "blocked")
        try refused(
            73,
            ["the state directory", "/blocked/x cannot be made", "--state-dir"],
            environment: ["FLEET_STATE_DIR": fixture.directory.path + "/blocked/x"]
        )
        try Command.shell("mkdir -m 755 open", in: fixture.directory.path)
        try refused(
            73,
            ["is open to other users", "chmod 700"],
            environment: ["FLEET_STATE_DIR": fixture.directory.path + "/open"]
        )
    }

    @Test func theVersionNamesItsLibraries() throws {
        let text = try fixture.fleet("--version").output
        #expect(
            text.contains("fleet ") && text.contains("libssh2 1.") && text.contains("OpenSSL")
                && text.contains("SQLite 3.")
        )
    }
}
