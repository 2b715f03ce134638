public import FleetPlan
internal import FleetRollout
internal import FleetTestSupport
internal import FleetTransport

/// One rollout to be simulated: the plan, and how bad the weather is.
public struct Scenario: Sendable {
    /// What everything is derived from.
    public let seed: UInt64
    /// What the faults are drawn by: the same scenario may be played in many ways.
    public internal(set) var play: UInt64
    /// The plan.
    public internal(set) var plan: Plan
    /// Chances in a hundred.
    var weather: Weather
    /// Whether the new release is bad everywhere.
    var isReleaseBad: Bool
    /// When the operator interrupts, in milliseconds, if at all.
    var interruptedAt: Int?
    /// When the controller's disk is full, in milliseconds, if at all.
    var diskFullAt: Int?
    /// Whether an interrupted rollout is taken up again, and which way.
    var resumes: ResumeDirection?

    /// Chances in a hundred, per event.
    struct Weather: Sendable {
        var refused = 0
        var stepFails = 0
        var lost = 0
        var outage = 0
        var stuck = 0
        var flap = 0
        var badHost = 0
        /// A step says that it succeeded and has done nothing.
        var lies = 0
        /// A checkout moves HEAD, could not replace the files, and exits with 0.
        var headOnly = 0
        var inconclusive = 0
        var lateTimers = 0
        /// The host ran nothing before.
        var firstDeploy = 0
        /// The controller is killed, and the rollout taken up again; no excuse for another end.
        var crash = 0
        /// Somebody else holds a host's lock when it is asked for.
        var locked = 0
        /// Somebody breaks a host's lock while the rollout runs.
        var fenced = 0

        /// Whether nothing can go wrong but the release itself.
        var isClear: Bool {
            [
                refused, stepFails, lost, outage, stuck, flap, badHost, lies, headOnly,
                inconclusive, lateTimers, firstDeploy, locked, fenced,
            ].allSatisfy { $0 == 0 }
        }
    }

    static let oldCommit = String(repeating: "a", count: 40)
    static let newCommit = String(repeating: "b", count: 40)

    /// Derives a scenario from a seed.
    public init(seed: UInt64) {
        self.seed = seed
        play = seed
        var random = SeededRandom(seed: seed)
        let count =
            random.pick(1...500) == 1
            ? random.pick(61...200) : random.chance(10) ? random.pick(20...60) : random.pick(1...9)
        var weather = Weather()
        switch random.pick(0...4) {
        case 0: break
        case 1:
            weather.stepFails = 5
            weather.lies = 5
            weather.headOnly = 5
        case 2:
            weather.lost = 10
            weather.outage = 3
        case 3:
            weather.flap = 20
            weather.badHost = 10
        default:
            weather.refused = random.chance(20) ? 5 : 0
            weather.stepFails = 4
            weather.lies = 1
            weather.headOnly = 2
            weather.inconclusive = 5
            weather.lateTimers = 10
            weather.firstDeploy = random.chance(20) ? 30 : 0
            weather.lost = 15
            weather.outage = 10
            weather.stuck = 1
            weather.flap = 10
            weather.badHost = 5
        }
        if random.chance(35) { weather.crash = random.pick(1...15) }
        if random.chance(4) { weather.locked = random.pick(1...30) }
        if random.chance(4) { weather.fenced = 2 }
        self.weather = weather
        resumes = random.chance(60) ? (random.chance(70) ? .onward : .back) : nil
        isReleaseBad = random.chance(15)
        interruptedAt = random.chance(8) ? random.pick(0...60_000) : nil
        diskFullAt = random.chance(5) ? random.pick(0...60_000) : nil
        plan = Self.plan(count: count, random: &random)
    }

    /// Whether a check asks the service itself: without one nobody could notice a lie.
    var hasHealth: Bool { plan.hosts.first?.checks.contains { $0.name == "health" } ?? false }

