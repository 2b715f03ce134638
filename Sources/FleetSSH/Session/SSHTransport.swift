internal import FleetFiles
public import FleetHostShell
internal import FleetReactor
public import FleetTransport
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
        /// The home directory that the system's files give the account, whatever `HOME` says: `ssh` looks there.
        public var accountHome: String
        /// The login name.
        public var user: String
        /// The agent's socket, from `SSH_AUTH_SOCK`.
        public var agentSocket: String?
        /// The user's ssh_config file.
        public var userConfiguration: String
        /// The machine's ssh_config file.
        public var systemConfiguration = "/etc/ssh/ssh_config"
        /// How long an sshd that drops connections, being busy, is tried again, in milliseconds.
        public var busyMilliseconds = 60_000
        /// The longest waits for the server's banner and for the key exchange, in milliseconds:
        /// totals, however slowly bytes trickle in.
        public var bannerMilliseconds = 10_000
        /// See above.
        public var handshakeMilliseconds = 20_000
        /// The longest a login may take, all attempts together, in milliseconds.
        public var loginMilliseconds = 30_000
        /// What a step may print into the file that keeps it on its host.
        public var outputLimit = HostOutputLimit()
        /// The system's `ssh`, for hosts that libssh2 cannot reach.
        public var openSSHProgram = "ssh"
        /// An environment variable's value.
        public var variable: @Sendable (String) -> String?
        /// Tells the person what is waited for.
        public var notice: @Sendable (String) -> Void = { _ in }
        /// Finds a secret: reads a file, runs a command, or asks the person at the terminal.
        public var secret: @Sendable (SecretSource) async -> SecretAnswer

        /// Where `.ssh` is looked for: in `$HOME`, and where there is none, in the account's own directory.
        ///
        /// `ssh` only ever looks in the latter (ssh(1)): CI systems that set another HOME have their keys there.
        public static func home(variable: String, account: String) -> String {
            access(variable + "/.ssh", F_OK) != 0 && access(account + "/.ssh", F_OK) == 0
                ? account : variable
        }

        /// Describes the surroundings.
        public init(
            home: String,
            user: String,
            agentSocket: String?,
            variable: @escaping @Sendable (String) -> String? = { _ in nil },
            secret: @escaping @Sendable (SecretSource) async -> SecretAnswer = { _ in
                .unavailable(reason: "there is nobody to ask")
            }
        ) {
            self.home = home
            accountHome =
                getpwuid(getuid()).flatMap { $0.pointee.pw_dir }.map { String(cString: $0) } ?? home
            self.user = user
            self.agentSocket = agentSocket
            userConfiguration = home + "/.ssh/config"
            self.variable = variable
            self.secret = secret
        }
    }

    /// What stands in the reason why libssh2 cannot use a key that `ssh` can use.
    public static let forOpenSSH = "is for ssh to use"
    /// The longest pause between two tries, in milliseconds.
    private static let longestPauseMilliseconds = 4_000
    /// How many hosts a way may lead through.
    private static let hopLimit = 8

    private let environment: Environment
    private let reactors: ReactorPool
    private let gates: HandshakeGates
    private let resolver: Resolver
    private let configuration: Result<SSHConfiguration, TransportError>
    private let credentials: CredentialStore
    let files = Files()
    private let sources = SourceFiles()
    private let state = Mutex(State())

    private struct State {
        var settings: [HostEndpoint: Result<EffectiveSettings, TransportError>] = [:]
        var jumps: [HostEndpoint: JumpHost] = [:]
        /// What the person was told.
        var told: Set<String> = []
        /// The key that each host proved first: it must prove the same one for the whole run.
        var proved: [String: HostKey] = [:]
    }

    /// Reads the ssh_config files and prepares the reactors.
    ///
    /// What is wrong with the files is reported by whatever needs them.
    ///
    /// - Parameters:
    ///   - environment: The user's surroundings.
    ///   - resources: What it shares with others; nil for some of its own.
    public init(_ environment: Environment, sharing resources: ConnectionResources? = nil) {
        let resources = resources ?? ConnectionResources()
        self.environment = environment
        reactors = resources.reactors
        gates = resources.gates
        resolver = resources.resolver
        credentials = CredentialStore(ask: environment.secret)
        do throws(SSHConfiguration.Problem) {
            configuration = .success(
                try SSHConfigurationReader.read(
                    user: environment.userConfiguration,
                    system: environment.systemConfiguration,
                    home: environment.home
                )
            )
        } catch {
            configuration = .failure(error.error)
        }
    }

    // MARK: Settings

    /// What is really used for a host: the inventory's word, then the ssh_config files', then
    /// OpenSSH's defaults.
    ///
    /// - Throws: ``FleetTransport/TransportError/configuration(reason:)``.
    public func effectiveSettings(for endpoint: HostEndpoint) throws(TransportError)
        -> EffectiveSettings
    {
        if let known = state.withLock({ $0.settings[endpoint] }) { return try known.get() }
        let result: Result<EffectiveSettings, TransportError>
        do throws(TransportError) {
            let found = try EffectiveSettings(
                endpoint,
                configuration: try configuration.get(),
                environment: environment
            )
            result = .success(found)
        } catch {
            result = .failure(error)
        }
        state.withLock { $0.settings[endpoint] = result }
        return try result.get()
    }

    /// What is done about a host never seen before.
    ///
    /// - Throws: As ``effectiveSettings(for:)``.
    public func hostKeyPolicy(for endpoint: HostEndpoint) throws(TransportError) -> HostKeyPolicy {
        try effectiveSettings(for: endpoint).hostKeys
    }

    /// Ways to log in that ssh_config allows for a host and only `ssh` knows, by their names in RFC 4252 and 4462.
    public func foreignMethods(for endpoint: HostEndpoint) -> [String] {
        do throws(TransportError) {
            return try effectiveSettings(for: endpoint).foreignMethods
        } catch {
            // Whoever opens the host is told.
            return []
        }
    }

    /// A secret, asked for once.
    ///
    /// - Throws: ``FleetTransport/TransportError/credentialUnusable(reason:)``.
    public func secret(_ source: SecretSource) async throws(TransportError) -> String {
        try await credentials.secret(source)
    }

    /// Every setting of a host, and where it came from, for people.
    ///
    /// - Throws: ``FleetTransport/TransportError/configuration(reason:)``.
    public func explanation(of endpoint: HostEndpoint) throws(TransportError)
        -> [EffectiveSettings.Row]
    {
        try EffectiveSettings(
            endpoint,
            configuration: try configuration.get(),
            environment: environment,
            keepsRows: true
        ).rows
    }

    /// The reactor that all of a host's sessions live on; hosts behind one jump host share it.
    public func executor(for endpoint: HostEndpoint) -> (any HostExecutor)? {
        reactor(for: endpoint)
    }

    private func reactor(for endpoint: HostEndpoint) -> Reactor {
        do throws(TransportError) {
            if case .jump(let hops) = try effectiveSettings(for: endpoint).route,
                let first = hops.first
            {
                return reactors.reactor(behind: first.text)
            }
        } catch {
            // `open` throws it for this host; until then any reactor will do.
        }
        return reactors.reactor(for: endpoint.name.text)
    }

    /// Makes everything ready that logins need, before anything starts: asks for passphrases and
    /// passwords, and decrypts keys.
    ///
    /// What is missing for a host is reported when that host is opened.
    public func prepare(_ endpoints: [HostEndpoint]) async {
        for endpoint in endpoints {
            do throws(TransportError) {
                let settings = try effectiveSettings(for: endpoint)
                _ = try await credentials.credentials(for: settings)
                if let source = settings.becomePassword { _ = try await credentials.secret(source) }
            } catch {
                // Each answer is kept, failures too, and `open` throws it for the host that needs it.
            }
        }
    }

    // MARK: Opening

    /// Connects, verifies the host's key and logs in; see ``FleetTransport/Transport``.
    public func open(_ endpoint: HostEndpoint, rollout: String) async throws(TransportError)
        -> any HostSession
    {
        let session = try await session(
            to: endpoint,
            on: reactor(for: endpoint),
            rollout: rollout,
            depth: 0
        )
        let settings = try effectiveSettings(for: endpoint)
        if let source = settings.becomePassword {
            await session.setBecomePassword(try await credentials.secret(source))
        }
        return session
    }

    private func session(
        to endpoint: HostEndpoint,
        on reactor: Reactor,
        rollout: String,
        depth: Int
    ) async throws(TransportError) -> SSHSession {
        let settings = try effectiveSettings(for: endpoint)
        let credentials = try await credentials.credentials(for: settings)
        return try await connected(
            settings,
            endpoint,
            on: reactor,
            rollout: rollout,
            depth: depth
        ) { session throws(TransportError) in
            try await self.logIn(session, settings, endpoint, credentials)
            return session
        }
    }

    /// Links a session to a host and lets `body` do what it has to before the host counts it as
    /// logged in; an sshd that is busy is tried again.
    private func connected<T: Sendable>(
        _ settings: EffectiveSettings,
        _ endpoint: HostEndpoint,
        on reactor: Reactor,
        rollout: String,
        depth: Int,
        _ body: @Sendable (SSHSession) async throws(TransportError) -> T
    ) async throws(TransportError) -> T {
        try reactor.requireSockets(to: endpoint.name)
        let gate = "\(settings.hostname):\(settings.port)"
        let clock = ContinuousClock()
        let start = clock.now
        var attempt = 1
        while true {
            let session = SSHSession(
                reactor: reactor,
                rollout: rollout,
                sources: sources,
                outputLimit: environment.outputLimit
            )
            await gates.enter(gate)
            do throws(TransportError) {
                try await link(session, settings, endpoint, depth: depth)
                let result = try await body(session)
                gates.leave(gate)
                return result
            } catch {
                gates.leave(gate)
                await session.tearDown(error)
                // sshd drops connections above MaxStartups before its banner: that passes.
                let waited = Int((clock.now - start) / .milliseconds(1))
                guard Self.isBusyServer(error), waited < environment.busyMilliseconds,
                    !Task.isCancelled
                else { throw error }
                let longest = min(Self.longestPauseMilliseconds, 200 << min(attempt, 5))
                do {
                    try await Task.sleep(for: .milliseconds(Int.random(in: 50...longest)))
                } catch { throw TransportError.connectionLost(.connecting, reason: "cancelled") }
                attempt += 1
            }
        }
    }

    /// Whether an error is that of a busy sshd.
    ///
    /// A refused port or a silent host stays so for longer than we would wait here; the rollout
    /// decides about that. A connection that was dropped before the banner is a busy sshd.
    private static func isBusyServer(_ error: TransportError) -> Bool {
        if case .connectionLost(.banner, _) = error { true } else { false }
    }

    /// Finds a way to the host's sshd.
    private func link(
        _ session: SSHSession,
        _ settings: EffectiveSettings,
        _ endpoint: HostEndpoint,
        depth: Int
    ) async throws(TransportError) {
        switch settings.route {
        case .direct:
            let addresses = try await resolver.addresses(
                of: settings.hostname,
                port: settings.port,
                family: settings.family
            )
            var sources: [HostAddress] = []
            if let own = settings.bindAddress {
                sources = try await resolver.addresses(of: own, port: 0, family: settings.family)
            }
            try await session.connect(
                to: addresses,
                from: sources,
                within: settings.connectMilliseconds
            )
        case .command(let command):
            let process = await BlockingQueue.shared.run {
                do throws(TransportError) {
                    return Result<ProxyProcess, TransportError>.success(
                        try ProxyProcess(command: command)
                    )
                } catch {
                    return .failure(error)
                }
            }
            await session.connect(through: try process.get())
        case .jump(let hops):
            guard depth < Self.hopLimit else {
                throw .configuration(
                    reason: "the way to \(settings.hostname) leads through more than "
                        + "\(Self.hopLimit) hosts; does a jump host jump through itself?"
                )
            }
            let jump = jumpHost(hops, for: endpoint, on: session.reactor, depth: depth)
            let (parent, channel) = try await jump.tunnel(
                to: settings.hostname,
                port: settings.port,
                within: settings.connectMilliseconds
            )
            let address =
                "\(settings.hostname):\(settings.port) through \(hops.map(\.text).joined(separator: ","))"
            await session.connect(through: parent, channel, to: address)
        }
    }

    /// The shared connection to the last of some hops; the others are the way to it.
    private func jumpHost(
        _ hops: [JumpHop],
        for endpoint: HostEndpoint,
        on reactor: Reactor,
        depth: Int
    ) -> JumpHost {
        let hop = jumpEndpoint(hops, for: endpoint)
        return state.withLock { state in
            if let known = state.jumps[hop] { return known }
            let made = JumpHost(name: hops[hops.count - 1].text, reactor: reactor) {
                [weak self] () async throws(TransportError) in
                guard let self else {
                    throw .connectionLost(.connecting, reason: "the run is over")
                }
                return try await self.session(
                    to: hop,
                    on: reactor,
                    rollout: "jump",
                    depth: depth + 1
                )
            }
            state.jumps[hop] = made
            return made
        }
    }

    /// The last of some hops as a host of its own.
    ///
    /// As in ssh, a hop has its own settings in ssh_config. What an inventory says about keys and
    /// known hosts holds for it too.
    func jumpEndpoint(_ hops: [JumpHop], for endpoint: HostEndpoint) -> HostEndpoint {
        let last = hops[hops.count - 1]
        var ssh = SSHSettings()
        ssh.user = last.user
        ssh.port = last.port
        if hops.count > 1 { ssh.jump = hops.dropLast().map(\.text).joined(separator: ",") }
        ssh.knownHostsFile = endpoint.ssh.knownHostsFile
        ssh.hostKeys = endpoint.ssh.hostKeys
        ssh.identityFiles = endpoint.ssh.identityFiles
        ssh.identitiesOnly = endpoint.ssh.identitiesOnly
        ssh.keyLimit = endpoint.ssh.keyLimit
        ssh.passphrase = endpoint.ssh.passphrase
        return HostEndpoint(name: HostName(last.host), ssh: ssh)
    }

    private func logIn(
        _ session: SSHSession,
        _ settings: EffectiveSettings,
        _ endpoint: HostEndpoint,
        _ credentials: Credentials
    ) async throws(TransportError) {
        let (host, port) = settings.keyName
        let known = try files.knownHosts(settings.knownHostsFiles)
        let key = try await session.handshake(
            hostKeyTypes: known.knownTypes(host: host, port: port),
            algorithms: settings.algorithms,
            bannerWithin: environment.bannerMilliseconds,
            keysWithin: environment.handshakeMilliseconds
        )
        if let bits = KeyRule.rsaBits(of: key.blob), bits < settings.keyRule.leastRSABits {
            throw .noCommonAlgorithm(
                reason:
                    "the RSA key of \(settings.hostname) has \(bits) bits, and `RequiredRSASize` asks for "
                    + "\(settings.keyRule.leastRSABits)"
            )
        }
        try await accept(key, settings, known)
        if !settings.variables.isEmpty { await session.setVariables(settings.variables) }
        try await session.authenticate(
            user: settings.user,
            with: credentials,
            within: environment.loginMilliseconds,
            notice: { [weak self] text in self?.tell(text) }
        )
        await session.watch(every: settings.aliveMilliseconds, count: settings.aliveCount)
    }

    /// Tells the person something once.
    private func tell(_ text: String) {
        let isNew = state.withLock { $0.told.insert(text).inserted }
        if isNew { environment.notice(text) }
    }

    // MARK: Host keys

    /// What the files of a host say.
    ///
    /// - Throws: ``FleetTransport/TransportError/configuration(reason:)`` for one that is there and cannot be read.
    func knownHosts(_ settings: EffectiveSettings) throws(TransportError) -> KnownHosts {
        try files.knownHosts(settings.knownHostsFiles)
    }

    /// The files have changed.
    func forgetKnownHosts() { files.forgetKnownHosts() }

    /// Connects, exchanges keys and hangs up.
    func proveKey(of endpoint: HostEndpoint, preferring types: [String])
        async throws(TransportError) -> HostKey
    {
        let settings = try effectiveSettings(for: endpoint)
        return try await connected(
            settings,
            endpoint,
            on: reactor(for: endpoint),
            rollout: "keys",
            depth: 0
        ) { session throws(TransportError) in
            let key = try await session.handshake(
                hostKeyTypes: types,
                algorithms: settings.algorithms,
                bannerWithin: self.environment.bannerMilliseconds,
                keysWithin: self.environment.handshakeMilliseconds
            )
            await session.disconnect()
            return key
        }
    }

    /// Refuses a key that a `RevokedHostKeys` file has withdrawn.
    func refuseRevoked(_ key: HostKey, _ settings: EffectiveSettings) async throws(TransportError) {
        let (host, port) = settings.keyName
        let named = KnownHosts.name(host: host, port: port)
        if let file = settings.revokedHostKeysFile {
            let files = files
            let found = await BlockingQueue.shared.run { files.revocation(of: key, in: file) }
            switch found {
            case .none: break
            case .revoked(let place):
                throw .hostKeyRevoked(host: named, offered: key.fingerprint, place: place)
            case .unreadable(let reason):
                throw .configuration(
                    reason:
                        "RevokedHostKeys \(file) \(reason), so no key of \(named) can be trusted"
                )
            }
        }
    }

    private func accept(_ key: HostKey, _ settings: EffectiveSettings, _ known: KnownHosts)
        async throws(TransportError)
    {
        let (host, port) = settings.keyName
        // As known_hosts has it: with the port, where that is not the usual one.
        let named = KnownHosts.name(host: host, port: port)
        try await refuseRevoked(key, settings)
        switch known.verdict(host: host, port: port, key: key) {
        case .match: break
        case .revoked(let place):
            throw .hostKeyRevoked(host: named, offered: key.fingerprint, place: place)
        case .otherType(let other, let place):
            throw .hostKeyOtherType(
                host: named,
                offered: key.fingerprint,
                known: other.fingerprint,
                place: place
            )
        case .changed(let other, let place):
            throw .hostKeyChanged(
                host: named,
                offered: key.fingerprint,
                known: other.fingerprint,
                place: place
            )
        case .authorityOnly(let place):
            throw .hostKeyAuthorityOnly(host: named, offered: key.fingerprint, place: place)
        case .unknown:
            if settings.hostKeys == .acceptNew,
                let place = known.revocation(host: host, port: port)
            {
                throw .hostKeyRevoked(
                    host: named,
                    offered: "a new \(key.fingerprint)",
                    place: place
                )
            }
            guard settings.hostKeys == .acceptNew else {
                throw .hostKeyUnknown(
                    host: named,
                    offered: key.fingerprint,
                    files: settings.knownHostsFiles
                )
            }
            // Without a file of ours it holds for this run.
            guard let file = settings.ownKnownHostsFile else { break }
            let line = KnownHosts.text(
                host: host,
                port: port,
                key: key,
                isHashed: settings.hashesKnownHosts
            )
            let files = files
            let reason = await BlockingQueue.shared.run { files.add(line, to: file) }
            if let reason { throw .localFile(path: file, reason: reason) }
        }
        let place = KnownHosts.name(host: host, port: port)
        let first = state.withLock { state in
            if state.proved[place] == nil { state.proved[place] = key }
            return state.proved[place] ?? key
        }
        guard first == key else {
            throw .hostKeyChanged(
                host: named,
                offered: key.fingerprint,
                known: first.fingerprint,
                place: "the first connection of this run"
            )
        }
    }
}

