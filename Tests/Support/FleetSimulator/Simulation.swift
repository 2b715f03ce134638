internal import FleetDigest
internal import FleetPlan
public import FleetRollout
internal import FleetTestSupport
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
        "seed \(seed): \(what)\n  replay: scripts/simulate --seed \(seed), or as little of it as still "
            + "fails: scripts/simulate --shrink \(seed)\n"
            + trace.suffix(2000).map { "  \($0)" }.joined(separator: "\n")
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
    /// Every event of the rollout, if the trace is kept.
    public private(set) var journal: [JournalEntry] = []
    private var queue = EventQueue()
    private var now = 0
    private var keepsTrace: Bool
    private let encodesJournal: Bool
    private var decided = false
    private var halted = false
    private var finished: RolloutOutcome?
    private var conclusions: [HostName: HostOutcome] = [:]
    private var attempted: Set<HostName> = []
    /// Hosts that were well on the new release, and have not failed since.
    private var served: Set<HostName> = []
    private var isInterrupted = false
    private var wasInterrupted = false
    private var wasSentBack = false
    /// How often the controller was killed.
    public private(set) var crashCount = 0
    /// Who watches and may spoil the machine: a test of the tests.
    ///
    /// See ``Mutant``.
    private let mutant: Mutant
    private var hasFaults = false
    private var isIrreversible = false
    /// Whether a step that cannot be undone really began on a host.
    private var isMigrated = false
    /// When each host's last question was asked, and which it was.
    private var asked: [HostName: (at: Int, check: SimulatedHost.Check)] = [:]

    /// Prepares a scenario.
    ///
    /// - Parameters:
    ///   - scenario: What is played.
    ///   - keepsTrace: Whether every event is kept as text.
    ///   - mutant: A mistake that is made on purpose.
    public init(_ scenario: Scenario, keepsTrace: Bool = false, mutant: Mutant = Mutant()) {
        self.mutant = mutant
        self.scenario = scenario
        self.keepsTrace = keepsTrace
        random = SeededRandom(seed: scenario.play ^ 0xF1EE7)
        rollout = Rollout(plan: scenario.plan)
        replica = rollout
        // Encoding every record of every seed would be most of the time spent.
        encodesJournal = scenario.seed % 32 == 0
        for host in scenario.plan.hosts {
            let isBad = scenario.isReleaseBad || random.chance(scenario.weather.badHost)
            let others = [
                Scenario.oldCommit, Scenario.oldCommit, String(repeating: "c", count: 40),
            ]
            let isFirst = random.chance(scenario.weather.firstDeploy)
            let before = isFirst ? "" : others[random.pick(0...2)]
            hosts[host.name] = SimulatedHost(name: host.name, before: before, isBad: isBad)
        }
    }

    /// Plays to the end.
    ///
    /// - Returns: How the rollout ended.
    /// - Throws: ``Violation``.
    public mutating func run() throws(Violation) -> RolloutOutcome {
        try post([.started])
        if let at = scenario.interruptedAt { queue.add(.interrupted(signal: 2), at: at) }
        if let at = scenario.diskFullAt {
            queue.add(.mustHalt(Failure("the disk is full")), at: at)
        }
        while finished == nil {
            breakLocks()
            guard let (at, event) = queue.next() else {
                throw violation("I9: the rollout waits for nothing")
            }
            now = max(now, at)
            // What comes while the journal is being written is taken together.
            var events = [event]
            let writing = random.chance(20) ? random.pick(1...200) : 0
            while events.count < 8, let next = queue.first, next.at <= now + writing {
                events.append(next.event)
                _ = queue.next()
            }
            now += writing
            pass()
            try post(events)
            if finished == .interrupted, let direction = scenario.resumes, !wasInterrupted {
                wasInterrupted = true
                try takeUp(direction)
            }
            guard eventCount < 60_000 else { throw violation("I9: the rollout does not end") }
        }
        try checkEnd()
        guard let finished else { throw violation("I9: no outcome") }
        return finished
    }

    /// Takes events as the runner does: all of them are decided, then all effects are done.
    private mutating func post(_ events: [RolloutEvent]) throws(Violation) {
        let isCrash = random.chance(scenario.weather.crash)
        if isCrash, random.chance(30), rollout.phase != .planned {
            // Killed before anything of it was durable: it never happened.
            return try crash()
        }
        var effects: [RolloutEffect] = []
        for event in events where rollout.outcome == nil || event.isResumption {
            eventCount += 1
            if case .interrupted = event { isInterrupted = true }
            if case .mustHalt = event {
                hasFaults = true
                if scenario.plan.onFailure == .report { isInterrupted = true }
            }
            let event = mutant.event(event)
            if case .probed(let host, _, .fail) = event,
                let stage = rollout.progress(of: host)?.stage
            {
                switch stage {
                case .probing, .gating: served.remove(host)
                default: break
                }
            }
            var caused = rollout.handle(event, at: now)
            mutant.after(&rollout, event, &caused, now)
            if keepsTrace {
                trace.append("\(now) ms  \(Self.text(event))")
                trace += caused.map { "        -> \(Self.text($0))" }
            }
            if mutant.isNone { try replay(event, caused) } else { replica = rollout }
            for effect in caused {
                if case .perform(let host, _, _) = effect, isInterrupted {
                    throw violation("a step on \(host) starts after the interrupt")
                }
                try check(effect)
            }
            effects += caused
        }
        // Killed after any of what was decided had been done.
        let count = isCrash ? random.pick(0...effects.count) : effects.count
        for effect in effects {
            switch effect {
            case .conclude(let host, let outcome): conclusions[host] = outcome
            case .finish(let outcome): finished = outcome
            default: break
            }
        }
        for effect in effects.prefix(count) { try perform(effect) }
        try checkAlways()
        if isCrash, finished == nil { try crash() }
    }

    /// Everything that the controller knew but had not written down is gone.
    private mutating func crash() throws(Violation) {
        crashCount += 1
        try takeUp(random.chance(10) ? .back : .onward)
    }

    private mutating func takeUp(_ direction: ResumeDirection) throws(Violation) {
        queue = EventQueue()
        asked = [:]
        isInterrupted = false
        finished = nil
        if direction == .back { wasSentBack = true }
        now += random.pick(0...200_000)
        pass()
        mutant.beforeResume(&rollout) { self.hosts[$0]?.commit ?? "" }
        if !mutant.isNone { replica = rollout }
        if keepsTrace { trace.append("\(now) ms  taken up again, \(direction.rawValue)") }
        try post([.resumed(direction)])
    }

    private mutating func pass() {
        for index in hosts.values.indices { hosts.values[index].pass(to: now) }
    }

    /// Another operator takes a host by force: what runs there is ended first.
    private mutating func breakLocks() {
        guard scenario.weather.fenced > 0, random.chance(scenario.weather.fenced),
            let name = scenario.plan.hosts.randomElement(using: &random)?.name,
            var host = hosts[name], host.lock == .us
        else { return }
        host.lock = .another
        for key in host.live {
            host.end(key, hasEffect: random.chance(30))
            // Whoever breaks a lock writes that down as the step's end before it ends the step.
            host.spools[key]?.outcome = .fenced(Failure("fenced"))
            queue.fence(key, on: name)
        }
        hosts[name] = host
        hasFaults = true
        if keepsTrace { trace.append("\(now) ms  the lock of \(name) is broken") }
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
        if let reason = replica.misfit(of: stored) {
            throw violation("a journal of its own does not fit: \(reason), \(event)")
        }
        if keepsTrace { journal.append(entry(.event(stored))) }
        // Comparing every host after every event would be most of the time spent, too.
        guard replica.handle(stored, at: now) == effects, !encodesJournal || replica == rollout
        else {
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
            if random.chance(scenario.weather.refused) {
                hasFaults = true
                outcome =
                    random.chance(50)
                    ? .refused(Failure("refused")) : .unreachable(Failure("away"))
            } else if random.chance(scenario.weather.lost) {
                hasFaults = true
                outcome = .lost(Failure("cut off"))
            }
            queue.add(.hostChecked(host: host, outcome: outcome), at: now + random.pick(5...200))
        case .perform(let host, let step, let attempt):
            try start(host, step, attempt)
        case .recover(let host, let step, let attempt):
            answer(host, step, attempt, isStop: false)
        case .stop(let host, let step, let attempt):
            answer(host, step, attempt, isStop: true)
        case .probe(let host, let direction, let check):
            try probe(host, direction, check)
        case .startTimer(let host, let number, let milliseconds):
            let late = random.chance(scenario.weather.lateTimers) ? random.pick(1...30_000) : 0
            queue.add(
                .timerFired(host: host, number: number),
                at: now + milliseconds + late
            )
        case .lock(let host): lock(host)
        case .unlock(let host): unlock(host)
        case .halt, .decide, .conclude, .finish, .release: break
        }
    }

    private mutating func lock(_ name: HostName) {
        guard var host = hosts[name] else { return }
        if host.lock == nil, random.chance(scenario.weather.locked) { host.lock = .another }
        var outcome = LockOutcome.done
        if host.isDown(at: now) {
            outcome = .unreachable(Failure("down"))
        } else if host.lock == .another {
            outcome = .refused(Failure("locked"))
        } else if random.chance(scenario.weather.lost) {
            // The order or its answer is lost.
            if random.chance(50) { host.lock = .us }
            outcome = .unreachable(Failure("lost"))
        } else {
            host.lock = .us
        }
        if outcome != .done { hasFaults = true }
        hosts[name] = host
        queue.add(.locked(host: name, outcome: outcome), at: now + random.pick(5...100))
    }

    private mutating func unlock(_ name: HostName) {
        guard var host = hosts[name] else { return }
        var outcome = LockOutcome.done
        if host.isDown(at: now) {
            outcome = .unreachable(Failure("down"))
        } else if random.chance(scenario.weather.lost) {
            if random.chance(50), host.lock == .us { host.lock = nil }
            outcome = .unreachable(Failure("lost"))
        } else if host.lock == .us {
            host.lock = nil
        }
        hosts[name] = host
        queue.add(.unlocked(host: name, outcome: outcome), at: now + random.pick(5...100))
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
        if scenario.plan.takesLocks, host.lock != .us {
            guard host.lock == .another else {
                throw violation("I2: \(key) starts on \(name), which is not locked")
            }
            if !mutant.ignoresFence {
                return finishStep(name, step, attempt, .fenced(Failure("fenced")), after: 20)
            }
            throw violation("I18: \(key) starts on \(name), which is another's")
        }
        guard host.spools[key] == nil else {
            throw violation("I13: \(name) was asked to start \(key) twice")
        }
        guard host.live.isEmpty else {
            throw violation("\(key) starts on \(name) beside \(host.live)")
        }
        let duration = random.pick(10...5000)
        // The answer may be lost before the host got the order, or after.
        if random.chance(weather.lost), random.chance(40) {
            hasFaults = true
            finishStep(name, step, attempt, .lost(Failure("lost before")), after: 20)
            return
        }
        var outcome = StepOutcome.succeeded
        var lasts = duration
        if random.chance(weather.stepFails) { outcome = .failed(Failure("exit 1")) }
        if random.chance(weather.stuck) {
            outcome = .stuck(Failure("stuck"))
            lasts = random.pick(1000...400_000)
        }
        // Without a health check nobody could notice a lie.
        let hasHealth = scenario.hasHealth
        var hasEffect =
            outcome == .succeeded ? !(hasHealth && random.chance(weather.lies)) : random.chance(50)
        let isLost = random.chance(weather.lost)
        if isLost, random.chance(20) {
            // A reboot takes the process and its result with it.
            outcome = .vanished
            lasts = 1
            hasEffect = random.chance(50)
        }
        let movesHeadOnly = planned.kind == "checkout" && random.chance(weather.headOnly)
        if outcome != .succeeded || !hasEffect || isLost || movesHeadOnly { hasFaults = true }
        host.spools[key] = .init(
            step: planned,
            isRevert: step.direction == .revert,
            back: rollout.progress(of: name)?.snapshot?.commit(of: "pull") ?? "",
            endsAt: now + lasts,
            outcome: outcome,
            hasEffect: hasEffect,
            movesHeadOnly: movesHeadOnly,
            isLive: true
        )
        if step.direction == .forward { host.starts[planned.name, default: 0] += 1 }
        isMigrated = isMigrated || planned.isIrreversible
        if isLost {
            if random.chance(30) { host.downUntil = now + random.pick(100...200_000) }
            let after = random.pick(1...duration)
            finishStep(name, step, attempt, .lost(Failure("lost after")), after: after)
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
            // Somebody else may answer in its place.
            let isOther = random.chance(10)
            finishStep(
                name,
                step,
                attempt,
                isOther ? .barred(Failure("another")) : .unreachable(Failure("down")),
                after: 100
            )
        } else if random.chance(scenario.weather.lost) {
            finishStep(name, step, attempt, .lost(Failure("lost again")), after: 30)
        } else if let spool = host.spools[key] {
            guard isStop else {
                let after = max(20, spool.endsAt - now)
                return finishStep(name, step, attempt, spool.outcome, after: after)
            }
            if spool.isLive, case .stuck = spool.outcome, random.chance(50) {
                return finishStep(name, step, attempt, spool.outcome, after: 20)
            }
            if !mutant.adoptsWithoutKilling {
                hosts[name]?.end(key, hasEffect: random.chance(30))
            }
            let isEnded = !spool.isLive
            finishStep(name, step, attempt, isEnded ? spool.outcome.ended : .vanished, after: 20)
        } else {
            let planned = planned(name, step)
            hosts[name]?.spools[key] = .init(
                step: planned,
                isRevert: step.direction == .revert,
                back: "",
                endsAt: now,
                outcome: .neverStarted,
                hasEffect: false,
                movesHeadOnly: false,
                isLive: false
            )
            finishStep(name, step, attempt, .neverStarted, after: 20)
        }
    }

    private mutating func probe(
        _ name: HostName,
        _ direction: StepReference.Direction,
        _ index: Int
    ) throws(Violation) {
        guard var host = hosts[name], let progress = rollout.progress(of: name),
            let plan = scenario.plan.hosts.first(where: { $0.name == name })
        else { return }
        let check = SimulatedHost.Check(direction: direction, index: index)
        let planned = (direction == .forward ? plan.checks : plan.revertChecks)[index]
        let isGate = if case .gating = progress.stage { true } else { false }
        let isBefore = if case .probingBefore = progress.stage { true } else { false }
        if isBefore, host.mutations > 0 { throw violation("\(name) is asked too late") }
        if !isGate, !isBefore {
            if let last = asked[name], last.check == check,
                last.at >= progress.stageSinceMilliseconds
            {
                let gap = now - last.at
                if gap < planned.intervalMilliseconds {
                    throw violation("\(name) is asked again after \(gap) ms")
                }
            } else if now - progress.stageSinceMilliseconds < planned.settleMilliseconds {
                throw violation("the settle time of \(name) was cut short")
            }
        }
        asked[name] = (now, check)
        let wanted = direction == .forward ? Scenario.newCommit : host.before
        var verdict = Verdict.pass
        if scenario.plan.soakMilliseconds != nil, random.chance(scenario.weather.outage) {
            // A long look at it sees hosts go away that were there for every step.
            host.downUntil = now + random.pick(100...400_000)
        }
        if host.isDown(at: now) || random.chance(scenario.weather.inconclusive) {
            verdict = .inconclusive(Failure("down"))
        } else if ["pull", "gone"].contains(planned.name) {
            let files = mutant.skipsFiles ? host.commit : host.files
            if host.commit != wanted || files != wanted {
                verdict = .fail(Failure("wrong commit"))
            }
        } else if !host.isHealthy || host.running != wanted
            || random.chance(scenario.weather.flap)
        {
            verdict = .fail(Failure("unhealthy"))
        }
        host.answered(check, isPass: verdict == .pass)
        hosts[name] = host
        if verdict != .pass { hasFaults = true }
        queue.add(
            .probed(host: name, check: index, verdict: verdict),
            at: now + random.pick(5...100)
        )
    }

    // MARK: Invariants

    private mutating func check(_ effect: RolloutEffect) throws(Violation) {
        guard case .perform(let host, let step, _) = effect else {
            if case .halt = effect { halted = true }
            if case .lock(let host) = effect, attempted.contains(host) {
                throw violation("\(host) is locked after it was touched")
            }
            if case .decide = effect {
                if decided { throw violation("a second decision") }
                decided = true
            }
            return
        }
        guard finished == nil else { throw violation("I6: an intent after the end") }
        guard step.direction == .forward else {
            guard decided || rollout.isRehearsing(host) else {
                throw violation("I6: a step back before the decision")
            }
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
        isIrreversible = isIrreversible || planned(host, step).isIrreversible
        guard let batch = scenario.plan.batches.firstIndex(where: { $0.contains(host) }) else {
            throw violation("\(host) is in no batch")
        }
        for earlier in scenario.plan.batches[..<batch].joined() {
            switch rollout.progress(of: earlier)?.stage {
            case .verified, .failed, .concluded(.untouched): break
            default: throw violation("\(host) of a later batch starts before \(earlier) is through")
            }
        }
    }

    private mutating func checkAlways() throws(Violation) {
        // I8: what still serves on the new release does not go down by more than went forward at once.
        for host in rollout.hosts where host.stage == .verified {
            served.insert(host.name)
        }
        if rollout.decision == .revert {
            let down = rollout.hosts.count { host in
                let isBack =
                    switch host.stage {
                    case .settling, .reverting, .revertProbing: true
                    default: false
                    }
                return isBack && served.contains(host.name)
            }
            let width =
                scenario.plan.batches.map { batch in batch.count(where: attempted.contains) }
                .max() ?? 1
            if down > width { throw violation("I8: \(down) hosts go back at once, of \(width)") }
        }
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
            let isPractised = scenario.plan.rehearses && scenario.plan.batches[0].contains(name)
            for (step, count) in host.starts where count > (isPractised ? 2 : 1) {
                let planned = scenario.plan.hosts.first { $0.name == name }?
                    .steps.first { $0.name == step }
                guard planned?.isIdempotent ?? false else {
                    throw violation("I13: \(step) ran \(count) times on \(name)")
                }
            }
            try checkEnd(of: name, host)
        }
        try checkClearWeather(finished)
        let outcomes = Set(conclusions.values)
        let isComplete = conclusions.count == hosts.count
        switch finished {
        case .succeeded:
            guard isComplete, outcomes == [.succeeded] else {
                throw violation("I3: succeeded with \(outcomes)")
            }
        case .reverted:
            guard isComplete, outcomes.isSubset(of: [.reverted, .removed, .untouched]) else {
                throw violation("I5: reverted with \(outcomes)")
            }
        case .refused:
            guard attempted.isEmpty else { throw violation("refused after touching") }
        case .unknown:
            guard !outcomes.isDisjoint(with: [.unknown, .fenced]) else {
                throw violation("unknown without one")
            }
        case .revertFailed:
            guard outcomes.contains(.revertFailed), outcomes.isDisjoint(with: [.unknown, .fenced])
            else {
                throw violation("revert-failed with \(outcomes)")
            }
        case .held:
            guard isComplete, outcomes.isDisjoint(with: [.unknown, .fenced]) else {
                throw violation("held with \(outcomes)")
            }
        case .interrupted:
            guard isInterrupted || rollout.paused != nil else {
                throw violation("nobody interrupted")
            }
            guard !isComplete else { throw violation("interrupted, but everything has ended") }
        }
        for (name, host) in hosts where finished != .interrupted && host.lock == .us {
            let isSaid = rollout.progress(of: name)?.lockFailure != nil
            guard conclusions[name] == .unknown || isSaid else {
                throw violation("I10: the lock stays on \(name)")
            }
        }
        try checkReverts(finished)
    }

    /// Every host with an intent has gone back, not only those that failed.
    private func checkReverts(_ finished: RolloutOutcome) throws(Violation) {
        guard finished == .reverted else { return }
        for name in attempted
        where conclusions[name] != .reverted && conclusions[name] != .removed {
            throw violation("I4: \(name) was touched and is \(conclusions[name]?.rawValue ?? "-")")
        }
    }

    /// A host's final state must be what the host itself would say.
    private func checkEnd(of name: HostName, _ host: SimulatedHost) throws(Violation) {
        guard let plan = scenario.plan.hosts.first(where: { $0.name == name }) else { return }
        func allPassed(_ direction: StepReference.Direction) -> Bool {
            let checks = direction == .forward ? plan.checks : plan.revertChecks
            let way = host.before.isEmpty ? SnapshotCondition.absent : .present
            return checks.enumerated().allSatisfy { index, check in
                direction == .revert && check.condition != nil && check.condition != way
                    || (host.passed[.init(direction: direction, index: index)] ?? 0) >= check.passes
            }
        }
        let outcome = conclusions[name]
        if !host.live.isEmpty, outcome != .unknown, outcome != .fenced, outcome != nil {
            throw violation(
                "I5: \(name) is called \(outcome?.rawValue ?? "") while \(host.live) runs"
            )
        }
        switch outcome {
        case .succeeded where scenario.plan.kind != .exec:
            guard host.files == Scenario.newCommit, allPassed(.forward) else {
                throw violation("I3: \(name) succeeded on \(host.files.prefix(3)), unchecked")
            }
            let practises =
                scenario.plan.rehearses && scenario.plan.batches[0].contains(name)
                && !host.before.isEmpty && !plan.steps.contains(where: \.isIrreversible)
            if practises, host.returns == 0 {
                throw violation("\(name) succeeded and had not gone back in the rehearsal")
            }
            if scenario.hasHealth, host.isBad || host.running != Scenario.newCommit {
                throw violation("I3: \(name) succeeded, but serves something else or badly")
            }
        case .reverted where isMigrated:
            throw violation("\(name) went back past an irreversible step")
        case .reverted:
            guard host.files == host.before, allPassed(.revert),
                !plan.revertChecks.isEmpty
            else { throw violation("I4: \(name) reverted on \(host.files.prefix(3)), unchecked") }
            if scenario.hasHealth, host.running != host.before {
                throw violation("I4: \(name) reverted, but serves \(host.running.prefix(3))")
            }
        case .removed:
            guard host.before.isEmpty, host.files.isEmpty, allPassed(.revert),
                plan.revertChecks.contains(where: { $0.condition == .absent })
            else { throw violation("I4: \(name) removed on \(host.files.prefix(3)), unchecked") }
        case .untouched:
            let mayBeAsked = scenario.plan.kind == .exec
            if host.mutations > 0 || (attempted.contains(name) && !mayBeAsked) {
                throw violation("I7: \(name) is called untouched")
            }
        case .held where scenario.plan.onFailure == .revert && !isIrreversible:
            let tearsDown = plan.revertSteps.contains { $0.condition == .absent }
            // Left in doubt, because going back has made it worse elsewhere.
            let lost = conclusions.values.count { $0 == .revertFailed || $0 == .unknown }
            if !host.before.isEmpty || tearsDown, lost < 2 {
                throw violation("\(name) is held without a reason")
            }
        case .revertFailed:
            if rollout.progress(of: name)?.unresolved != nil {
                throw violation("I5: \(name) is revert-failed, but a step of it is unresolved")
            }
        default: break
        }
    }

    /// Without faults there is exactly one right end.
    private func checkClearWeather(_ finished: RolloutOutcome) throws(Violation) {
        guard scenario.weather.isClear, scenario.diskFullAt == nil, !isInterrupted, !wasSentBack,
            scenario.plan.kind == .deploy
        else { return }
        let bad = scenario.hasHealth ? hosts.values.count(where: \.isBad) : 0
        let wanted: RolloutOutcome
        if bad == 0 {
            wanted = .succeeded
        } else if scenario.plan.onFailure == .hold || isIrreversible
            || bad <= scenario.plan.maxFailures
        {
            wanted = .held
        } else {
            wanted = .reverted
        }
        guard finished == wanted else {
            throw violation("clear weather: \(finished.rawValue) instead of \(wanted.rawValue)")
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

    /// Makes the answer about a step that is still under way that of a host taken over.
    mutating func fence(_ key: String, on name: HostName) {
        for index in heap.indices {
            guard case .stepEnded(name, let step, let attempt, let outcome, _) = heap[index].event,
                step.key(attempt: attempt).description == key
            else { continue }
            switch outcome {
            case .lost, .unreachable, .barred: continue
            default: break
            }
            heap[index].event = .stepEnded(
                host: name,
                step: step,
                attempt: attempt,
                outcome: .fenced(Failure("fenced")),
                outputBytes: 0
            )
        }
    }

    var first: (at: Int, event: RolloutEvent)? { heap.first.map { ($0.at, $0.event) } }

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

extension StepOutcome {
    /// What a host says about a step that has ended, when it is asked to stop it.
    fileprivate var ended: StepOutcome {
        if case .stuck = self { .vanished } else { self }
    }
}
