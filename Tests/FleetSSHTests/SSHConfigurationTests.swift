import FleetTestSupport
import FleetTransport
import Foundation
import Testing

@testable import FleetSSH

/// Our reading of ssh_config(5) beside `ssh -G`'s.
struct SSHConfigurationTests {
    @Test("Where HOME has no .ssh, the account's own is used, as ssh does")
    func homes() throws {
        let (home, account) = (try TemporaryDirectory(), try TemporaryDirectory())
        func found() -> String {
            SSHTransport.Environment.home(variable: home.path, account: account.path)
        }
        #expect(found() == home.path)
        try Command.shell("mkdir .ssh", in: account.path)
        #expect(found() == account.path)
        try Command.shell("mkdir .ssh", in: home.path)
        #expect(found() == home.path)
    }

    private let home: TemporaryDirectory

    init() throws { home = try TemporaryDirectory() }

    private func configuration(_ text: String) throws -> SSHConfiguration {
        let file = try SSHConfigurationReader.read(text: text, file: "config", home: home.path)
        return SSHConfiguration(files: [file])
    }

    private func settings(_ text: String, _ host: String, ssh: SSHSettings = SSHSettings()) throws
        -> EffectiveSettings
    {
        try EffectiveSettings(
            HostEndpoint(name: HostName(host), ssh: ssh),
            configuration: configuration(text),
            environment: .init(home: home.path, user: "me", agentSocket: "/agent") {
                ["DEPLOY_KEY": "/keys/deploy"][$0]
            },
            keepsRows: true
        )
    }

    // MARK: What it stands beside

    /// Row K5.
    @Test("Line ends of another system are white space, as to ssh")
    func carriageReturns() throws {
        let text = "Host h1\r\n  HostName 127.0.44.1\r\n  Port 2511\r\nHost *\r\n  User u\r\n"
        let settings = try settings(text, "h1")
        #expect(settings.hostname == "127.0.44.1" && settings.port == 2511 && settings.user == "u")
    }

    @Test(
        "What the inventory says is there before the first line is played, as ssh's command line is"
    )
    func commandLine() throws {
        let text = """
            Match host web1 user tb1
              IdentityFile ~/for-tb1
            Match host 10.1.*
              Port 2222
            Match user root
              Port 99
            """
        var ssh = SSHSettings()
        ssh.user = "tb1"
        ssh.hostname = "10.1.2.3"
        let found = try settings(text, "web1", ssh: ssh)
        #expect(found.port == 2222 && found.user == "tb1" && found.hostname == "10.1.2.3")
        ssh.hostname = nil
        #expect(try settings(text, "web1", ssh: ssh).identityFiles == [home.path + "/for-tb1"])
    }

    /// Row K9.
    @Test("An Include that is there and cannot be read is an error with its place")
    func unreadableInclude() throws {
        try home.write("Include work.conf\nHost *\n  User me\n", to: ".ssh/config", mode: 0o600)
        // What root may read always: a link that leads to itself cannot be read by anybody.
        try Command.shell("ln -s work.conf .ssh/work.conf", in: home.path)
        do throws(SSHConfiguration.Problem) {
            _ = try SSHConfigurationReader.read(
                user: home.path + "/.ssh/config",
                system: "/nonexistent",
                home: home.path
            )
            #expect(Bool(false), "passed over")
        } catch {
            #expect(error.place.line == 1 && error.reason.contains("work.conf cannot be read"))
        }
    }

    /// Row K9.
    @Test(
        "A directory of an Include that cannot be read is an error; one that is not there is nothing"
    )
    func unreadableIncludeDirectory() throws {
        func read() throws(SSHConfiguration.Problem) {
            _ = try SSHConfigurationReader.read(
                user: home.path + "/.ssh/config",
                system: "/nonexistent",
                home: home.path
            )
        }
        try home.write("Include conf.d/*\nHost *\n  User me\n", to: ".ssh/config", mode: 0o600)
        try read()
        // Root may read every directory, but nobody one that leads to itself.
        try Command.shell("ln -s conf.d .ssh/conf.d", in: home.path)
        do throws(SSHConfiguration.Problem) {
            try read()
            #expect(Bool(false), "passed over")
        } catch {
            #expect(error.place.line == 1 && error.reason.contains("cannot be read"), "\(error)")
        }
    }

    // MARK: Values

