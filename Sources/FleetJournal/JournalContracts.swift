public import FleetPlan
public import FleetRollout
public import FleetTransport

/// Where a rollout keeps its records while it is carried out.
///
/// Whoever implements it passes the suite `JournalContractTests`.
public protocol JournalWriter: Sendable {
    /// Refuses to begin what could not be recorded to its end.
    ///
    /// - Throws: ``JournalError`` if the disk is full.
    func requireReserve() throws(JournalError)

    /// Whether the disk is full and the journal lives on what was set aside: what has begun can be brought to an
    /// end, and nothing more.
    var isOnReserve: Bool { get }

    /// Adds records and what hosts printed, all or none of it, and returns when they are durable; also for a task
    /// that was cancelled.
    ///
    /// - Parameters:
    ///   - entries: Records of one rollout, in order.
    ///   - outputs: What hosts printed meanwhile.
    /// - Returns: Where the journal is then; nil if there was nothing to add.
    /// - Throws: ``JournalError/write(reason:)``; nothing was added then, and nothing more may be done on any host.
    @discardableResult
    func append(_ entries: [JournalEntry], outputs: [StoredOutput])
        async throws(JournalError) -> JournalHead?

    /// Whether a record is in the journal, and what it was when a host was told of it.
    ///
    /// - Returns: nil if another journal has it, as far as this one can tell.
    /// - Throws: ``JournalError/read(reason:)``.
    func holds(_ head: JournalHead) async throws(JournalError) -> Bool?

    /// How often somebody who carries a rollout out asks for ``requests(to:after:)``, in milliseconds; nil where nobody
    /// can ask anything of it.
    var requestMilliseconds: Int? { get }

    /// What was asked of a rollout from outside, the oldest first.
    ///
    /// - Parameters:
    ///   - rollout: The rollout.
    ///   - number: Only what was asked behind this one; 0 for everything.
    /// - Returns: What was asked, numbered.
    /// - Throws: ``JournalError/read(reason:)``.
    func requests(to rollout: RolloutID, after number: Int) async throws(JournalError)
        -> [(number: Int, request: StopRequest)]
}

/// What a journal answers; nothing here keeps the caller's thread waiting.
///
/// Whoever implements it passes the suite `JournalContractTests`.
public protocol JournalReader: Sendable {
    /// Rollouts, the newest first.
    ///
    /// - Throws: ``JournalError``, also if a record that is needed is not what was written.
    func rollouts(_ query: RolloutQuery) async throws(JournalError) -> [RolloutRecord]

    /// Records of a rollout, in order; none if it is not known.
    ///
    /// - Parameters:
    ///   - rollout: The rollout.
    ///   - sequence: Only records behind this one; 0 for the first.
    ///   - limit: How many at most; nil for all of them.
    /// - Returns: The records.
    /// - Throws: ``JournalError``, also if a record is not what was written.
    func entries(of rollout: RolloutID, after sequence: Int, limit: Int?)
        async throws(JournalError) -> [JournalEntry]

    /// What hosts printed in a rollout, in order; of an attempt whose answer was lost and then found, what was found.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    func outputs(of rollout: RolloutID) async throws(JournalError) -> [StoredOutput]

    /// What preflight found on the hosts of a rollout.
    ///
    /// - Throws: ``JournalError``, also if a record is not what was written.
    func snapshots(of rollout: RolloutID) async throws(JournalError) -> [HostName: Snapshot]

    /// Every record that something began with but commands of `exec`, approvals and remarks among them, the newest
    /// first.
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

    /// Checks everything that is only ever added to, from the first record to the last.
    ///
    /// - Returns: How many records there are.
    /// - Throws: ``JournalError/corrupt(sequence:reason:)`` for the first thing that is not what was written.
    func verify() async throws(JournalError) -> Int
}

/// Which rollouts are asked for.
public struct RolloutQuery: Sendable, Hashable {
    /// Only those of an environment; nil for all.
    public var environment: String?
    /// How many at most; nil for all of them.
    public var limit: Int?
    /// Whether commands of `exec` are left out, however many there were.
    public var changesOnly: Bool
    /// Only what is older than this one; nil for everything.
    public var before: RolloutID?
    /// How much of ``FleetRollout/RolloutRecord/aim`` is asked for.
    public var aims: Aims

    /// How much is asked for of what rollouts were to change.
    public enum Aims: Sendable, Hashable {
        /// Nothing.
        case none
        /// Everything but which of their hosts get what.
        case releases
        /// Everything.
        case hosts
    }

    /// Asks for rollouts.
    public init(
        environment: String? = nil,
        limit: Int? = 20,
        changesOnly: Bool = false,
        before: RolloutID? = nil,
        aims: Aims = .none
    ) {
        self.environment = environment
        self.limit = limit
        self.changesOnly = changesOnly
        self.before = before
        self.aims = aims
    }
}

/// Who may change an environment.
///
/// Whoever implements it passes the suite `EnvironmentLeasesTests`.
public protocol EnvironmentLeases: Sendable {
    /// Takes the right to change an environment; it is given back by ``EnvironmentLease/release()``, or when nothing
    /// holds the lease any more, or when the process ends.
    ///
    /// - Parameters:
    ///   - environment: The environment; a safe file name.
    ///   - owner: Who that is, for people.
    /// - Returns: The right.
    /// - Throws: ``JournalError/locked(environment:owner:)`` if somebody else has it.
    func acquire(_ environment: String, for owner: String) async throws(JournalError)
        -> any EnvironmentLease

    /// Who has the right to change an environment at this moment; nil if nobody has.
    ///
    /// - Throws: ``JournalError`` if that cannot be known.
    func holder(of environment: String) throws(JournalError) -> String?
}

/// The right to change an environment.
public protocol EnvironmentLease: Sendable {
    /// Gives the right back at once, whoever else still has a reference to it; a second time nothing happens.
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

    /// Adds a record that stands alone, under a name of its own.
    ///
    /// - Returns: The name.
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

    /// The release that the newest rollouts left on an environment, and the newest of them; nil if there is none, or
    /// hosts were left with different ones.
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

    /// What reached each host of an environment the last time that a rollout asked it, in the client's own words.
    ///
    /// Only the newest rollouts are looked at: three of them.
    ///
    /// - Throws: ``JournalError``, also if a record cannot be read.
    public func clients(in environment: String) async throws(JournalError) -> [HostName: String] {
        let newest = try await rollouts(
            RolloutQuery(environment: environment, limit: 3, changesOnly: true)
        )
        var found: [HostName: String] = [:]
        for record in newest {
            for (host, snapshot) in try await snapshots(of: record.id) where found[host] == nil {
                found[host] = snapshot.client
            }
        }
        return found
    }
}
