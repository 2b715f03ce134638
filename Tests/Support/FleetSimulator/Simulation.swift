internal import FleetDigest
internal import FleetPlan
public import FleetRollout
internal import FleetTransport

/// Something that must never happen, and did.
public struct Violation: Error, Sendable, CustomStringConvertible {
    /// The scenario.
    public let seed: UInt64
    /// Which invariant, and how it was broken.
    public let what: String
    /// The last things that happened.
    public let trace: [String]

    /// Everything needed to see it again.
    public var description: String {
        "seed \(seed): \(what)\n  replay: scripts/simulate --seed \(seed)\n"
            + trace.suffix(30).map { "  \($0)" }.joined(separator: "\n")
    }
}

/// Plays one rollout: the real machine, simulated hosts, virtual time, faults by seed.
public struct Simulation {
    /// What happened, line by line; kept only when asked for.
    public private(set) var trace: [String] = []
    /// How many events the rollout took.
    public private(set) var eventCount = 0

    private let scenario: Scenario
    private var random: SeededRandom
    private var hosts: [HostName: SimulatedHost] = [:]
    private var rollout: Rollout
    /// A second machine that is fed from the encoded journal only.
    private var replica: Rollout
    private var journal: [JournalEntry] = []
    private var queue = EventQueue()
    private var now = 0
    private var keepsTrace: Bool
    private let encodesJournal: Bool
    private var decided = false
    private var halted = false
    private var finished: RolloutOutcome?
    private var conclusions: [HostName: HostOutcome] = [:]
    private var attempted: Set<HostName> = []

    /// Prepares a scenario.
    public init(_ scenario: Scenario, keepsTrace: Bool = false) {
        self.scenario = scenario
        self.keepsTrace = keepsTrace
        random = SeededRandom(seed: scenario.seed ^ 0xF1EE7)
        rollout = Rollout(plan: scenario.plan)
        replica = rollout
        // Encoding every record of every seed would be most of the time spent.
        encodesJournal = scenario.seed % 8 == 0
        for host in scenario.plan.hosts {
            let isBad = scenario.isReleaseBad || random.chance(scenario.weather.badHost)
            hosts[host.name] = SimulatedHost(name: host.name, isBad: isBad)
        }
    }

    /// Plays to the end.
    ///
    /// - Returns: How the rollout ended.
    /// - Throws: ``Violation``.
    public mutating func run() throws(Violation) -> RolloutOutcome {
        try post(.started)
        if let at = scenario.interruptedAt { queue.add(.interrupted(signal: 2), at: at) }
        while finished == nil {
            guard let (at, event) = queue.next() else {
                throw violation("I9: the rollout waits for nothing")
            }
            now = max(now, at)
            try post(event)
            guard eventCount < 60_000 else { throw violation("I9: the rollout does not end") }
        }
        try checkEnd()
        guard let finished else { throw violation("I9: no outcome") }
        return finished
    }

    private mutating func post(_ event: RolloutEvent) throws(Violation) {
        eventCount += 1
        let effects = rollout.handle(event, at: now)
        if keepsTrace { trace.append("\(now) ms  \(Self.text(event))") }
        try replay(event, effects)
        for effect in effects {
            if keepsTrace { trace.append("        -> \(Self.text(effect))") }
            try check(effect)
            try perform(effect)
        }
        try checkAlways()
    }

    /// The same text for the same value in every process.
    private static func text(_ value: some Encodable) -> String {
        String(decoding: CanonicalJSON.encode(value), as: UTF8.self)
    }

    // MARK: The journal

    /// Every prefix of the journal replays to the same state: the replica is that prefix.
    private mutating func replay(_ event: RolloutEvent, _ effects: [RolloutEffect])
        throws(Violation)
    {
        var stored = event
        if encodesJournal {
            let entry = entry(.event(event))
            do {
                let decoded = try CanonicalJSON.decode(
                    JournalEntry.self,
                    from: CanonicalJSON.encode(entry)
                )
                guard decoded == entry, case .event(let read) = decoded.body else {
                    throw violation("a record changes when it is stored: \(event)")
                }
                stored = read
            } catch let error as Violation {
                throw error
            } catch {
                throw violation("a record cannot be read back: \(event)")
            }
        }
        guard replica.handle(stored, at: now) == effects, replica == rollout else {
            throw violation("I12: replaying the journal gives another state after \(event)")
        }
    }

    private func entry(_ body: JournalEntry.Body) -> JournalEntry {
        guard let id = RolloutID("simulated") else { preconditionFailure("a valid id") }
        return JournalEntry(
            rollout: id,
            sequence: eventCount,
            elapsedMilliseconds: now,
            unixMilliseconds: now,
            body: body
        )
    }

    // MARK: Carrying out

