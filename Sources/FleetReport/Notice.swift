internal import FleetDigest
internal import FleetPlan
public import FleetRollout
internal import FleetTransport

/// A notification about a rollout or an environment's health: one line, and the facts as JSON.
public struct Notice: Sendable, Encodable {
    /// `started`, `succeeded`, `failed` or `health`.
    public let event: String
    /// The environment.
    public let environment: String
    /// All of it in one line.
    public let text: String
    /// Whether it is about an emergency.
    public let hotfix: Bool
    private var rollout: String?
    private var outcome: String?
    private var title: String?
    private var tag: String?
    private var commit: String?
    private var user: String?
    private var reason: String?
    /// Hosts by what became of them.
    private var hosts: [String: [String]]?

    /// What is told when a rollout begins or is taken up again.
    public static func start(of rollout: Rollout, id: RolloutID, origin: RolloutOrigin) -> Notice {
        let plan = rollout.plan
        let what = plan.release?.label ?? "`\(Sanitizer.line(plan.title))`"
        let isResumed = rollout.hosts.contains { $0.isTouched }
        return Notice(
            event: "started",
            rollout: rollout,
            id: id,
            origin: origin,
            text: "\(plan.environment): \(what) \(isResumed ? "is taken up again" : "begins") on "
                + HostRange.fold(plan.hosts.map(\.name))
        )
    }

    /// What is told when a rollout has ended; nil if nothing was touched.
    public static func end(of rollout: Rollout, id: RolloutID, origin: RolloutOrigin) -> Notice? {
        guard let outcome = rollout.outcome, outcome == .succeeded || rollout.isTouched else {
            return nil
        }
        return Notice(
            event: outcome == .succeeded ? "succeeded" : "failed",
            rollout: rollout,
            id: id,
            origin: origin,
            text: RolloutText.sentence(rollout, outcome)
        )
    }

    /// What is told when fleet itself had to stop, as when the journal could not be written.
    public static func stop(of rollout: Rollout, id: RolloutID, origin: RolloutOrigin, why: String)
        -> Notice
    {
        Notice(
            event: "failed",
            rollout: rollout,
            id: id,
            origin: origin,
            text: "\(rollout.plan.environment): fleet had to stop in the middle: "
                + "\(Sanitizer.line(why)); fleet resume \(id)"
        )
    }

    /// What is told when an environment's health has changed.
    public static func health(of environment: String, _ text: String) -> Notice {
        Notice(event: "health", environment: environment, text: text)
    }

    private init(event: String, environment: String, text: String) {
        self.event = event
        self.environment = environment
        self.text = text
        hotfix = false
    }

    private init(
        event: String,
        rollout: Rollout,
        id: RolloutID,
        origin: RolloutOrigin,
        text: String
    ) {
        self.event = event
        environment = rollout.plan.environment
        hotfix = origin.isHotfix
        self.rollout = id.description
        outcome = rollout.outcome?.rawValue
        title = rollout.plan.title
        tag = rollout.plan.release?.tag
        commit = rollout.plan.release?.commit
        user = origin.user
        reason = origin.reason
        let states = rollout.hosts.map { ($0.outcome?.rawValue ?? "open", $0.name.text) }
        hosts = Dictionary(grouping: states, by: \.0).mapValues { $0.map(\.1) }
        let by = Sanitizer.line(origin.user)
        let why = origin.reason.map { ": \(Sanitizer.line($0))" } ?? ""
        self.text =
            (origin.isHotfix ? "HOTFIX " : "") + text + " (\(by)\(why), rollout \(id))"
    }

    /// The facts, on one line.
    public var json: String { String(decoding: CanonicalJSON.encode(self), as: UTF8.self) }
}
