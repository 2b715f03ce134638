public import FleetHostShell
package import FleetReactor
public import FleetTransport
internal import Glibc

/// This machine itself as a host: its own shell, without sshd, keys or a network.
///
/// The smallest team has one server, which deploys itself. Locks, records and detached steps are those of any other
/// host; other accounts are reached by `become_user`.
public final class LocalTransport: Transport {
    /// What a step may print into the file that keeps it.
    private let outputLimit: HostOutputLimit
    private let account: Account
    private let reactors: ReactorPool
    private let sources = SourceFiles()
    /// Finds a secret: the password that sudo wants.
    private let secret: @Sendable (SecretSource) async -> Result<String, TransportError>

    /// Whose shell it is.
    public struct Account: Sendable, Hashable {
        /// The login name.
        public var user: String
        /// The home directory.
        public var home: String
        /// The variables that a login has.
        var environment: [String] {
            let path = "/usr/local/bin:/usr/bin:/bin"
            let superuser = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            return [
                "HOME=\(home)", "USER=\(user)", "LOGNAME=\(user)", "SHELL=/bin/sh",
                "PATH=\(getuid() == 0 ? superuser : path)",
            ]
        }

        /// Names an account.
        public init(user: String, home: String) {
            self.user = user
            self.home = home
        }
    }

    /// Prepares this machine's shell.
    public convenience init(
        _ account: Account,
        outputLimit: HostOutputLimit = HostOutputLimit(),
        secret: @escaping @Sendable (SecretSource) async -> Result<String, TransportError> = { _ in
            .failure(.credentialUnusable(reason: "there is nobody to ask"))
        }
    ) {
        self.init(account, outputLimit: outputLimit, secret: secret, reactors: ReactorPool())
    }

    /// The same, on reactors that others use, too.
    package init(
        _ account: Account,
        outputLimit: HostOutputLimit,
        secret: @escaping @Sendable (SecretSource) async -> Result<String, TransportError>,
        reactors: ReactorPool
    ) {
        self.reactors = reactors
        self.account = account
        self.outputLimit = outputLimit
        self.secret = secret
    }

    /// Starts a shell; see ``FleetTransport/Transport``.
    ///
    /// - Throws: ``FleetTransport/TransportError/configuration(reason:)`` where another account is to log in.
    public func open(_ endpoint: HostEndpoint, rollout: String) async throws(TransportError)
        -> any HostSession
    {
        if let user = endpoint.ssh.user, user != account.user {
            throw .configuration(
                reason:
                    "`client: local` is the account that runs fleet, \(account.user), and the inventory says "
                    + "`user: \(user)`: let the steps act as that account (`become_user: \(user)`)"
            )
        }
        let reactor = reactors.reactor(for: endpoint.name.text)
        try reactor.requireSockets(to: endpoint.name)
        let session = LocalSession(
            reactor: reactor,
            rollout: rollout,
            environment: account.environment + ["FLEET_OWN_SCOPE=1"],
            home: account.home,
            sources: sources,
            outputLimit: outputLimit
        )
        if let source = endpoint.ssh.becomePassword {
            await session.setBecomePassword(try await secret(source).get())
        }
        return session
    }

    /// The reactor that all of a host's sessions live on.
    public func executor(for endpoint: HostEndpoint) -> (any HostExecutor)? {
        reactors.reactor(for: endpoint.name.text)
    }
}

/// One shell of this machine, and the commands beside it.
actor LocalSession: FileChannelSession {
    nonisolated let reactor: Reactor
    nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }
    nonisolated let rollout: String
    nonisolated let sources: SourceFiles
    nonisolated let outputLimit: HostOutputLimit
    private let environment: [String]
    private let home: String

    let operations = Operations()
    var channels: [FileChannel] = []
    var failure: TransportError?
    var isTornDown = false
    var isPumping = false
    var hasClosedChannels = false
    let address = "this machine"
    var shell: ShellChannel<FileChannel>?
    var becomePassword: String?
    var sudoAnswers: [String: Bool] = [:]

    init(
        reactor: Reactor,
        rollout: String,
        environment: [String],
        home: String,
        sources: SourceFiles,
        outputLimit: HostOutputLimit
    ) {
        self.reactor = reactor
        self.rollout = rollout
        self.environment = environment
        self.home = home
        self.sources = sources
        self.outputLimit = outputLimit
    }

    nonisolated var client: String? { "local" }

    func setBecomePassword(_ password: String) { becomePassword = password }

    func openChannel(command: String, within milliseconds: Int) async throws(TransportError)
        -> FileChannel
    {
        if let failure { throw failure }
        let channel = try FileChannel.starting(
            ["/bin/sh", "-c", command],
            environment: environment,
            directory: home
        )
        adopt(channel)
        return channel
    }

    func openTunnel(host: String, port: Int, within milliseconds: Int) async throws(TransportError)
        -> FileChannel
    {
        let addresses: [HostAddress]
        do throws(TransportError) {
            addresses = try await Resolver().addresses(of: host, port: port, family: AF_UNSPEC)
        } catch {
            throw .refusedByHost(reason: error.message)
        }
        let dialer = Dialer(reactor: reactor, addresses: addresses) { [weak self] in
            self?.assumeIsolated { $0.pump() }
        }
        dialer.start()
        let socket: Int32?
        do throws(TransportError) {
            socket = try await performOrExpire(.channel, within: milliseconds) {
                () throws(TransportError) -> Int32? in try dialer.outcome?.get().socket
            }
        } catch {
            dialer.cancel()
            guard case .unreachable(_, let reason) = error else { throw error }
            throw .refusedByHost(reason: "connect failed: \(reason)")
        }
        guard let socket else {
            dialer.cancel()
            throw .timedOut(.channel, milliseconds: milliseconds)
        }
        let channel = FileChannel(socket: socket)
        channels.append(channel)
        reactor.handle(socket) { [weak self] _ in self?.assumeIsolated { $0.pump() } }
        return channel
    }

    /// A shell whose input has ended goes by itself; what it started goes on, as behind a closed connection.
    func end(_ channel: FileChannel) {
        if let process = channel.process { ChildProgram.reap(process, on: reactor) }
    }
}
