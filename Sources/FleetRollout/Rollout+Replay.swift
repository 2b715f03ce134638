public import FleetPlan
internal import FleetTransport

/// The error for journal records that do not fit the plan of a rollout.
public struct UnfitJournal: Error, Sendable, Hashable {
    /// The entry that does not fit, from 0; nil if the plan itself makes no sense.
    public let sequence: Int?
    /// What is wrong with it, for people.
    public let reason: String

    /// Names an entry and what is wrong with it.
    public init(sequence: Int?, reason: String) {
        self.sequence = sequence
        self.reason = reason
    }
}

extension Rollout {
    /// Restores the state of a rollout from its journal records, and refuses records that do not fit its plan.
    ///
    /// The records come from a disk or from hosts, so nothing is taken for granted: every event must answer an effect
    /// that was pending at that moment.
    ///
    /// - Parameters:
    ///   - plan: The plan.
    ///   - entries: The rollout's records, in order.
    /// - Returns: The rollout.
    /// - Throws: ``UnfitJournal``.
    public static func replay(_ plan: Plan, _ entries: [JournalEntry]) throws(UnfitJournal)
        -> Rollout
    {
        guard Set(plan.hosts.map(\.name)).count == plan.hosts.count,
            Array(plan.batches.joined()) == plan.hosts.map(\.name)
        else { throw UnfitJournal(sequence: nil, reason: "its batches are not its hosts") }
        var rollout = Rollout(plan: plan)
        for entry in entries {
            guard case .event(let event) = entry.body else { continue }
            if let reason = rollout.misfit(of: event) {
                throw UnfitJournal(sequence: entry.sequence, reason: reason)
            }
            _ = rollout.handle(event, at: entry.elapsedMilliseconds)
        }
        return rollout
    }

    /// Explains why an event answers no pending effect; nil if it answers one.
    public func misfit(of event: RolloutEvent) -> String? {
        switch event {
        case .resumed, .interrupted, .askedToStop, .mustHalt: return nil
        case .timerFired(let host, _), .superseded(let host, _, _):
            return progress(of: host) == nil ? "there is no host \(host) in its plan" : nil
        case .started:
            return outcome == nil && phase == .planned ? nil : "it starts a second time"
        case .hostChecked(let host, _):
            return misfit(host) { if case .check = $0 { true } else { false } }
        case .locked(let host, _):
            return misfit(host) { if case .lock = $0 { true } else { false } }
        case .unlocked(let host, _):
            return misfit(host) { if case .unlock = $0 { true } else { false } }
        case .probed(let host, let check, _):
            return misfit(host) { if case .probe(_, _, check) = $0 { true } else { false } }
        case .stepEnded(let host, let step, let attempt, _, _):
            return misfit(host) { effect in
                switch effect {
                case .perform(_, step, attempt), .recover(_, step, attempt),
                    .stop(_, step, attempt):
                    true
                default: false
                }
            }
        }
    }

    private func misfit(_ host: HostName, _ answers: (RolloutEffect) -> Bool) -> String? {
        guard let progress = progress(of: host) else {
            return "there is no host \(host) in its plan"
        }
        guard outcome == nil else { return "\(host) answers after the end" }
        guard case .busy(let effect) = progress.activity, answers(effect) else {
            return "\(host) answers what it was not asked"
        }
        return nil
    }
}
