import FleetTestSupport
import FleetTransport
import Foundation
import Testing

@testable import FleetSSH

/// Our reading of ssh_config(5) beside `ssh -G`'s, over generated files.
struct SSHConfigurationReferenceTests {
    private let home: TemporaryDirectory

    init() throws { home = try TemporaryDirectory() }

    /// `FLEET_SSH_PAIRS` pairs of file and host, from `FLEET_SSH_SEED` on; a difference prints the files.
    @Test("Generated files mean the same to us and to ssh") func generatedFiles() async throws {
        let variables = ProcessInfo.processInfo.environment
        let count = variables["FLEET_SSH_PAIRS"].flatMap { Int($0) } ?? 2000
        let seed = variables["FLEET_SSH_SEED"].flatMap { UInt64($0) } ?? 20_260
        try await busily { try compareGeneratedFiles(count, seed: seed) }
    }

    private func compareGeneratedFiles(_ count: Int, seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var generator = NastyConfiguration(home: home.path)
        var accepted = 0
        var pairs = 0
        var differences: [String] = []
        while pairs < count {
            let files = generator.files(&random)
            for (name, text) in files {
                try Data(text).write(to: URL(fileURLWithPath: "\(home.path)/\(name)"))
                chmod("\(home.path)/\(name)", 0o600)
            }
            for host in NastyConfiguration.hosts.shuffled(using: &random).prefix(3) {
                pairs += 1
                guard let difference = try difference(for: host, &accepted) else { continue }
                // A zero byte cuts off what we only skip, and ssh looks at its value.
                if difference.hasPrefix("ssh refuses"), files.contains(where: { $0.1.contains(0) })
                {
                    continue
                }
                let texts = files.map {
                    "\($0): \(String(decoding: $1, as: UTF8.self).debugDescription)"
                }
                differences.append(
                    "\(host): \(difference)\n  " + texts.joined(separator: "\n  ")
                )
                guard differences.count < 10 else {
                    throw Command.Failed(description: differences.joined(separator: "\n"))
                }
            }
        }
        #expect(differences.isEmpty, "seed \(seed)\n\(differences.joined(separator: "\n"))")
        // A generator that ssh nearly always refuses would compare nothing.
        #expect(accepted * 4 > pairs, "\(accepted) of \(pairs) were accepted")
        print(
            "ssh -G: \(pairs) pairs compared, \(accepted) accepted by ssh, \(differences.count) differ"
        )
    }

