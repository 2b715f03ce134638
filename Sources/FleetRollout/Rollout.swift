public import FleetPlan
public import FleetTransport

/// The machine that decides a rollout: events in, effects out, nothing else.
///
/// It owns which host is where and what happens next; it never does anything itself. It has no
/// clock and no randomness: the same events at the same times give the same effects, so that
/// replaying a journal gives the state, and a simulation can play ten thousand rollouts.
///
/// The order is: preflight of all hosts, which changes nothing and may refuse; batches, each ending
/// in a gate of checks; a last gate on all hosts; one decision; carrying it out; the final states.
public struct Rollout: Sendable, Hashable {
    /// Where the rollout as a whole is.
    public enum Phase: Sendable, Hashable {
        /// Not started.
        case planned
        /// Asking every host, read-only.
        case preflight
        /// Taking the lock of every host: all or none.
        case locking
        /// Taking a batch forward.
        case rolling(batch: Int)
        /// Asking all hosts once more.
        case gate
        /// Going back, on all touched hosts or on the failed ones.
        case reverting
        /// Giving the locks back; what became of the rollout is decided.
        case closing(RolloutOutcome)
        /// Over.
        case finished(RolloutOutcome)
    }

    /// What is carried out.
    public let plan: Plan
    /// Where the rollout is.
    public internal(set) var phase = Phase.planned
    /// How far each host has come, in the order of the plan.
    public internal(set) var hosts: [HostProgress]
    /// Why nothing new starts, once that is so.
    public internal(set) var halted: Failure?
    /// What was decided, once it is.
    public internal(set) var decision: Decision?
    /// Whether the operator asked to stop.
    public internal(set) var isDraining = false
    /// Where it was when it was interrupted; a resumed rollout goes on from there.
    var interruptedPhase: Phase?

    private let places: [HostName: Int]
    private let batches: [Range<Int>]
    var now = 0
    var effects: [RolloutEffect] = []
    /// How many hosts have something under way; counted, because it is asked for at every event.
    public private(set) var activeCount = 0

    /// A rollout that has not started.
    public init(plan: Plan) {
        self.plan = plan
        hosts = plan.hosts.enumerated().map {
            HostProgress(index: $0.offset, name: $0.element.name)
        }
        places = Dictionary(
            uniqueKeysWithValues: plan.hosts.enumerated().map { ($0.element.name, $0.offset) }
        )
        var batches: [Range<Int>] = []
        for batch in plan.batches {
            let start = batches.last?.upperBound ?? 0
            batches.append(start..<start + batch.count)
        }
        self.batches = batches
    }

    /// The rollout's final state, once there is one.
    public var outcome: RolloutOutcome? {
        if case .finished(let outcome) = phase { outcome } else { nil }
    }

    /// A host's progress.
    public func progress(of host: HostName) -> HostProgress? { places[host].map { hosts[$0] } }

    /// Takes an event and says what to do about it.
    ///
    /// - Parameters:
    ///   - event: What happened. An event that does not fit the state is a bug and traps.
    ///   - milliseconds: When, since the rollout began, on a clock that never runs backwards.
    /// - Returns: What to do, in order; recorded before any of it is done.
    public mutating func handle(_ event: RolloutEvent, at milliseconds: Int) -> [RolloutEffect] {
        precondition(outcome == nil || event.mayComeLate, "a finished rollout takes no events")
        now = max(now, milliseconds)
        effects = []
        if case .resumed(let direction) = event {
            resume(direction)
            advance()
        } else if outcome == nil {
            apply(event)
            advance()
        }
        defer { effects = [] }
        return effects
    }

    // MARK: Events

