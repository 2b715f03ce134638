internal import CLibSSH2
internal import FleetTransport
internal import Glibc

/// How one host is really reached: the inventory's word first, then the ssh_config files', then
/// OpenSSH's defaults; and for each value where it came from.
public struct EffectiveSettings: Sendable {
    /// One value and its origin, for people.
    public struct Row: Sendable, Hashable {
        /// The setting, by ssh_config's name.
        public let name: String
        /// Its value; several are separated by spaces.
        public let value: String
        /// `inventory`, a file and line, or `default`.
        public let source: String
    }

    /// The way to the host's sshd.
    enum Route: Sendable, Hashable {
        case direct
        case jump([JumpHop])
        case command(String)
    }

    /// The address to connect to.
    public let hostname: String
    /// The TCP port.
    public let port: Int
    /// The account to log in as.
    public let user: String
    /// Every value and its origin, in a fixed order; none unless they were asked for.
    public let rows: [Row]

    let route: Route
    /// Private keys to offer, in order, as absolute paths.
    let identityFiles: [String]
    /// Whether somebody named the keys; the default ones may be missing without a word.
    let namesIdentities: Bool
    let certificateFiles: [String]
    let identitiesOnly: Bool
    /// How many keys are offered at most.
    let keyLimit: Int
    let agentSocket: String?
    /// known_hosts files to look in.
    let knownHostsFiles: [String]
    /// The one that is written; nil for none.
    let ownKnownHostsFile: String?
    /// Whether names are hidden in what is written there.
    let hashesKnownHosts: Bool
    let hostKeys: HostKeyPolicy
    /// The name under which the host's key is looked up; nil is its own.
    let hostKeyAlias: String?
    /// What the host is offered.
    let algorithms: AlgorithmChoice
    /// A file of keys that no host may prove; nil for none.
    let revokedHostKeysFile: String?
    /// How to log in, in order.
    let methods: [LoginMethod]
    /// Which keys may be offered.
    let keyRule: KeyRule
    /// Ways to log in that ssh_config allows and only `ssh` knows.
    let foreignMethods: [String]
    /// Variables for the host's shell, as `NAME=VALUE`.
    let variables: [String]
    /// Our own address to connect from; nil for the system's choice.
    let bindAddress: String?
    let connectMilliseconds: Int
    /// How long nothing may be heard before the host is asked for a sign of life, in milliseconds.
    let aliveMilliseconds: Int
    /// How many unanswered questions end the connection.
    let aliveCount: Int
    /// `AF_INET`, `AF_INET6`, or `AF_UNSPEC` for both.
    let family: Int32
    let passphrase: SecretSource?
    let password: SecretSource?
    let becomePassword: SecretSource?

    /// The name and port under which the host's key is known.
    var keyName: (host: String, port: Int) {
        hostKeyAlias.map { ($0, 22) } ?? (hostname, port)
    }

    /// The longest wait for a TCP connection, in milliseconds, unless somebody says otherwise.
    static let connectMilliseconds = 10_000
    /// With these, a host that has gone silent is found within 21 s.
    static let aliveMilliseconds = 7_000
    static let aliveCount = 2
    /// libssh2 asks at most every two whole seconds.
    static let leastAliveMilliseconds = 3_000
    /// Longer silences than this are never waited for, whatever ssh_config says.
    static let aliveLimitMilliseconds = 25_000

