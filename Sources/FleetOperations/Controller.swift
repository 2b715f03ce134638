public import FleetClients
public import FleetInventory
public import FleetJournal
internal import FleetPlan
public import FleetProject
internal import FleetReport
internal import FleetRollout
public import FleetSSH
internal import FleetTransport

/// The engine of a process: where its journal is, and how it reaches hosts.
public final class Controller: Sendable {
    /// What the user interface passes to the engine.
    ///
    /// The engine itself reads no environment variables and asks no questions at a terminal.
    public struct Settings: Sendable {
        /// Where the journal is kept; an absolute path.
        public var stateDirectory: String
        /// The local SSH environment; its source of secrets is replaced by the project's.
        public var ssh: SSHTransport.Environment
        /// The environment variables of the local programs that fleet starts to reach hosts.
        public var variables: [String: String]
        /// Whether fleet may use a libssh2 that is known to be unsafe.
        public var acceptsUnsafeLibrary = false
        /// Where packed directories are kept.
        public var archives: String { stateDirectory + "/uploads" }
        /// Asks a person for a secret, as in `the passphrase of ~/.ssh/id_ed25519`.
        public var prompt: @Sendable (String) async -> SecretAnswer

        /// Creates the settings.
        public init(
            stateDirectory: String,
            ssh: SSHTransport.Environment,
            variables: [String: String],
            prompt: @escaping @Sendable (String) async -> SecretAnswer
        ) {
            self.stateDirectory = stateDirectory
            self.ssh = ssh
            self.variables = variables
            self.prompt = prompt
        }
    }

    /// Where the journal and its locks are.
    public let directory: StateDirectory
    /// The record of every rollout.
    public let journal: Journal
    /// Who may change an environment from this machine.
    public let leases: any EnvironmentLeases
    private let settings: Settings
    /// What the rollouts of this process share on the way to their hosts.
    private let resources = ConnectionResources()

    /// Opens the journal.
    ///
    /// - Throws: ``OperationFailure`` if the state directory or the journal cannot be used.
    public convenience init(_ settings: Settings) throws(OperationFailure) {
        try self.init(settings, leases: nil)
    }

    /// The same with other leases than those of the state directory.
    package init(_ settings: Settings, leases: (any EnvironmentLeases)?)
        throws(OperationFailure)
    {
        self.settings = settings
        do {
            directory = try StateDirectory(path: settings.stateDirectory)
            journal = try Journal(in: directory)
            self.leases = leases ?? FileLeases(in: directory)
        } catch {
            throw OperationFailure(error)
        }
    }

    /// The version of SQLite in use.
    public static var sqliteVersion: String { Journal.sqliteVersion }

    var archives: String { settings.archives }

    /// The transport for questions about a project's hosts that need no login.
    public func transport(in project: Project) -> ClientTransport {
        Self.transport(in: project, settings, sharing: resources)
    }

    /// The same without a journal.
    public static func transport(
        in project: Project,
        _ settings: Settings,
        sharing resources: ConnectionResources? = nil
    ) -> ClientTransport {
        let reader = SecretReader(root: project.root)
        let prompt = settings.prompt
        var environment = settings.ssh
        environment.secret = { source in
            if case .prompt(let what) = source { return await prompt(what) }
            do throws(SecretReader.Unavailable) {
                return .secret(try await reader.read(source))
            } catch {
                return .unavailable(reason: error.reason)
            }
        }
        return ClientTransport(environment, variables: settings.variables, sharing: resources)
    }

    /// Returns a transport to some hosts, after asking for every passphrase and password that they need.
    ///
    /// - Throws: ``OperationFailure`` if the installed libssh2 is known to be unsafe and the settings do not accept it.
    public func openTransport(for hosts: [Host], in project: Project)
        async throws(OperationFailure) -> ClientTransport
    {
        try await Self.openTransport(for: hosts, in: project, settings, sharing: resources)
    }

    /// Does the same without opening a journal.
    ///
    /// - Throws: The same errors as ``openTransport(for:in:)``.
    public static func openTransport(
        for hosts: [Host],
        in project: Project,
        _ settings: Settings,
        sharing resources: ConnectionResources? = nil
    ) async throws(OperationFailure) -> ClientTransport {
        if !settings.acceptsUnsafeLibrary, let danger = LibSSH2.danger {
            throw OperationFailure(
                .missingDependency,
                danger,
                hints: ["install the security update of libssh2, or add --accept-libssh2"]
            )
        }
        let transport = transport(in: project, settings, sharing: resources)
        await transport.prepare(hosts.map(\.endpoint))
        return transport
    }

    /// What reaches a plan's hosts: what the files say, and where they leave it open, what did so the last time.
    func clients(of plan: Plan, _ transport: ClientTransport) async throws(OperationFailure)
        -> [HostName: HostClient]
    {
        let last: [HostName: String]
        let names = Set(plan.hosts.map(\.name))
        do { last = try await journal.clients(of: names, in: plan.environment) } catch {
            throw OperationFailure(error)
        }
        return await transport.expectedClients(of: plan.hosts.map(\.endpoint)).reduce(into: [:]) {
            clients,
            entry in
            let before = last[entry.key].map(Snapshot.clientName)
            clients[entry.key] =
                switch (entry.value, before) {
                case (.auto, "OpenSSH"): .openssh
                case (.auto, "libssh2"): .libssh2
                default: entry.value
                }
        }
    }
}
