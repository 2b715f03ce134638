public import FleetPlan
public import FleetRollout
public import FleetTransport

/// Stores the records of a rollout while it is carried out.
///
/// Every implementation must pass the suite `JournalContractTests`.
public protocol JournalWriter: Sendable {
    /// Refuses to begin a rollout whose records would not fit on the disk.
    ///
    /// - Throws: ``JournalError`` if the disk is full.
    func requireReserve() throws(JournalError)

    /// Whether the disk is full and the journal uses the space that was reserved for this case.
    ///
    /// A rollout that has begun can be finished then, but no new one can begin.
    var isOnReserve: Bool { get }

    /// Adds either all or none of some records and outputs, and returns once they are durable.
    ///
    /// Cancelling the task does not prevent this.
    ///
    /// - Parameters:
    ///   - entries: Records of one rollout, in order.
    ///   - outputs: What hosts printed meanwhile.
    /// - Returns: The journal's new head; nil if there was nothing to add.
    /// - Throws: ``JournalError/write(reason:)``; nothing was added then, and nothing more may be done on any host.
    @discardableResult
    func append(_ entries: [JournalEntry], outputs: [StoredOutput])
        async throws(JournalError) -> JournalHead?

    /// Whether the journal holds a record, unchanged since a host was told of it.
    ///
    /// - Returns: True if the record is unchanged, false if it is changed or missing, and nil if it seems to belong to
    ///   another journal.
    /// - Throws: ``JournalError/read(reason:)``.
    func holds(_ head: JournalHead) async throws(JournalError) -> Bool?

    /// How often the controller of a rollout calls ``requests(to:after:)``, in milliseconds.
    ///
    /// Nil if nobody can send requests through this journal.
    var requestMilliseconds: Int? { get }

    /// Returns the requests that other processes sent to a rollout, the oldest first.
    ///
    /// - Parameters:
    ///   - rollout: The rollout.
    ///   - number: The number of a request; only later ones are returned. 0 returns all.
    /// - Returns: The requests with their numbers.
    /// - Throws: ``JournalError/read(reason:)``.
    func requests(to rollout: RolloutID, after number: Int) async throws(JournalError)
        -> [(number: Int, request: StopRequest)]
}

/// Answers questions from the journal without blocking the caller's thread.
///
/// Every implementation must pass the suite `JournalContractTests`.
public protocol JournalReader: Sendable {
    /// Rollouts, the newest first.
    ///
    /// - Throws: ``JournalError``, also if a record that is needed is not what was written.
    func rollouts(_ query: RolloutQuery) async throws(JournalError) -> [RolloutRecord]

    /// Returns the records of a rollout, in order; empty if the rollout is not known.
    ///
    /// - Parameters:
    ///   - rollout: The rollout.
    ///   - sequence: The number of a record; only later ones are returned. 0 returns all.
    ///   - limit: The largest number of records to return; nil for all.
    /// - Returns: The records.
    /// - Throws: ``JournalError``, also if a record is not what was written.
    func entries(of rollout: RolloutID, after sequence: Int, limit: Int?)
        async throws(JournalError) -> [JournalEntry]

    /// Returns what hosts printed in a rollout, in order.
    ///
    /// If an attempt's answer was lost and recovered later, the recovered output is returned.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    func outputs(of rollout: RolloutID) async throws(JournalError) -> [StoredOutput]

    /// Returns the client that connected to each host when a rollout first checked it, as the client names itself.
    ///
    /// - Parameters:
    ///   - rollout: The rollout.
    ///   - limit: No more records are read as soon as this many clients were found. A rollout checks its hosts before it
    ///     begins on them, so its number of hosts saves reading all the records about steps.
    /// - Returns: The clients of the hosts that were ready.
    /// - Throws: ``JournalError/read(reason:)``.
    func clients(of rollout: RolloutID, limit: Int) async throws(JournalError) -> [HostName: String]

    /// Returns the first record of every rollout, approval, remark and request to stop, the newest first.
    ///
    /// Commands of `exec` are left out.
    ///
    /// - Throws: ``JournalError``, also if a record is not what was written.
    func beginnings(limit: Int) async throws(JournalError) -> [JournalEntry]

