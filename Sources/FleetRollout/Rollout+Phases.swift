internal import FleetPlan
internal import FleetTransport

// MARK: The whole rollout: where it is, and what is decided

extension Rollout {
    /// Whether a forward step may start anywhere.
    var mayStart: Bool { halted == nil && !isDraining && decision == nil }

    /// Whether a host may go on asking.
    func mayGoOn(_ index: Int) -> Bool {
        isReverting(index) ? !isDraining : mayStart
    }

    /// How many more hosts may be in flight.
    var room: Int { plan.fanout - activeCount }

    /// Starts whatever may start now, and moves on when a phase is over.
    mutating func advance() {
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

    private mutating func advanceBatch(_ batch: Int) -> Bool {
        if !isDraining, plan.rehearses {
            for index in hosts.indices where hosts[index].round == 1 {
                hosts[index].standUpOnTheWayBack(at: now)
                guard isReverting(index), !hosts[index].isActive, room > 0 else { continue }
                goOnBack(index)
            }
        }
        if mayStart {
            goOnWhereStopped()
            cursor = max(cursor, batches[batch].lowerBound)
            while cursor < batches[batch].upperBound, room > 0, mayStart {
                defer { cursor += 1 }
                guard case .ready = hosts[cursor].stage else { continue }
                hosts[cursor].enter(.stepping(0), at: now)
                proceed(cursor)
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
            if stopsAfterBatch { isDraining = true }
            return true
        }
        if plan.onFailure == .report { return finishReport() }
        guard batches.count > 1 || plan.soakMilliseconds != nil,
            plan.hosts.contains(where: { !$0.checks.isEmpty })
        else { return decideCommit() }
        for index in hosts.indices where hosts[index].stage == .verified {
            hosts[index].enter(.gating(0), at: now)
        }
        soakUntilMilliseconds = now + (plan.soakMilliseconds ?? 0)
        phase = .gate
        return true
    }

    /// Lets the hosts be asked once more after a pause, while the release has to prove itself; false
    /// when it has.
    private mutating func soak() -> Bool {
        let verified = hosts.indices.filter {
            hosts[$0].stage == .verified && !plan.hosts[$0].checks.isEmpty
        }
        guard now < soakUntilMilliseconds, mayStart, let first = verified.first else {
            return false
        }
        for index in verified { hosts[index].enter(.gating(0), at: now) }
        // One host's timer is everybody's: the others begin when it does.
        let pause = min(
            max(RolloutLimits.soakMilliseconds, (plan.soakMilliseconds ?? 0) / 60),
            soakUntilMilliseconds - now
        )
        hosts[first].passes = 0
        hosts[first].inconclusive = 0
        hosts[first].probingSinceMilliseconds = now + pause
        soakPausedUntilMilliseconds = now + pause
        wait(first, pause, then: .probe(host: hosts[first].name, direction: .forward, check: 0))
        return true
    }

    /// Hosts that had stopped on the way forward go on where they were.
    private mutating func goOnWhereStopped() {
        guard wasResumed else { return }
        for index in hosts.indices where hosts[index].stage == .stopped && room > 0 && mayStart {
            goOn(index)
        }
    }

    private mutating func advanceGate() -> Bool {
        if mayStart {
            goOnWhereStopped()
            let isPaused = now < soakPausedUntilMilliseconds && activeCount > 0
            for index in hosts.indices where !isPaused && room > 0 {
                guard case .gating(0) = hosts[index].stage else { continue }
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
        guard isOver else { return true }
        return soak() ? false : decideCommit()
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

    var isPastReturn: Bool { hosts.contains(where: \.isPastReturn) }

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
    mutating func decide(_ decision: Decision, _ reason: String) {
        precondition(self.decision == nil, "a rollout is decided once")
        self.decision = decision
        decidedAtMilliseconds = now
        effects.append(.decide(decision, reason: reason))
    }

    mutating func hold() -> Bool {
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
    var worst: RolloutOutcome? {
        let outcomes = hosts.compactMap(\.outcome)
        if outcomes.contains(.unknown) || outcomes.contains(.fenced) { return .unknown }
        if outcomes.contains(.revertFailed) { return .revertFailed }
        return outcomes.contains(.held) ? .held : nil
    }

    private mutating func finishReport() -> Bool {
        let outcomes = hosts.compactMap(\.outcome)
        if outcomes.contains(.unknown) { return finish(.unknown) }
        return finish(outcomes.allSatisfy { $0 == .succeeded } ? .succeeded : .held)
    }

    /// What is not concluded stays so: whoever takes the rollout up again does that.
    ///
    /// The locks stay: nobody else may come in between.
    mutating func finishInterrupted() -> Bool {
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
