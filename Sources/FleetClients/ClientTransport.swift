internal import FleetLocal
public import FleetOpenSSH
internal import FleetReactor
public import FleetSSH
public import FleetTransport
internal import Glibc
internal import Synchronization

/// Every host by the client that reaches it: libssh2, the system's `ssh`, or this machine's own shell.
///
/// `auto` tries libssh2, and `ssh` where the two sides share no algorithm, host key type or method that libssh2 can do, or
/// the configuration asks for what only `ssh` can do. What was found for a host holds for the whole run.
public final class ClientTransport: Transport {
    /// The client that reads the user's files, asks for secrets, and collects host keys.
    public let libssh2: SSHTransport
    /// The system's `ssh`.
    public let openSSH: OpenSSHTransport
    private let local: LocalTransport
    /// Who runs this.
    private let user: String
    private let beyond = Mutex<[HostEndpoint: TransportError]>([:])

    /// Prepares all three; nothing is started yet.
    ///
    /// - Parameters:
    ///   - environment: The user's surroundings.
    ///   - variables: What `ssh` is started with.
    ///   - resources: What it shares with other transports of this process; nil for some of its own.
    public init(
        _ environment: SSHTransport.Environment,
        variables: [String: String],
        sharing resources: ConnectionResources? = nil
    ) {
        let resources = resources ?? ConnectionResources()
        let reactors = resources.reactors
        let libssh2 = SSHTransport(environment, sharing: resources)
        self.libssh2 = libssh2
        let secret: @Sendable (SecretSource) async -> Result<String, TransportError> = { source in
            do throws(TransportError) { return .success(try await libssh2.secret(source)) } catch {
                return .failure(error)
            }
        }
        var variables = variables
        // Its words are read, and nobody is asked behind our back.
        for name in ["LANG", "LC_ALL", "LC_MESSAGES", "LANGUAGE", "SSH_ASKPASS", "DISPLAY"] {
            variables[name] = nil
        }
        variables["LC_ALL"] = "C"
        var ssh = OpenSSHTransport.Environment(
            variables: variables.map { "\($0.key)=\($0.value)" }.sorted(),
            hostKeys: { endpoint in
                do throws(TransportError) { return try libssh2.hostKeyPolicy(for: endpoint) } catch
                {
                    // What only ssh can read is not read here: strict, unless the inventory says otherwise.
                    return endpoint.ssh.hostKeys ?? .strict
                }
            },
            secret: secret
        )
        ssh.outputLimit = environment.outputLimit
        ssh.program = environment.openSSHProgram
        ssh.busyMilliseconds = environment.busyMilliseconds
        if environment.userConfiguration != environment.accountHome + "/.ssh/config" {
            // One that is named must be there.
            ssh.configuration =
                access(environment.userConfiguration, F_OK) == 0
                ? environment.userConfiguration : "/dev/null"
        }
        openSSH = OpenSSHTransport(ssh, reactors: reactors)
        user = environment.user
        local = LocalTransport(
            LocalTransport.Account(user: environment.user, home: environment.home),
            outputLimit: environment.outputLimit,
            secret: secret,
            reactors: reactors
        )
    }

    /// Reaches a host; see ``FleetTransport/Transport``.
    public func open(_ endpoint: HostEndpoint, rollout: String) async throws(TransportError)
        -> any HostSession
    {
        switch endpoint.ssh.client ?? .auto {
        case .libssh2: return try await libssh2.open(endpoint, rollout: rollout)
        case .openssh: return try await openSSH.open(endpoint, rollout: rollout)
        case .local: return try await local.open(endpoint, rollout: rollout)
        case .auto: break
        }
        if beyond.withLock({ $0[endpoint] }) != nil {
            return try await openSSH.open(endpoint, rollout: rollout)
        }
        do throws(TransportError) {
            return try await libssh2.open(endpoint, rollout: rollout)
        } catch {
            let first = error
            let lacksKey = if case .credentialUnusable = error { true } else { false }
            guard
                Self.isBeyond(error)
                    || lacksKey && !libssh2.foreignMethods(for: endpoint).isEmpty
            else { throw error }
            do throws(OpenSSHMissing) { _ = try await openSSH.programVersion() } catch {
                throw first.adding("and \(error.reason)")
            }
            let session: any HostSession
            do throws(TransportError) {
                session = try await openSSH.open(endpoint, rollout: rollout)
            } catch {
                // Debian allows GSSAPI everywhere: that `ssh` has no ticket says less than why there is no key.
                if lacksKey, case .authenticationDenied = error { throw first }
                throw error
            }
            beyond.withLock { $0[endpoint] = first }
            return session
        }
    }

