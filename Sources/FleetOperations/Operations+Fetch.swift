internal import FleetInventory
internal import FleetPlaybook
internal import FleetRollout
public import FleetRunner
public import FleetTransport
internal import Glibc

/// A request to fetch a file or a directory from many hosts.
public struct FetchRequest: Sendable, Hashable {
    /// The path on the hosts; `~/` is the account's home.
    public var path: String
    /// Which hosts.
    public var hosts: HostSelection
    /// The local directory in which one subdirectory is made for each host.
    public var directory: String
    /// The largest number of hosts that are contacted at once.
    public var fanout = 32
    /// The longest one host may take, in milliseconds.
    public var timeoutMilliseconds = 600_000
    /// The account that reads the file, through sudo; nil for the login account.
    public var becomeUser: String?

    /// Creates a request for one path.
    public init(_ path: String, from hosts: HostSelection, into directory: String) {
        self.path = path
        self.hosts = hosts
        self.directory = directory
    }
}

/// What was fetched from many hosts.
public struct FetchedFiles: Sendable {
    /// The result for each host, in the order of the hosts.
    public let outcomes: [(host: HostName, outcome: Fetch.Outcome)]

    /// Whether every host's file is here.
    public var isComplete: Bool {
        outcomes.allSatisfy { if case .fetched = $0.outcome { true } else { false } }
    }
}

extension UnrecordedOperations {
    /// Fetches a path from every host; each transfer is complete and verified, or leaves nothing behind.
    ///
    /// - Parameters:
    ///   - request: The path, the hosts and the limits.
    ///   - progress: Called often, on any thread, with the progress of each host; it must not block.
    /// - Returns: The result for each host.
    /// - Throws: ``OperationFailure`` if a selected host does not exist or the local directory cannot be written to.
    public func fetch(
        _ request: FetchRequest,
        progress: @escaping @Sendable (HostName, _ bytes: Int, _ total: Int) -> Void
    ) async throws(OperationFailure) -> FetchedFiles {
        let directory = request.directory
        guard mkdir(directory, 0o777) == 0 || errno == EEXIST, access(directory, W_OK | X_OK) == 0
        else {
            throw OperationFailure(.usage, "\(directory): \(String(cString: strerror(errno)))")
        }
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
        return FetchedFiles(
            outcomes: hosts.map {
                ($0.name, outcomes[$0.name] ?? .failed(reason: "not asked", hint: nil))
            }
        )
    }
}
