public import FleetRollout

/// Texts about a request to stop a rollout.
public enum StopText {
    /// A line that says who asked the rollout to stop, and what happens now.
    public static func asked(_ request: StopRequest) -> String {
        let reason = request.reason.map { " (“\(Sanitizer.line($0))”)" } ?? ""
        return "asked to stop by \(who(request))\(reason): \(effect(of: request.point))"
    }

    /// Who has asked.
    public static func who(_ request: StopRequest) -> String {
        Sanitizer.line("\(request.user)@\(request.machine)")
    }

    /// Describes what a rollout does when it is asked to stop at this point.
    public static func effect(of point: StopRequest.Point) -> String {
        switch point {
        case .batch: "this batch comes to its end, and no other begins"
        case .step: "what is under way ends, and nothing new starts"
        case .now: "nothing is waited for; what runs on a host runs on there"
        }
    }
}