    private mutating func apply(_ event: RolloutEvent) {
        switch event {
        case .started:
            precondition(phase == .planned, "a rollout starts once")
            start()
        case .hostChecked(let host, let outcome):
            checked(busyPlace(host), outcome)
        case .locked(let host, let outcome):
            locked(busyPlace(host), outcome)
        case .unlocked(let host, let outcome):
            unlocked(busyPlace(host), outcome)
        case .resumed: preconditionFailure("handled before")
        case .stepEnded(let host, let step, let attempt, let outcome, _):
            let index = busyPlace(host)
            precondition(attempt == hosts[index].attempt || hosts[index].stage == .settling)
            ended(index, step, outcome)
        case .probed(let host, let check, let verdict):
            probed(busyPlace(host), check, verdict)
        case .timerFired(let host, let number):
            guard let index = places[host] else { preconditionFailure("unknown host \(host)") }
            // A timer that was overtaken, by a halt for example, says nothing any more.
            guard case .waiting(let effect) = hosts[index].activity,
                number == hosts[index].timerCount
            else { return }
            emit(effect, for: index)
        case .interrupted:
            guard !isDraining else { return }
            isDraining = true
            quiet()
        }
    }

    mutating func start() {
        if plan.checksFirst {
            phase = .preflight
        } else {
            for index in hosts.indices { hosts[index].enter(.ready, at: now) }
            phase = .rolling(batch: 0)
        }
    }

    private func busyPlace(_ host: HostName) -> Int {
        guard let index = places[host] else { preconditionFailure("unknown host \(host)") }
        guard case .busy = hosts[index].activity else {
            preconditionFailure("nothing is under way on \(host)")
        }
        return index
    }

    private mutating func checked(_ index: Int, _ outcome: CheckOutcome) {
        precondition(hosts[index].stage == .checking)
        set(.idle, for: index)
        switch outcome {
        case .ready(let snapshot):
            hosts[index].snapshot = snapshot
            hosts[index].enter(.ready, at: now)
        case .refused(let failure), .unreachable(let failure):
            if case .unreachable = outcome { hosts[index].isUnreachable = true }
            hosts[index].failure = failure
            hosts[index].enter(.refused(failure), at: now)
            effects.append(.release(host: hosts[index].name))
        }
    }

    private mutating func ended(_ index: Int, _ step: StepReference, _ outcome: StepOutcome) {
        set(.idle, for: index)
        if case .fenced(let failure) = outcome { return fenced(index, failure) }
        switch outcome {
        case .succeeded, .failed, .neverStarted, .vanished:
            hosts[index].unresolved = nil
            hosts[index].lostAtMilliseconds = nil
            hosts[index].reconnects = 0
        case .lost:
            // The host was there: the time to look for it begins anew.
            hosts[index].losses += 1
            hosts[index].lostAtMilliseconds = nil
            hosts[index].reconnects = 0
        case .stuck, .unreachable, .fenced:
            break
        }
        switch hosts[index].stage {
        case .stepping: endedForward(index, step, outcome)
        case .settling: settled(index, outcome)
        case .reverting: endedRevert(index, step, outcome)
        default: preconditionFailure("\(hosts[index].name) is on no step")
        }
    }

    private mutating func endedForward(
        _ index: Int,
        _ step: StepReference,
        _ outcome: StepOutcome
    ) {
        let planned = plan.hosts[index].steps[step.index]
        switch outcome {
        case .succeeded:
            hosts[index].enter(.stepping(step.index + 1), at: now)
            proceed(index)
        case .failed(let failure):
            hosts[index].failedAttempts += 1
            if mayStart, hosts[index].failedAttempts <= planned.retries {
                wait(index, RolloutLimits.retryMilliseconds, then: next(index, step))
            } else {
                fail(index, failure, halts: planned.runsOnce)
            }
        case .stuck(let failure):
            hosts[index].unresolved = (step, hosts[index].attempt)
            fail(index, failure, halts: planned.runsOnce)
        case .neverStarted:
            hosts[index].isPastReturn =
                plan.hosts[index].steps[..<step.index].contains(where: \.isIrreversible)
            startAgainOrStop(index, step)
        case .vanished:
            if planned.isIdempotent, hosts[index].failedAttempts < RolloutLimits.reruns {
                hosts[index].failedAttempts += 1
                startAgainOrStop(index, step)
            } else {
                fail(
                    index,
                    Failure(
                        "the step ended without a result, so its effect is unknown",
                        hint: "mark the step `idempotent: true` if it may run twice"
                    )
                )
            }
        case .lost(let failure):
            if plan.onFailure == .report {
                hosts[index].unresolved = (step, hosts[index].attempt)
                fail(index, failure)
            } else {
                lookAgain(index, step, failure)
            }
        case .unreachable(let failure):
            if plan.onFailure == .report {
                hosts[index].isTouched = step.index > 0
                fail(index, failure)
            } else {
                lookAgain(index, step, failure)
            }
        case .fenced: preconditionFailure("handled before")
        }
    }

