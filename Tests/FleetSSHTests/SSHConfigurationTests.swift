import FleetTestSupport
import FleetTransport
import Foundation
import Testing

@testable import FleetSSH

/// Our reading of ssh_config(5) beside `ssh -G`'s.
struct SSHConfigurationTests {
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
        // What root may read always: a directory cannot be read as a file by anybody.
        try Command.shell("mkdir .ssh/work.conf", in: home.path)
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
        ("StrictHostKeyChecking maybe", "accept-new"), ("Match tagged x", "for ssh to decide"),
        ("Match all host x", "no other condition"), ("ProxyJump -oops", "[user@]host"),
        ("CanonicalizeHostname yes", "for ssh to obey"), ("Match host", "needs a value"),
    ])
    func saysWhatSSHWouldRefuse(_ text: String, _ expected: String) {
        let error = #expect(throws: SSHConfiguration.Problem.self) { try configuration(text) }
        let message = error.map { "\($0.place): \($0.reason)" } ?? ""
        #expect(message.contains(expected), "\(message)")
    }

    @Test func unknownSettingsMayBeIgnoredByName() throws {
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

    @Test(arguments: ["", "-x", "u@", "host:0", "host:x", "@host", "a b", "[::1]x"])
    func refusesWhatIsNoHop(_ text: String) { #expect(JumpHop(text) == nil) }

    // MARK: The reference

    /// Thousands of generated configurations, each asked for several hosts; a divergence prints
    /// the file.
    @Test func agreesWithSSHOverGeneratedFiles() async throws {
        try await busily { try compareGeneratedFiles() }
    }

    private func compareGeneratedFiles() throws {
        var random = SeededRandom(seed: 20_260)
        for _ in 0..<700 {
            let text = Generator.file(&random)
                .replacing("INCLUDED", with: home.path + "/included")
            try home.write(text, to: "config", mode: 0o600)
            try home.write(Generator.file(&random, lines: 4), to: "included", mode: 0o600)
            for host in Generator.hosts.shuffled(using: &random).prefix(3) {
                try compare(text, host)
            }
        }
    }

    private func differ(unless isSame: Bool, _ what: String) throws {
        guard isSame else { throw Command.Failed(description: what) }
    }

    private func compare(_ text: String, _ host: String) throws {
        let result = try Command.run(["ssh", "-G", "-F", home.path + "/config", host])
        let ours: [SSHConfiguration.Keyword: SSHConfiguration.Value]
        do {
            let configuration = try SSHConfigurationReader.read(
                user: home.path + "/config",
                system: "/nonexistent",
                home: home.path
            )
            ours = try configuration.values(for: host, localUser: NSUserName())
        } catch {
            try differ(unless: result.status != 0, "we refuse, ssh does not: \(error)\n\(text)")
            return
        }
        guard result.status == 0 else {
            // That a host is its own jump host is found when the settings are put together.
            guard !result.errors.contains("jumphost loop") else { return }
            throw Command.Failed(description: "ssh refuses, we do not: \(result.errors)\n\(text)")
        }
        var theirs: [String: [String]] = [:]
        for line in result.output.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 1)
            theirs[String(words[0]), default: []].append(words.count > 1 ? String(words[1]) : "")
        }
        let hostname = ours[.hostName]?.first ?? host
        try differ(unless: theirs["hostname"] == [hostname.lowercased()], "\(host)\n\(text)")
        for (keyword, value) in ours where keyword != .hostName {
            let expected: [String]
            switch keyword {
            case .identityFile, .certificateFile: expected = value.words
            case .connectTimeout, .serverAliveInterval:
                expected = ["\(SSHConfigurationReader.seconds(value.first) ?? -1)"]
            case .identitiesOnly:
                expected = [SSHConfigurationReader.flag(value.first) == true ? "yes" : "no"]
            case .strictHostKeyChecking:
                let names = ["yes": "true", "no": "false", "off": "false"]
                expected = [names[value.first] ?? value.first]
            case .proxyJump, .proxyCommand:
                // `none` is not printed.
                expected = value.first == "none" ? [] : [value.first]
            case .hostKeyAlias: expected = [value.first.lowercased()]
            case .userKnownHostsFile, .identityAgent:
                // Printed with `~` written out, by the password file's home.
                let home = String(cString: getpwuid(getuid()).pointee.pw_dir)
                expected = [
                    value.words.map { $0.hasPrefix("~/") ? home + $0.dropFirst() : $0 }
                        .joined(separator: " ")
                ]
            default: expected = [value.words.joined(separator: " ")]
            }
            try differ(
                unless: theirs[keyword.rawValue] ?? [] == expected,
                "\(keyword) of \(host) in\n\(text)"
            )
        }
        // Nothing that ssh has set is missing from ours.
        for keyword in SSHConfiguration.Keyword.allCases where ours[keyword] == nil {
            guard let value = theirs[keyword.rawValue] else { continue }
            let untouched = ["hostname", "user", "port"].contains(keyword.rawValue)
            try differ(
                unless: untouched || Generator.defaults[keyword.rawValue] == value,
                "\(keyword) of \(host) is \(value) in\n\(text)"
            )
        }
    }
}