    /// Works the settings of a host out.
    ///
    /// - Parameters:
    ///   - endpoint: The host as the inventory has it.
    ///   - configuration: The ssh_config files.
    ///   - environment: The user's surroundings.
    ///   - keepsRows: Whether ``rows`` are wanted: only people read them.
    /// - Throws: ``FleetTransport/TransportError/configuration(reason:)``.
    init(
        _ endpoint: HostEndpoint,
        configuration: SSHConfiguration,
        environment: SSHTransport.Environment,
        keepsRows: Bool = false
    ) throws(TransportError) {
        let name = endpoint.name.text
        let ssh = endpoint.ssh
        var beyond: [SSHConfiguration.Keyword] = []
        let found: [SSHConfiguration.Keyword: SSHConfiguration.Value]
        do throws(SSHConfiguration.Problem) {
            found = try configuration.values(
                for: name,
                localUser: environment.user,
                given: Self.given(by: ssh)
            )
        } catch {
            throw error.error
        }
        var sources = Sources(found: found, keepsRows: keepsRows)
        if let words = found[.refuseConnection] {
            throw .configuration(reason: "\(words.place): connections are refused: \(words.first)")
        }
        let given = sources.pick(.hostName, ssh.hostname, { $0.first }, or: name)
        hostname = SSHConfiguration.lowercasedName(
            found[.hostName]?.first ?? given
        )
        port = sources.pick(.port, ssh.port, { Int($0.first) }, or: 22)
        user = sources.pick(.user, ssh.user, { $0.first }, or: environment.user)
        let alias = sources.pick(
            .hostKeyAlias,
            ssh.hostKeyAlias?.lowercased(),
            { $0.first.lowercased() },
            or: ""
        )
        let tokens = Tokens(
            host: hostname,
            original: name,
            port: port,
            user: user,
            alias: alias.isEmpty ? nil : alias,
            environment: environment
        )
        let defaults = ["id_ed25519", "id_ecdsa", "id_rsa"].map { "~/.ssh/\($0)" }
        let identities = sources.pick(
            .identityFile,
            ssh.identityFiles,
            { $0.words },
            or: defaults
        )
        namesIdentities = ssh.identityFiles != nil || found[.identityFile] != nil
        keyLimit = ssh.keyLimit ?? CredentialStore.keyLimit
        identityFiles = try tokens.paths(identities)
        certificateFiles = try tokens.paths(
            sources.pick(.certificateFile, nil, { $0.words }, or: [])
        )
        identitiesOnly = sources.pick(
            .identitiesOnly,
            ssh.identitiesOnly,
            { SSHConfigurationReader.flag($0.first) },
            or: false
        )
        let agent = sources.pick(.identityAgent, nil, { $0.first }, or: "SSH_AUTH_SOCK")
        switch agent {
        case "none": agentSocket = nil
        case "SSH_AUTH_SOCK": agentSocket = environment.agentSocket?.nonEmpty
        case _ where agent.hasPrefix("$"):
            agentSocket = environment.variable(String(agent.dropFirst()))
        default: agentSocket = try tokens.path(agent)
        }
        let mine = sources.pick(
            .userKnownHostsFile,
            ssh.knownHostsFile.map { [$0] },
            { $0.words },
            or: ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]
        )
        let machines = sources.pick(
            .globalKnownHostsFile,
            ssh.knownHostsFile.map { _ in [] },
            { $0.words },
            or: ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]
        )
        let own = try tokens.paths(mine)
        ownKnownHostsFile = own.first
        // These have no tokens (ssh_config(5)).
        knownHostsFiles = own + machines.filter { $0.lowercased() != "none" }
        hashesKnownHosts = sources.pick(
            .hashKnownHosts,
            nil,
            { SSHConfigurationReader.flag($0.first) },
            or: false
        )
        // A secret from the project's files was agreed to for hosts that are known, unless they say otherwise: what
        // ssh_config says of hosts by pattern was said of others.
        let isToldSecrets = [ssh.password, ssh.becomePassword].contains {
            if case .prompt = $0 { false } else { $0 != nil }
        }
        hostKeys = sources.pick(
            .strictHostKeyChecking,
            ssh.hostKeys ?? (isToldSecrets ? .strict : nil),
            {
                // `no` would let a changed key pass; there is no way to have that here.
                switch $0.first.lowercased() {
                case "accept-new", "no", "off", "false": HostKeyPolicy.acceptNew
                default: HostKeyPolicy.strict
                }
            },
            or: .strict
        )
        algorithms = Self.algorithms(&sources)
        revokedHostKeysFile = try sources.pick(.revokedHostKeys, nil, { $0.first }, or: "none")
            .named
            .map(tokens.path)
        (methods, foreignMethods) = Self.methods(&sources)
        keyRule = KeyRule(
            algorithms: sources.pick(.pubkeyAcceptedAlgorithms, nil, { $0.first }, or: "").nonEmpty,
            leastRSABits: sources.pick(
                .requiredRSASize,
                nil,
                { Int($0.first) },
                or: KeyRule.leastRSABits
            )
        )
        variables = sources.pick(.setEnv, nil, { $0.words }, or: [])
        bindAddress = sources.pick(.bindAddress, nil, { $0.first }, or: "").nonEmpty
        route = try Self.route(ssh, tokens, &sources)
        if methods.isEmpty {
            guard let method = foreignMethods.first else {
                throw .configuration(reason: "ssh_config leaves no way to log in to \(name)")
            }
            beyond.append(
                method == "hostbased" ? .hostbasedAuthentication : .gssapiAuthentication
            )
        }
        for keyword in [
            SSHConfiguration.Keyword.knownHostsCommand, .pkcs11Provider, .bindInterface,
            .canonicalizeHostname, .canonicalizePermittedCNAMEs, .forwardAgent, .proxyUseFdpass,
        ] {
            let given: String? =
                keyword == .forwardAgent ? ssh.forwardAgent.map { $0 ? "yes" : "no" } : nil
            let word = sources.pick(keyword, given, { $0.first }, or: "none")
            guard word.named != nil, SSHConfigurationReader.flag(word) != false else { continue }
            if keyword == .proxyUseFdpass {
                guard case .command = route else { continue }
            }
            beyond.append(keyword)
        }
        if let keyword = beyond.first {
            let place = found[keyword]?.place.description ?? "the inventory"
            throw .beyondClient(
                reason: "\(place): `\(ConfigurationKeyword.name(of: keyword))` is for ssh to obey"
            )
        }
        connectMilliseconds = sources.pick(
            .connectTimeout,
            ssh.connectTimeoutMilliseconds,
            { SSHConfigurationReader.seconds($0.first).flatMap { $0 > 0 ? $0 * 1000 : nil } },
            or: Self.connectMilliseconds,
            shown: { "\($0 / 1000) s" }
        )
        let alive = sources.pick(
            .serverAliveInterval,
            nil,
            { SSHConfigurationReader.seconds($0.first).map { $0 * 1000 } },
            or: Self.aliveMilliseconds,
            shown: { "\($0 / 1000) s" }
        )
        let count = sources.pick(
            .serverAliveCountMax,
            nil,
            { Int($0.first) },
            or: Self.aliveCount
        )
        // 0 switches it off in ssh; here a silent host must be found all the same.
        let isSound =
            alive >= Self.leastAliveMilliseconds && count > 0
            && alive * (count + 1) <= Self.aliveLimitMilliseconds
        aliveMilliseconds = isSound ? alive : Self.aliveMilliseconds
        aliveCount = isSound ? count : Self.aliveCount
        if !isSound {
            sources.replace(.serverAliveInterval, by: "\(Self.aliveMilliseconds / 1000) s")
            sources.replace(.serverAliveCountMax, by: String(Self.aliveCount))
        }
        family = sources.pick(
            .addressFamily,
            nil,
            { ["inet": AF_INET, "inet6": AF_INET6][$0.first.lowercased()] },
            or: AF_UNSPEC,
            shown: { [AF_INET: "inet", AF_INET6: "inet6"][$0] ?? "any" }
        )
        hostKeyAlias = alias.isEmpty ? nil : alias
        passphrase = ssh.passphrase
        password = ssh.password
        becomePassword = ssh.becomePassword
        rows = sources.rows
    }

    /// What the inventory says, as ssh's command line says it: it is there before the first line of the files
    /// is played, and `Match user` and `Match host` see it.
    private static func given(by ssh: SSHSettings)
        -> [SSHConfiguration.Keyword: SSHConfiguration.Value]
    {
        let place = SSHConfiguration.Place(file: "inventory", line: 0)
        var given: [SSHConfiguration.Keyword: SSHConfiguration.Value] = [:]
        func give(_ keyword: SSHConfiguration.Keyword, _ word: String?) {
            guard let word else { return }
            given[keyword] = SSHConfiguration.Value(words: [word], place: place)
        }
        give(.user, ssh.user)
        give(.hostName, ssh.hostname)
        give(.port, ssh.port.map(String.init))
        return given
    }

    /// What the host may be offered.
    private static func algorithms(_ sources: inout Sources) -> AlgorithmChoice {
        func list(_ keyword: SSHConfiguration.Keyword, _ ours: [String]) -> [String] {
            Algorithms.allowed(
                by: sources.pick(keyword, nil, { $0.first }, or: "").nonEmpty,
                of: ours
            )
        }
        return AlgorithmChoice(
            keyExchange: list(.kexAlgorithms, Algorithms.keyExchange),
            hostKeys: list(.hostKeyAlgorithms, Algorithms.hostKeys),
            ciphers: list(.ciphers, Algorithms.ciphers),
            macs: list(.macs, Algorithms.macs)
        )
    }

    /// How to log in, in order, and what else ssh_config allows.
    private static func methods(_ sources: inout Sources) -> ([LoginMethod], foreign: [String]) {
        func isOn(_ keyword: SSHConfiguration.Keyword, or fallback: Bool) -> Bool {
            sources.pick(
                keyword,
                nil,
                { !["no", "false"].contains($0.first.lowercased()) },
                or: fallback
            )
        }
        let on: [String: Bool] = [
            "publickey": isOn(.pubkeyAuthentication, or: true),
            "keyboard-interactive": isOn(.kbdInteractiveAuthentication, or: true),
            "password": isOn(.passwordAuthentication, or: true),
            "gssapi-with-mic": isOn(.gssapiAuthentication, or: false),
            "hostbased": isOn(.hostbasedAuthentication, or: false),
        ]
        // OpenSSH's order.
        let usual = "gssapi-with-mic,hostbased,publickey,keyboard-interactive,password"
        let wanted = sources.pick(.preferredAuthentications, nil, { $0.first }, or: usual)
            .split(separator: ",").map(String.init).filter { on[$0] ?? false }
        let own = wanted.compactMap(LoginMethod.init(rawValue:))
        return (own, wanted.filter { LoginMethod(rawValue: $0) == nil })
    }

    private static func route(
        _ ssh: SSHSettings,
        _ tokens: Tokens,
        _ sources: inout Sources
    ) throws(TransportError) -> Route {
        // The inventory's way replaces both of ssh_config's.
        let hasOwn = ssh.jump != nil || ssh.proxyCommand != nil
        let jump = sources.pick(
            .proxyJump,
            hasOwn ? ssh.jump ?? "none" : nil,
            { $0.first },
            or: "none"
        )
        let command = sources.pick(
            .proxyCommand,
            hasOwn ? ssh.proxyCommand ?? "none" : nil,
            { $0.first },
            or: "none"
        )
        if command != "none" {
            // These come into a shell's line as they are, and may come from files of the project.
            for (token, value) in [
                ("%r", tokens.user), ("%h", tokens.host), ("%n", tokens.original),
                ("%k", tokens.alias ?? ""),
            ] where command.contains(token) && !ShellMeaning.isNone(value) {
                throw .configuration(
                    reason:
                        "`\(token)` in the ProxyCommand of \(tokens.original) is `\(value)`, which a shell "
                        + "would not take for a name"
                )
            }
            return .command(try tokens.text(command))
        }
        guard jump.lowercased() != "none" else { return .direct }
        guard let hops = JumpHop.list(try tokens.text(jump)) else {
            throw .configuration(reason: "`\(jump)` is no way to go: write [user@]host[:port]")
        }
        if let own = hops.first(where: { $0.host == tokens.host && $0.port ?? 22 == tokens.port }) {
            throw .configuration(
                reason: "\(tokens.original) is to be reached through itself (\(own.text))"
            )
        }
        return .jump(hops)
    }

    /// Picks the first word that is said, and remembers who said it.
    private struct Sources {
        let found: [SSHConfiguration.Keyword: SSHConfiguration.Value]
        let keepsRows: Bool
        var rows: [Row] = []

        init(found: [SSHConfiguration.Keyword: SSHConfiguration.Value], keepsRows: Bool) {
            self.found = found
            self.keepsRows = keepsRows
        }

        /// What is used instead of what was said.
        mutating func replace(_ keyword: SSHConfiguration.Keyword, by value: String) {
            for index in rows.indices where rows[index].name == keyword.rawValue {
                rows[index] = Row(name: keyword.rawValue, value: value, source: rows[index].source)
            }
        }

        mutating func pick<T>(
            _ keyword: SSHConfiguration.Keyword,
            _ inventory: T?,
            _ parse: (SSHConfiguration.Value) -> T?,
            or fallback: T,
            shown: (T) -> String? = { _ in nil }
        ) -> T {
            let (value, source): (T, String) =
                if let inventory {
                    (inventory, "inventory")
                } else if let word = found[keyword], let parsed = parse(word) {
                    (parsed, word.place.description)
                } else {
                    (fallback, "default")
                }
            guard keepsRows else { return value }
            let text =
                shown(value)
                ?? {
                    switch value {
                    case let list as [String]: list.joined(separator: " ")
                    case let policy as HostKeyPolicy: policy.rawValue
                    case let flag as Bool: flag ? "yes" : "no"
                    case let text as String: text
                    default: "\(value)"
                    }
                }()
            rows.append(
                Row(name: keyword.rawValue, value: text.isEmpty ? "none" : text, source: source)
            )
            return value
        }
    }
}