    private mutating func startAgainOrStop(_ index: Int, _ step: StepReference) {
        guard hosts[index].attempt < RolloutLimits.attempts else {
            return fail(index, Failure("the step could not be started"))
        }
        if mayStart {
            emit(next(index, step), for: index)
        } else {
            hosts[index].stop(at: now)
        }
    }

    /// The connection is gone: look for the host until the budget is spent.
    private mutating func lookAgain(_ index: Int, _ step: StepReference, _ failure: Failure) {
        hosts[index].unresolved = (step, hosts[index].attempt)
        guard !isDraining, halted == nil || mustAskBeforeHold else {
            hosts[index].failure = hosts[index].failure ?? failure
            hosts[index].stop(at: now)
            return
        }
        guard let wait = reconnectWait(index) else { return fail(index, failure) }
        let effect = RolloutEffect.recover(
            host: hosts[index].name,
            step: step,
            attempt: hosts[index].attempt
        )
        self.wait(index, wait, then: effect)
    }

    /// Whether a lost host is looked for although the rollout has halted: where hosts are left as
    /// they are, only asking tells what that is.
    private var mustAskBeforeHold: Bool {
        plan.onFailure == .hold || hosts.contains(where: \.isPastReturn)
    }

    /// The time before the next look at a lost host; nil when the budget is spent.
    private mutating func reconnectWait(_ index: Int) -> Int? {
        let since = hosts[index].lostAtMilliseconds ?? now
        hosts[index].lostAtMilliseconds = since
        let isSpent =
            now - since >= RolloutLimits.reconnectBudgetMilliseconds
            && hosts[index].reconnects >= RolloutLimits.leastReconnects
        guard !isSpent, hosts[index].losses <= RolloutLimits.losses else { return nil }
        let doubled = RolloutLimits.firstReconnectMilliseconds << min(hosts[index].reconnects, 6)
        hosts[index].reconnects += 1
        // Hosts behind one jump host are lost together; this spreads their return.
        return min(doubled, RolloutLimits.longestReconnectMilliseconds) + index % 50 * 10
    }

    // MARK: Checks

    private mutating func probed(_ index: Int, _ check: Int, _ verdict: Verdict) {
        set(.idle, for: index)
        let planned = checks(of: index)[check]
        let isGate = if case .gating = hosts[index].stage { true } else { false }
        let elapsed = now - hosts[index].probingSinceMilliseconds
        let again = RolloutEffect.probe(
            host: hosts[index].name,
            direction: direction(of: index),
            check: check
        )
        switch verdict {
        case .pass:
            hosts[index].lastAnswer = nil
            hosts[index].passes += 1
            // The last gate asks hosts that have proved themselves: once is enough.
            if hosts[index].passes >= (isGate ? 1 : planned.passes) {
                hosts[index].passes = 0
                moveToCheck(index, check + 1)
            } else if mayGoOn(index) {
                wait(index, planned.intervalMilliseconds, then: again)
            } else {
                hosts[index].stop(at: now)
            }
        case .fail(let failure):
            hosts[index].lastAnswer = failure
            hosts[index].passes = 0
            askAgain(
                index,
                again,
                planned,
                failure,
                until: planned.deadlineMilliseconds,
                elapsed: elapsed,
                isKnown: true
            )
        case .inconclusive(let failure):
            hosts[index].lastAnswer = failure
            hosts[index].passes = 0
            hosts[index].inconclusive += 1
            // After a long silence one answer that could not be had is not the last word.
            let isEarly = hosts[index].inconclusive < RolloutLimits.leastReconnects
            let bound =
                isEarly
                ? .max
                : max(
                    planned.deadlineMilliseconds,
                    RolloutLimits.reconnectBudgetMilliseconds
                )
            askAgain(
                index,
                again,
                planned,
                failure,
                until: bound,
                elapsed: elapsed,
                isKnown: false
            )
        }
    }

