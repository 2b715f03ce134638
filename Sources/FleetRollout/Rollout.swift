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
    public internal(set) var phase = Phase.planned {
        didSet { cursor = 0 }
    }
    /// The first host that the phase may not have begun with: with many hosts, looking at all of them at
    /// every event would cost more than everything else here.
    var cursor = 0
    /// Whether it was ever taken up again: only then hosts go on that had stopped.
    var wasResumed = false
    /// How far each host has come, in the order of the plan.
    public internal(set) var hosts: [HostProgress]
    /// Why no new step starts; nil while the rollout may proceed.
    public internal(set) var halted: Failure?
    /// What becomes of the rollout; nil until it is decided.
    public internal(set) var decision: Decision?
    /// When it was, on the rollout's clock.
    var decidedAtMilliseconds: Int?
    /// Until when the release has to prove itself in the last gate.
    var soakUntilMilliseconds = 0
    /// When the next round of questions of that begins.
    var soakPausedUntilMilliseconds = 0
    /// Whether the operator asked to stop.
    public internal(set) var isDraining = false
    /// Why this controller must stop: another controller has resumed the rollout; nil if none has.
    public internal(set) var superseded: Failure?
    /// Whether the rollout ended without waiting for steps that were in progress.
    public var leavesAll: Bool {
        outcome == .interrupted && (superseded != nil || stopRequest?.point == .now)
    }
    /// The request to stop; nil if there was none since the rollout began or was last resumed.
    public internal(set) var stopRequest: StopRequest?
    /// Whether the rollout stops once its current batch is finished.
    public internal(set) var stopsAfterBatch = false
    /// Why the rollout stopped by itself and can be resumed; nil if it did not.
    ///
    /// This happens while a release soaks: a host that cannot be asked counts neither as good nor as bad, so a person
    /// has to look.
    public internal(set) var paused: Failure?
    /// Whether a step was started on any host.
    public var isTouched: Bool { hosts.contains(where: \.isTouched) }
    /// Where it was when it was interrupted; a resumed rollout goes on from there.
    var interruptedPhase: Phase?

    private let places: [HostName: Int]
    let batches: [Range<Int>]
    var now = 0
    var effects: [RolloutEffect] = []
    /// The number of hosts with something in progress; stored, because it is needed at every event.
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

    /// How long the revert took, from the decision until the last host was back, in milliseconds; nil without a revert.
    public var revertMilliseconds: Int? {
        guard let decidedAtMilliseconds, decision == .revert || decision == .keep else {
            return nil
        }
        let ends = hosts.filter { [.reverted, .removed, .revertFailed].contains($0.outcome) }
            .map(\.stageSinceMilliseconds)
        return ends.max().map { $0 - decidedAtMilliseconds }
    }

    /// Whether a host is going back only as part of a rehearsal.
    public func isRehearsing(_ host: HostName) -> Bool { places[host].map(isRehearsing) ?? false }

    /// A host's progress.
    public func progress(of host: HostName) -> HostProgress? { places[host].map { hosts[$0] } }

    /// The facts that preflight found on a host; empty if preflight has not asked it.
    public func snapshot(of host: HostName) -> Snapshot {
        places[host].flatMap { hosts[$0].snapshot } ?? Snapshot()
    }

    /// Handles an event and returns the effects that follow from it.
    ///
    /// - Parameters:
    ///   - event: What happened. An event that does not fit the state is a bug and traps.
    ///   - milliseconds: The time of the event, in milliseconds since the rollout began, on a clock that never runs
    ///     backwards.
    /// - Returns: The effects, in order; they must be recorded before any of them is carried out.
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
            let index = busyPlace(host)
            if case .probingBefore = hosts[index].stage {
                probedBefore(index, check, verdict)
            } else {
                probed(index, check, verdict)
            }
        case .timerFired(let host, let number):
            guard let index = places[host] else { preconditionFailure("unknown host \(host)") }
            // A timer that was overtaken, by a halt for example, says nothing any more.
            guard case .waiting(let effect) = hosts[index].activity,
                number == hosts[index].timerCount
            else { return }
            emit(effect, for: index)
        case .interrupted: drain()
        case .askedToStop(let request):
            stopRequest = request
            stop(after: request.point)
        case .mustHalt(let failure): halt(failure)
        case .superseded(_, _, let failure):
            superseded = failure
            isDraining = true
            leaveAll()
        }
    }

    /// What is under way ends, and nothing new starts.
    private mutating func drain() {
        // From now on the operator is the one who stopped it.
        if paused != nil {
            paused = nil
            return
        }
        guard !isDraining else { return }
        isDraining = true
        quiet()
    }

    private mutating func stop(after point: StopRequest.Point) {
        switch (point, phase) {
        case (.batch, .rolling(let batch)) where batch + 1 < batches.count: stopsAfterBatch = true
        // Nothing is left that it could stop before: all that comes is the verdict, or the way back.
        case (.batch, .rolling), (.batch, .gate), (.batch, .reverting), (.batch, .closing): break
        case (.now, .closing), (.now, .finished), (.batch, .finished), (.step, .closing): break
        // Nothing was changed yet: what is asked is answered soon.
        case (_, .planned), (_, .preflight), (_, .locking), (.step, _): drain()
        case (.now, _):
            isDraining = true
            leaveAll()
        }
    }

    /// Ends here, whatever is under way: as if the controller had been killed, but for the record of it.
    private mutating func leaveAll() {
        _ = finishInterrupted()
    }

    /// Nothing new goes forward, for a reason that is no host's.
    mutating func halt(_ failure: Failure) {
        guard decision == nil, halted == nil else { return }
        switch phase {
        case .rolling, .gate:
            guard plan.onFailure != .report else {
                isDraining = true
                return quiet()
            }
            halted = failure
            leavePause()
            if let host = hosts.first(where: \.isTouched) ?? hosts.first {
                effects.append(.halt(host: host.name, failure: failure))
            }
            quiet()
        case .planned, .preflight, .locking:
            isDraining = true
            quiet()
        case .reverting, .closing, .finished: break
        }
    }

    /// Stops without a verdict on a host: it, and everybody else, stays where it is.
    mutating func pause(_ index: Int, _ failure: Failure) {
        hosts[index].failure = failure
        hosts[index].stop(at: now)
        guard !isDraining, halted == nil else { return }
        paused = failure
        isDraining = true
        quiet()
    }

    /// What is known to be bad counts more than what is not known.
    private mutating func leavePause() {
        guard paused != nil else { return }
        paused = nil
        isDraining = false
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
        case .reverting(let step)
        where step < planned.revertSteps.count
            && !wayBack(index).includes(planned.revertSteps[step].condition):
            hosts[index].enter(.reverting(step + 1), at: now)
            proceed(index)
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
    mutating func next(_ index: Int, _ step: StepReference) -> RolloutEffect {
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
    mutating func fail(_ index: Int, _ failure: Failure, halts: Bool = false) {
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
        leavePause()
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
}

extension SnapshotCondition {
    /// Whether something with a condition is on this way back.
    func includes(_ condition: SnapshotCondition?) -> Bool { condition == nil || condition == self }
}

extension RolloutEvent {
    /// Whether the event may arrive after the rollout is over.
    fileprivate var mayComeLate: Bool {
        switch self {
        case .timerFired, .interrupted, .askedToStop, .mustHalt, .superseded, .resumed: true
        default: false
        }
    }
}