    /// What differs; nil for nothing.
    private func difference(for host: String, _ accepted: inout Int) throws -> String? {
        let result = try Command.run(
            ["ssh", "-G", "-F", home.path + "/config", host],
            environment: ["HOME": home.path]
        )
        let values: [SSHConfiguration.Keyword: SSHConfiguration.Value]
        let settings: EffectiveSettings?
        do throws(SSHConfiguration.Problem) {
            let configuration = try SSHConfigurationReader.read(
                user: home.path + "/config",
                system: "/nonexistent",
                home: home.path
            )
            values = try configuration.values(for: host, localUser: NSUserName())
            settings = Self.settings(host, configuration)
        } catch {
            if error.isBeyond { return nil }
            return result.status == 0 ? "we refuse: \(error)" : nil
        }
        guard result.status == 0 else {
            // What ssh finds out only when it puts the settings together, or has got to know since.
            let later = [
                "jumphost loop", "expand", "Invalid number of ConnectionAttempts",
                "Bad forwarding specification", "Cannot fork into background",
                // A list that a zero byte has cut off.
                "Unsupported KEX algorithm", "Bad SSH2", "Bad key types", "Bad tun",
            ]
            return settings == nil || later.contains(where: result.errors.contains)
                ? nil : "ssh refuses, we do not: \(result.errors)"
        }
        accepted += 1
        var theirs: [String: [String]] = [:]
        for line in result.output.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
            theirs[words[0].lowercased(), default: []].append(
                words.count > 1 ? String(words[1]) : ""
            )
        }
        // Then there is another pass and another name, and both are for ssh.
        if let word = values[.canonicalizeHostname]?.first.lowercased(),
            !["no", "false"].contains(word)
        {
            return nil
        }
        let hostname = values[.hostName]?.first ?? host
        guard theirs["hostname"]?.map({ $0.lowercased() }) == [hostname.lowercased()] else {
            return "hostname \(hostname), ssh has \(theirs["hostname"] ?? [])"
        }
        for keyword in SSHConfiguration.Keyword.allCases where keyword != .hostName {
            guard let value = values[keyword] else {
                guard let theirs = theirs[keyword.rawValue] else { continue }
                // As Debian has it, with `BatchMode yes`.
                let isPatched = keyword == .serverAliveInterval && theirs == ["300"]
                // What a second pass says of it comes too late to count.
                if keyword == .canonicalizePermittedCNAMEs { continue }
                let untouched = isPatched || ["user", "port"].contains(keyword.rawValue)
                guard untouched || NastyConfiguration.defaults[keyword.rawValue] == theirs else {
                    return "\(keyword) is not set, ssh has \(theirs)"
                }
                continue
            }
            // Through a jump host there is no ProxyCommand whose descriptor could be passed.
            if keyword == .proxyUseFdpass, values[.proxyJump] != nil { continue }
            guard let expected = Self.printed(keyword, value) else { continue }
            guard theirs[keyword.rawValue] ?? [] == expected else {
                return "\(keyword) \(expected), ssh has \(theirs[keyword.rawValue] ?? [])"
            }
        }
        // The tokens of these are written out by `ssh -G`.
        if let settings, values[.userKnownHostsFile] != nil, values[.globalKnownHostsFile] == nil {
            let theirs = theirs["userknownhostsfile"] ?? []
            let ours = settings.knownHostsFiles.filter { !$0.hasPrefix("/etc/ssh/") }
            guard theirs == [ours.joined(separator: " ")] || ours.isEmpty else {
                return "userknownhostsfile \(ours), ssh has \(theirs)"
            }
        }
        return nil
    }

    /// The settings, where only `ssh` has none; nil where ours could not be put together.
    private static func settings(_ host: String, _ configuration: SSHConfiguration)
        -> EffectiveSettings?
    {
        do throws(TransportError) {
            return try EffectiveSettings(
                HostEndpoint(name: HostName(host)),
                configuration: configuration,
                environment: .init(
                    home: String(cString: getpwuid(getuid()).pointee.pw_dir),
                    user: NSUserName(),
                    agentSocket: nil
                )
            )
        } catch { return nil }
    }

    /// What `ssh -G` prints of a value; nil where it prints something made of it.
    private static func printed(
        _ keyword: SSHConfiguration.Keyword,
        _ value: SSHConfiguration.Value
    ) -> [String]? {
        switch keyword {
        case .identityFile, .certificateFile, .setEnv: return value.words
        case .connectTimeout, .serverAliveInterval:
            return ["\(SSHConfigurationReader.seconds(value.first) ?? -1)"]
        case .identitiesOnly, .hashKnownHosts, .passwordAuthentication, .proxyUseFdpass,
            .kbdInteractiveAuthentication, .hostbasedAuthentication, .gssapiAuthentication:
            return [SSHConfigurationReader.flag(value.first) == true ? "yes" : "no"]
        case .pubkeyAuthentication, .strictHostKeyChecking, .canonicalizeHostname:
            let names = ["yes": "true", "no": "false", "off": "false"]
            let word = value.first.lowercased()
            return [names[word] ?? word]
        case .addressFamily: return [value.first.lowercased()]
        // `none` is not printed.
        case .proxyJump:
            guard value.first.lowercased() != "none" else { return nil }
            // The last one is printed as ssh has understood it, the others as they stand.
            let hops = value.first.split(separator: ",").map(String.init)
            let last = hops.last.flatMap { JumpHop($0)?.text } ?? ""
            return [(hops.dropLast() + [last]).joined(separator: ",")]
        case .proxyCommand, .knownHostsCommand, .revokedHostKeys, .pkcs11Provider:
            return value.first == "none" ? nil : [value.first]
        case .hostKeyAlias: return [value.first.lowercased()]
        case .forwardAgent:
            // A path of a later line shows, too.
            return nil
        case .ciphers, .macs, .kexAlgorithms, .hostKeyAlgorithms, .pubkeyAcceptedAlgorithms:
            return "+-^".contains(value.first.first ?? "+") ? nil : [value.first]
        case .userKnownHostsFile, .identityAgent, .ignoreUnknown, .refuseConnection,
            .canonicalizePermittedCNAMEs:
            return nil
        default: return [value.words.joined(separator: " ")]
        }
    }

    /// `FLEET_UPDATE_DOCS` writes it.
    @Test("docs/ssh.md says of every keyword what becomes of it") func table() throws {
        let path = Package.root + "/docs/ssh.md"
        let page = try String(contentsOfFile: path, encoding: .utf8)
        let (start, end) = ("<!-- keywords -->\n", "<!-- end of keywords -->\n")
        let parts = page.components(separatedBy: start)
        try #require(parts.count == 2 && parts[1].contains(end))
        let rest = parts[1].components(separatedBy: end)[1]
        let words: [ConfigurationKeyword.Fate: String] = [
            .obeyed: "obeyed", .differently: "differently", .leftToSSH: "left to `ssh`",
            .harmless: "changes nothing",
        ]
        var table = "| keyword | here | |\n|---|---|---|\n"
        for keyword in ConfigurationKeyword.all {
            table += "| \(keyword.name) | \(words[keyword.fate] ?? "") | \(keyword.note) |\n"
        }
        let wanted = parts[0] + start + table + end + rest
        if ProcessInfo.processInfo.environment["FLEET_UPDATE_DOCS"] != nil {
            try wanted.write(toFile: path, atomically: true, encoding: .utf8)
        }
        #expect(page == wanted, "FLEET_UPDATE_DOCS=1 swift test --filter table")
    }

    @Test(
        "Every keyword of ssh_config(5) of OpenSSH 10 is in the table, in the order of the alphabet"
    )
    func manual() {
        let manual = """
            AddKeysToAgent AddressFamily BatchMode BindAddress BindInterface CanonicalDomains
            CanonicalizeFallbackLocal CanonicalizeHostname CanonicalizeMaxDots
            CanonicalizePermittedCNAMEs CASignatureAlgorithms CertificateFile ChannelTimeout
            CheckHostIP Ciphers ClearAllForwardings Compression ConnectionAttempts ConnectTimeout
            ControlMaster ControlPath ControlPersist DynamicForward EnableEscapeCommandline
            EnableSSHKeysign EscapeChar ExitOnForwardFailure FingerprintHash
            ForkAfterAuthentication ForwardAgent ForwardX11 ForwardX11Timeout ForwardX11Trusted
            GatewayPorts GlobalKnownHostsFile GSSAPIAuthentication GSSAPIDelegateCredentials
            HashKnownHosts Host HostbasedAcceptedAlgorithms HostbasedAuthentication
            HostKeyAlgorithms HostKeyAlias Hostname IdentitiesOnly IdentityAgent IdentityFile
            IgnoreUnknown Include IPQoS KbdInteractiveAuthentication KbdInteractiveDevices
            KexAlgorithms KnownHostsCommand LocalCommand LocalForward LogLevel LogVerbose MACs
            Match NoHostAuthenticationForLocalhost NumberOfPasswordPrompts
            ObscureKeystrokeTiming PasswordAuthentication PermitLocalCommand PermitRemoteOpen
            PKCS11Provider Port PreferredAuthentications ProxyCommand ProxyJump ProxyUseFdpass
            PubkeyAcceptedAlgorithms PubkeyAuthentication RefuseConnection RekeyLimit
            RemoteCommand RemoteForward RequestTTY RequiredRSASize RevokedHostKeys
            SecurityKeyProvider SendEnv ServerAliveCountMax ServerAliveInterval SessionType
            SetEnv StdinNull StreamLocalBindMask StreamLocalBindUnlink StrictHostKeyChecking
            SyslogFacility Tag TCPKeepAlive Tunnel TunnelDevice UpdateHostKeys User
            UserKnownHostsFile VerifyHostKeyDNS VersionAddendum VisualHostKey WarnWeakCrypto
            XAuthLocation
            """
        for name in manual.split(whereSeparator: \.isWhitespace) {
            #expect(ConfigurationKeyword.named(name.lowercased()) != nil, "\(name)")
        }
        let names = ConfigurationKeyword.all.map { $0.name.lowercased() }
        #expect(names == names.sorted())
    }

    @Test("Every keyword that ssh prints or takes is one that we know")
    func everyKeyword() throws {
        let printed = try Command.run(["ssh", "-G", "-F", "none", "x"]).output
        for line in printed.split(separator: "\n") {
            let name = line.prefix { $0 != " " }.lowercased()
            // What is no setting, but what the command line says.
            if ["host", "xmsspubkey"].contains(name) { continue }
            #expect(ConfigurationKeyword.named(name) != nil, "\(name)")
        }
        for name in ConfigurationKeyword.forgotten {
            let result = try Command.run(["ssh", "-G", "-F", "none", "-o", "\(name)=1", "x"])
            #expect(result.status == 0, "\(name): \(result.errors)")
        }
        let known = Set(ConfigurationKeyword.all.compactMap(\.value))
        #expect(known == Set(SSHConfiguration.Keyword.allCases))
    }
}