    private mutating func askAgain(
        _ index: Int,
        _ effect: RolloutEffect,
        _ check: PlannedCheck,
        _ failure: Failure,
        until bound: Int,
        elapsed: Int,
        isKnown: Bool
    ) {
        let interval = max(check.intervalMilliseconds, 100)
        if !mayGoOn(index) {
            hosts[index].failure = hosts[index].failure ?? failure
            hosts[index].stop(at: now)
        } else if elapsed <= bound - interval {
            wait(index, interval, then: effect)
        } else if case .revertProbing = hosts[index].stage {
            hosts[index].failure = failure
            conclude(index, isKnown ? .revertFailed : .unknown)
        } else {
            fail(
                index,
                Failure(
                    "\(check.name): \(failure.summary)",
                    excerpt: failure.excerpt,
                    hint: failure.hint
                )
            )
        }
    }

    /// Goes on to a check, or past the last one.
    mutating func moveToCheck(_ index: Int, _ check: Int) {
        let checks = checks(of: index)
        guard check < checks.count else {
            switch hosts[index].stage {
            // Going back counts only where something on the host confirms it.
            case .revertProbing: conclude(index, checks.isEmpty ? .held : .reverted)
            default: becomeVerified(index)
            }
            return
        }
        let isBack = if case .revertProbing = hosts[index].stage { true } else { false }
        guard mayGoOn(index) else {
            hosts[index].stop(at: now)
            return
        }
        switch hosts[index].stage {
        case .revertProbing: hosts[index].enter(.revertProbing(check), at: now)
        case .gating: hosts[index].enter(.gating(check), at: now)
        default: hosts[index].enter(.probing(check), at: now)
        }
        hosts[index].inconclusive = 0
        hosts[index].probingSinceMilliseconds = now + checks[check].settleMilliseconds
        let effect = RolloutEffect.probe(
            host: hosts[index].name,
            direction: isBack ? .revert : .forward,
            check: check
        )
        let isGate = if case .gating = hosts[index].stage { true } else { false }
        if checks[check].settleMilliseconds > 0, !isGate {
            wait(index, checks[check].settleMilliseconds, then: effect)
        } else {
            emit(effect, for: index)
        }
    }

    private mutating func becomeVerified(_ index: Int) {
        if plan.onFailure == .report {
            conclude(index, .succeeded)
        } else {
            hosts[index].enter(.verified, at: now)
        }
    }

    private func direction(of index: Int) -> StepReference.Direction {
        if case .revertProbing = hosts[index].stage { .revert } else { .forward }
    }

    private func checks(of index: Int) -> [PlannedCheck] {
        direction(of: index) == .revert
            ? plan.hosts[index].revertChecks : plan.hosts[index].checks
    }

    // MARK: Going back

    func isReverting(_ index: Int) -> Bool {
        switch hosts[index].stage {
        case .settling, .reverting, .revertProbing: true
        default: false
        }
    }

    private mutating func beginRevert(_ index: Int) {
        if let (step, attempt) = hosts[index].unresolved {
            hosts[index].enter(.settling, at: now)
            hosts[index].attempt = attempt
            emit(.stop(host: hosts[index].name, step: step, attempt: attempt), for: index)
        } else {
            goBack(index)
        }
    }

    private mutating func goBack(_ index: Int) {
        guard hasWayBack(index) else { return conclude(index, .held) }
        hosts[index].enter(.reverting(0), at: now)
        proceed(index)
    }

    /// Whether the host ran something before: a first deploy cannot be put back.
    private func hasWayBack(_ index: Int) -> Bool {
        guard let step = plan.releaseStep,
            plan.hosts[index].steps.contains(where: { $0.name == step })
        else { return !plan.hosts[index].revertSteps.isEmpty }
        return hosts[index].snapshot?.commit(of: step) != nil
    }