    private mutating func perform(_ effect: RolloutEffect) throws(Violation) {
        switch effect {
        case .check(let host):
            var outcome = CheckOutcome.ready(hosts[host]?.snapshot ?? Snapshot())
            if random.chance(scenario.weather.refused) { outcome = .refused(Failure("refused")) }
            queue.add(.hostChecked(host: host, outcome: outcome), at: now + random.pick(5...200))
        case .perform(let host, let step, let attempt):
            try start(host, step, attempt)
        case .recover(let host, let step, let attempt):
            answer(host, step, attempt, isStop: false)
        case .stop(let host, let step, let attempt):
            answer(host, step, attempt, isStop: true)
        case .probe(let host, let direction, let check):
            probe(host, direction, check)
        case .startTimer(let host, let number, let milliseconds):
            queue.add(.timerFired(host: host, number: number), at: now + milliseconds)
        case .halt: halted = true
        case .decide: decided = true
        case .conclude(let host, let outcome): conclusions[host] = outcome
        case .finish(let outcome): finished = outcome
        case .release: break
        }
    }

    private func planned(_ host: HostName, _ step: StepReference) -> PlannedStep {
        guard let plan = scenario.plan.hosts.first(where: { $0.name == host }) else {
            preconditionFailure("unknown host")
        }
        return step.direction == .forward ? plan.steps[step.index] : plan.revertSteps[step.index]
    }

    private mutating func start(_ name: HostName, _ step: StepReference, _ attempt: Int)
        throws(Violation)
    {
        guard var host = hosts[name] else { return }
        defer { hosts[name] = host }
        let weather = scenario.weather
        let planned = planned(name, step)
        let key = step.key(attempt: attempt).description
        if random.chance(weather.outage) { host.downUntil = now + random.pick(100...200_000) }
        if host.isDown(at: now) {
            finishStep(name, step, attempt, .unreachable(Failure("down")), after: 50)
            return
        }
        guard host.spools[key] == nil else {
            throw violation("I13: \(name) was asked to start \(key) twice")
        }
        let duration = random.pick(10...5000)
        // The answer may be lost before the host got the order, or after.
        if random.chance(weather.lost), random.chance(40) {
            finishStep(name, step, attempt, .lost(Failure("lost before")), after: 20)
            return
        }
        var outcome = StepOutcome.succeeded
        if random.chance(weather.stepFails) { outcome = .failed(Failure("exit 1")) }
        if random.chance(weather.stuck) { outcome = .stuck(Failure("stuck")) }
        host.spools[key] = .init(
            step: planned,
            isRevert: step.direction == .revert,
            endsAt: now + duration,
            isStarted: true,
            outcome: outcome
        )
        if step.direction == .forward { host.starts[planned.name, default: 0] += 1 }
        // The effect may come even when the step then fails.
        if outcome == .succeeded || random.chance(50) {
            host.take(planned, isRevert: step.direction == .revert)
        }
        if random.chance(weather.lost) {
            if random.chance(30) { host.downUntil = now + random.pick(100...200_000) }
            // A reboot takes the process and its result with it.
            if random.chance(20) { host.spools[key]?.outcome = .vanished }
            finishStep(
                name,
                step,
                attempt,
                .lost(Failure("lost after")),
                after: random.pick(1...duration)
            )
        } else {
            finishStep(name, step, attempt, outcome, after: duration)
        }
    }

    private mutating func finishStep(
        _ host: HostName,
        _ step: StepReference,
        _ attempt: Int,
        _ outcome: StepOutcome,
        after: Int
    ) {
        queue.add(
            .stepEnded(host: host, step: step, attempt: attempt, outcome: outcome, outputBytes: 0),
            at: now + after
        )
    }

    private mutating func answer(
        _ name: HostName,
        _ step: StepReference,
        _ attempt: Int,
        isStop: Bool
    ) {
        guard let host = hosts[name] else { return }
        let key = step.key(attempt: attempt).description
        if host.isDown(at: now) {
            finishStep(name, step, attempt, .unreachable(Failure("down")), after: 100)
        } else if random.chance(scenario.weather.lost) {
            finishStep(name, step, attempt, .lost(Failure("lost again")), after: 30)
        } else if let spool = host.spools[key], let outcome = spool.outcome {
            let delay = isStop ? 20 : max(20, spool.endsAt - now)
            finishStep(name, step, attempt, outcome, after: delay)
        } else {
            let planned = planned(name, step)
            hosts[name]?.spools[key] = .init(
                step: planned,
                isRevert: step.direction == .revert,
                endsAt: now,
                isStarted: false,
                outcome: .neverStarted
            )
            finishStep(name, step, attempt, .neverStarted, after: 20)
        }
    }

    private mutating func probe(
        _ name: HostName,
        _ direction: StepReference.Direction,
        _ check: Int
    ) {
        guard let host = hosts[name] else { return }
        let wanted = direction == .forward ? Scenario.newCommit : Scenario.oldCommit
        var verdict = Verdict.pass
        if host.isDown(at: now) {
            verdict = .inconclusive(Failure("down"))
        } else if check == 0 {
            if host.commit != wanted { verdict = .fail(Failure("wrong commit")) }
        } else if !host.isHealthy || host.running != wanted || random.chance(scenario.weather.flap)
        {
            verdict = .fail(Failure("unhealthy"))
        }
        if verdict == .pass { hosts[name]?.checkedAtMutation = host.mutations }
        queue.add(
            .probed(host: name, check: check, verdict: verdict),
            at: now + random.pick(5...100)
        )
    }

