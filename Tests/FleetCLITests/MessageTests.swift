import FleetTestSupport
import Foundation
import Testing

/// What fleet says, word for word: a page of messages that a reviewer can read from top to bottom.
///
/// `FLEET_UPDATE_MESSAGES=1` writes the page anew; look at every line that changes.
struct MessageTests {
    private static let inventory = """
        vars: { port: 8000 }
        groups: { web: { hosts: ["web[1:3]"] } }
        """
    private static let playbook = """
        name: Deploy app
        steps:
          - name: pull
            checkout: { path: ~/app, repository: "https://git.example.com/app.git" }
        smoke:
          - name: health
            http: { url: "http://127.0.0.1:8000/health", contains: "${{ release.tag }}" }
        """

    /// Files that replace or add to a project that is in order, and what is typed there.
    private struct Case {
        var files: [String: String] = [:]
        let words: String

        init(_ words: String) { self.words = words }

        init(files: [String: String], _ words: String) {
            self.files = files
            self.words = words
        }

        init(inventory: String, _ words: String = "check") {
            files = ["inventory/production.yml": inventory]
            self.words = words
        }

        init(playbook: String, _ words: String = "check") {
            files = ["playbooks/deploy.yml": playbook]
            self.words = words
        }

        init(step: String) {
            self.init(playbook: "name: x\nsteps:\n  - name: a\n    \(step)\n")
        }

        init(smoke: String) {
            self.init(
                playbook:
                    "name: x\nsteps:\n  - { name: a, run: 'true' }\nsmoke:\n  - name: s\n    \(smoke)\n"
            )
        }
    }

    private static let cases: [Case] =
        [
            // The command line.
            "", "dance", "deploy", "deploy nowhere", "deploy production extra", "deploy producton",
            "deploy production --tag", "deploy production --tag v1 --branch main",
            "deploy production --tag -oProxyCommand=x --yes",
            "deploy production --tag v1..2 --yes",
            "deploy production -e port --tag v1.0.0", "deploy production --fanout 0 --tag v1.0.0",
            "deploy production --fanout many --tag v1.0.0",
            "deploy production --limit nope --tag v1.0.0 --yes",
            "deploy production --limit 'web[9:1]' --tag v1.0.0 --yes",
            "deploy production --limit 'web*:!web*' --tag v1.0.0 --yes",
            "deploy production --at tomorrow --tag v1.0.0", "deploy production --override '  '",
            "deploy production --save x", "deploy production --steps",
            "deploy production --detach --dry-run", "deploy production --lock-wait soon",
            "deploy production --playbook nope --commit \(String(repeating: "a", count: 40)) --yes",
            "deploy production --commit abc --yes", "deploy production --progress bright",
            "deploy production --color blue", "deploy production --ci jenkins",
            "exec production", "exec production --timeout soon -- true",
            "exec production -f 0 -- true",
            "plan production --output yaml", "run", "run nope production", "promote staging",
            "hotfix production", "approve production", "approve production --tag v9.9.9",
            "revert production --rollout nope", "resume", "resume nope", "resume NOT-A-NAME",
            "stop", "stop nope", "stop nope --now --after batch", "stop nope --after lunch",
            "show", "show nope", "show last", "report", "report nope", "events", "events nope",
            "watch", "explain E_DIRT", "explain E_DIRTY", "explain nope", "explain last",
            "history", "history nowhere", "history --outcome nice", "history --since soon",
            "history --since 2026-13-01", "audit", "stats nowhere", "stats production",
            "releases", "release minor", "hosts nowhere", "hosts production --explain nope",
            "health production --playbook nope", "fetch production", "apply nope",
            "journal verify", "lock", "lock break production --owner x",
            "reconcile nowhere", "recover nowhere", "backup production", "restore production",
            "trust nowhere", "diff production --tag v1 --commit x",
        ].map { Case($0) } + [
            // Inventories.
            Case(inventory: ""), Case(inventory: "- a\n"), Case(inventory: "groups: [a]\n"),
            Case(inventory: "groups:\n\tweb: {}\n"), Case(inventory: "grups: {}\n"),
            Case(inventory: "groups: { web: { hosts: web1 } }\n"),
            Case(inventory: "groups: { web: { hosts: [\"web[3:1]\"] } }\n"),
            Case(inventory: "groups: { web: { hosts: [\"web 1\"] } }\n"),
            Case(inventory: "groups: { web: { hosts: [web1, web1] } }\n"),
            Case(inventory: "groups: { web: { hosts: [web1], children: [web] } }\n"),
            Case(inventory: "groups: { web: { hosts: [web1], children: [nope] } }\n"),
            Case(inventory: "ssh: { prot: 22 }\ngroups: { web: { hosts: [web1] } }\n"),
            Case(inventory: "ssh: { port: 99999 }\ngroups: { web: { hosts: [web1] } }\n"),
            Case(inventory: "ssh: { client: putty }\ngroups: { web: { hosts: [web1] } }\n"),
            Case(
                inventory:
                    "policy: { windows: [\"Mon 25:00-26:00\"] }\ngroups: { web: { hosts: [web1] } }\n"
            ),
            Case(inventory: "policy: { approvals: many }\ngroups: { web: { hosts: [web1] } }\n"),
            Case(inventory: "a: 1\na: 2\n"), Case(inventory: "a: [1\n"),
            Case(files: ["playbooks/two words.yml": "name: x\n"], "check"),
            // Playbooks.
            Case(playbook: ""), Case(playbook: "steps: []\n"),
            Case(playbook: "name: x\nstep: []\n"),
            Case(playbook: "name: x\nsteps: 1\n"), Case(playbook: "name: x\nsteps: [a]\n"),
            Case(playbook: "name: x\nserial: []\nsteps: [{ name: a, run: 'true' }]\n"),
            Case(playbook: "name: x\nserial: \"0%\"\nsteps: [{ name: a, run: 'true' }]\n"),
            Case(playbook: "name: x\nmax_failures: -1\nsteps: [{ name: a, run: 'true' }]\n"),
            Case(playbook: "name: x\non_failure: explode\nsteps: [{ name: a, run: 'true' }]\n"),
            Case(step: "runn: 'true'"), Case(step: "run: ''"), Case(step: "run: [a, b]"),
            Case(step: "timeout: soon\n    run: 'true'"),
            Case(step: "retries: lots\n    run: 'true'"),
            Case(step: "run: 'echo ${{ vars.nope }}'"), Case(step: "run: 'echo ${{ nope }}'"),
            Case(step: "run: 'echo ${{ vars.port'"), Case(step: "checkout: { path: relative }"),
            Case(step: "checkout: {}"), Case(step: "upload: { source: nope, destination: /x }"),
            Case(step: "upload: { source: ../../etc/passwd, destination: /x }"),
            Case(step: "template: { source: nope.mustache, destination: /x }"),
            Case(step: "env_file: { destination: ~/app/.env, mode: '0644' }"),
            Case(step: "service: { name: app, state: happy }"), Case(step: "wait: soon"),
            Case(step: "backup: {}"), Case(step: "run: 'true'\n    service: { name: app }"),
            Case(smoke: "http: { url: ftp://x }"),
            Case(smoke: "http: { url: 'http://x', status: ok }"),
            Case(smoke: "tcp: { port: 99999 }"), Case(smoke: "command: ''"),
            Case(smoke: "http: { url: 'http://x' }\n    passes: 0"),
        ]

