internal import FleetJournal
internal import FleetPlan
internal import FleetReport
public import FleetRollout
internal import FleetRunner

extension Controller {
    /// A rollout that was asked to stop.
    public struct Stopping: Sendable {
        /// The rollout.
        public let rollout: RolloutID
        /// What was asked of it.
        public let request: StopRequest
        let journal: any JournalReader

        /// Waits until whoever carries the rollout out has heard the request, and recorded that.
        ///
        /// - Parameter milliseconds: How long at most.
        /// - Throws: ``OperationFailure`` if nobody has heard it by then, and the rollout has not come to its end
        ///   either; the request stands all the same.
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
            var last = 0
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
                    case .event(.askedToStop(request)): return true
                    // What ended before does not count: it may have been taken up since.
                    case .effect(.finish) where entry.unixMilliseconds >= askedUnixMilliseconds:
                        return true
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
        let askedUnixMilliseconds: Int
    }

    /// Asks a rollout to stop that any process of this machine carries out; it hears that within a second.
    ///
    /// - Parameters:
    ///   - id: The rollout; nil for the only one that has not come to its end.
    ///   - point: After what.
    ///   - reason: Why; it is recorded. Nil if there is nothing to say.
    ///   - initiator: Who asks.
    /// - Returns: What was asked.
    /// - Throws: ``OperationFailure`` for a rollout that there is not, that has come to its end, or that nobody carries
    ///   out at this moment; nothing was asked then.
    public func askToStop(
        _ id: RolloutID?,
        after point: StopRequest.Point,
        reason: String?,
        by initiator: Initiator
    ) async throws(OperationFailure) -> Stopping {
        let id = if let id { id } else { try await RolloutLookup.onlyUnfinished(in: journal) }
        let rollout = try await RolloutLookup.replay(id, in: journal)
        if let outcome = rollout.outcome {
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
            askedUnixMilliseconds: now
        )
    }
}