    /// The approvals for an environment, the newest first.
    ///
    /// - Throws: ``JournalError``, also if a record is not what was written.
    func approvals(for environment: String) async throws(JournalError) -> [Approval]

    /// The environments that the journal knows, sorted.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    func environments() async throws(JournalError) -> [String]

    /// The last record of each environment, and its hash.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    func heads() async throws(JournalError) -> [String: JournalHead]

    /// Verifies all append-only data, from the first record to the last.
    ///
    /// - Returns: The number of records.
    /// - Throws: ``JournalError/corrupt(sequence:reason:)`` for the first thing that is not what was written.
    func verify() async throws(JournalError) -> Int
}

/// A query that selects rollouts.
public struct RolloutQuery: Sendable, Hashable {
    /// The environment whose rollouts are selected; nil for all.
    public var environment: String?
    /// The largest number of rollouts to return; nil for all.
    public var limit: Int?
    /// Whether commands of `exec` are left out; they do not count towards the limit then.
    public var changesOnly: Bool
    /// The rollout before which the selected ones must be; nil for no such bound.
    public var before: RolloutID?
    /// How much of ``FleetRollout/RolloutRecord/aim`` is returned.
    public var aims: Aims
    /// Whether ``FleetRollout/RolloutRecord/elapsedMilliseconds`` is returned, which costs a look at a record of each.
    public var withTimes: Bool

    /// How much of the rollouts' aims a query returns.
    public enum Aims: Sendable, Hashable {
        /// No aims.
        case none
        /// The aims, without the hosts that get each release.
        case releases
        /// The complete aims.
        case hosts
    }

    /// Asks for rollouts.
    public init(
        environment: String? = nil,
        limit: Int? = 20,
        changesOnly: Bool = false,
        before: RolloutID? = nil,
        aims: Aims = .none,
        withTimes: Bool = false
    ) {
        self.withTimes = withTimes
        self.environment = environment
        self.limit = limit
        self.changesOnly = changesOnly
        self.before = before
        self.aims = aims
    }
}

/// Grants the right to change an environment to one holder at a time.
///
/// Every implementation must pass the suite `EnvironmentLeasesTests`.
public protocol EnvironmentLeases: Sendable {
    /// Acquires the right to change an environment.
    ///
    /// The right is given back by ``EnvironmentLease/release()``, when the lease is deallocated, or when the process
    /// ends.
    ///
    /// - Parameters:
    ///   - environment: The environment; a safe file name.
    ///   - owner: A description of the new holder, for people.
    /// - Returns: The lease.
    /// - Throws: ``JournalError/locked(environment:owner:)`` if somebody else holds it.
    func acquire(_ environment: String, for owner: String) async throws(JournalError)
        -> any EnvironmentLease

    /// Returns who has the right to change an environment now; nil if nobody has.
    ///
    /// - Throws: ``JournalError`` if this cannot be determined.
    func holder(of environment: String) throws(JournalError) -> String?
}

/// The right to change an environment.
public protocol EnvironmentLease: Sendable {
    /// Gives the right back at once, even if the lease is still referenced elsewhere; further calls have no effect.
    func release()
}

// MARK: What follows from it

extension JournalWriter {
    /// Adds records, all or none of them, and returns when they are durable.
    ///
    /// - Returns: Where the journal is then.
    /// - Throws: As ``append(_:outputs:)``.
    @discardableResult
    public func append(_ entries: [JournalEntry]) async throws(JournalError) -> JournalHead? {
        try await append(entries, outputs: [])
    }

    /// Adds a record that belongs to no rollout, under a name of its own.
    ///
    /// - Returns: The name of the record.
    /// - Throws: ``JournalError/write(reason:)``; nothing was added then.
    @discardableResult
    public func note(_ body: JournalEntry.Body, stamp: RolloutID, at unixMilliseconds: Int)
        async throws(JournalError) -> RolloutID
    {
        let prefix =
            switch body {
            case .approved: "approval"
            case .askedToStop: "request"
            case .planned, .event, .effect, .remarked, .takenUp: "remark"
            }
        guard let name = RolloutID("\(prefix)-\(stamp)") else {
            preconditionFailure("a word and a rollout's name make a name")
        }
        try await append([
            JournalEntry(
                rollout: name,
                sequence: 1,
                elapsedMilliseconds: 0,
                unixMilliseconds: unixMilliseconds,
                body: body
            )
        ])
        return name
    }
}