    // MARK: Invariants

    private mutating func check(_ effect: RolloutEffect) throws(Violation) {
        guard case .perform(let host, let step, _) = effect else {
            if case .decide = effect, decided { throw violation("a second decision") }
            return
        }
        guard finished == nil else { throw violation("I6: an intent after the end") }
        guard step.direction == .forward else {
            guard decided else { throw violation("I6: a step back before the decision") }
            guard attempted.contains(host) else {
                throw violation("I7: a step back on \(host), which was never touched")
            }
            return
        }
        if decided || halted { throw violation("I6: a forward step on \(host) after the halt") }
        let progress = rollout.progress(of: host)
        if scenario.plan.checksFirst, progress?.snapshot == nil {
            throw violation("I1: \(host) is touched before its snapshot")
        }
        attempted.insert(host)
        guard let batch = scenario.plan.batches.firstIndex(where: { $0.contains(host) }) else {
            throw violation("\(host) is in no batch")
        }
        for earlier in scenario.plan.batches[..<batch].joined() {
            switch rollout.progress(of: earlier)?.stage {
            case .verified, .failed: break
            default: throw violation("\(host) of a later batch starts before \(earlier) is through")
            }
        }
    }

    private func checkAlways() throws(Violation) {
        let active = rollout.hosts.count { $0.activity != .idle }
        if active > scenario.plan.fanout {
            throw violation("I8: \(active) hosts in flight, fanout \(scenario.plan.fanout)")
        }
        let failed = rollout.hosts.count { $0.stage == .failed }
        if failed > scenario.plan.maxFailures, rollout.halted == nil {
            throw violation("\(failed) failures and no halt")
        }
    }

    private func checkEnd() throws(Violation) {
        guard let finished else { return }
        for (name, host) in hosts {
            if !attempted.contains(name), host.mutations > 0 {
                throw violation("I7: \(name) changed without an intent")
            }
            for (step, count) in host.starts where count > 1 {
                let planned = scenario.plan.hosts.first { $0.name == name }?
                    .steps.first { $0.name == step }
                guard planned?.isIdempotent ?? false else {
                    throw violation("I13: \(step) ran \(count) times on \(name)")
                }
            }
            switch conclusions[name] {
            case .succeeded where scenario.plan.kind != .exec:
                guard host.commit == Scenario.newCommit, host.running == Scenario.newCommit else {
                    throw violation("I3: \(name) succeeded on \(host.commit.prefix(3))")
                }
                guard host.checkedAtMutation == host.mutations else {
                    throw violation("I3: \(name) was changed after its last check")
                }
            case .reverted:
                guard host.commit == Scenario.oldCommit, host.running == Scenario.oldCommit else {
                    throw violation("I4: \(name) reverted on \(host.commit.prefix(3))")
                }
            case .untouched where host.mutations > 0:
                throw violation("I7: \(name) is called untouched")
            default: break
            }
        }
        let outcomes = Set(conclusions.values)
        let isComplete = conclusions.count == hosts.count
        switch finished {
        case .succeeded:
            guard isComplete, outcomes == [.succeeded] else {
                throw violation("I3: succeeded with \(outcomes)")
            }
        case .reverted:
            guard isComplete, outcomes.isSubset(of: [.reverted, .untouched]) else {
                throw violation("I5: reverted with \(outcomes)")
            }
        case .refused:
            guard attempted.isEmpty else { throw violation("refused after touching") }
        case .unknown:
            guard outcomes.contains(.unknown) else { throw violation("unknown without one") }
        case .revertFailed:
            guard outcomes.contains(.revertFailed), !outcomes.contains(.unknown) else {
                throw violation("revert-failed with \(outcomes)")
            }
        case .held:
            guard isComplete, !outcomes.contains(.unknown) else {
                throw violation("held with \(outcomes)")
            }
        case .interrupted:
            guard scenario.interruptedAt != nil else { throw violation("nobody interrupted") }
        }
    }

    private func violation(_ what: String) -> Violation {
        Violation(seed: scenario.seed, what: what, trace: trace)
    }
}

/// Events in the order of their times; equal times in the order of their posting.
private struct EventQueue {
    private var heap: [(at: Int, order: Int, event: RolloutEvent)] = []
    private var count = 0

    mutating func add(_ event: RolloutEvent, at time: Int) {
        count += 1
        heap.append((time, count, event))
        var child = heap.count - 1
        while child > 0, precedes(child, (child - 1) / 2) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func next() -> (Int, RolloutEvent)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return (first.at, first.event) }
        heap[0] = last
        var parent = 0
        while true {
            var best = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if precedes(child, best) { best = child }
            }
            guard best != parent else { return (first.at, first.event) }
            heap.swapAt(best, parent)
            parent = best
        }
    }

    private func precedes(_ a: Int, _ b: Int) -> Bool {
        (heap[a].at, heap[a].order) < (heap[b].at, heap[b].order)
    }
}
