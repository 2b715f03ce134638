internal import FleetJournal
public import FleetPlan
public import FleetRollout
internal import FleetTransport

/// The records of a rollout that any process of this account carries out, as they become durable.
public struct FollowedRollout: Sendable {
    /// The rollout.
    public let id: RolloutID
    /// Its plan.
    public let plan: Plan
    private let journal: any JournalReader
    private let leases: any EnvironmentLeases
    /// How often the journal is asked, in milliseconds: often enough for the eye.
    private static let intervalMilliseconds = 200
    /// How often nothing new is waited for before it is believed that nothing comes.
    private static let patience = 5
    /// How many records are read at a time.
    private static let page = 500

    init(
        id: RolloutID,
        plan: Plan,
        journal: any JournalReader,
        leases: any EnvironmentLeases
    ) {
        self.id = id
        self.plan = plan
        self.journal = journal
        self.leases = leases
    }

    /// How following a rollout ended.
    public enum End: Sendable, Hashable {
        /// The rollout came to its end, or had come to it before.
        case over(RolloutOutcome)
        /// Nobody carries it out any more: its controller was killed or left it.
        case abandoned
        /// The records so far are all that was asked for.
        case upToNow
        /// The task was cancelled.
        case cancelled
    }

    /// Gives the records out, in order, until there can be no more.
    ///
    /// - Parameters:
    ///   - sequence: The number of a record; only later ones are given out.
    ///   - waits: Whether to wait for records that are not written yet.
    ///   - take: Gets the records, some at a time.
    /// - Returns: Why there are no more.
    /// - Throws: ``OperationFailure`` if the journal cannot be read, or a record does not fit the plan; it is not given
    ///   out then.
    public func follow(
        after sequence: Int = 0,
        waits: Bool = true,
        _ take: ([JournalEntry]) async -> Void
    ) async throws(OperationFailure) -> End {
        var last = sequence
        var rollout = try await reached(by: sequence)
        var end = rollout.outcome
        var idle = 0
        while !Task.isCancelled {
            // Asked first: what was written before the holder left is read behind that.
            let isHeld: Bool
            let entries: [JournalEntry]
            do throws(JournalError) {
                isHeld = try leases.holder(of: plan.environment) != nil
                entries = try await journal.entries(of: id, after: last, limit: Self.page)
            } catch {
                throw OperationFailure(error)
            }
            if let newest = entries.last {
                last = newest.sequence
                for entry in entries {
                    guard case .event(let event) = entry.body else { continue }
                    // Whoever shows it plays the records once more, and is not to end by a trap.
                    if let reason = rollout.misfit(of: event) {
                        let error = UnfitJournal(sequence: entry.sequence, reason: reason)
                        throw RolloutLookup.unfit(error, id)
                    }
                    _ = rollout.handle(event, at: entry.elapsedMilliseconds)
                }
                end = rollout.outcome
                await take(entries)
                idle = 0
                continue
            }
            // An interrupted rollout has an end, but somebody may be taking it up again just now.
            if let end, end != .interrupted || !isHeld || idle > Self.patience { return .over(end) }
            guard waits else { return end.map { .over($0) } ?? .upToNow }
            idle += 1
            if !isHeld, idle > Self.patience { return .abandoned }
            do {
                try await Task.sleep(for: .milliseconds(Self.intervalMilliseconds))
            } catch {
                return .cancelled
            }
        }
        return .cancelled
    }
}

extension FollowedRollout {
    /// The state that the rollout had reached by a record.
    private func reached(by sequence: Int) async throws(OperationFailure) -> Rollout {
        var entries: [JournalEntry] = []
        if sequence > 0 {
            do { entries = try await journal.entries(of: id, after: 0, limit: sequence) } catch {
                throw OperationFailure(error)
            }
        }
        return try RolloutLookup.replay(plan, entries, id)
    }
}

extension Controller {
    /// Finds a rollout in order to follow it.
    ///
    /// - Parameter name: The rollout's name; nil for the one that was begun last and has not come to its end, or else
    ///   the newest. `last` is the newest.
    /// - Returns: The rollout.
    /// - Throws: ``OperationFailure`` if the journal does not know it, or cannot be read.
    public func followed(_ name: String?) async throws(OperationFailure) -> FollowedRollout {
        var name = name
        if name == nil { name = try await running() }
        let id = try await RolloutLookup.id(name ?? RolloutLookup.newest, in: journal)
        let first: JournalEntry?
        do { first = try await journal.beginning(of: id) } catch { throw OperationFailure(error) }
        guard case .planned(let plan, _) = first?.body else { throw RolloutLookup.unknown(id) }
        return FollowedRollout(id: id, plan: plan, journal: journal, leases: leases)
    }

    /// The newest rollout that has no end: one that somebody carries out now, if there is one.
    private func running() async throws(OperationFailure) -> String? {
        do throws(JournalError) {
            let open = try await journal.rollouts(RolloutQuery(limit: 50, changesOnly: true))
                .filter { $0.outcome == nil }
            for record in open where try leases.holder(of: record.environment) != nil {
                return record.id.description
            }
            return open.first?.id.description
        } catch {
            throw OperationFailure(error)
        }
    }
}