/// Configurations that look like people's, with what trips parsers.
private struct NastyConfiguration {
    static let hosts = [
        "web1", "web2.example.com", "db", "Bastion", "10.0.0.7", "other", "2001:DB8::1", "WEB1",
    ]

    /// What `ssh -G` prints for an empty file.
    static let defaults: [String: [String]] = {
        let output = (try? Command.run(["ssh", "-G", "-F", "none", "x"]).output) ?? ""
        var values: [String: [String]] = [:]
        for line in output.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
                .map(String.init)
            values[words[0].lowercased(), default: []].append(words.count > 1 ? words[1] : "")
        }
        return values
    }()

    /// The keywords, by all their names, that the `ssh` of this machine knows.
    static let keywords: [(name: String, keyword: ConfigurationKeyword)] = {
        var found: [(String, ConfigurationKeyword)] = []
        for keyword in ConfigurationKeyword.all where keyword.syntax != .structure {
            for name in [keyword.name] + keyword.also {
                let result = try? Command.run(["ssh", "-G", "-F", "none", "-o", "\(name)=0", "x"])
                if result?.errors.contains("Bad configuration option") == false {
                    found.append((name, keyword))
                }
            }
        }
        return found
    }()

    let home: String

    init(home: String) {
        self.home = home
        try? FileManager.default.createDirectory(
            atPath: home + "/.ssh/conf.d",
            withIntermediateDirectories: true
        )
    }

    mutating func files(_ random: inout SeededRandom) -> [(String, [UInt8])] {
        [
            ("config", file(&random, lines: 14)), (".ssh/one", file(&random, lines: 5)),
            (".ssh/conf.d/a.conf", file(&random, lines: 4)),
            (".ssh/conf.d/b.conf", file(&random, lines: 4, includes: false)),
        ]
    }

    private func file(_ random: inout SeededRandom, lines: Int, includes: Bool = true) -> [UInt8] {
        // Most files have one kind of line end, and few have more than one oddity.
        let end = pick(["\n", "\n", "\n", "\r\n", " \n", "\u{0C}\n", "\t\r\n"], &random)
        let isOdd = Int.random(in: 0..<3, using: &random) == 0
        let count = Int.random(in: 1...lines, using: &random)
        var text = ""
        for number in 0..<count {
            text += line(&random, isOdd: isOdd, depth: includes ? 0 : 1)
            if number + 1 < count || Int.random(in: 0..<4, using: &random) > 0 { text += end }
        }
        var bytes = Array(text.utf8)
        if isOdd, Int.random(in: 0..<20, using: &random) == 0, !bytes.isEmpty {
            bytes[Int.random(in: bytes.indices, using: &random)] = 0
        }
        return bytes
    }

    private func pick<T>(_ words: [T], _ random: inout SeededRandom) -> T {
        words[Int.random(in: words.indices, using: &random)]
    }

    private func line(_ random: inout SeededRandom, isOdd: Bool, depth: Int) -> String {
        let indent = pick(
            ["", "", "  ", "\t", "    "] + (isOdd ? [" \t ", "=", " = "] : []),
            &random
        )
        let usual = [" ", " ", "  ", "\t", "=", " = ", " ="]
        let gap = pick(usual + (isOdd ? ["==", "= =", "\r", " \t=\t ", "\"", ""] : []), &random)
        func spelled(_ name: String) -> String {
            switch Int.random(in: 0..<(isOdd ? 8 : 5), using: &random) {
            case 0: name.lowercased()
            case 1: name.uppercased()
            case 5: "\"\(name)\""
            case 6: "\(name.prefix(2))\"\(name.dropFirst(2))\""
            case 7: "\"\(name)"
            default: name
            }
        }
        let comment = pick(["", "", "", "", " # why", "\t#x", "#y", " #"], &random)
        switch Int.random(in: 0..<24, using: &random) {
        case 0, 1, 2:
            let patterns = [
                "web*", "!web1", "*", "web?.example.com", "db", "10.0.0.*", "bastion", "Bastion",
                "x", "!*.com", "WEB*", "2001:*", "web1,db", "\"web1\"", "we\"b1\"", "'db'",
            ]
            let count = Int.random(in: 1...3, using: &random)
            let words = (0..<count).map { _ in
                isOdd ? nasty(pick(patterns, &random), &random) : pick(patterns, &random)
            }
            return indent + spelled("Host") + gap + words.joined(separator: " ") + comment
        case 3, 4, 5:
            return indent + spelled("Match") + gap + match(&random, isOdd: isOdd) + comment
        case 6:
            guard depth == 0 else { return "# no more" }
            let paths = [
                "conf.d/*", "one", "missing*", "conf.d/[ab].conf", "~/.ssh/one",
                "\(home)/.ssh/conf.d/b.conf",
            ]
            let chosen = paths.filter { $0 != "one" && $0 != "~/.ssh/one" || depth == 0 }
            return indent + spelled("Include") + gap
                + (0..<Int.random(in: 1...2, using: &random)).map { _ in pick(chosen, &random) }
                .joined(separator: " ") + comment
        case 7: return pick(["# a comment", "", "   ", "\t# indented", "\u{0C}"], &random)
        case 8:
            let names = ["Bogus", "Frob", "UseKeychain"] + Array(ConfigurationKeyword.forgotten)
            guard Int.random(in: 0..<3, using: &random) == 0 else {
                return indent + spelled("IgnoreUnknown") + gap
                    + pick(["Bogus", "Fro*,bogus", "*", "!Frob,*"], &random)
            }
            return indent + spelled(pick(names.sorted(), &random)) + gap + "yes"
        case 9, 10, 11, 12, 13:
            let common = [
                "HostName", "User", "Port", "IdentityFile", "ProxyJump", "ProxyCommand",
                "UserKnownHostsFile",
            ]
            let name = pick(common, &random)
            let keyword = ConfigurationKeyword.named(name.lowercased())
            return indent + spelled(name) + gap
                + value(keyword?.syntax ?? .text, name, &random, isOdd: isOdd)
                // To OpenSSH 9.2 a `none` with a comment is a host's name.
                + (name == "ProxyJump" ? "" : comment)
        default:
            let (name, keyword) = pick(Self.keywords, &random)
            // What is only skipped has to be right, because `ssh` looks at it more closely than we do.
            let isRead =
                ![.text, .anything, .command].contains(keyword.syntax) || keyword.value != nil
            let isList =
                ["Ciphers", "MACs", "CanonicalizePermittedCNAMEs"].contains(keyword.name)
                || keyword.name.hasSuffix("Algorithms")
            let isOdd = isOdd && isRead && !isList
            return indent + spelled(name) + (isRead && !isList ? gap : " ")
                + value(keyword.syntax, keyword.name, &random, isOdd: isOdd)
                + ((isOdd || comment.first != "#") && keyword.syntax != .jump ? comment : "")
        }
    }

    private func match(_ random: inout SeededRandom, isOdd: Bool) -> String {
        let lists = [
            "web*", "web1,db", "*,!db", "10.0.0.7", "*.example.com", "WEB*", "other.internal",
            "2001:*", "!web1,*", "mixed.case",
        ]
        let users = ["root", "deploy", "*,!deploy", "ro?t", "root,deploy"]
        func criterion() -> String {
            let list = pick(lists, &random)
            let user = pick(users, &random)
            return pick(
                [
                    "all", "host \(list)", "originalhost \(list)", "user \(user)", "!host \(list)",
                    "localuser \(user)", "host=\"\(list)\"", "Host=\(list)", "final", "!final",
                    "canonical", "ORIGINALHOST \"\(list)\"", "!user \(user)", "host = \(list)",
                ],
                &random
            )
        }
        let count = pick([1, 1, 1, 2, 2, 3], &random)
        let text = (0..<count).map { _ in criterion() }.joined(
            separator: pick([" ", "\t", "  "], &random)
        )
        guard isOdd else { return text }
        return pick(
            [
                text, text, "\(text) #", "host", "", "host \"web1", "all all", "\(text) all",
                "final all",
            ],
            &random
        )
    }

    /// A word as somebody might write it.
    private func nasty(_ word: String, _ random: inout SeededRandom) -> String {
        switch Int.random(in: 0..<9, using: &random) {
        case 0: "\"\(word)\""
        case 1: "'\(word)'"
        case 2: "\(word.prefix(1))\"\(word.dropFirst())\""
        case 3: "\"\(word)"
        case 4: word.replacingOccurrences(of: "/", with: "\\/")
        case 5: "\"\(word)\"x"
        case 6: "\\\"\(word)"
        default: word
        }
    }

    private func value(
        _ syntax: ConfigurationKeyword.Syntax,
        _ name: String,
        _ random: inout SeededRandom,
        isOdd: Bool
    ) -> String {
        let words: [String]
        switch (name, syntax) {
        case (_, .flag): words = ["yes", "no", "true", "FALSE"] + (isOdd ? ["maybe", "\"\""] : [])
        case (_, .choice(let list)): words = list + [list[0].uppercased()] + (isOdd ? ["x"] : [])
        case (_, .number):
            words =
                ["0", "5", "1024"] + (isOdd ? ["-1", "+7", "\" 8\"", "9x", "99999999999"] : [])
        case (_, .time):
            words =
                ["10", "1m", "none", "1m30s", "0", "2H"]
                + (isOdd ? ["5x", "-1", "1m2", "99999999999", "NONE"] : [])
        case (_, .port):
            words = ["22", "2222", "65535", "ssh"] + (isOdd ? ["0", "x", "65536", "+22"] : [])
        case (_, .variables):
            words = ["A=b", "A=b C=d", "\"A=b c\""] + (isOdd ? ["A", "A= B"] : [])
        case (_, .jump):
            words =
                ["bastion", "u@b:2222", "a,b", "none", "NONE", "ssh://u@b:22", "[::1]:22", "a@b@c"]
                + (isOdd ? ["u@", "b:x", "a,,b", "a b", "bastion # comment", "b#c"] : [])
        case ("ProxyCommand", _):
            words =
                ["ssh -W %h:%p b", "none", "nc \"%h\" %p", "nc '%h' # x"]
                + (isOdd ? ["= nc", "nc 'a"] : [])
        case ("ForwardAgent", _):
            words = ["yes", "NO", "/sock", "$SSH_AUTH_SOCK"] + (isOdd ? ["$", "$a-b"] : [])
        case ("IdentityAgent", _):
            words =
                ["none", "SSH_AUTH_SOCK", "/a/%h", "$HOME", "~/agent.sock"]
                + (isOdd ? ["$", "$a-b"] : [])
        case ("HostName", _):
            words = ["%h.internal", "10.1.1.1", "Mixed.Case", "a%%b", "FE80::1", "%h"]
        case ("User", _): words = ["deploy", "root", "\"quoted\"", "'single'", "a\\ b", "\"a b\""]
        case ("IdentityFile", _), ("CertificateFile", _):
            words = ["~/.ssh/a", "/k/%h", "\"/with space/k\"", "~/.ssh/b", "none", "/k/%%"]
        case ("UserKnownHostsFile", _):
            words =
                [
                    "~/k1 ~/k2", "/dev/null", "~/k3", "none", "/k/%C", "/k/%h-%n-%p-%r",
                    "/k/%l/%L/%u/%i",
                    "/k/%k/%d", "\"/a b\" /c", "/k/%%", "${HOME}/k",
                ] + (isOdd ? ["none x", "\"\"", "/k/%", "/k/%z"] : [])
        case ("GlobalKnownHostsFile", _): words = ["/g1", "/g1 /g2", "none"]
        case ("Ciphers", _):
            words = ["aes256-ctr", "+aes128-cbc", "-*gcm*", "aes128-ctr,aes256-ctr"]
        case ("MACs", _): words = ["hmac-sha2-512", "^hmac-sha2-256", "-umac*"]
        case ("KexAlgorithms", _): words = ["curve25519-sha256", "-ecdh*"]
        case ("HostKeyAlgorithms", _), ("PubkeyAcceptedAlgorithms", _),
            ("HostbasedAcceptedAlgorithms", _),
            ("CASignatureAlgorithms", _):
            words = ["ssh-ed25519", "-ecdsa*", "ssh-ed25519,rsa-sha2-512"]
        case ("AddKeysToAgent", _), ("UpdateHostKeys", _), ("VerifyHostKeyDNS", _),
            ("ControlPersist", _):
            words = ["yes", "no", "ask"]
            if name == "ControlPersist" { return pick(["yes", "no", "10m"], &random) }
        case ("ControlMaster", _): words = ["auto", "no"]
        case ("IPQoS", _): words = ["lowdelay", "af21 cs1"]
        case ("LogLevel", _): words = ["INFO", "quiet"]
        case ("SyslogFacility", _): words = ["USER", "LOCAL1"]
        case ("Tunnel", _): words = ["no", "yes"]
        case ("TunnelDevice", _): words = ["any:any", "1:2"]
        case ("RekeyLimit", _): words = ["default none", "1G 1h"]
        case ("RequestTTY", _): words = ["no", "auto"]
        case ("SessionType", _): words = ["none", "default"]
        case ("StreamLocalBindMask", _): words = ["0177", "0600"]
        case ("FingerprintHash", _): words = ["sha256", "md5"]
        case ("EscapeChar", _): words = ["~", "none", "^x"]
        case ("LocalForward", _), ("RemoteForward", _): words = ["8080 localhost:80"]
        case ("DynamicForward", _): words = ["1080"]
        case ("PermitRemoteOpen", _): words = ["any", "localhost:80"]
        case ("SendEnv", _): words = ["LANG LC_*", "-LC_*", "X"]
        case ("CanonicalDomains", _): words = ["example.com", "a.example b.example"]
        case ("CanonicalizePermittedCNAMEs", _): words = ["*.a:*.b", "none"]
        case ("PreferredAuthentications", _): words = ["publickey", "password,publickey"]
        case ("LogVerbose", _): words = ["kex.c:*:1000", "none"]
        case ("ChannelTimeout", _): words = ["session=5m", "none"]
        case ("ObscureKeystrokeTiming", _): words = ["yes", "interval:80"]
        case ("GSSAPIClientIdentity", _), ("GSSAPIServerIdentity", _): words = ["host@x"]
        case ("GSSAPIKexAlgorithms", _): words = ["gss-group14-sha256-"]
        case ("PKCS11Provider", _), ("SecurityKeyProvider", _): words = ["/lib/x.so", "none"]
        default: words = ["a", "/a/b", "some-thing"]
        }
        let chosen = pick(words, &random)
        guard isOdd, syntax != .command, syntax != .jump, !chosen.contains(" ") else {
            return chosen
        }
        return nasty(chosen, &random) + pick(["", "", "", " extra"], &random)
    }
}
