public import FleetPlan
internal import FleetTransport

/// Taking a rollout up again: its journal was replayed, so everything it knew is known.
extension RolloutEvent {
    /// Whether the event is accepted even by a finished rollout, because it resumes it.
    public var isResumption: Bool { if case .resumed = self { true } else { false } }
}

extension Rollout {
    /// Restores the state of a rollout from its journal records.
    public init(plan: Plan, replaying entries: [JournalEntry]) {
        self.init(plan: plan)
        for entry in entries {
            guard case .event(let event) = entry.body else { continue }
            _ = handle(event, at: entry.elapsedMilliseconds)
        }
    }

    /// The reason recorded when an operator reverts a rollout that had no failure.
    public static let askedBack = "the operator asked for the way back"

    /// Asks anew for every answer that was lost with the controller, and goes on.
    ///
    /// A step that was under way may have started, run, or never been asked for; the host knows.
    mutating func resume(_ direction: ResumeDirection) {
        if case .finished(.interrupted) = phase, let interruptedPhase {
            phase = interruptedPhase
            self.interruptedPhase = nil
        }
        guard outcome == nil else { return }
        isDraining = false
        stopsAfterBatch = false
        superseded = nil
        stopRequest = nil
        cursor = 0
        wasResumed = true
        paused = nil
        if phase == .planned { return start() }
        // Whoever goes back anyway need not wait for what runs there: it is ended first.
        let goesBack =
            direction == .back && decision == nil && plan.onFailure == .revert && !isPastReturn
        for index in hosts.indices {
            if goesBack, leaveForward(index) { continue }
            // Whatever kept the host away may be mended by now.
            hosts[index].losses = 0
            hosts[index].reconnects = 0
            hosts[index].lostAtMilliseconds = nil
            // An answer in between may be lost: passes are in a row no more.
            hosts[index].passes = 0
            switch hosts[index].activity {
            case .idle: break
            case .busy(let effect): askAgain(index, effect)
            // Its timer is gone. A service that shall settle first is still given its time.
            case .waiting(let effect):
                set(.idle, for: index)
                let left = hosts[index].probingSinceMilliseconds - now
                if case .probe = effect, left > 0 {
                    wait(index, left, then: effect)
                } else {
                    emit(effect, for: index)
                }
            }
        }
        guard direction == .back, plan.onFailure != .report else { return }
        halt(Failure(Self.askedBack))
    }

    /// Leaves a step forward as it is, to be settled on the way back; false if the host is on none.
    private mutating func leaveForward(_ index: Int) -> Bool {
        guard case .stepping = hosts[index].stage else { return false }
        switch hosts[index].activity {
        case .idle: return false
        case .busy(.perform(_, let step, let attempt)), .busy(.recover(_, let step, let attempt)),
            .waiting(.recover(_, let step, let attempt)):
            hosts[index].unresolved = (step, attempt)
        case .waiting(.perform): hosts[index].attempt -= 1
        case .busy, .waiting: return false
        }
        set(.idle, for: index)
        hosts[index].stop(at: now)
        return true
    }

    private mutating func askAgain(_ index: Int, _ effect: RolloutEffect) {
        set(.idle, for: index)
        switch effect {
        case .check:
            hosts[index].enter(.planned, at: now)
        case .perform(let host, let step, let attempt):
            hosts[index].unresolved = (step, attempt)
            emit(.recover(host: host, step: step, attempt: attempt), for: index)
        case .probe, .recover, .stop, .lock, .unlock:
            emit(effect, for: index)
        case .startTimer, .release, .halt, .decide, .conclude, .finish:
            preconditionFailure("nothing waits for \(effect)")
        }
    }

    /// Lets a host that had stopped go on from where it was.
    mutating func goOn(_ index: Int) {
        guard let stage = hosts[index].stoppedAt else { return }
        hosts[index].stage = stage
        hosts[index].stoppedAt = nil
        hosts[index].failure = nil
        hosts[index].stageSinceMilliseconds = now
        if let (step, attempt) = hosts[index].unresolved {
            let effect = RolloutEffect.recover(
                host: hosts[index].name,
                step: step,
                attempt: attempt
            )
            return emit(effect, for: index)
        }
        switch stage {
        case .stepping: proceed(index)
        case .probing(let check), .gating(let check): moveToCheck(index, check)
        default: preconditionFailure("\(hosts[index].name) does not stop there")
        }
    }

    /// Lets a host that had stopped on its way back go on.
    mutating func goOnBack(_ index: Int) {
        let unresolved = hosts[index].unresolved
        switch hosts[index].stage {
        case .settling:
            guard let (step, attempt) = unresolved else {
                preconditionFailure("\(hosts[index].name) has nothing to settle")
            }
            emit(.stop(host: hosts[index].name, step: step, attempt: attempt), for: index)
        case .reverting:
            guard let (step, attempt) = unresolved else { return proceed(index) }
            let effect = RolloutEffect.recover(
                host: hosts[index].name,
                step: step,
                attempt: attempt
            )
            emit(effect, for: index)
        case .revertProbing(let check): moveToCheck(index, check)
        default: preconditionFailure("\(hosts[index].name) is not on its way back")
        }
    }
}
