internal import FleetJournal
internal import FleetPlan
public import FleetRollout

extension Operations {
    /// Asks now what has to be asked, and gives out what another process can carry out in this one's stead.
    ///
    /// - Parameter prepared: The rollout, as it was prepared and shown.
    /// - Returns: What is carried out: exactly that, or nothing.
    /// - Throws: ``OperationFailure`` if nobody agrees, or if it is of a kind that cannot be kept; nothing is changed
    ///   then.
    public func confirmForLater(_ prepared: PreparedRollout) async throws(OperationFailure)
        -> SavedPreparation
    {
        guard prepared.request != nil else {
            throw OperationFailure(
                .usage,
                "a rollout that is taken up, and a command of `exec`, cannot be detached",
                hints: ["run it in a session of its own: setsid, systemd-run or tmux"]
            )
        }
        let selection = prepared.selection
        guard !selection.asksForPassword, !selection.asksForBecomePassword else {
            throw OperationFailure(
                .usage,
                "a password that is typed does not reach a rollout that is detached",
                hints: ["name its place in the inventory (`become_password: { file: … }`)"]
            )
        }
        try await ask(prepared)
        return try await save(prepared)
    }
}

extension Controller {
    /// Finds a rollout that another process has begun from a plan.
    ///
    /// - Parameters:
    ///   - digest: The plan's ``FleetPlan/Plan/digest``.
    ///   - environment: The environment.
    ///   - unixMilliseconds: It was begun then or later, in milliseconds since 1970.
    /// - Returns: Its name; nil if it has not been begun yet.
    /// - Throws: ``OperationFailure`` if the journal cannot be read.
    public func rollout(
        of digest: String,
        in environment: String,
        since unixMilliseconds: Int
    ) async throws(OperationFailure) -> RolloutID? {
        do throws(JournalError) {
            let newest = try await journal.rollouts(
                RolloutQuery(environment: environment, limit: 5, changesOnly: true)
            )
            for record in newest where record.startedUnixMilliseconds >= unixMilliseconds {
                let first = try await journal.beginning(of: record.id)
                if case .planned(let plan, _) = first?.body, plan.digest == digest {
                    return record.id
                }
            }
            return nil
        } catch {
            throw OperationFailure(error)
        }
    }
}