/// Configurations that look like people's, with what trips parsers.
private enum Generator {
    static let hosts = ["web1", "web2.example.com", "db", "Bastion", "10.0.0.7", "other"]

    /// What `ssh -G` prints for an empty file.
    static let defaults: [String: [String]] = {
        let output = (try? Command.run(["ssh", "-G", "-F", "none", "x"]).output) ?? ""
        var values: [String: [String]] = [:]
        for line in output.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 1).map(String.init)
            values[words[0], default: []].append(words.count > 1 ? words[1] : "")
        }
        return values
    }()

    static func file(_ random: inout SeededRandom, lines: Int = 14) -> String {
        (0..<Int.random(in: 1...lines, using: &random)).map { _ in line(&random) }
            .joined(separator: "\n") + "\n"
    }

    private static func line(_ random: inout SeededRandom) -> String {
        func pick(_ words: [String]) -> String { words.randomElement(using: &random) ?? "" }
        let indent = pick(["", "  ", "\t", "    "])
        let gap = pick([" ", " ", "  ", "\t", "=", " = "])
        let patterns = ["web*", "!web1", "*", "web?.example.com", "db", "10.0.0.*", "bastion", "x"]
        switch Int.random(in: 0..<24, using: &random) {
        case 0, 1, 2:
            let count = Int.random(in: 1...3, using: &random)
            return "Host \(patterns.shuffled(using: &random).prefix(count).joined(separator: " "))"
        case 3, 4:
            let lists = ["web*", "web1,db", "*,!db", "10.0.0.7", "*.example.com"]
            let criteria = [
                "all", "host \(pick(lists))", "originalhost \(pick(lists))", "user root,deploy",
                "!host db", "localuser *", "host=\"web1\"", "final host \(pick(lists))", "final",
                "user deploy originalhost web*", "!final host web*", "canonical all",
            ]
            return "Match \(pick(criteria))"
        case 5: return "Include \(pick(["INCLUDED", "missing*"]))"
        case 6:
            return
                "\(indent)HostName\(gap)\(pick(["%h.internal", "10.1.1.1", "Mixed.Case", "a%%b"]))"
        case 7: return "\(indent)User\(gap)\(pick(["deploy", "root", "\"quoted\"", "'single'"]))"
        case 8: return "\(indent)Port\(gap)\(pick(["22", "2222", "65535"]))"
        case 9, 10:
            return
                "\(indent)IdentityFile\(gap)\(pick(["~/.ssh/a", "/k/%h", "\"/with space/k\"", "~/.ssh/b"]))"
        case 11: return "\(indent)IdentitiesOnly\(gap)\(pick(["yes", "no", "true"]))"
        case 12:
            return "\(indent)identityagent\(gap)\(pick(["none", "SSH_AUTH_SOCK", "~/agent.sock"]))"
        case 13:
            return "\(indent)UserKnownHostsFile\(gap)\(pick(["~/k1 ~/k2", "/dev/null", "~/k3"]))"
        case 14:
            return "\(indent)StrictHostKeyChecking\(gap)\(pick(["yes", "no", "ask", "accept-new"]))"
        case 15: return "\(indent)ProxyJump\(gap)\(pick(["bastion", "u@b:2222", "a,b", "none"]))"
        case 16:
            return "\(indent)ProxyCommand\(gap)\(pick(["ssh -W %h:%p b", "none", "nc \"%h\" %p"]))"
        case 17: return "\(indent)ConnectTimeout\(gap)\(pick(["10", "1m", "none"]))"
        case 18: return "\(indent)ServerAliveInterval\(gap)\(pick(["15", "0", "1m30s"]))"
        case 19: return "\(indent)CertificateFile\(gap)\(pick(["~/c-cert.pub", "/c2"]))"
        case 20: return "\(indent)HostKeyAlias\(gap)\(pick(["alias", "Other"]))"
        case 21: return pick(["# a comment", "", "   ", "\t# indented"])
        case 22: return "\(indent)GlobalKnownHostsFile\(gap)\(pick(["/g1", "/g1 /g2"]))"
        default:
            return pick([
                "  AddressFamily inet", "ServerAliveCountMax 5", "ForwardAgent no", "Port abc",
                "  SendEnv LANG LC_*", "Bogus yes", "Compression yes", "Port 22 # why not",
            ])
        }
    }
}
