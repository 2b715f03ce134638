import FleetTestSupport
import Foundation
import Testing

/// What a pushed file may do on the controller: nothing that a person there has not agreed to.
@Suite(.serialized) struct TrustedFilesTests {
    private let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
        try directory.write(
            "hosts: [127.0.0.1]\nssh: { port: 1, user: x, connect_timeout: 1s }\n",
            to: "project/inventory/production.yml"
        )
        try directory.write("hosts: [b.test]\n", to: "project/inventory/staging.yml")
        try directory.write(
            "steps:\n  - upload: { source: here.txt, destination: ~/here.txt }\n",
            to: "project/playbooks/push.yml"
        )
        try directory.write("here\n", to: "project/here.txt")
        try directory.write("a secret of the controller\n", to: "secret", mode: 0o600)
    }

    private func fleet(_ arguments: String..., environment: [String: String] = [:]) throws
        -> Command
    {
        try Command.run(
            [Package.binary] + arguments,
            in: directory.path + "/project",
            environment: [
                "FLEET_STATE_DIR": directory.path + "/state", "HOME": directory.path, "CI": "1",
                "SSH_AUTH_SOCK": "",
            ].merging(environment) { $1 }
        )
    }

    private func inventory(_ ssh: String, more: String = "") throws {
        try directory.write(
            "hosts: [127.0.0.1]\nssh: { port: 1, user: x, connect_timeout: 1s, \(ssh) }\n\(more)",
            to: "project/inventory/production.yml"
        )
    }

    private func isRefused(_ result: Command, naming text: String) -> Bool {
        result.status == 11 && result.errors.contains("E_UNTRUSTED") && result.errors.contains(text)
            && result.errors.contains("fleet trust --files")
    }

    private var mark: String { directory.path + "/ran" }

    /// Row H52.
    @Test(
        "Values of an inventory that run, read or loosen something here have no effect before they are agreed to",
        arguments: [
            ("proxy_command: \"touch MARK; false\"", "proxy_command: touch MARK; false"),
            (
                "password: { command: [touch, MARK] }",
                "password in production from command: touch MARK"
            ),
            (
                "become_password: { file: ../secret }",
                "become_password in production from file: ../secret"
            ),
            (
                "passphrase: { env: AWS_SECRET }",
                "passphrase in production from variable: AWS_SECRET"
            ),
            ("host_keys: accept-new", "host_keys in production: accept-new"),
            ("client: local", "client in production for 127.0.0.1: local"),
            ("forward_agent: true", "forward_agent in production for 127.0.0.1"),
            ("known_hosts: /etc/keys", "known_hosts in production: /etc/keys"),
        ]
    )
    func inventories(ssh: String, text: String) throws {
        func filled(_ text: String) -> String { text.replacing("MARK", with: mark) }
        try inventory(filled(ssh))
        for command in [
            ["exec", "production", "--", "true"], ["status", "production"],
            ["trust", "production", "--yes"],
            ["run", "push", "production", "--yes"], ["health", "production"],
            ["approve", "v1.0.0", "production", "--note", "x"], ["reconcile", "production"],
            ["fetch", "production", "x"], ["lock", "status", "production"],
        ] {
            let refused = try Command.run(
                [Package.binary] + command,
                in: directory.path + "/project",
                environment: [
                    "FLEET_STATE_DIR": directory.path + "/state", "HOME": directory.path, "CI": "1",
                ]
            )
            #expect(isRefused(refused, naming: filled(text)), "\(command) \(refused.errors)")
        }
        #expect(!FileManager.default.fileExists(atPath: mark))
        // What only looks at files says so, and does it.
        #expect(try fleet("hosts", "production").status == 0)
        let checked = try fleet("check")
        #expect(
            checked.output.contains("not agreed to here \(filled(text))"),
            "\(checked.output)\(checked.errors)"
        )

        let shown = try fleet("trust", "--files")
        #expect(
            shown.status == 11 && shown.output.contains("+ \(filled(text))"),
            "\(shown.output)\(shown.errors)"
        )
        #expect(try fleet("trust", "--files", "--yes").status == 0)
        #expect(!(try fleet("exec", "production", "--", "true")).errors.contains("E_UNTRUSTED"))
    }

    /// Row H52.
    @Test(
        "Only those values count: other changes ask nothing, a change of one asks again and is shown"
    )
    func changes() throws {
        try inventory("identities_only: true", more: "notify: [{ command: ./tell }]\n")
        try directory.write("#!/bin/sh\nexit 0\n", to: "project/tell", mode: 0o755)
        #expect(try fleet("trust", "--files", "--yes").status == 0)
        #expect(!(try fleet("exec", "production", "--", "true")).errors.contains("E_UNTRUSTED"))
        try inventory(
            "identities_only: false",
            more: "notify: [{ command: ./tell }]\nvars: { a: b }\n"
        )
        #expect(!(try fleet("exec", "production", "--", "true")).errors.contains("E_UNTRUSTED"))
        // The program that it names is pushed as well.
        try directory.write("#!/bin/sh\ntouch \(mark)\n", to: "project/tell", mode: 0o755)
        #expect(
            isRefused(
                try fleet("exec", "production", "--", "true"),
                naming: "notify: ./tell with tell (sha256:"
            )
        )
        let shown = try fleet("trust", "--files")
        let lines = shown.output.split(separator: "\n")
        #expect(
            lines.contains { $0.hasPrefix("+ notify: ./tell with tell (sha256:") },
            "\(shown.output)"
        )
        #expect(
            lines.contains { $0.hasPrefix("- notify: ./tell with tell (sha256:") },
            "\(shown.output)"
        )
        #expect(shown.status == 11)
        // A file that is not valid has no effect, and is named.
        try directory.write("steps: [", to: "project/playbooks/broken.yml")
        #expect(
            try fleet("trust", "--files").output.contains("not looked at: playbooks/broken.yml")
        )
        // Fewer of them need nobody's word.
        try inventory("identities_only: false")
        #expect(!(try fleet("exec", "production", "--", "true")).errors.contains("E_UNTRUSTED"))
        // Another environment may not use what one was trusted with.
        try inventory("host_keys: accept-new")
        #expect(try fleet("trust", "--files", "--yes").status == 0)
        try directory.write(
            "hosts: [b.test]\nssh: { host_keys: accept-new }\n",
            to: "project/inventory/staging.yml"
        )
        #expect(
            isRefused(
                try fleet("exec", "staging", "--", "true"),
                naming: "host_keys in staging: accept-new"
            )
        )
    }

    /// Row H52.
    @Test(
        "Files outside the project are not read for a step before that was agreed to",
        arguments: ["upload", "template", "env_file"],
        ["/SECRET", "../secret", "link", "dir/link"]
    )
    func sources(kind: String, source: String) throws {
        try Command.shell(
            "ln -s ../secret link; mkdir dir; ln -s ../../secret dir/link",
            in: directory.path + "/project"
        )
        let path = source.replacing("/SECRET", with: directory.path + "/secret")
        try directory.write(
            "steps:\n  - \(kind): { source: \"\(path)\", destination: ~/x }\n",
            to: "project/playbooks/push.yml"
        )
        let refused = try fleet("run", "push", "production", "--yes")
        #expect(
            isRefused(refused, naming: "\(kind) in production of a file outside: \(path)"),
            "\(refused.errors)"
        )
        #expect(refused.errors.contains("playbooks/push.yml"))
        #expect(try fleet("trust", "--files", "--yes").status == 0)
        #expect(!(try fleet("run", "push", "production", "--yes")).errors.contains("E_UNTRUSTED"))
    }

    /// Row H52.
    @Test("A repository of this machine that a playbook names is asked about")
    func repositories() throws {
        try directory.write(
            "steps:\n  - checkout: { path: ~/app, source: controller, repository: ../other }\n",
            to: "project/playbooks/push.yml"
        )
        let refused = try fleet("run", "push", "production", "--yes")
        #expect(
            isRefused(refused, naming: "repository on this machine: ../other"),
            "\(refused.errors)"
        )
    }

    /// Row H52.
    @Test("Two commands that mean different things are not agreed to as one")
    func ambiguity() throws {
        let pairs = [
            (
                "password: { command: [touch, \"\(mark)\"] }",
                "password: { command: [\"touch \(mark)\"] }"
            ),
            (
                "proxy_command: \"true # x; touch \(mark)\"",
                "proxy_command: \"true # x\\ntouch \(mark)\""
            ),
        ]
        for (agreed, pushed) in pairs {
            try inventory(agreed)
            #expect(try fleet("trust", "--files", "--yes").status == 0)
            try inventory(pushed)
            let refused = try fleet("exec", "production", "--", "true")
            #expect(refused.status == 11 && refused.errors.contains("E_UNTRUSTED"), "\(pushed)")
        }
        // A secret goes to a host whose key is not checked only where that was said.
        try inventory("password: { env: PW }, host_keys: accept-new")
        #expect(try fleet("trust", "--files", "--yes").status == 0)
        try inventory("password: { env: PW }, host_keys: accept-new, hostname: evil.example.com")
        #expect(
            isRefused(try fleet("exec", "production", "--", "true"), naming: "evil.example.com")
        )
        // Neither does the agent.
        try inventory("forward_agent: true, host_keys: accept-new")
        #expect(
            isRefused(try fleet("exec", "production", "--", "true"), naming: "whatever its key")
        )
    }

    /// Row H52.
    @Test(
        "An agreement that came with the push counts for nothing, and links lead no file of this machine into an error"
    )
    func pushedAgreement() throws {
        try inventory("host_keys: accept-new")
        #expect(try fleet("trust", "--files", "--yes").status == 0)
        try Command.shell(
            "mkdir -m 700 project/.fleet; cp state/trusted-files project/.fleet/",
            in: directory.path
        )
        let refused = try fleet(
            "exec",
            "production",
            "--",
            "true",
            environment: ["FLEET_STATE_DIR": directory.path + "/project/.fleet"]
        )
        #expect(isRefused(refused, naming: "accept-new"), "\(refused.errors)")
        try Command.shell("ln -s ../../secret inventory/leak.yml", in: directory.path + "/project")
        let checked = try fleet("check")
        #expect(
            checked.status == 65 && checked.errors.contains("outside the project"),
            "\(checked.errors)"
        )
        #expect(!(checked.output + checked.errors).contains("a secret of the controller"))
    }

    /// Row H52.
    @Test(
        "What would become a command, or a pattern of known_hosts, is no place",
        arguments: [
            "jump: \"$(touch x).corp\"", "jump: \"`id`@b\"", "host_key_alias: \"*\"",
            "host_key_alias: \"a b\"",
        ]
    )
    func places(ssh: String) throws {
        try inventory(ssh)
        let refused = try fleet("hosts", "production")
        #expect(refused.status == 65 && refused.errors.contains("cannot be a"), "\(refused.errors)")
    }

    /// Row H52.
    @Test("CI gives the digest of what was looked at; another one is refused, and `all` is all")
    func digests() throws {
        try inventory("host_keys: accept-new")
        let shown = try fleet("trust", "--files")
        let digest = try #require(
            shown.output.firstMatch(of: /--trusted-files (sha256:[0-9a-f]{64})/)?.1
        )
        for environment in [
            ["FLEET_TRUSTED_FILES": String(digest)], ["FLEET_TRUSTED_FILES": "all"],
        ] {
            let done = try fleet("exec", "production", "--", "true", environment: environment)
            #expect(!done.errors.contains("E_UNTRUSTED"), "\(done.errors)")
        }
        let flag = try fleet("exec", "production", "--trusted-files", String(digest), "--", "true")
        #expect(!flag.errors.contains("E_UNTRUSTED"), "\(flag.errors)")
        try inventory("host_keys: accept-new, proxy_command: \"touch \(mark)\"")
        let changed = try fleet(
            "exec",
            "production",
            "--trusted-files",
            String(digest),
            "--",
            "true"
        )
        #expect(
            changed.status == 11 && changed.errors.contains("was agreed to"),
            "\(changed.errors)"
        )
        #expect(!FileManager.default.fileExists(atPath: mark))
        // Whoever only looks is not kept from it.
        for look in [["hosts", "production"], ["check"], ["trust", "--files", "--yes"]] {
            let seen = try Command.run(
                [Package.binary] + look,
                in: directory.path + "/project",
                environment: [
                    "FLEET_STATE_DIR": directory.path + "/state", "HOME": directory.path,
                    "FLEET_TRUSTED_FILES": String(digest),
                ]
            )
            #expect(seen.status == 0, "\(look): \(seen.errors)")
            #expect(seen.errors.contains("none of it takes effect"))
        }
    }

    /// Row H52.
    @Test(
        "A file of the project counts, however the value names it",
        arguments: [
            ("notify: [{ command: \"n=./tell;$n\" }]", "tell"),
            ("notify: [{ command: \"sh<tell\" }]", "tell"),
            ("notify: [{ command: \"run --config=tell\" }]", "tell"),
            ("notify: [{ command: './te\"\"ll' }]", "tell"),
            ("notify: [{ command: './t\\ell' }]", "tell"),
            ("notify: [{ command: './t?ll' }]", "tell"),
            ("notify: [{ command: './[!x]ell' }]", "tell"),
            ("notify: [{ command: '$PWD/tell' }]", "tell"),
            ("notify: [{ command: '${PWD}/tell' }]", "tell"),
            ("notify: [{ command: '$(pwd)/tell' }]", "tell"),
            ("notify: [{ command: './te${E}ll' }]", "tell"),
            ("notify: [{ command: './te$(true)ll' }]", "tell"),
            ("notify: [{ command: './te``ll' }]", "tell"),
            ("notify: [{ command: './$USER' }]", "whoever"),
            ("notify: [{ command: './notify-$FLEET_EVENT' }]", "notify-succeeded"),
            ("notify: [{ command: './${FLEET_EVENT}.sh' }]", "start.sh"),
            ("ssh: { proxy_command: './via-%n %h %p' }", "via-127.0.0.1"),
            ("ssh: { proxy_command: 'sh %r.sh' }", "x.sh"),
            ("notify: [{ command: '${X:-./tell}' }]", "tell"),
            ("notify: [{ command: \"'./my tool'\" }]", "my tool"),
            ("notify: [{ command: './a,b' }]", "a,b"), ("notify: [{ command: './te!l' }]", "te!l"),
            ("notify: [{ command: 'awk -fp.awk' }]", "p.awk"),
            ("notify: [{ command: 'cd tools && ./it' }]", "tools/it"),
            ("notify: [{ command: 'PATH=/usr/bin:./tools it' }]", "tools/it"),
            ("notify: [{ command: 'run-parts tools' }]", "tools/anything"),
            ("notify: [{ command: '../tools/it' }]", "../tools/it"),
            ("notify: [{ command: 'sh calls' }]", "called.sh"),
            ("ssh: { proxy_command: ./tell. }", "tell."),
            ("ssh: { proxy_command: './proxies/%n' }", "proxies/127.0.0.1"),
            ("ssh: { proxy_command: './p%%x' }", "p%x"),
            ("ssh: { proxy_command: 'ssh -F./conf gw' }", "conf"),
            ("ssh: { known_hosts: ~/project/tell }", "tell"),
            ("ssh: { known_hosts: keys/%h }", "keys/127.0.0.1"),
            ("ssh: { known_hosts: kh_%n }", "kh_127.0.0.1"),
            ("ssh: { known_hosts: './keys%%' }", "keys%"),
            ("ssh: { password: { command: [sh, -c, \"exec ./tell\"] } }", "tell"),
        ]
    )
    func namedFiles(value: String, file: String) throws {
        // The state directory is no part of a clone.
        let top = file.hasPrefix("..") ? directory.path : directory.path + "/project"
        try Command.shell("git init -q .", in: top)
        try directory.write(". ./called.sh\n", to: "project/calls")
        for file in ["called.sh", file] { try directory.write("one\n", to: "project/\(file)") }
        try directory.write(
            "hosts: [127.0.0.1]\n\(value)\n",
            to: "project/inventory/production.yml"
        )
        #expect(try fleet("trust", "--files", "--yes").status == 0)
        #expect(!(try fleet("exec", "production", "--", "true")).errors.contains("E_UNTRUSTED"))
        try directory.write("two\n", to: "project/\(file)")
        let changed = try fleet("exec", "production", "--", "true")
        #expect(isRefused(changed, naming: "sha256:"), "\(changed.output)\(changed.errors)")
    }

    /// Row H52.
    @Test(
        "Where a link leads is part of what was agreed to",
        arguments: [
            "ssh: { known_hosts: it }", "ssh: { known_hosts: it, host_keys: accept-new }",
            "ssh: { password: { file: it } }", "notify: [{ command: ./it }]",
            "notify: [{ command: 'cat sub/it' }]",
        ]
    )
    func links(value: String) throws {
        for name in ["one", "two"] { try directory.write("the same\n", to: name, mode: 0o600) }
        func link(to name: String) throws {
            try Command.shell(
                "ln -sfn ../\(name) it; mkdir -p sub; ln -sfn ../../\(name) sub/it",
                in: directory.path + "/project"
            )
        }
        try link(to: "one")
        try directory.write(
            "hosts: [127.0.0.1]\n\(value)\n",
            to: "project/inventory/production.yml"
        )
        #expect(try fleet("trust", "--files", "--yes").status == 0)
        #expect(!(try fleet("exec", "production", "--", "true")).errors.contains("E_UNTRUSTED"))
        try link(to: "two")
        let changed = try fleet("exec", "production", "--", "true")
        #expect(isRefused(changed, naming: "it"), "\(changed.output)\(changed.errors)")
        // What is not there yet is where a link may lead, too.
        try link(to: "nowhere")
        #expect(isRefused(try fleet("exec", "production", "--", "true"), naming: "it"))
    }

    /// Row H52.
    @Test(
        "A path with a variable, or a token in a directory, cannot be agreed to",
        arguments: [
            "${HOME}/../keys", "keys/%h/../../other", "keys/$X/y",
        ]
    )
    func unknowablePlaces(path: String) throws {
        try directory.write("x\n", to: "project/keys/x")
        try inventory("known_hosts: '\(path)'")
        #expect(try fleet("trust", "--files", "--yes").status == 0)
        #expect(
            isRefused(try fleet("exec", "production", "--", "true"), naming: "content not known")
        )
    }

    /// Row H52.
    @Test(
        "What was not pushed is not sent before that was agreed to: git's own files, and what git does not know",
        arguments: [".git/config", ".git", "secrets/token", "secrets", "../other", "."]
    )
    func unpushedFiles(source: String) throws {
        let project = directory.path + "/project"
        try Command.shell(
            "git init -q .; git add -A; git -c user.name=x -c user.email=x@y commit -qm x; mkdir secrets; "
                + "echo secret >secrets/token; echo x >../other",
            in: project
        )
        try directory.write(
            "steps:\n  - upload: { source: \(source), destination: /srv/x }\n",
            to: "project/playbooks/push.yml"
        )
        let refused = try fleet("run", "push", "production", "--yes")
        #expect(isRefused(refused, naming: "upload in production of "), "\(refused.errors)")
        #expect(try fleet("check").output.contains("not agreed to here upload in production of "))
        #expect(try fleet("trust", "--files", "--yes").status == 0)
        #expect(!(try fleet("run", "push", "production", "--yes")).errors.contains("E_UNTRUSTED"))
    }

    /// Row H52.
    @Test(
        "What is behind a link to a directory counts, and so does what cannot be named",
        arguments: [
            ("notify: [{ command: 'run-parts hooks' }]", ".n/10-tell", ".n/10-tell", true),
            ("ssh: { known_hosts: ../known_hosts }", "../known_hosts", "../known_hosts", true),
        ]
    )
    func behindLinks(value: String, file: String, changed: String, isAsked: Bool) throws {
        let project = directory.path + "/project"
        try Command.shell("git init -q ..; mkdir .n names; ln -s .n hooks", in: project)
        try Command.shell("echo one >\"\(file)\"", in: project)
        try directory.write(
            "hosts: [127.0.0.1]\n\(value)\n",
            to: "project/inventory/production.yml"
        )
        #expect(try fleet("trust", "--files", "--yes").status == 0)
        #expect(!(try fleet("exec", "production", "--", "true")).errors.contains("E_UNTRUSTED"))
        try Command.shell("echo two >\"\(changed)\"", in: project)
        let result = try fleet("exec", "production", "--", "true")
        #expect(result.errors.contains("E_UNTRUSTED") == isAsked, "\(result.errors)")
    }

    /// Row H52.
    @Test("Nobody can agree to a file whose name cannot be written down")
    func unnameableFiles() throws {
        let project = directory.path + "/project"
        try Command.shell("mkdir names; echo one >\"names/$(printf 'z\\377')\"", in: project)
        try directory.write(
            "hosts: [127.0.0.1]\nnotify: [{ command: 'cat names/* | sh' }]\n",
            to: "project/inventory/production.yml"
        )
        #expect(try fleet("trust", "--files", "--yes").status == 0)
        let refused = try fleet("exec", "production", "--", "true")
        #expect(refused.errors.contains("E_UNTRUSTED"), "\(refused.errors)")
    }

    /// Row H52.
    @Test("An environment's own env file that is a link to another file is not its own")
    func linkedEnvFile() throws {
        let project = directory.path + "/project"
        try Command.shell(
            "git init -q .; mkdir config; ln -s .env.production config/.env.staging",
            in: project
        )
        try directory.write("A=1\n", to: "project/config/.env.production", mode: 0o600)
        try directory.write(
            "hosts: [127.0.0.1]\nssh: { port: 1, user: x, connect_timeout: 1s }\n",
            to: "project/inventory/staging.yml"
        )
        try directory.write(
            "steps:\n  - env_file: { destination: /srv/x }\n",
            to: "project/playbooks/push.yml"
        )
        let run = try fleet("run", "push", "staging", "--yes")
        #expect(isRefused(run, naming: "env_file in staging"), "\(run.errors)")
    }

    /// Row H52.
    @Test(
        "The environment's own env file needs no agreement, another one's does",
        arguments: [
            ("", false), ("source: config/.env.staging, ", true),
        ]
    )
    func envFiles(source: String, isAsked: Bool) throws {
        let project = directory.path + "/project"
        try Command.shell("git init -q .; mkdir config", in: project)
        for name in ["production", "staging"] {
            try directory.write("A=1\n", to: "project/config/.env.\(name)", mode: 0o600)
        }
        try directory.write(
            "steps:\n  - env_file: { \(source)destination: /srv/x }\n",
            to: "project/playbooks/push.yml"
        )
        let run = try fleet("run", "push", "production", "--yes")
        #expect(isRefused(run, naming: "env_file in production") == isAsked, "\(run.errors)")
    }

    /// Row H52.
    @Test("known_hosts is the project's, wherever fleet is run")
    func knownHostsDirectory() throws {
        try inventory("known_hosts: keys/all")
        for place in ["", "playbooks/"] {
            try directory.write("127.0.0.1 \(place)\n", to: "project/\(place)keys/all")
        }
        let shown = try Command.run(
            [Package.binary, "hosts", "production", "--explain", "127.0.0.1"],
            in: directory.path + "/project/playbooks",
            environment: ["FLEET_STATE_DIR": directory.path + "/state", "HOME": directory.path]
        )
        #expect(shown.output.contains("/project/keys/all"), "\(shown.output)\(shown.errors)")
    }

    /// Row H52.
    @Test(
        "A name of a file or in one is never obeyed by the terminal, and a control character is refused where it stands"
    )
    func namesAreShown() throws {
        let escape = "\u{1B}[9A\u{1B}[J"
        try directory.write("steps: [\n", to: "project/playbooks/z\(escape).yml")
        try directory.write("hosts: [a]\n", to: "project/inventory/z\(escape).yml")
        try directory.write(
            "\"k\\e]0;x\\a\": x\n",
            to: "project/inventory/odd.yml"
        )
        try directory.write(
            "steps:\n  - name: \"a\\r\\nsucceeded\"\n    run: 'true'\n",
            to: "project/playbooks/odd.yml"
        )
        try inventory(
            "user: x",
            more: "notify: [{ command: \"true # tells\\r\\ntouch \(mark)\" }]\n"
        )
        for command in [
            ["check"], ["trust", "--files"], ["hosts", "odd"], ["run", "odd", "staging"],
            ["hosts", "nowhere"],
        ] {
            let result = try Command.run(
                [Package.binary] + command,
                in: directory.path + "/project",
                environment: [
                    "FLEET_STATE_DIR": directory.path + "/state", "HOME": directory.path, "CI": "1",
                ]
            )
            #expect(
                !(result.output + result.errors).unicodeScalars.contains {
                    $0 == "\u{1B}" || $0 == "\r" || $0 == "\u{7}"
                },
                "\(command)"
            )
        }
        let checked = try fleet("check")
        #expect(checked.status == 65 && checked.errors.contains("U+D is a control character"))
        #expect(checked.errors.contains("inventory/odd.yml:1:1") && checked.errors.contains("U+1B"))
    }

    /// Row H52.
    @Test(
        "Tokens and formats in a command stand for no file, and pushed links lead nowhere for ever"
    )
    func tokens() throws {
        try directory.write(
            "hosts: [127.0.0.1]\nssh: { proxy_command: 'false -W %h:%p', known_hosts: keys/%h }\n"
                + "notify: [{ command: 'date +%F; printf \"%s\" \"$FLEET_SUMMARY\"' }]\n",
            to: "project/inventory/production.yml"
        )
        try Command.shell(
            "mkdir keys; for i in 1 2 3 4 5 6 7 8; do ln -s . keys/l$i; done; ln -s / keys/root",
            in: directory.path + "/project"
        )
        #expect(try fleet("trust", "--files", "--yes").status == 0)
        try directory.write("more\n", to: "project/README")
        #expect(!(try fleet("exec", "production", "--", "true")).errors.contains("E_UNTRUSTED"))
        try directory.write("key\n", to: "project/keys/new")
        #expect(try fleet("exec", "production", "--", "true").errors.contains("E_UNTRUSTED"))
        // More than anybody looks at is not agreed to unseen.
        #expect(try fleet("trust", "--files", "--yes").status == 0)
        try Command.shell("seq 10001 | (cd keys && xargs touch)", in: directory.path + "/project")
        #expect(
            isRefused(
                try fleet("exec", "production", "--", "true"),
                naming: "more than 10000 files"
            )
        )
    }

    /// Row H52.
    @Test("A file of the project that a proxy_command names is that one, wherever fleet is run")
    func proxyDirectory() throws {
        for (name, word) in [("project", "honest"), ("project/playbooks", "foreign")] {
            try directory.write(
                "#!/bin/sh\necho \(word) >>\(directory.path)/ran; yes no | head -n 200\n",
                to: name + "/proxy.sh",
                mode: 0o755
            )
        }
        try Command.shell("ssh-keygen -q -t ed25519 -N '' -f key", in: directory.path)
        try inventory("proxy_command: ./proxy.sh %h, identity_file: \(directory.path)/key")
        #expect(try fleet("trust", "--files", "--yes").status == 0)
        _ = try Command.run(
            [Package.binary, "exec", "production", "--", "true"],
            in: directory.path + "/project/playbooks",
            environment: [
                "FLEET_STATE_DIR": directory.path + "/state", "HOME": directory.path, "CI": "1",
            ]
        )
        let ran = directory.read("ran") ?? ""
        #expect(ran.hasPrefix("honest\n") && !ran.contains("foreign"), "\(ran)")
    }

    /// Row H52.
    @Test(
        "`check` reads nothing outside the project, and packs none of it, before that was agreed to"
    )
    func checkReadsNothingOutside() throws {
        try Command.shell("mkdir outside; echo secret >outside/f", in: directory.path)
        try directory.write(
            "steps:\n  - upload: { source: ../outside, destination: /srv/x }\n",
            to: "project/playbooks/push.yml"
        )
        let uploads = directory.path + "/state/uploads"
        let seen = try fleet("check")
        #expect(seen.status == 0 && seen.output.contains("not agreed to here"), "\(seen.errors)")
        #expect(!FileManager.default.fileExists(atPath: uploads))
        #expect(try fleet("trust", "--files", "--yes").status == 0)
        #expect(try fleet("check").status == 0)
        #expect(FileManager.default.fileExists(atPath: uploads))
    }

    /// Row H52.
    @Test("A playbook that is named by its path can be agreed to by its path")
    func playbooksElsewhere() throws {
        let path = directory.path + "/elsewhere.yml"
        try directory.write(
            "steps:\n  - upload: { source: \(directory.path)/secret, destination: /srv/x }\n",
            to: "elsewhere.yml"
        )
        #expect(
            isRefused(try fleet("run", path, "production", "--yes"), naming: "/secret")
        )
        #expect(try fleet("trust", "--files", path, "--yes").status == 0)
        #expect(!(try fleet("run", path, "production", "--yes")).errors.contains("E_UNTRUSTED"))
        #expect(try fleet("trust", "--files", path + "x", "--yes").status == 65)
    }

    /// Row H52.
    @Test("Keys that `trust` itself adds to the project's known_hosts ask for no new agreement")
    func ownKnownHosts() throws {
        let fixture = try FleetFixture(hosts: 1)
        let host = fixture.servers[0]
        try fixture.directory.write("", to: "project/keys")
        try fixture.directory.write(
            fixture.inventory().replacing(
                host.knownHostsFile,
                with: fixture.directory.path + "/project/keys"
            ),
            to: "project/inventory/production.yml"
        )
        func fleet(_ arguments: String...) throws -> Command {
            try fixture.fleet(arguments, environment: ["FLEET_TRUSTED_FILES": ""])
        }
        #expect(try fleet("trust", "--files", "--yes").status == 0)
        let keys = try fleet("trust", "production", "--yes")
        #expect(keys.output.contains("1 key remembered"), "\(keys.output)\(keys.errors)")
        let done = try fleet("exec", "production", "--", "true")
        #expect(done.status == 0, "\(done.errors)")
        // Somebody else's change does.
        try Command.shell("echo >>keys", in: fixture.directory.path + "/project")
        #expect(try fleet("exec", "production", "--", "true").status == 11)
    }

    /// Row K3.
    @Test("`check` says where no smoke test tells the new release from the old one")
    func smokeTests() throws {
        for (smoke, isWarned) in [
            ("http: { url: \"http://127.0.0.1/health\" }", true), ("tcp: { port: 80 }", true),
            ("http: { url: \"http://127.0.0.1/health\", contains: \"${{ release.tag }}\" }", false),
            ("command: ./version | grep -qx \"$FLEET_TAG\"", false),
            ("command: \"./version | grep -qx ${{ release.commit }}\"", false),
        ] {
            try directory.write(
                "steps:\n  - checkout: { path: ~/app }\nsmoke:\n  - \(smoke)\n",
                to: "project/playbooks/deploy.yml"
            )
            let checked = try fleet("check")
            #expect(checked.status == 0, "\(checked.errors)")
            #expect(
                checked.output.contains("warning deploy: no smoke test") == isWarned,
                "\(smoke)"
            )
        }
    }

    /// Row H52.
    @Test(
        "Agreements of several processes at once are all kept, and a file that others may write counts for nothing"
    )
    func agreements() throws {
        try inventory("host_keys: accept-new")
        let projects = (0..<6).map { "p\($0)" }
        for project in projects {
            try Command.shell("cp -r project \(project)", in: directory.path)
        }
        let running = try projects.map { name in
            try ChildProcess(
                [
                    Package.binary, "trust", "--files", "--yes", "--project",
                    "\(directory.path)/\(name)",
                ],
                in: directory.path,
                environment: [
                    "FLEET_STATE_DIR": directory.path + "/state", "HOME": directory.path,
                ],
                files: ("/dev/null", "/dev/null", "/dev/null")
            )
        }
        for child in running { #expect(child.wait() == 0) }
        for project in projects {
            let done = try fleet("exec", "production", "--project", "../\(project)", "--", "true")
            #expect(!done.errors.contains("E_UNTRUSTED"), "\(project)")
        }
        try Command.shell("chmod 666 state/trusted-files", in: directory.path)
        let refused = try fleet("exec", "production", "--project", "../p0", "--", "true")
        #expect(isRefused(refused, naming: "accept-new"))
    }
}
