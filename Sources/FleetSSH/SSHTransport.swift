public import FleetTransport
internal import FoundationEssentials
internal import Glibc
internal import Synchronization

/// SSH as a ``FleetTransport/Transport``: reactors, credentials and known hosts of one run.
///
/// Files are read once per run; every host shares them.
public final class SSHTransport: Transport {
    /// The user's surroundings, as far as SSH depends on them.
    public struct Environment: Sendable {
        /// The home directory.
        public var home: String
        /// The login name.
        public var user: String
        /// The agent's socket, from `SSH_AUTH_SOCK`.
        public var agentSocket: String?

        /// Describes the surroundings.
        public init(home: String, user: String, agentSocket: String?) {
            self.home = home
            self.user = user
            self.agentSocket = agentSocket
        }
    }

    /// The longest wait for a TCP connection, in milliseconds, unless the inventory says otherwise.
    static let connectMilliseconds = 10_000
    /// The longest wait for banners and keys, in milliseconds.
    static let handshakeMilliseconds = 25_000
    /// The longest wait for a login, in milliseconds.
    static let authenticationMilliseconds = 30_000
    /// How often a connection that is retryable is tried.
    static let connectAttempts = 4
    /// The most keys offered: sshd's MaxAuthTries is 6, and each refused key counts.
    static let keyLimit = 5

    private let environment: Environment
    private let reactors = ReactorPool()
    private let gate = HandshakeGate()
    private let configuration: SSHConfiguration
    private let files = Files()

    /// Reads `~/.ssh/config` and prepares the reactors.
    public init(_ environment: Environment) {
        self.environment = environment
        let path = environment.home + "/.ssh/config"
        configuration = SSHConfiguration(Files.text(path) ?? "")
    }

    /// What is really used for a host: the inventory's word, then `~/.ssh/config`'s, then defaults.
    public func effectiveSettings(for endpoint: HostEndpoint) -> SSHSettings {
        var settings = endpoint.ssh.overriding(configuration.settings(for: endpoint.name.text))
        settings.hostname = settings.hostname ?? endpoint.name.text
        settings.port = settings.port ?? 22
        settings.user = settings.user ?? environment.user
        settings.hostKeys = settings.hostKeys ?? .strict
        return settings
    }

    /// Connects, verifies the host's key and logs in; see ``FleetTransport/Transport``.
    public func open(_ endpoint: HostEndpoint, rollout: String) async throws(TransportError)
        -> any HostSession
    {
        let settings = effectiveSettings(for: endpoint)
        let signers = try await signers(for: settings)
        let reactor = reactors.reactor(for: endpoint.name.text)
        let name = settings.hostname ?? endpoint.name.text
        let addresses = try await HostAddress.resolve(name, port: settings.port ?? 22)
        var attempt = 1
        while true {
            let session = SSHSession(reactor: reactor, rollout: rollout)
            await gate.enter()
            do throws(TransportError) {
                try await connect(session, addresses, endpoint, settings, signers)
                await gate.leave()
                return session
            } catch {
                await gate.leave()
                await session.tearDown(error)
                // sshd drops connections above MaxStartups before its banner: that passes.
                guard error.isRetryable, attempt < Self.connectAttempts, !Task.isCancelled,
                    Self.isWorthRetrying(error)
                else { throw error }
                do {
                    let pause = Int.random(in: 100...400) << attempt
                    try await Task.sleep(for: .milliseconds(pause))
                } catch { throw TransportError.connectionLost(.connecting, reason: "cancelled") }
                attempt += 1
            }
        }
    }

    /// The reactor that all of a host's sessions live on.
    public func executor(for endpoint: HostEndpoint) -> (any TaskExecutor)? {
        reactors.reactor(for: endpoint.name.text)
    }

    /// A refused port or a silent host stays so for longer than we would wait here; the rollout
    /// decides about that.
    ///
    /// A connection that was dropped before the banner is a busy sshd.
    private static func isWorthRetrying(_ error: TransportError) -> Bool {
        if case .connectionLost(.handshake, _) = error { true } else { false }
    }

    private func connect(
        _ session: SSHSession,
        _ addresses: [HostAddress],
        _ endpoint: HostEndpoint,
        _ settings: SSHSettings,
        _ signers: [Signer]
    ) async throws(TransportError) {
        let host = settings.hostname ?? endpoint.name.text
        let port = settings.port ?? 22
        let known = files.knownHosts(paths(settings))
        try await session.connect(
            to: addresses,
            within: settings.connectTimeoutMilliseconds ?? Self.connectMilliseconds
        )
        let key = try await session.handshake(
            hostKeyTypes: known.knownTypes(host: host, port: port),
            within: Self.handshakeMilliseconds
        )
        switch known.verdict(host: host, port: port, key: key) {
        case .match: break
        case .revoked(let place):
            throw .hostKeyRevoked(host: host, offered: key.fingerprint, place: place)
        case .changed(let other, let place):
            throw .hostKeyChanged(
                host: host,
                offered: key.fingerprint,
                known: other.fingerprint,
                place: place
            )
        case .authorityOnly(let place):
            throw .hostKeyAuthorityOnly(host: host, offered: key.fingerprint, place: place)
        case .unknown:
            guard settings.hostKeys == .acceptNew else {
                throw .hostKeyUnknown(
                    host: host,
                    offered: key.fingerprint,
                    files: paths(settings)
                )
            }
            try await remember(key, host: host, port: port, in: paths(settings)[0])
        }
        try await session.authenticate(
            user: settings.user ?? environment.user,
            signers: signers,
            within: Self.authenticationMilliseconds
        )
    }

