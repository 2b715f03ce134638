internal import FleetInventory
internal import FleetPlaybook
public import FleetRunner
public import FleetTransport

/// A file or a directory is to be brought from many hosts.
public struct FetchRequest: Sendable, Hashable {
    /// The path on the hosts; `~/` is the account's home.
    public var path: String
    /// Which hosts.
    public var hosts: HostSelection
    /// Where a directory is made for each host, here.
    public var directory: String
    /// The most hosts in flight.
    public var fanout = 32
    /// The longest one host may take, in milliseconds.
    public var timeoutMilliseconds = 600_000
    /// The account that reads it, through sudo; nil for the login account.
    public var becomeUser: String?

    /// Asks for a path.
    public init(_ path: String, from hosts: HostSelection, into directory: String) {
        self.path = path
        self.hosts = hosts
        self.directory = directory
    }
}

extension UnrecordedOperations {
    /// Brings a path from every host, each complete and checked or not at all.
    ///
    /// - Parameters:
    ///   - request: What, and from where.
    ///   - progress: Told how far a host has come; often, on any thread, must not block.
    /// - Returns: What became of each host's, in the hosts' order.
    /// - Throws: ``OperationFailure`` for hosts that there are not.
    public func fetch(
        _ request: FetchRequest,
        progress: @escaping @Sendable (HostName, _ bytes: Int, _ total: Int) -> Void
    ) async throws(OperationFailure) -> [(host: HostName, outcome: Fetch.Outcome)] {
        let (_, hosts) = try request.hosts.hosts(of: project)
        let fetch = Fetch(
            transport: try await Controller.openTransport(for: hosts, in: project, settings),
            fanout: request.fanout,
            timeoutMilliseconds: request.timeoutMilliseconds
        )
        let (path, user) = (request.path, request.becomeUser)
        let outcomes = await fetch.fetch(
            path,
            from: hosts,
            into: request.directory,
            scripts: Fetch.Scripts(
                question: FetchScript.question(of: path, becomeUser: user),
                file: FetchScript.file(path, becomeUser: user),
                directory: FetchScript.directory(path, becomeUser: user)
            ),
            progress: progress
        )
        return hosts.map {
            ($0.name, outcomes[$0.name] ?? .failed(reason: "not asked", hint: nil))
        }
    }
}
