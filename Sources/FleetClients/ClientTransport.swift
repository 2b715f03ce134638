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
    private let beyond = Mutex<[HostEndpoint: TransportError]>([:])

    /// Prepares all three; nothing is started yet.
    ///
    /// - Parameters:
    ///   - environment: The user's surroundings.
    ///   - variables: What `ssh` is started with.
    public init(_ environment: SSHTransport.Environment, variables: [String: String]) {
        let reactors = ReactorPool()
        let libssh2 = SSHTransport(environment, reactors: reactors)
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
        ssh.sessionLimit = environment.openSSHSessionLimit
        if environment.userConfiguration != environment.accountHome + "/.ssh/config" {
            // One that is named must be there.
            ssh.configuration =
                access(environment.userConfiguration, F_OK) == 0
                ? environment.userConfiguration : "/dev/null"
        }
        openSSH = OpenSSHTransport(ssh, reactors: reactors)
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

    /// Why a host is not reached by libssh2; nil where it is, or where nobody has tried.
    public func whyOpenSSH(for endpoint: HostEndpoint) -> TransportError? {
        beyond.withLock { $0[endpoint] }
    }

    /// The reactor that all of a host's sessions live on.
    public func executor(for endpoint: HostEndpoint) -> (any TaskExecutor)? {
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
