internal import FleetPlan
internal import FleetRollout
internal import FleetTransport

/// A host that exists only in memory: what it holds, what runs on it, and what happens to it.
struct SimulatedHost {
    /// One attempt at a step, as the host knows it.
    struct Spool {
        let step: PlannedStep
        let isRevert: Bool
        var endsAt: Int
        var isStarted: Bool
        var outcome: StepOutcome?
    }

    let name: HostName
    /// The commit in the work tree.
    var commit = Scenario.oldCommit
    /// The commit that the service process was started from.
    var running = Scenario.oldCommit
    /// Whether the new release does not work here.
    var isBad: Bool
    /// Until when no connection can be made.
    var downUntil = 0
    /// Attempts by key.
    var spools: [String: Spool] = [:]
    /// How often each forward step began, by name.
    var starts: [String: Int] = [:]
    /// Everything that changed the host.
    var mutations = 0
    /// Mutations when a check last passed.
    var checkedAtMutation = -1

    /// What the host ran before the rollout.
    var snapshot: Snapshot {
        Snapshot(facts: ["pull": ["state": "present", "commit": commit, "tag": "v1.0.0"]])
    }

    func isDown(at now: Int) -> Bool { now < downUntil }

    /// Carries out what a step does when it ends by itself.
    mutating func take(_ step: PlannedStep, isRevert: Bool) {
        mutations += 1
        switch step.kind {
        case "checkout": commit = isRevert ? Scenario.oldCommit : Scenario.newCommit
        case "service": running = commit
        default: break
        }
    }

    /// Whether the service answers well.
    var isHealthy: Bool { running == commit && !(isBad && running == Scenario.newCommit) }
}