    private static func plan(count: Int, random: inout SeededRandom) -> Plan {
        let kind: Plan.Kind = random.chance(12) ? .exec : .deploy
        let names = (1...count).map { HostName("web\($0)") }
        var steps = [
            step("pull", "checkout"), step("install", "run", isIdempotent: true),
            step("test", "run"),
        ]
        if random.chance(15) { steps.append(step("migrate", "run", isIrreversible: true)) }
        steps.append(step("restart", "service"))
        if random.chance(20) { steps[1] = step("install", "run", isIdempotent: true, retries: 2) }
        let tearsDown = random.chance(50)
        var back = steps.filter { $0.isIdempotent }
        var checks = [check("pull", passes: 1, deadline: 0)]
        if random.chance(80) {
            let settle = random.chance(30) ? random.pick(1000...20_000) : 0
            let passes = random.pick(1...3)
            checks.append(check("health", passes: passes, deadline: 10_000, settle: settle))
        }
        var revertChecks = checks
        if tearsDown {
            back = back.map { step($0.name, $0.kind, isIdempotent: true, condition: .present) }
            back.insert(step("stop", "run", isIdempotent: true, condition: .absent), at: 0)
            back.append(step("remove", "checkout", condition: .absent))
            revertChecks = checks.map {
                check(
                    $0.name,
                    passes: $0.passes,
                    deadline: $0.deadlineMilliseconds,
                    settle: $0.settleMilliseconds,
                    condition: .present
                )
            }
            revertChecks.append(check("gone", passes: 1, deadline: 0, condition: .absent))
        }
        let hosts = names.map { name in
            kind == .exec
                ? PlannedHost(endpoint: HostEndpoint(name: name), steps: [step("exec", "run")])
                : PlannedHost(
                    endpoint: HostEndpoint(name: name),
                    release: Release(tag: "v2.0.0", commit: newCommit),
                    steps: steps,
                    checks: checks,
                    revertSteps: back,
                    revertChecks: revertChecks
                )
        }
        var batches: [[HostName]] = []
        var rest = names[...]
        while !rest.isEmpty {
            let size = kind == .exec ? count : random.pick(1...max(1, count / 2))
            batches.append(Array(rest.prefix(size)))
            rest = rest.dropFirst(size)
        }
        return Plan(
            kind: kind,
            environment: "simulated",
            title: "simulated",
            release: Release(tag: "v2.0.0", commit: newCommit),
            releaseStep: kind == .exec ? nil : "pull",
            fanout: random.pick(1...8),
            maxFailures: kind == .exec ? count : random.chance(25) ? random.pick(1...2) : 0,
            onFailure: kind == .exec ? .report : random.chance(8) ? .hold : .revert,
            batches: batches,
            hosts: hosts,
            takesLocks: kind != .exec && random.chance(80),
            leastReachable: random.chance(15) ? max(1, count / 2) : nil,
            asksHealthFirst: kind == .deploy && random.chance(30),
            rehearses: kind == .deploy && random.chance(20),
            soakMilliseconds: kind == .deploy && random.chance(15) ? random.pick(1...60_000) : nil
        )
    }

    private static func step(
        _ name: String,
        _ kind: String,
        isIdempotent: Bool = false,
        isIrreversible: Bool = false,
        retries: Int = 0,
        condition: SnapshotCondition? = nil
    ) -> PlannedStep {
        PlannedStep(
            name: name,
            kind: kind,
            action: .script(Script(name)),
            retries: retries,
            isIdempotent: isIdempotent || kind != "run",
            isIrreversible: isIrreversible,
            condition: condition
        )
    }

    private static func check(
        _ name: String,
        passes: Int,
        deadline: Int,
        settle: Int = 0,
        condition: SnapshotCondition? = nil
    ) -> PlannedCheck {
        PlannedCheck(
            name: name,
            action: .script(Script(name)),
            passes: passes,
            deadlineMilliseconds: deadline,
            settleMilliseconds: settle,
            condition: condition
        )
    }
}
