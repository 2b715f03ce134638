import FleetServing
import FleetTransport
import FleetYAML
import Testing

struct ServerFileTests {
    private static let small = """
        public_url: https://fleet.example.com/
        project: { repository: git@example.com:ops/deploy.git }
        """

    private func read(_ text: String) throws -> ServerFile {
        try ServerFileReader.read(text, file: "server.yml")
    }

    private func problems(_ text: String) -> [String] {
        do {
            _ = try read(text)
            return []
        } catch let error as Diagnostics {
            return error.all.map(\.message)
        } catch {
            return ["\(error)"]
        }
    }

    @Test("A small file is enough, and what it leaves out is safe")
    func small() throws {
        let file = try read(Self.small)
        #expect(
            file.publicURL == "https://fleet.example.com" && file.authority == "fleet.example.com"
        )
        #expect(
            file.isSecure && file.tls == nil && file.trustedProxies.isEmpty && file.accounts.isEmpty
        )
        #expect(file.listen == .address(host: "127.0.0.1", port: 8080))
        #expect(file.project.branch == "main" && file.project.trust == .ask)
        #expect(file.project.pollMilliseconds == 300_000)
    }

    @Test("Everything that can be said is understood")
    func whole() throws {
        let file = try read(
            """
            listen: unix:/run/fleet/server.sock
            public_url: https://fleet.example.com
            trusted_proxies: [unix, 10.0.0.0/8]
            sign_in:
              proxy: { user_header: Remote-User, time_header: Remote-Auth-Time }
            project: { repository: /srv/deploy.git, branch: release, folder: ops, trust: signed_commits, poll: 1m }
            accounts:
              ada: { role: admin, addresses: [ada@example.org], logins: { github: ada-l } }
              bob: { role: { staging: deploy, production: [see, approve] } }
            hooks:
              app:
                provider: github
                secret: { file: /etc/fleet/hook }
                next_secret: { env: NEXT }
                repository: https://github.com/acme/app.git
                project: acme/app
                poll: 30s
                rules:
                  - { branch: main, deploy: staging }
                  - { tag: "v*", deploy: [staging, production], after_ci: build }
            """
        )
        #expect(file.listen == .socket(path: "/run/fleet/server.sock"))
        #expect(
            file.proxySignIn?.userHeader == "Remote-User"
                && file.proxySignIn?.timeHeader == "Remote-Auth-Time"
        )
        #expect(file.project.folder == "ops" && file.project.trust == .signedCommits)
        let hook = try #require(file.hook(named: "app"))
        #expect(hook.secrets == [.source(.file("/etc/fleet/hook")), .source(.environment("NEXT"))])
        #expect(hook.pollMilliseconds == 30_000)
        #expect(hook.rules[0].wants("refs/heads/main") && !hook.rules[0].wants("refs/tags/main"))
        #expect(hook.rules[1].wants("refs/tags/v1.2") && !hook.rules[1].wants("refs/heads/v1"))
        #expect(hook.rules[1].afterCI == .named("build"))
        #expect(file.account(login: "ada-l", at: .github, address: nil)?.name == "ada")
        #expect(file.account(login: "ada-l", at: .gitlab, address: nil) == nil)
        #expect(file.account(login: nil, at: .gitea, address: "ada@example.org")?.name == "ada")
        #expect(file.account(login: nil, at: .github, address: nil) == nil)
    }

    @Test(
        "What is wrong is said with its place and what to write",
        arguments: [
            ("public_url: fleet.example.com\n", "`public_url` must be an address"),
            ("public_url: https://example.com/fleet\n", "`public_url` has no path"),
            ("public_url: https://u:p@example.com\n", "`public_url` must be an address"),
            ("listen: 8080\n", "is no address to listen on"),
            ("listen: 0.0.0.0:80\n", "sends passwords"),
            ("listen: example.com:80\n", "is no address to listen on"),
            ("trusted_proxies: [10.0.0.0/33]\n", "is no address"),
            ("sign_in: { proxy: { user_header: Remote-User } }\n", "needs `trusted_proxies`"),
            ("acounts: {}\n", "unknown key `acounts`"),
            ("accounts: { ada: { role: root } }\n", "is no role"),
            ("accounts: { ada: {} }\n", "needs `role`"),
            ("accounts: { -x: { role: see } }\n", "no account's name"),
            (
                "accounts: { a: { role: see, addresses: x@y }, b: { role: see, addresses: x@y } }\n",
                "a's address, too"
            ),
            (
                "accounts: { a: { role: see, logins: { github: x } }, b: { role: see, logins: { github: x } } }\n",
                "a's login, too"
            ),
            ("hooks: { app: { provider: github } }\n", "needs `secret`"),
            ("hooks: { app: { provider: gitbub } }\n", "`provider` cannot be `gitbub`"),
            ("hooks: { app: { provider: github, secret: hunter2 } }\n", "says where the secret is"),
            ("hooks: { app: { provider: github, secret: { file: x, env: Y } } }\n", "needs one of"),
            ("hooks: { app: { provider: github, accept_token: true } }\n", "is for GitLab"),
            (
                "hooks: { app: { rules: [{ branch: main, tag: v*, deploy: x }] } }\n",
                "either a `branch` or a `tag`"
            ),
            ("hooks: { app: { rules: [{ branch: main }] } }\n", "a rule needs `deploy`"),
            ("hooks: { app: { rules: [{ tag: v*, deploy: [a, a] }] } }\n", "stands there twice"),
            ("hooks: { app: { repository: -oProxyCommand=x } }\n", "is no repository"),
        ]
    )
    func mistakes(text: String, words: String) {
        let rest = text.hasPrefix("public_url") ? "" : "public_url: https://fleet.example.com\n"
        let found = problems(rest + "project: { repository: x }\n" + text)
        #expect(found.contains { $0.contains(words) }, "\(text) \(found)")
    }

    @Test("A branch, a folder and a repository cannot be an option of git or lead elsewhere")
    func project() {
        for (key, value) in [
            ("branch", "-x"), ("branch", "a..b"), ("branch", "a b"), ("folder", "/etc"),
            ("folder", "a/../.."),
            ("repository", "ext::sh -c id"), ("repository", "--upload-pack=x"), ("trust", "nobody"),
        ] {
            let fields =
                key == "repository"
                ? "repository: \"\(value)\"" : "repository: x, \(key): \"\(value)\""
            #expect(
                !problems("public_url: https://x.org\nproject: { \(fields) }\n").isEmpty,
                "\(key) \(value)"
            )
        }
        #expect(problems("public_url: https://x.org\n") == ["a server file needs `project`"])
    }
}