    /// How a host is reached, without asking it.
    public struct Way: Sendable, Hashable {
        /// What reaches it: of `auto` the one that is tried first.
        public let client: HostClient
        /// The account, the address and the port, as in `deploy@10.0.0.1:22`; for this machine itself, the account.
        public let text: String
        /// The address; empty for this machine itself.
        public let hostname: String
        /// The TCP port; 0 for this machine itself.
        public let port: Int
        /// The account.
        public let user: String
    }

    /// How a host is reached, by the files alone; no host is contacted.
    ///
    /// - Throws: ``FleetTransport/TransportError/configuration(reason:)``.
    public func way(to endpoint: HostEndpoint) async throws(TransportError) -> Way {
        let wanted = endpoint.ssh.client ?? .auto
        if wanted == .local {
            return Way(client: .local, text: "this machine", hostname: "", port: 0, user: user)
        }
        if wanted != .openssh {
            do throws(TransportError) {
                let found = try libssh2.effectiveSettings(for: endpoint)
                return Self.way(.libssh2, found.hostname, found.port, found.user)
            } catch {
                guard wanted == .auto, case .beyondClient = error else { throw error }
            }
        }
        let found = try await openSSH.settings(of: endpoint)
        return Self.way(
            .openssh,
            found["hostname"]?.first ?? "",
            found["port"]?.first.flatMap { Int($0) } ?? 22,
            found["user"]?.first ?? ""
        )
    }

    /// What reaches each host, as far as the files tell and this run has seen; ``FleetTransport/HostClient/auto`` where
    /// only the host itself can tell.
    ///
    /// No host is contacted. A host whose settings cannot be read is left out: whoever connects to it is told why.
    public func expectedClients(of endpoints: [HostEndpoint]) async -> [HostName: HostClient] {
        var found: [HostName: HostClient] = [:]
        for endpoint in endpoints {
            let isAuto = (endpoint.ssh.client ?? .auto) == .auto
            if isAuto, whyOpenSSH(for: endpoint) != nil {
                found[endpoint.name] = .openssh
                continue
            }
            do throws(TransportError) {
                let first = try await way(to: endpoint).client
                found[endpoint.name] = isAuto && first == .libssh2 ? .auto : first
            } catch {
                // Whoever connects to the host is told; a guess here would be worse than nothing.
                continue
            }
        }
        return found
    }

    private static func way(_ client: HostClient, _ hostname: String, _ port: Int, _ user: String)
        -> Way
    {
        let shown = hostname.contains(":") ? "[\(hostname)]" : hostname
        return Way(
            client: client,
            text: "\(user)@\(shown):\(port)",
            hostname: hostname,
            port: port,
            user: user
        )
    }

    /// Connects to a host, lets it prove its key, and hangs up; nil for this machine itself.
    ///
    /// Nobody logs in.
    ///
    /// - Throws: ``FleetTransport/TransportError``.
    public func offeredKey(of endpoint: HostEndpoint) async throws(TransportError)
        -> OfferedHostKey?
    {
        let wanted = endpoint.ssh.client ?? .auto
        if wanted == .local { return nil }
        if wanted != .openssh {
            do throws(TransportError) {
                let offered = try await libssh2.offeredKey(of: endpoint)
                // Whether the authority has signed for it is for ssh to find out.
                guard wanted == .auto, offered.isBehindAuthority, await hasOpenSSH else {
                    return offered
                }
            } catch {
                guard wanted == .auto, Self.isBeyond(error) else { throw error }
            }
        }
        let proved = try await openSSH.provedKey(of: endpoint)
        let offered = try libssh2.offeredKey(
            line: proved.line,
            fingerprint: proved.fingerprint,
            files: proved.files,
            isHashed: proved.isHashed,
            name: endpoint.name.text
        )
        // ssh knows more files and authorities than we have looked in: its no is a no.
        if offered.standing == .new, let refusal = proved.refusal { throw refusal }
        return offered
    }

    private var hasOpenSSH: Bool {
        get async {
            do throws(OpenSSHMissing) { _ = try await openSSH.programVersion() } catch {
                // Whoever needs it is told why there is none.
                return false
            }
            return true
        }
    }

    /// The hosts that the way to a host leads through, as far as it is ours and not `ssh`'s to find; the first one first.
    ///
    /// - Throws: ``FleetTransport/TransportError``.
    public func jumpHosts(for endpoint: HostEndpoint) throws(TransportError) -> [HostEndpoint] {
        let wanted = endpoint.ssh.client ?? .auto
        guard wanted == .auto || wanted == .libssh2 else { return [] }
        do throws(TransportError) { return try libssh2.jumpHosts(for: endpoint) } catch {
            guard wanted == .auto, case .beyondClient = error else { throw error }
            return []
        }
    }