    @Test func theFirstValueWinsAndKeysAddUp() throws {
        let text = """
            # comment
            User=everyone
            Host web* !web9
                HostName %h.internal
                Port 2222 # trailing comment
                IdentityFile ~/.ssh/one
            Match host web1
                User matched
            Host *
                Port 22
                User late
                IdentityFile "~/.ssh/two"
                UserKnownHostsFile ~/.ssh/other /etc/more
            """
        let web1 = try settings(text, "web1")
        #expect(web1.hostname == "web1.internal")
        #expect(web1.port == 2222)
        #expect(web1.user == "everyone")
        #expect(web1.identityFiles == [home.path + "/.ssh/one", home.path + "/.ssh/two"])
        #expect(web1.knownHostsFiles.prefix(2) == [home.path + "/.ssh/other", "/etc/more"])
        let web9 = try settings(text, "web9")
        #expect(web9.hostname == "web9")
        #expect(web9.port == 22)
    }

    @Test func everyValueSaysWhereItComesFrom() throws {
        var ssh = SSHSettings()
        ssh.port = 2201
        let found = try settings("Host *\n  User someone\n  Port 44\n", "h", ssh: ssh)
        func row(_ name: String) -> [String] {
            found.rows.filter { $0.name == name }.flatMap { [$0.value, $0.source] }
        }
        #expect(row("port") == ["2201", "inventory"])
        #expect(row("user") == ["someone", "config:2"])
        #expect(row("stricthostkeychecking") == ["strict", "default"])
        #expect(row("hostkeyalias") == ["none", "default"])
    }