    @Test("Messages are those that were read and found good")
    func page() throws {
        let directory = try TemporaryDirectory()
        let project = directory.path + "/project"
        var page = ""
        for test in Self.cases {
            try? FileManager.default.removeItem(atPath: project)
            try directory.write(Self.inventory, to: "project/inventory/production.yml")
            try directory.write(Self.playbook, to: "project/playbooks/deploy.yml")
            for (name, text) in test.files { try directory.write(text, to: "project/\(name)") }
            let result = try Command.run(
                ["sh", "-c", "exec \"$FLEET\" \(test.words)"],
                in: project,
                environment: [
                    "FLEET": Package.binary, "FLEET_STATE_DIR": directory.path + "/state",
                    "HOME": directory.path, "SSH_AUTH_SOCK": "", "CI": "true", "TZ": "UTC",
                    "COLUMNS": "120", "GIT_CEILING_DIRECTORIES": directory.path,
                ]
            )
            page += "$ fleet \(test.words)\n"
            for text in test.files.values {
                page += text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
                    .map { "  < \($0)\n" }.joined()
            }
            // Usage lines are the parser's; they change with every option.
            let said = (result.output + result.errors).split(separator: "\n")
                .filter { !$0.hasPrefix("Usage: ") && !$0.hasPrefix("  See '") }
                .prefix(12).map { "  \($0)\n" }.joined()
            page += said.replacingOccurrences(of: directory.path, with: "…")
            page += "  (exit \(result.status))\n\n"
        }
        let file = Package.root + "/Tests/FleetCLITests/Messages/messages.txt"
        if ProcessInfo.processInfo.environment["FLEET_UPDATE_MESSAGES"] != nil {
            try FileManager.default.createDirectory(
                atPath: Package.root + "/Tests/FleetCLITests/Messages",
                withIntermediateDirectories: true
            )
            try Data(page.utf8).write(to: URL(fileURLWithPath: file))
        }
        let wanted = try String(contentsOfFile: file, encoding: .utf8)
        let differing = zip(
            page.components(separatedBy: "\n\n"),
            wanted.components(separatedBy: "\n\n")
        ).first { $0 != $1 }
        #expect(
            page == wanted,
            "FLEET_UPDATE_MESSAGES=1 swift test --filter MessageTests: \(differing.map { "\($0.0)\ninstead of\n\($0.1)" } ?? "")"
        )
        #expect(Self.cases.count >= 80)
    }
}