    private mutating func settled(_ index: Int, _ outcome: StepOutcome) {
        switch outcome {
        case .succeeded, .failed, .neverStarted, .vanished:
            goBack(index)
        case .stuck(let failure):
            hosts[index].failure = failure
            conclude(index, .unknown)
        case .lost(let failure), .unreachable(let failure):
            guard !isDraining, let (step, attempt) = hosts[index].unresolved else { return }
            guard let wait = reconnectWait(index) else {
                hosts[index].failure = failure
                return conclude(index, .unknown)
            }
            let effect = RolloutEffect.stop(
                host: hosts[index].name,
                step: step,
                attempt: attempt
            )
            self.wait(index, wait, then: effect)
        case .fenced: preconditionFailure("handled before")
        }
    }

    private mutating func endedRevert(
        _ index: Int,
        _ step: StepReference,
        _ outcome: StepOutcome
    ) {
        switch outcome {
        case .succeeded:
            hosts[index].enter(.reverting(step.index + 1), at: now)
            proceed(index)
        case .failed(let failure):
            againOrGiveUp(index, step, failure)
        case .vanished:
            againOrGiveUp(index, step, Failure("the step ended without a result"))
        case .neverStarted:
            guard !isDraining else { return }
            // A link that drops before the start is no failure of the step.
            guard hosts[index].attempt < RolloutLimits.attempts else {
                return conclude(index, .unknown)
            }
            emit(next(index, step), for: index)
        case .stuck(let failure):
            hosts[index].failure = failure
            conclude(index, .unknown)
        case .lost(let failure), .unreachable(let failure):
            guard !isDraining else {
                hosts[index].unresolved = (step, hosts[index].attempt)
                return
            }
            guard let wait = reconnectWait(index) else {
                hosts[index].failure = failure
                return conclude(index, .unknown)
            }
            hosts[index].unresolved = (step, hosts[index].attempt)
            let effect = RolloutEffect.recover(
                host: hosts[index].name,
                step: step,
                attempt: hosts[index].attempt
            )
            self.wait(index, wait, then: effect)
        case .fenced: preconditionFailure("handled before")
        }
    }

    private mutating func againOrGiveUp(_ index: Int, _ step: StepReference, _ failure: Failure) {
        hosts[index].failedAttempts += 1
        if isDraining { return }
        if hosts[index].failedAttempts < RolloutLimits.revertAttempts {
            wait(index, RolloutLimits.retryMilliseconds, then: next(index, step))
        } else {
            hosts[index].failure = failure
            conclude(index, .revertFailed)
        }
    }

    // MARK: One host's next step

    /// Starts the step that the host's stage points at, or the checks after the last step.
    mutating func proceed(_ index: Int) {
        let planned = plan.hosts[index]
        switch hosts[index].stage {
        case .stepping(let step) where step < planned.steps.count:
            guard mayStart else {
                hosts[index].stop(at: now)
                return
            }
            emit(next(index, StepReference(.forward, step)), for: index)
        case .stepping:
            hosts[index].stage = .probing(0)
            moveToCheck(index, 0)
        case .reverting(let step) where step < planned.revertSteps.count:
            guard !isDraining else { return }
            emit(next(index, StepReference(.revert, step)), for: index)
        case .reverting:
            hosts[index].stage = .revertProbing(0)
            guard !isDraining else { return }
            moveToCheck(index, 0)
        default:
            preconditionFailure("\(hosts[index].name) has no next step")
        }
    }

    /// A new attempt at a step.
    private mutating func next(_ index: Int, _ step: StepReference) -> RolloutEffect {
        hosts[index].attempt += 1
        if step.direction == .forward {
            let isIrreversible = plan.hosts[index].steps[step.index].isIrreversible
            hosts[index].isTouched = true
            hosts[index].isPastReturn = hosts[index].isPastReturn || isIrreversible
        }
        return .perform(host: hosts[index].name, step: step, attempt: hosts[index].attempt)
    }

    mutating func set(_ activity: HostProgress.Activity, for index: Int) {
        activeCount += (activity == .idle ? 0 : 1) - (hosts[index].isActive ? 1 : 0)
        hosts[index].activity = activity
    }