struct AccessTests {
    @Test("The table of roles and rights is this one, whole")
    func matrix() {
        let table: [Role: Set<Right>] = [
            .see: [.view], .deploy: [.view, .deploy, .stop, .revert],
            .approve: [.view, .approve, .stop],
            .admin: [.view, .deploy, .stop, .revert, .approve, .override, .administer],
        ]
        for role in Role.allCases {
            for right in Right.allCases {
                #expect(role.allows(right) == table[role]?.contains(right), "\(role) \(right)")
            }
        }
    }

    @Test("A role in one environment says nothing about another one, nor about the server")
    func environments() {
        let roles = Roles(["staging": [.admin], "production": [.see]])
        #expect(roles.allow(.deploy, in: "staging") && !roles.allow(.deploy, in: "production"))
        #expect(!roles.allow(.view, in: "qa"))
        #expect(roles.allow(.view, in: nil) && !roles.allow(.administer, in: nil))
        let everywhere = Roles(["*": [.deploy], "production": [.see]])
        #expect(everywhere.allow(.deploy, in: "qa") && !everywhere.allow(.deploy, in: "production"))
        #expect(Roles(["*": [.admin]]).allow(.administer, in: nil))
        #expect(!Roles([:]).allow(.view, in: nil))
    }

    @Test("A token does no more than its scopes say, and administers nothing")
    func scopes() {
        for right in Right.allCases {
            #expect(!TokenScope.allow([], right, isProtected: false))
            #expect(TokenScope.allow([.read], right, isProtected: false) == (right == .view))
            #expect(TokenScope.allow([.write], right, isProtected: false) == (right != .administer))
            #expect(TokenScope.allow([.write], right, isProtected: true) == (right == .view))
            #expect(
                TokenScope.allow([.production], right, isProtected: true) == (right != .administer)
            )
        }
    }
}

struct AddressRangeTests {
    @Test(
        arguments: [
            ("127.0.0.1", "127.0.0.1", true), ("127.0.0.1", "127.0.0.2", false),
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.1", false), ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("::1", "::1", true), ("::1", "0:0:0:0:0:0:0:1", true),
            ("2001:db8::/32", "2001:db8:1::5", true),
            ("2001:db8::/32", "2001:db9::", false), ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("::ffff:10.0.0.1", "10.0.0.1", true), ("fe80::/10", "fe80::1", true),
            ("unix", "127.0.0.1", false),
        ]
    )
    func contains(range: String, address: String, isIn: Bool) throws {
        #expect(try #require(AddressRange(range)).contains(address) == isIn)
    }

    @Test(
        arguments: [
            "", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1.2.3.4/33", "1.2.3.4/-1",
            "1.2.3.4/8/8", ":::", "1::2::3",
            "g::1", "12345::", "localhost", "1.2.3.4:80", "0x7f.0.0.1",
        ]
    )
    func nonsense(text: String) { #expect(AddressRange(text) == nil) }

    /// Row S18.
    @Test("Only what trusted proxies have added to X-Forwarded-For is believed")
    func forwarded() throws {
        let proxies = [
            try #require(AddressRange("10.0.0.0/8")), try #require(AddressRange("unix")),
        ]
        func client(_ peer: String?, _ forwarded: String...) -> String {
            AddressRange.client(peer: peer, forwarded: forwarded, proxies: proxies)
        }
        #expect(client("203.0.113.9", "1.1.1.1") == "203.0.113.9")
        #expect(client("10.0.0.1", "1.1.1.1") == "1.1.1.1")
        #expect(client("10.0.0.1", "6.6.6.6, 1.1.1.1") == "1.1.1.1")
        #expect(client("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2") == "1.1.1.1")
        #expect(client("10.0.0.1", "6.6.6.6", "1.1.1.1") == "1.1.1.1")
        #expect(client("10.0.0.1", "<script>") == "10.0.0.1" && client("10.0.0.1") == "10.0.0.1")
        #expect(client(nil, "1.1.1.1") == "1.1.1.1" && client(nil) == "unix")
    }
}