    @Test func tokensAndVariablesStandForTheirValues() throws {
        let found = try settings(
            """
            HostName %h.example.com
            Port 2222
            User deploy
            IdentityFile ~/keys/%r@%h:%p-%n-%u-%%
            IdentityFile ${DEPLOY_KEY}
            UserKnownHostsFile %d/known
            ProxyCommand nc %h %p
            """,
            "web"
        )
        #expect(
            found.identityFiles == [
                home.path + "/keys/deploy@web.example.com:2222-web-me-%", "/keys/deploy",
            ]
        )
        #expect(found.knownHostsFiles.first == home.path + "/known")
        #expect(found.route == .command("nc web.example.com 2222"))
        #expect(throws: TransportError.self) { try settings("IdentityFile %Z", "web") }
        #expect(throws: TransportError.self) { try settings("IdentityFile ${MISSING}", "web") }
    }

    @Test func theInventorysWayReplacesTheOneInTheFile() throws {
        let text = "ProxyJump other\n"
        #expect(try settings(text, "h").route == .jump([try #require(JumpHop("other"))]))
        var ssh = SSHSettings()
        ssh.jump = "none"
        #expect(try settings(text, "h", ssh: ssh).route == .direct)
        ssh.jump = nil
        ssh.proxyCommand = "nc %h 22"
        #expect(try settings(text, "h", ssh: ssh).route == .command("nc h 22"))
    }

    @Test func aHostIsNotReachedThroughItself() throws {
        let text = "Host h\n  HostName real\n  ProxyJump a,u@real\n"
        let error = #expect(throws: TransportError.self) { try settings(text, "h") }
        #expect(error?.message.contains("through itself") ?? false)
        #expect(throws: Never.self) { try settings("ProxyJump h:2222", "h") }
    }

    @Test func aSilentHostIsFoundInTimeWhateverTheFileSays() throws {
        for text in ["ServerAliveInterval 0", "ServerAliveInterval 300", "ServerAliveCountMax 0"] {
            let found = try settings(text, "h")
            #expect(found.aliveMilliseconds * (found.aliveCount + 1) <= 25_000)
        }
        let own = try settings("ServerAliveInterval 3\nServerAliveCountMax 4", "h")
        #expect(own.aliveMilliseconds == 3_000)
        #expect(own.aliveCount == 4)
    }

    @Test func theAgentIsTheNamedOne() throws {
        #expect(try settings("", "h").agentSocket == "/agent")
        #expect(try settings("IdentityAgent none", "h").agentSocket == nil)
        #expect(try settings("IdentityAgent ~/a.sock", "h").agentSocket == home.path + "/a.sock")
        #expect(try settings("IdentityAgent $DEPLOY_KEY", "h").agentSocket == "/keys/deploy")
    }

    /// Row H52.
    @Test(
        "A secret of the project's files goes to known hosts only, whatever ssh_config says of hosts like it"
    )
    func secretsGoToKnownHosts() throws {
        var ssh = SSHSettings()
        ssh.password = .file("secrets/ssh")
        #expect(try settings("StrictHostKeyChecking no", "h", ssh: ssh).hostKeys == .strict)
        (ssh.password, ssh.becomePassword) = (nil, .environment("X"))
        #expect(try settings("StrictHostKeyChecking no", "h", ssh: ssh).hostKeys == .strict)
        ssh.hostKeys = .acceptNew
        #expect(try settings("StrictHostKeyChecking yes", "h", ssh: ssh).hostKeys == .acceptNew)
        ssh = SSHSettings()
        ssh.password = .prompt("SSH password")
        #expect(try settings("StrictHostKeyChecking no", "h", ssh: ssh).hostKeys == .acceptNew)
    }

    @Test func noWayLeadsAroundTheHostKeyCheck() throws {
        #expect(try settings("StrictHostKeyChecking no", "h").hostKeys == .acceptNew)
        #expect(try settings("StrictHostKeyChecking ask", "h").hostKeys == .strict)
        #expect(try settings("StrictHostKeyChecking yes", "h").hostKeys == .strict)
    }

    // MARK: Problems

    @Test func matchExecIsRefusedOnlyWhereItWouldHaveToBeDecided() throws {
        let text = "Match originalhost web* exec \"test -e /vpn\"\n  Port 9\n"
        #expect(try settings(text, "db1").port == 22)
        let error = #expect(throws: TransportError.self) { try settings(text, "web1") }
        #expect(
            error?.message.contains("config:1: `Match exec` (`test -e /vpn`) is for ssh to decide")
                ?? false
        )
    }

    @Test(arguments: [
        ("Port 0", "config:1"), ("\n\nPort x", "config:3"), ("Frobnicate yes", "no setting"),
        ("Host", "needs a value"), ("User \"open", "not closed"), ("Port 1 2", "one too many"),
        ("StrictHostKeyChecking maybe", "accept-new"), ("Match nothing x", "no condition"),
        ("Match all host x", "no other condition"), ("ProxyJump -oops", "[user@]host"),
        ("CanonicalizeHostname maybe", "one of"), ("Match host", "needs a value"),
    ])
    func saysWhatSSHWouldRefuse(_ text: String, _ expected: String) {
        let error = #expect(throws: SSHConfiguration.Problem.self) {
            try configuration(text).values(for: "h", localUser: "me")
        }
        let message = error.map { "\($0.place): \($0.reason)" } ?? ""
        #expect(message.contains(expected), "\(message)")
    }

    /// Row K11.
    @Test(
        "What only ssh can do is for ssh, where it is in force and nowhere else",
        arguments: [
            "Match tagged x\n", "CanonicalizeHostname yes", "BindInterface lo", "ForwardAgent yes",
            "PKCS11Provider /lib/x.so", "KnownHostsCommand /bin/true", "ForwardAgent /a/socket",
            "ProxyCommand nc %h %p\n ProxyUseFdpass yes", "Match localnetwork 10.0.0.0/8\n",
            "CanonicalizePermittedCNAMEs *.a:*.b",
            "PreferredAuthentications gssapi-with-mic\n"
                + " GSSAPIAuthentication yes",
        ]
    )
    func leftToSSH(line: String) throws {
        let text = "Host away\n Port 7\nMatch host web1\n \(line)\nHost away\n Port 7\n"
        let error = #expect(throws: TransportError.self) {
            try settings(
                line.hasPrefix("Match") ? line : text,
                "web1"
            )
        }
        #expect(error?.token == "E_CLIENT", "\(String(describing: error))")
        #expect(error?.message.contains("config:") ?? false, "\(String(describing: error))")
        guard !line.hasPrefix("Match") else { return }
        #expect(try settings(text, "other").hostname == "other")
    }

    @Test("A setting that switches such a thing off, or that counts for nothing, is no reason")
    func notLeftToSSH() throws {
        let text = """
            CanonicalizeHostname no
            PKCS11Provider none
            KnownHostsCommand none
            ForwardAgent no
            ProxyUseFdpass yes
            GSSAPIAuthentication yes
            CanonicalizePermittedCNAMEs none
            """
        let found = try settings(text, "h")
        #expect(found.foreignMethods == ["gssapi-with-mic"])
        #expect(found.methods == [.publicKey, .keyboardInteractive, .password])
    }

    @Test("How to log in is what ssh_config says, in its order")
    func loginMethods() throws {
        func methods(_ text: String) throws -> [LoginMethod] { try settings(text, "h").methods }
        #expect(
            try methods("PreferredAuthentications password,publickey") == [.password, .publicKey]
        )
        #expect(try methods("PasswordAuthentication no") == [.publicKey, .keyboardInteractive])
        #expect(try methods("KbdInteractiveAuthentication no") == [.publicKey, .password])
        #expect(throws: TransportError.self) {
            try methods("PreferredAuthentications password\nPasswordAuthentication no")
        }
    }

    /// Row H52.
    @Test(
        "A user that a shell would read as a command comes into no ProxyCommand",
        arguments: ["ssh://a%%24%%28touch%%20x%%29@bastion", "ssh://a%24%28touch%20x%29@bastion"]
    )
    func jumpUser(jump: String) throws {
        var ssh = SSHSettings()
        ssh.jump = jump
        let error = #expect(throws: TransportError.self) { try settings("", "web1", ssh: ssh) }
        #expect(error?.token == "E_SSH_CONFIG")
        let text = "Host h\n User \"a$(touch x)\"\n ProxyCommand nc %h %p %r\n"
        let other = #expect(throws: TransportError.self) { try settings(text, "h") }
        #expect(other?.message.contains("`%r` in the ProxyCommand of h") ?? false)
        #expect(try settings(text.replacing(" %r", with: ""), "h").user == "a$(touch x)")
    }

    @Test("The algorithms that ssh_config allows are those that are offered")
    func algorithms() throws {
        let text = "Ciphers aes256-ctr,aes128-ctr\nMACs -*etm*\nKexAlgorithms ^ecdh-*\n"
        let found = try settings(text, "h").algorithms
        #expect(found.ciphers == ["aes256-ctr", "aes128-ctr"])
        #expect(found.macs == ["hmac-sha2-256", "hmac-sha2-512"])
        #expect(found.keyExchange.first == "ecdh-sha2-nistp256")
        #expect(try settings("Ciphers chacha20-poly1305@openssh.com", "h").algorithms.ciphers == [])
    }

    @Test func unknownSettingsMayBeIgnoredByName() throws {
        // And what ssh knows is in force, whatever is ignored.
        #expect(try settings("IgnoreUnknown *\nFrobnicate yes\nPort 7", "h").port == 7)
        #expect(throws: (any Error).self) {
            try settings("Host x\nIgnoreUnknown *\nFrobnicate yes\n", "h")
        }
        #expect(try settings("IgnoreUnknown Frob*\nFrobnicate yes\nPort 7", "h").port == 7)
    }

    @Test func aFileThatOthersMayWriteIsRefused() throws {
        try home.write("Port 7\n", to: ".ssh/config", mode: 0o666)
        chmod(home.path + "/.ssh/config", 0o666)
        let error = #expect(throws: SSHConfiguration.Problem.self) {
            try SSHConfigurationReader.read(
                user: home.path + "/.ssh/config",
                system: "/nonexistent",
                home: home.path
            )
        }
        #expect(error?.reason.contains("chmod 600") ?? false)
    }

    @Test func filesIncludeOthers() throws {
        try home.write("User inner\nHost x\n  Port 5\n", to: ".ssh/conf.d/one")
        try home.write("Port 6\n", to: ".ssh/conf.d/two")
        try home.write(
            "Host x y\n  Include conf.d/*\n  IdentityFile /k\nHost *\n  Port 7\n",
            to: ".ssh/config"
        )
        let configuration = try SSHConfigurationReader.read(
            user: home.path + "/.ssh/config",
            system: "/nonexistent",
            home: home.path
        )
        func port(_ host: String) throws -> String? {
            try configuration.values(for: host, localUser: "me")[.port]?.first
        }
        #expect(try port("x") == "5")
        #expect(try port("y") == "6")
        #expect(try port("z") == "7")
        // What an included file says of hosts ends with it.
        let y = try configuration.values(for: "y", localUser: "me")
        #expect(y[.identityFile]?.words == ["/k"])
        try home.write("Include config\n", to: ".ssh/config")
        #expect(throws: SSHConfiguration.Problem.self) {
            try SSHConfigurationReader.read(
                user: home.path + "/.ssh/config",
                system: "/nonexistent",
                home: home.path
            )
        }
    }

    @Test(arguments: [
        ("host", nil, "host", nil), ("u@host", "u", "host", nil), ("u@host:22", "u", "host", 22),
        ("ssh://u@host:2222/", "u", "host", 2222), ("[::1]:22", nil, "::1", 22),
        ("::1", nil, "::1", nil), ("a@b@host", "a@b", "host", nil),
    ])
    func readsHops(_ text: String, _ user: String?, _ host: String, _ port: Int?) throws {
        let hop = try #require(JumpHop(text))
        #expect(hop.user == user)
        #expect(hop.host == host)
        #expect(hop.port == port)
        #expect(JumpHop(hop.text) == hop)
    }

    @Test(arguments: [
        "", "-x", "u@", "host:0", "host:x", "@host", "a b", "[::1]x", "$(x)@host", "a;b@host",
        "-l@host", "a`b`@host",
        "ssh://a%24%28touch%20x%29@host", "ssh://a%2Cb@host", "work/host",
    ])
    func refusesWhatIsNoHop(_ text: String) { #expect(JumpHop(text) == nil) }
}