    mutating func emit(_ effect: RolloutEffect, for index: Int) {
        set(.busy(with: effect), for: index)
        effects.append(effect)
    }

    mutating func wait(_ index: Int, _ milliseconds: Int, then effect: RolloutEffect) {
        set(.waiting(then: effect), for: index)
        hosts[index].timerCount += 1
        effects.append(
            .startTimer(
                host: hosts[index].name,
                number: hosts[index].timerCount,
                milliseconds: milliseconds
            )
        )
    }

    /// Marks a host as failed; `halts` when the others must not go on without what it failed at.
    private mutating func fail(_ index: Int, _ failure: Failure, halts: Bool = false) {
        hosts[index].failure = failure
        if plan.onFailure == .report {
            let isUnknown = hosts[index].unresolved != nil
            return conclude(
                index,
                isUnknown ? .unknown : hosts[index].isTouched ? .held : .untouched
            )
        }
        hosts[index].enter(.failed, at: now)
        let failures = hosts.count { $0.stage == .failed }
        guard halted == nil, halts || failures > plan.maxFailures else { return }
        halted = failure
        effects.append(.halt(host: hosts[index].name, failure: failure))
        quiet()
    }

    /// Ends the timers of hosts that are between two things: nothing new starts.
    mutating func quiet() {
        for index in hosts.indices {
            guard case .waiting(let effect) = hosts[index].activity else { continue }
            if case .closing = phase { continue }
            if isReverting(index), !isDraining { continue }
            if case .recover = effect, !isDraining, mustAskBeforeHold { continue }
            set(.idle, for: index)
            // An attempt that was only planned never was: its key is free.
            if case .perform = effect { hosts[index].attempt -= 1 }
            if !isReverting(index) { hosts[index].stop(at: now) }
        }
    }

    mutating func conclude(_ index: Int, _ outcome: HostOutcome) {
        hosts[index].enter(.concluded(outcome), at: now)
        set(.idle, for: index)
        effects.append(.conclude(host: hosts[index].name, outcome: outcome))
        // The session is used once more, to give the lock back.
        if !givesLockBack(index) { effects.append(.release(host: hosts[index].name)) }
    }

    // MARK: The whole rollout

    /// Whether a forward step may start anywhere.
    var mayStart: Bool { halted == nil && !isDraining && decision == nil }

    /// Whether a host may go on asking.
    private func mayGoOn(_ index: Int) -> Bool {
        isReverting(index) ? !isDraining : mayStart
    }

    /// How many more hosts may be in flight.
    var room: Int { plan.fanout - activeCount }

    /// Starts whatever may start now, and moves on when a phase is over.
    private mutating func advance() {
        var isMoving = true
        while isMoving {
            isMoving = false
            switch phase {
            case .planned, .finished: return
            case .preflight: isMoving = advancePreflight()
            case .locking: isMoving = advanceLocking()
            case .closing(let outcome): isMoving = advanceClosing(outcome)
            case .rolling(let batch): isMoving = advanceBatch(batch)
            case .gate: isMoving = advanceGate()
            case .reverting: isMoving = advanceRevert()
            }
        }
    }

    private mutating func advancePreflight() -> Bool {
        if !isDraining {
            for index in hosts.indices where hosts[index].stage == .planned && room > 0 {
                hosts[index].enter(.checking, at: now)
                emit(.check(host: hosts[index].name), for: index)
            }
        }
        guard activeCount == 0 else { return false }
        if isDraining {
            for index in hosts.indices { conclude(index, .untouched) }
            return finish(.refused)
        }
        refuseDuplicates()
        let refused = hosts.indices.filter {
            if case .refused = hosts[$0].stage { true } else { false }
        }
        // Going back by hand goes on past a host that cannot: the others are on a bad release, too.
        let isExcluded = plan.kind == .revert && refused.count < hosts.count
        guard refused.isEmpty || isExcluded || mayLeaveOut(refused) else {
            for index in hosts.indices { conclude(index, .untouched) }
            return finish(.refused)
        }
        for index in refused { conclude(index, .untouched) }
        phase = plan.takesLocks ? .locking : .rolling(batch: 0)
        return true
    }