extension JournalReader {
    /// Every record of a rollout, in order; none if it is not known.
    ///
    /// - Throws: As ``entries(of:after:limit:)``.
    public func entries(of rollout: RolloutID) async throws(JournalError) -> [JournalEntry] {
        try await entries(of: rollout, after: 0, limit: nil)
    }

    /// A rollout's first record: its plan, and who began it.
    ///
    /// - Returns: Nil only if the journal does not know the rollout; a record that cannot be read is an error.
    /// - Throws: As ``entries(of:after:limit:)``.
    public func beginning(of rollout: RolloutID) async throws(JournalError) -> JournalEntry? {
        try await entries(of: rollout, after: 0, limit: 1).first
    }

    /// Every rollout of an environment but commands of `exec`, the newest first, with its release.
    ///
    /// - Throws: As ``rollouts(_:)``.
    public func changes(in environment: String) async throws(JournalError) -> [RolloutRecord] {
        try await rollouts(
            RolloutQuery(environment: environment, limit: nil, changesOnly: true, aims: .releases)
        )
    }

    /// As ``FleetRollout/ReleaseHistory/unfinished(_:)`` says.
    ///
    /// - Throws: As ``rollouts(_:)``.
    public func unfinished(in environment: String) async throws(JournalError) -> RolloutRecord? {
        ReleaseHistory.unfinished(
            try await rollouts(
                RolloutQuery(environment: environment, limit: nil, changesOnly: true)
            )
        )
    }

    /// As ``FleetRollout/ReleaseHistory/takenBack(_:in:)`` says.
    ///
    /// - Throws: As ``rollouts(_:)``.
    public func reverted(_ commit: String, in environment: String) async throws(JournalError)
        -> RolloutRecord?
    {
        ReleaseHistory.takenBack(commit, in: try await changes(in: environment))
    }

    /// As ``FleetRollout/ReleaseHistory/succeeded(_:in:passing:)`` says.
    ///
    /// - Throws: As ``rollouts(_:)``.
    public func succeeded(
        _ commit: String,
        in environment: String,
        passing smokeTests: Set<String>? = nil
    ) async throws(JournalError) -> RolloutRecord? {
        ReleaseHistory.succeeded(
            commit,
            in: try await changes(in: environment),
            passing: smokeTests
        )
    }

    /// Returns the release that an environment's newest rollouts left on it, and the newest of these rollouts.
    ///
    /// The result is nil if there is no such release, or the hosts were left with different ones.
    ///
    /// - Throws: As ``rollouts(_:)``.
    public func live(in environment: String) async throws(JournalError)
        -> (release: Release, rollout: RolloutRecord)?
    {
        // Most often the newest one tells.
        var limit = 4
        while true {
            let records = try await rollouts(
                RolloutQuery(
                    environment: environment,
                    limit: limit,
                    changesOnly: true,
                    aims: .hosts
                )
            )
            switch ReleaseHistory.live(records) {
            case .release(let release, let record): return (release, record)
            case .mixed: return nil
            case .open where records.count < limit: return nil
            case .open: limit *= 8
            }
        }
    }

    /// Returns the client that last connected to each host of an environment, as the client names itself.
    ///
    /// Only the three newest rollouts are examined, and the older ones only for hosts that the newer ones did not reach.
    ///
    /// - Throws: As ``clients(of:limit:)``.
    public func clients(of hosts: Set<HostName>, in environment: String)
        async throws(JournalError) -> [HostName: String]
    {
        let newest = try await rollouts(
            RolloutQuery(environment: environment, limit: 3, changesOnly: true)
        )
        var found: [HostName: String] = [:]
        for record in newest where !hosts.isSubset(of: found.keys) {
            found.merge(try await clients(of: record.id, limit: record.hostCount)) { newer, _ in
                newer
            }
        }
        return found
    }
}