/// What `%h` and its like stand for (ssh_config(5), TOKENS).
private struct Tokens {
    let host: String
    let original: String
    let port: Int
    let user: String
    let alias: String?
    let environment: SSHTransport.Environment

    func paths(_ texts: [String]) throws(TransportError) -> [String] {
        var paths: [String] = []
        for text in texts where text.lowercased() != "none" { paths.append(try path(text)) }
        return paths
    }

    /// A path with `~`, tokens and `${VARIABLES}` written out.
    func path(_ text: String) throws(TransportError) -> String {
        let path =
            text == "~" || text.hasPrefix("~/") ? environment.home + text.dropFirst() : text
        guard !path.hasPrefix("~") else {
            let name = String(path.dropFirst().prefix { $0 != "/" })
            guard let home = HomeDirectory.of(name) else {
                throw .configuration(reason: "`\(text)`: there is no account `\(name)`")
            }
            return try self.text(home + path.dropFirst(1 + name.count), expandsVariables: true)
        }
        return try self.text(path, expandsVariables: true)
    }

    /// This machine's name (gethostname(2)).
    private static let machine: String = {
        var name = [CChar](repeating: 0, count: 1025)
        guard gethostname(&name, name.count - 1) == 0 else { return "" }
        return name.withUnsafeBytes { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }()

    /// SHA-1 in hexadecimal: the short name that ssh makes of a connection.
    private static func digest(of text: String) -> String {
        var output = [UInt8](repeating: 0, count: 20)
        let bytes = Array(text.utf8)
        guard fleet_sha1(bytes, bytes.count, &output) == 0 else { return "" }
        return output.map { byte in
            let digits = String(byte, radix: 16)
            return digits.count < 2 ? "0" + digits : digits
        }.joined()
    }

    func text(_ text: String, expandsVariables: Bool = false) throws(TransportError) -> String {
        let isPlain = text.utf8.allSatisfy {
            $0 != UInt8(ascii: "%") && !(expandsVariables && $0 == UInt8(ascii: "$"))
        }
        if isPlain { return text }
        var result = ""
        var rest = text[...]
        while let sign = rest.firstIndex(where: { $0 == "%" || expandsVariables && $0 == "$" }) {
            result += rest[..<sign]
            let after = rest.index(after: sign)
            guard after < rest.endIndex else {
                throw .configuration(reason: "`\(text)` ends in the middle of a token")
            }
            if rest[sign] == "$" {
                guard rest[after] == "{", let close = rest[after...].firstIndex(of: "}") else {
                    result += "$"
                    rest = rest[after...]
                    continue
                }
                let name = String(rest[rest.index(after: after)..<close])
                guard let value = environment.variable(name) else {
                    throw .configuration(reason: "`\(text)` needs the variable \(name)")
                }
                result += value
                rest = rest[rest.index(after: close)...]
                continue
            }
            result += try value(of: rest[after], in: text)
            rest = rest[rest.index(after: after)...]
        }
        return result + rest
    }

    private func value(of token: Character, in text: String) throws(TransportError) -> String {
        switch token {
        case "%": "%"
        case "h": host
        case "n": original
        case "p": String(port)
        case "r": user
        case "u": environment.user
        case "d": environment.home
        case "k": alias ?? original
        case "i": String(getuid())
        case "l": Self.machine
        case "L": String(Self.machine.prefix { $0 != "." })
        case "C": Self.digest(of: Self.machine + host + String(port) + user)
        default:
            throw .configuration(
                reason: "`%\(token)` in `\(text)` is not supported; "
                    + "%h %n %p %r %u %d %k %i %l %L %C %% are"
            )
        }
    }
}

extension String {
    /// The text if it says something, and not `none`.
    fileprivate var named: String? { isEmpty || lowercased() == "none" ? nil : self }
    fileprivate var nonEmpty: String? { isEmpty ? nil : self }
}