    /// Whether the plan goes on without some hosts: they could not be reached, enough others could,
    /// and there still is a canary.
    private func mayLeaveOut(_ refused: [Int]) -> Bool {
        refused.allSatisfy { hosts[$0].isUnreachable }
            && hosts.count - refused.count >= plan.leastReachable
            && !batches[0].allSatisfy(refused.contains)
    }

    /// Two names of one machine would be two hands on one host.
    private mutating func refuseDuplicates() {
        var names: [String: HostName] = [:]
        for index in hosts.indices where hosts[index].stage == .ready {
            guard let identity = hosts[index].snapshot?.identity else { continue }
            guard let other = names[identity] else {
                names[identity] = hosts[index].name
                continue
            }
            let failure = Failure(
                "E_DUPLICATE_HOST \(hosts[index].name) is the same machine and account as \(other)",
                hint: "name each machine once in the inventory"
            )
            hosts[index].failure = failure
            hosts[index].enter(.refused(failure), at: now)
        }
    }

    private mutating func advanceBatch(_ batch: Int) -> Bool {
        if mayStart {
            for index in hosts.indices where hosts[index].stage == .stopped && room > 0 && mayStart
            {
                goOn(index)
            }
            for index in batches[batch] where hosts[index].stage == .ready && room > 0 && mayStart {
                hosts[index].enter(.stepping(0), at: now)
                proceed(index)
            }
        }
        guard activeCount == 0 else { return false }
        let isReported = plan.onFailure == .report && hosts.allSatisfy { $0.outcome != nil }
        if isDraining, !isReported { return finishInterrupted() }
        if halted != nil { return decideAfterHalt() }
        let isOver = batches[batch].allSatisfy { index in
            switch hosts[index].stage {
            case .verified, .failed, .concluded: true
            default: false
            }
        }
        // With room and leave to start, an idle host that is not through can only be the next one.
        guard isOver else { return true }
        if batch + 1 < batches.count {
            phase = .rolling(batch: batch + 1)
            return true
        }
        if plan.onFailure == .report { return finishReport() }
        guard batches.count > 1, plan.hosts.contains(where: { !$0.checks.isEmpty }) else {
            return decideCommit()
        }
        for index in hosts.indices where hosts[index].stage == .verified {
            hosts[index].enter(.gating(0), at: now)
        }
        phase = .gate
        return true
    }

    private mutating func advanceGate() -> Bool {
        if mayStart {
            for index in hosts.indices where hosts[index].stage == .stopped && room > 0 && mayStart
            {
                goOn(index)
            }
            for index in hosts.indices where hosts[index].stage == .gating(0) && room > 0 {
                guard !hosts[index].isActive else { continue }
                moveToCheck(index, 0)
            }
        }
        guard activeCount == 0 else { return false }
        if isDraining { return finishInterrupted() }
        if halted != nil { return decideAfterHalt() }
        let isOver = hosts.allSatisfy {
            $0.stage == .verified || $0.stage == .failed || $0.outcome != nil
        }
        return isOver ? decideCommit() : true
    }

    private mutating func decideCommit() -> Bool {
        let failed = hosts.indices.filter { hosts[$0].stage == .failed }
        let missing = hosts.count { $0.outcome == .untouched }
        let away = "\(missing) of \(hosts.count) hosts could not be asked"
        guard missing == 0 || !failed.isEmpty else {
            decide(.hold, away)
            return hold()
        }
        let count =
            "\(failed.count) of \(hosts.count) hosts failed, which the playbook allows"
            + (missing > 0 ? ", and \(away)" : "")
        guard failed.isEmpty || (plan.onFailure == .revert && !isPastReturn) else {
            let host = hosts.first(where: \.isPastReturn)
            let reason = host.map { "; an irreversible step was started on \($0.name)" } ?? ""
            decide(.hold, count + reason)
            return hold()
        }
        decide(
            failed.isEmpty ? .commit : .keep,
            failed.isEmpty ? "every host is verified" : "\(count); they go back"
        )
        for index in hosts.indices where hosts[index].stage == .verified {
            conclude(index, .succeeded)
        }
        guard !failed.isEmpty else { return finish(.succeeded) }
        for index in failed where !hosts[index].isTouched { conclude(index, .untouched) }
        phase = .reverting
        return true
    }

