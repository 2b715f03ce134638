internal import FleetPlan
internal import FleetRollout
internal import FleetTransport

/// What was decided in a rollout, and on what evidence, a line each.
enum CourseText {
    /// A mark in words.
    static func line(_ mark: RolloutTimeline.Mark, plan: Plan) -> String {
        switch mark.kind {
        case .batch(let number):
            let canary = number == 0 && plan.batches.count > 1 ? ", the canary" : ""
            let hosts =
                number < plan.batches.count ? ": \(HostRange.fold(plan.batches[number]))" : ""
            return "batch \(number + 1) of \(plan.batches.count)\(canary)\(hosts)"
        case .gate: return "last gate: every host is asked once more"
        case .halt(let host):
            return "halt after \(host): \(Sanitizer.line(mark.reason)); nothing new starts"
        case .decision(let decision):
            return "decision: \(decision.rawValue), because: \(Sanitizer.line(mark.reason))"
        case .stop: return Sanitizer.line(mark.reason)
        case .takenUp: return "taken up again by \(Sanitizer.line(mark.reason))"
        case .end(let outcome): return "end: \(outcome.rawValue)"
        }
    }
}
