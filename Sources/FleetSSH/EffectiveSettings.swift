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
    let agentSocket: String?
    /// known_hosts files to look in; the first one is written.
    let knownHostsFiles: [String]
    let hostKeys: HostKeyPolicy
    /// The name under which the host's key is looked up; nil is its own.
    let hostKeyAlias: String?
    /// Which host keys may be asked for, in order.
    let hostKeyAlgorithms: [String]
    /// A file of keys that no host may prove; nil for none.
    let revokedHostKeysFile: String?
    /// Whether keys may be offered at all.
    let offersKeys: Bool
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
        hostname = sources.pick(
            .hostName,
            ssh.hostname,
            { $0.first },
            or: name
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
        case "SSH_AUTH_SOCK": agentSocket = environment.agentSocket
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
        knownHostsFiles = try tokens.paths(mine) + tokens.paths(machines)
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
        hostKeyAlgorithms = Algorithms.hostKeys(
            allowedBy: sources.pick(.hostKeyAlgorithms, nil, { $0.first }, or: "").nonEmpty
        )
        revokedHostKeysFile = try sources.pick(.revokedHostKeys, nil, { $0.first }, or: "none")
            .named
            .map(tokens.path)
        offersKeys = sources.pick(
            .pubkeyAuthentication,
            nil,
            { !["no", "false"].contains($0.first.lowercased()) },
            or: true
        )
        let command = sources.pick(.knownHostsCommand, nil, { $0.first }, or: "none")
        guard command.named == nil else {
            let place = found[.knownHostsCommand]?.place.description ?? ""
            throw .beyondClient(
                reason:
                    "\(place): `KnownHostsCommand` is for ssh to run, and without it nobody could tell which "
                    + "key of \(name) is right"
            )
        }
        route = try Self.route(ssh, tokens, &sources)
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
        if command != "none" { return .command(try tokens.text(command)) }
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
        return try self.text(path, expandsVariables: true)
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
        default:
            throw .configuration(
                reason: "`%\(token)` in `\(text)` is not supported; %h %n %p %r %u %d %k %i %% are"
            )
        }
    }
}

extension String {
    /// The text if it says something, and not `none`.
    fileprivate var named: String? { isEmpty || lowercased() == "none" ? nil : self }
    fileprivate var nonEmpty: String? { isEmpty ? nil : self }
}