    private var isPastReturn: Bool { hosts.contains(where: \.isPastReturn) }

    private mutating func decideAfterHalt() -> Bool {
        if plan.onFailure == .hold {
            decide(.hold, "there is no way back for this playbook")
            return hold()
        }
        if let host = hosts.first(where: \.isPastReturn) {
            decide(.hold, "an irreversible step was started on \(host.name)")
            return hold()
        }
        decide(.revert, halted?.summary ?? "")
        for index in hosts.indices where !hosts[index].isTouched {
            conclude(index, .untouched)
        }
        phase = .reverting
        return true
    }

    /// The decision comes before everything that carries it out.
    private mutating func decide(_ decision: Decision, _ reason: String) {
        precondition(self.decision == nil, "a rollout is decided once")
        self.decision = decision
        effects.append(.decide(decision, reason: reason))
    }

    private mutating func hold() -> Bool {
        for index in hosts.indices where hosts[index].outcome == nil {
            let host = hosts[index]
            let outcome: HostOutcome
            if !host.isTouched {
                outcome = .untouched
            } else if host.unresolved != nil {
                outcome = .unknown
            } else if host.stage == .verified {
                outcome = .succeeded
            } else {
                outcome = plan.kind == .revert && host.stage == .failed ? .revertFailed : .held
            }
            conclude(index, outcome)
        }
        return finish(worst ?? .held)
    }

    /// The worst that is known of any host, if it is bad: it counts before everything else.
    private var worst: RolloutOutcome? {
        let outcomes = hosts.compactMap(\.outcome)
        if outcomes.contains(.unknown) || outcomes.contains(.fenced) { return .unknown }
        if outcomes.contains(.revertFailed) { return .revertFailed }
        return outcomes.contains(.held) ? .held : nil
    }

    private mutating func advanceRevert() -> Bool {
        if !isDraining {
            for index in hosts.indices { hosts[index].standUpOnTheWayBack(at: now) }
            for index in hosts.indices
            where isReverting(index) && !hosts[index].isActive && room > 0 {
                goOnBack(index)
            }
            // Failed hosts are down already, so they go first; then the newest success.
            let waiting = hosts.indices.filter { index in
                hosts[index].outcome == nil && !isReverting(index)
            }
            let order =
                waiting.filter { hosts[$0].stage != .verified }
                + waiting.filter { hosts[$0].stage == .verified }.reversed()
            for index in order where room > 0 { beginRevert(index) }
        }
        guard activeCount == 0 else { return false }
        if isDraining, hosts.contains(where: { $0.outcome == nil }) { return finishInterrupted() }
        guard hosts.allSatisfy({ $0.outcome != nil }) else { return true }
        return finish(worst ?? (decision == .keep ? .held : .reverted))
    }

    private mutating func finishReport() -> Bool {
        let outcomes = hosts.compactMap(\.outcome)
        if outcomes.contains(.unknown) { return finish(.unknown) }
        return finish(outcomes.allSatisfy { $0 == .succeeded } ? .succeeded : .held)
    }

    /// What is not concluded stays so: whoever takes the rollout up again does that.
    ///
    /// The locks stay: nobody else may come in between.
    private mutating func finishInterrupted() -> Bool {
        interruptedPhase = phase
        phase = .finished(.interrupted)
        effects.append(.finish(.interrupted))
        return false
    }

    /// Gives the locks back, then ends.
    mutating func finish(_ outcome: RolloutOutcome) -> Bool {
        phase = .closing(outcome)
        return true
    }
}

extension RolloutEvent {
    /// Whether the event may arrive after the rollout is over.
    fileprivate var mayComeLate: Bool {
        switch self {
        case .timerFired, .interrupted, .resumed: true
        default: false
        }
    }
}
