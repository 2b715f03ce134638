internal import FleetPlan
internal import FleetRollout
internal import FleetTransport

/// A host that exists only in memory: what it holds, what runs on it, and what happens to it.
struct SimulatedHost {
    /// One attempt at a step, as the host knows it.
    struct Spool {
        let step: PlannedStep
        let isRevert: Bool
        /// Where a step back goes.
        let back: String
        var endsAt: Int
        var outcome: StepOutcome
        /// Whether the step changes the host when it ends.
        var hasEffect: Bool
        /// Whether a checkout moves HEAD only, and says that all is well.
        var movesHeadOnly: Bool
        /// Whether its processes are there.
        var isLive: Bool
    }

    let name: HostName
    /// The commit in the work tree before the rollout; empty if there was none.
    let before: String
    /// The commit that HEAD names.
    var commit: String
    /// The commit whose files are there: git may have moved HEAD and could not replace them.
    var files: String
    /// The commit that the service process was started from.
    var running: String
    /// Whether the new release does not work here.
    let isBad: Bool
    /// Who holds its lock.
    var lock: Holder?
    /// Until when no connection can be made.
    var downUntil = 0
    /// Attempts by key.
    var spools: [String: Spool] = [:] {
        didSet { isIdle = false }
    }
    /// Whether it is known that nothing runs: asked for at every event.
    private var isIdle = true
    /// How often each forward step began, by name.
    var starts: [String: Int] = [:]
    /// Everything that changed the host.
    var mutations = 0
    /// How often it was put back.
    var returns = 0
    /// The most passes in a row of each check since the last of them.
    var passed: [Check: Int] = [:]
    /// Passes in a row of the check that is being asked.
    private var run: (check: Check, count: Int)?

    /// Whose a lock is.
    enum Holder {
        case us, another
    }

    struct Check: Hashable {
        let direction: StepReference.Direction
        let index: Int
    }

    init(name: HostName, before: String, isBad: Bool) {
        self.name = name
        self.before = before
        self.isBad = isBad
        commit = before
        files = before
        running = before
    }

    /// What the host ran before the rollout, as its preflight says it.
    var snapshot: Snapshot {
        let facts = before.isEmpty ? ["state": "absent"] : ["state": "present", "commit": before]
        return Snapshot(facts: ["pull": facts])
    }

    func isDown(at now: Int) -> Bool { now < downUntil }

    /// The keys whose processes are there.
    var live: [String] { spools.filter(\.value.isLive).map(\.key).sorted() }

    /// Lets time pass: steps end and take effect.
    mutating func pass(to now: Int) {
        guard !isIdle else { return }
        let live = live
        defer { isIdle = live.isEmpty }
        for key in live {
            guard let spool = spools[key], spool.endsAt <= now else { continue }
            spools[key]?.isLive = false
            if spool.hasEffect { take(spool) }
        }
    }

    /// Ends a step from outside; half of its effect may have come.
    mutating func end(_ key: String, hasEffect: Bool) {
        guard let spool = spools[key], spool.isLive else { return }
        spools[key]?.isLive = false
        if hasEffect { take(spool) }
    }

    private mutating func take(_ spool: Spool) {
        mutations += 1
        passed = [:]
        run = nil
        switch spool.step.kind {
        case "checkout":
            commit = spool.isRevert ? spool.back : Scenario.newCommit
            if !spool.movesHeadOnly { files = commit }
            if spool.isRevert { returns += 1 }
        case "service": running = commit
        default: break
        }
    }

    /// Takes note of an answer.
    mutating func answered(_ check: Check, isPass: Bool) {
        guard isPass else {
            run = nil
            return
        }
        let count = run?.check == check ? (run?.count ?? 0) + 1 : 1
        run = (check, count)
        passed[check] = max(passed[check] ?? 0, count)
    }

    /// Whether the service answers well.
    var isHealthy: Bool { running == commit && !(isBad && running == Scenario.newCommit) }
}