    /// Adds keys to the known_hosts files of their hosts, all of a file's or none.
    ///
    /// - Throws: ``FleetTransport/TransportError/localFile(path:reason:)``.
    public func trust(_ keys: [OfferedHostKey]) async throws(TransportError) {
        try await libssh2.trust(keys)
    }

    /// A setting of a host, where it came from, and what `ssh` makes of it where that is something else.
    public struct Explanation: Sendable, Hashable {
        /// ssh_config's name, in small letters.
        public let name: String
        /// What fleet uses.
        public let value: String
        /// `inventory`, a file and line, `default`, or `ssh`.
        public let source: String
        /// What `ssh` uses, if it is not the same.
        public let ssh: String?
        /// Why fleet does otherwise; empty where there is nothing to say.
        public let note: String
    }

    /// Every setting of a host; those of `ssh` where only `ssh` can reach it.
    ///
    /// - Throws: ``FleetTransport/TransportError``.
    public func explanation(of endpoint: HostEndpoint) async throws(TransportError) -> [Explanation]
    {
        let wanted = endpoint.ssh.client ?? .auto
        if wanted == .local {
            return [
                Explanation(name: "client", value: "local", source: "inventory", ssh: nil, note: "")
            ]
        }
        let theirs: [String: [String]]
        do throws(TransportError) { theirs = try await openSSH.settings(of: endpoint) } catch {
            // Without an `ssh` there is nothing to compare with.
            guard wanted != .openssh else { throw error }
            return try libssh2.explanation(of: endpoint).map {
                Explanation(name: $0.name, value: $0.value, source: $0.source, ssh: nil, note: "")
            }
        }
        if wanted != .openssh {
            do throws(TransportError) {
                return try libssh2.explanation(of: endpoint).map { row in
                    let same = row.isSame(asPrinted: theirs[row.name] ?? [])
                    return Explanation(
                        name: row.name,
                        value: row.value,
                        source: row.source,
                        ssh: same ? nil : theirs[row.name]?.joined(separator: " "),
                        note: same ? "" : row.note
                    )
                }
            } catch {
                guard wanted == .auto, case .beyondClient = error else { throw error }
            }
        }
        return theirs.keys.filter(EffectiveSettings.isWorthShowing).sorted().map {
            Explanation(
                name: $0,
                value: theirs[$0]?.joined(separator: " ") ?? "",
                source: "ssh",
                ssh: nil,
                note: ""
            )
        }
    }

    /// Why a host is not reached by libssh2; nil where it is, or where nobody has tried.
    public func whyOpenSSH(for endpoint: HostEndpoint) -> TransportError? {
        beyond.withLock { $0[endpoint] }
    }

    /// The reactor that all of a host's sessions live on.
    public func executor(for endpoint: HostEndpoint) -> (any HostExecutor)? {
        switch endpoint.ssh.client ?? .auto {
        case .openssh: openSSH.executor(for: endpoint)
        case .local: local.executor(for: endpoint)
        case .auto, .libssh2: libssh2.executor(for: endpoint)
        }
    }

    /// Makes everything ready that logins need, before anything starts; see ``FleetSSH/SSHTransport/prepare(_:)``.
    public func prepare(_ endpoints: [HostEndpoint]) async {
        await libssh2.prepare(endpoints.filter { [nil, .auto, .libssh2].contains($0.ssh.client) })
    }

    /// Whether an error says that libssh2 cannot reach the host, and not that the host cannot be reached.
    static func isBeyond(_ error: TransportError) -> Bool {
        switch error {
        case .noCommonAlgorithm, .hostKeyAuthorityOnly, .beyondClient: true
        case .hostKeyOtherType(_, _, let known, _): known.hasPrefix("ssh-rsa")
        case .authenticationDenied(_, let tried, let accepts):
            // A method that libssh2 has not, a certificate that it cannot use, or a banner that it cannot hold.
            accepts.isEmpty || accepts.contains("gssapi-with-mic") || accepts.contains("hostbased")
                || tried.contains { $0.contains(SSHTransport.forOpenSSH) }
        case .jump(_, let error): isBeyond(error)
        default: false
        }
    }
}

extension TransportError {
    /// The same with more words, where it has room for them.
    fileprivate func adding(_ text: String) -> TransportError {
        switch self {
        case .noCommonAlgorithm(let reason): .noCommonAlgorithm(reason: "\(reason); \(text)")
        case .beyondClient(let reason): .beyondClient(reason: "\(reason); \(text)")
        default: self
        }
    }
}
