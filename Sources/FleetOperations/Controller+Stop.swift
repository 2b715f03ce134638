internal import FleetJournal
internal import FleetPlan
internal import FleetReport
public import FleetRollout
internal import FleetRunner

extension Controller {
    /// A request to stop a rollout that has been recorded.
    public struct Stopping: Sendable {
        /// The rollout.
        public let rollout: RolloutID
        /// What was asked of it.
        public let request: StopRequest
        let journal: any JournalReader

        /// Waits until the controller of the rollout has recorded that it received the request.
        ///
        /// - Parameter milliseconds: The longest time to wait, in milliseconds.
        /// - Throws: ``OperationFailure`` if the rollout has neither recorded the request nor ended within that time.
        ///   The request stays in effect.
        public func requireHeard(within milliseconds: Int) async throws(OperationFailure) {
            guard try await !isHeard(within: milliseconds) else { return }
            throw OperationFailure(
                .interrupted,
                "rollout \(rollout) has not heard it within \(milliseconds / 1000) s: its controller hangs, or an "
                    + "older fleet carries it out",
                hints: [
                    "the request stands: it stops as soon as it hears it",
                    "fleet status \(environment)    what every host runs",
                ]
            )
        }

        private func isHeard(within milliseconds: Int) async throws(OperationFailure) -> Bool {
            let start = ContinuousClock.now
            var last = askedAfter
            while true {
                let entries: [JournalEntry]
                do {
                    entries = try await journal.entries(of: rollout, after: last, limit: nil)
                } catch {
                    throw OperationFailure(error)
                }
                last = entries.last?.sequence ?? last
                for entry in entries {
                    switch entry.body {
                    case .event(.askedToStop(request)), .effect(.finish): return true
                    default: break
                    }
                }
                guard ContinuousClock.now - start < .milliseconds(milliseconds) else {
                    return false
                }
                do { try await Task.sleep(for: .milliseconds(100)) } catch { return false }
            }
        }

        let environment: String
        /// The last record that the rollout had when it was asked.
        let askedAfter: Int
    }

    /// Asks a rollout that runs on this machine, in any process, to stop.
    ///
    /// The process that carries out the rollout receives the request within a second.
    ///
    /// - Parameters:
    ///   - id: The rollout; nil for the only unfinished one.
    ///   - point: The point at which the rollout stops.
    ///   - reason: Why the rollout should stop; it is recorded. Nil if no reason is given.
    ///   - initiator: Who makes the request.
    /// - Returns: The request, on which the caller can wait.
    /// - Throws: ``OperationFailure`` if the rollout does not exist, has ended, or is not being carried out on this
    ///   machine. Nothing is recorded then.
    public func askToStop(
        _ id: RolloutID?,
        after point: StopRequest.Point,
        reason: String?,
        by initiator: Initiator
    ) async throws(OperationFailure) -> Stopping {
        let id = if let id { id } else { try await RolloutLookup.onlyUnfinished(in: journal) }
        let entries: [JournalEntry]
        do { entries = try await journal.entries(of: id) } catch { throw OperationFailure(error) }
        guard case .planned(let plan, _) = entries.first?.body else {
            throw RolloutLookup.unknown(id)
        }
        let rollout = try RolloutLookup.replay(plan, entries, id)
        // Somebody is just taking it up.
        let isTakenUp = if case .takenUp = entries.last?.body { true } else { false }
        if let outcome = rollout.outcome, !(outcome == .interrupted && isTakenUp) {
            throw OperationFailure(
                .refused,
                outcome == .interrupted
                    ? "rollout \(id) has stopped already"
                    : "rollout \(id) has come to its end: \(outcome.rawValue)",
                hints: ["fleet show \(id)    what happened"]
            )
        }
        let environment = rollout.plan.environment
        // Commands take no lease; whether somebody hears is seen afterwards.
        var isCarriedOut = rollout.plan.kind == .exec
        do {
            if !isCarriedOut { isCarriedOut = try leases.holder(of: environment) != nil }
        } catch {
            throw OperationFailure(error)
        }
        guard isCarriedOut else {
            throw OperationFailure(
                .refused,
                "nobody carries rollout \(id) out on this machine at this moment; there is nothing to stop",
                hints: [
                    "fleet resume \(id)    go on from where it stopped",
                    "fleet resume \(id) --back    put the touched hosts back",
                ]
            )
        }
        let request = StopRequest(
            id,
            after: point,
            user: initiator.user,
            machine: initiator.machine,
            reason: reason
        )
        let now = WallClock.unixMilliseconds()
        do {
            try await journal.note(.askedToStop(request), stamp: RolloutID.new(), at: now)
        } catch {
            throw OperationFailure(error)
        }
        return Stopping(
            rollout: id,
            request: request,
            journal: journal,
            environment: environment,
            askedAfter: entries.last?.sequence ?? 0
        )
    }
}