    // MARK: Host keys

    private func paths(_ settings: SSHSettings) -> [String] {
        if let file = settings.knownHostsFile { return [expand(file)] }
        return [environment.home + "/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"]
    }

    private func remember(_ key: HostKey, host: String, port: Int, in path: String)
        async throws(TransportError)
    {
        let line = KnownHosts.text(host: host, port: port, key: key)
        let files = files
        let reason = await BlockingQueue.shared.run { files.append(line, to: path) }
        if let reason { throw .localFile(path: path, reason: reason) }
    }

    // MARK: Credentials

    private func signers(for settings: SSHSettings) async throws(TransportError) -> [Signer] {
        var signers: [Signer] = []
        var problems: [String] = []
        for path in settings.identityFiles ?? defaultIdentities {
            let file = expand(path)
            switch files.key(file) {
            case .success(let key):
                signers.append(
                    Signer(source: .key(key), publicBlob: key.publicBlob, name: path)
                )
            case .failure(let problem):
                // Default keys that are not there are nothing to speak of.
                if settings.identityFiles != nil || problem.reason != Files.missing {
                    problems.append("\(path): \(problem.reason)")
                }
            }
        }
        if let path = environment.agentSocket {
            let agent = Agent(path: path)
            let files = files
            let identities = await BlockingQueue.shared.run { files.identities(of: agent) }
            // A key in the agent may be the one that is named but has a passphrase.
            for identity in identities
            where !signers.contains(where: { $0.publicBlob == identity.publicBlob }) {
                signers.append(
                    Signer(
                        source: .agent(agent),
                        publicBlob: identity.publicBlob,
                        name: "\(identity.comment) (agent)"
                    )
                )
            }
        }
        guard !signers.isEmpty else {
            let seen =
                problems.isEmpty
                ? "no key in ~/.ssh and no agent" : problems.joined(separator: "; ")
            throw .credentialUnusable(reason: "there is no usable key: \(seen)")
        }
        return Array(signers.prefix(Self.keyLimit))
    }

    private var defaultIdentities: [String] {
        ["id_ed25519", "id_ecdsa", "id_rsa"].map { "~/.ssh/\($0)" }
    }

    private func expand(_ path: String) -> String {
        path.hasPrefix("~/") ? environment.home + path.dropFirst(1) : path
    }
}

/// Local files that all hosts share, each read once.
private final class Files: Sendable {
    /// Why a file that is not there cannot be read.
    static let missing = "there is no such file"

    private struct State {
        var keys: [String: Result<PrivateKey, PrivateKey.Unusable>] = [:]
        var knownHosts: [[String]: KnownHosts] = [:]
        var identities: [Agent.Identity]?
    }

    private let state = Mutex(State())

    static func text(_ path: String) -> String? {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
    }

    func key(_ path: String) -> Result<PrivateKey, PrivateKey.Unusable> {
        state.withLock { state in
            if let known = state.keys[path] { return known }
            let result: Result<PrivateKey, PrivateKey.Unusable>
            if let text = Self.text(path) {
                do throws(PrivateKey.Unusable) {
                    result = .success(try PrivateKey.read(text))
                } catch {
                    result = .failure(error)
                }
            } else {
                let isThere = FileManager.default.fileExists(atPath: path)
                result = .failure(
                    PrivateKey.Unusable(reason: isThere ? "it cannot be read" : Self.missing)
                )
            }
            state.keys[path] = result
            return result
        }
    }

    func identities(of agent: Agent) -> [Agent.Identity] {
        if let known = state.withLock({ $0.identities }) { return known }
        let found = agent.identities() ?? []
        state.withLock { $0.identities = found }
        return found
    }

    func knownHosts(_ paths: [String]) -> KnownHosts {
        state.withLock { state in
            if let known = state.knownHosts[paths] { return known }
            var hosts = KnownHosts()
            for path in paths {
                if let text = Self.text(path) { hosts.read(text, file: path) }
            }
            state.knownHosts[paths] = hosts
            return hosts
        }
    }

    /// Adds a line in one write, so that several fleets may do it at once; returns what went wrong.
    func append(_ line: String, to path: String) -> String? {
        state.withLock { state in
            let flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC
            let file = Glibc.open(path, flags, 0o600)
            guard file >= 0 else { return String(cString: strerror(errno)) }
            defer { Glibc.close(file) }
            let bytes = Array(line.utf8)
            guard write(file, bytes, bytes.count) == bytes.count, fsync(file) == 0 else {
                return String(cString: strerror(errno))
            }
            state.knownHosts = [:]
            return nil
        }
    }
}

/// Lets only so many handshakes be under way at once: sshd drops more than its MaxStartups
/// (10:30:100 by default), and an unfinished handshake is all that counts there.
private actor HandshakeGate {
    /// Handshakes in flight, over all hosts.
    static let width = 64

    private var taken = 0
    private var queue: [CheckedContinuation<Void, Never>] = []

    func enter() async {
        if taken < Self.width {
            taken += 1
            return
        }
        await withCheckedContinuation { queue.append($0) }
    }

    func leave() {
        if queue.isEmpty {
            taken -= 1
        } else {
            queue.removeFirst().resume()
        }
    }
}