/// Local files that all hosts share, each read once.
final class Files: Sendable {
    private struct State {
        var knownHosts: [[String]: KnownHosts] = [:]
    }

    private let state = Mutex(State())

    func knownHosts(_ paths: [String]) throws(TransportError) -> KnownHosts {
        try state.withLock { (state) throws(TransportError) -> KnownHosts in
            if let known = state.knownHosts[paths] { return known }
            var hosts = KnownHosts()
            for path in paths {
                if let bytes = WholeFile.read(path) {
                    hosts.read(bytes, file: path)
                    continue
                }
                let reason = String(cString: strerror(errno))
                if access(path, F_OK) == 0 || ![ENOENT, ENOTDIR].contains(errno) {
                    // What it says of a key, that it was withdrawn or is another one, cannot be known.
                    throw .configuration(
                        reason: "known_hosts \(path) is there and cannot be read: \(reason)"
                    )
                }
            }
            state.knownHosts[paths] = hosts
            return hosts
        }
    }

    func forgetKnownHosts() { state.withLock { $0.knownHosts = [:] } }

    /// What a file of withdrawn keys says of one.
    enum Revocation: Sendable {
        case none
        case revoked(place: String)
        case unreadable(reason: String)
    }

    /// Looks a key up in a `RevokedHostKeys` file: public keys, one a line (ssh_config(5)).
    ///
    /// As to ssh, a file that cannot be read revokes everything. OpenSSH's binary lists cannot be read here.
    func revocation(of key: HostKey, in path: String) -> Revocation {
        guard let bytes = WholeFile.read(path) else {
            return .unreadable(reason: "cannot be read (\(String(cString: strerror(errno))))")
        }
        guard !bytes.starts(with: Array("SSHKRL\n".utf8)) else {
            return .unreadable(reason: "is a binary key revocation list, which fleet cannot read")
        }
        for (number, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
            .enumerated()
        where line.first != UInt8(ascii: "#") {
            let words = line.split { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }
            if words.contains(where: { Base64.decode($0).map(HostKey.init(blob:)) == key }) {
                return .revoked(place: "\(path):\(number + 1)")
            }
        }
        return .none
    }

    /// Adds a line; returns what went wrong.
    func add(_ line: String, to path: String) -> String? {
        state.withLock { state in
            state.knownHosts = [:]
            return KnownHostsFile.add(line, to: path)
        }
    }
}
