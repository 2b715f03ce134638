public import FleetJournal
public import FleetPlan
internal import FleetReport
public import FleetRollout

/// Finds rollouts in the journal.
public enum RolloutLookup {
    /// Reads a rollout's name.
    ///
    /// - Throws: ``OperationFailure`` if the text is not a valid name.
    public static func id(_ text: String) throws(OperationFailure) -> RolloutID {
        guard let id = RolloutID(text) else {
            throw OperationFailure(
                .usage,
                "`\(Sanitizer.line(text))` is not a rollout's name",
                hints: ["see `fleet history`"]
            )
        }
        return id
    }

    /// The word that means the newest rollout, wherever one is named.
    public static let newest = "last"

    /// Finds the rollout that a name means; ``newest`` is the newest one but commands of `exec`.
    ///
    /// - Throws: ``OperationFailure`` if the text is not a valid name, or ``newest`` and there is none.
    static func id(_ text: String, in journal: any JournalReader) async throws(OperationFailure)
        -> RolloutID
    {
        guard text == newest else { return try id(text) }
        let records: [RolloutRecord]
        do {
            records = try await journal.rollouts(RolloutQuery(limit: 1, changesOnly: true))
        } catch {
            throw OperationFailure(error)
        }
        guard let record = records.first else {
            throw OperationFailure(
                .usage,
                "the journal holds no rollout yet",
                hints: ["`fleet deploy ENV` begins one", "--state-dir names another journal"]
            )
        }
        return record.id
    }

    /// Restores the state of a rollout from its journal records.
    ///
    /// - Throws: ``OperationFailure`` if the journal does not know the rollout, or its records do not fit its plan.
    public static func replay(_ id: RolloutID, in journal: any JournalReader)
        async throws(OperationFailure)
        -> Rollout
    {
        let entries: [JournalEntry]
        do { entries = try await journal.entries(of: id) } catch { throw OperationFailure(error) }
        guard case .planned(let plan, _) = entries.first?.body else { throw unknown(id) }
        return try replay(plan, entries, id)
    }

    static func unknown(_ id: RolloutID) -> OperationFailure {
        OperationFailure(
            .usage,
            "the journal knows no rollout \(id)",
            hints: ["see `fleet history`"]
        )
    }

    /// Restores the state of a rollout from records that were already read.
    ///
    /// - Throws: ``OperationFailure`` if the records do not fit the plan.
    public static func replay(_ plan: Plan, _ entries: [JournalEntry], _ id: RolloutID)
        throws(OperationFailure) -> Rollout
    {
        do { return try Rollout.replay(plan, entries) } catch { throw unfit(error, id) }
    }

    /// What is said when records do not fit the plan of their rollout.
    static func unfit(_ error: UnfitJournal, _ id: RolloutID) -> OperationFailure {
        let place = error.sequence.map { ", entry \($0)" } ?? ""
        return OperationFailure(
            .journal,
            "E_CORRUPT the journal of rollout \(id) does not fit its plan\(place): \(error.reason)",
            hints: [
                "fleet journal verify",
                "fleet recover ENV    rebuilds it from what hosts have kept",
            ]
        )
    }

    /// Returns the only unfinished rollout.
    ///
    /// - Throws: ``OperationFailure`` if there is none, or more than one.
    public static func onlyUnfinished(in journal: any JournalReader)
        async throws(OperationFailure) -> RolloutID
    {
        var found: [RolloutRecord] = []
        do throws(JournalError) {
            for environment in Set(try await journal.environments()).sorted() {
                if let record = try await journal.unfinished(in: environment) {
                    found.append(record)
                }
            }
        } catch {
            throw OperationFailure(error)
        }
        guard found.count <= 1 else {
            throw OperationFailure(
                .usage,
                "several rollouts have not come to their end",
                hints: found.map { "fleet resume \($0.id)    \($0.environment)" }
            )
        }
        guard let only = found.first else {
            throw OperationFailure(.usage, "every rollout has come to its end")
        }
        return only.id
    }
}
