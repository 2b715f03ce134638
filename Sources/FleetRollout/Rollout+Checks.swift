internal import FleetPlan
internal import FleetTransport

// MARK: Smoke tests

extension Rollout {
    mutating func probed(_ index: Int, _ check: Int, _ verdict: Verdict) {
        set(.idle, for: index)
        let planned = checks(of: index)[check]
        let isGate = if case .gating = hosts[index].stage { true } else { false }
        let elapsed = now - hosts[index].probingSinceMilliseconds
        let again = RolloutEffect.probe(
            host: hosts[index].name,
            direction: direction(of: index),
            check: check
        )
        if case .passWith(let caveats) = verdict {
            // The last look at a step counts: before the smoke tests a service may not answer yet.
            hosts[index].caveats[planned.step ?? planned.name] = caveats
        } else {
            hosts[index].caveats[planned.step ?? planned.name] = nil
        }
        switch verdict {
        case .pass, .passWith:
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

    mutating func askAgain(
        _ index: Int,
        _ effect: RolloutEffect,
        _ check: PlannedCheck,
        _ failure: Failure,
        until bound: Int,
        elapsed: Int,
        isKnown: Bool
    ) {
        let interval = max(check.intervalMilliseconds, 100)
        let isLast = elapsed > bound - interval
        // A verdict that is there counts, although everybody else has been stopped for want of one.
        let isVerdict = isLast && isKnown && paused != nil
        if !mayGoOn(index), !isVerdict {
            hosts[index].failure = hosts[index].failure ?? failure
            hosts[index].stop(at: now)
        } else if !isLast {
            wait(index, interval, then: effect)
        } else if case .revertProbing = hosts[index].stage {
            giveUpBack(index, isKnown ? .revertFailed : .unknown, failure)
        } else {
            let named = Failure(
                "\(check.name): \(failure.summary)",
                excerpt: failure.excerpt,
                hint: failure.hint
            )
            let isGate = if case .gating = hosts[index].stage { true } else { false }
            if isGate, !isKnown, plan.soakMilliseconds != nil {
                pause(index, named)
            } else {
                fail(index, named)
            }
        }
    }

    /// Goes on to a check, or past the last one.
    mutating func moveToCheck(_ index: Int, _ check: Int) {
        let checks = checks(of: index)
        let isBack = if case .revertProbing = hosts[index].stage { true } else { false }
        let way = wayBack(index)
        guard check < checks.count else {
            guard isBack else { return becomeVerified(index) }
            guard !isRehearsing(index) else { return rehearsed(index) }
            // Going back counts only where something on the host confirms it.
            let isConfirmed = checks.contains { way.includes($0.condition) }
            let outcome = way == .absent ? HostOutcome.removed : .reverted
            return conclude(index, isConfirmed ? outcome : .held)
        }
        if isBack, !way.includes(checks[check].condition) { return moveToCheck(index, check + 1) }
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
        } else if mustRehearse(index) {
            rehearse(index)
        } else {
            hosts[index].enter(.verified, at: now)
        }
    }

    func direction(of index: Int) -> StepReference.Direction {
        if case .revertProbing = hosts[index].stage { .revert } else { .forward }
    }

    func checks(of index: Int) -> [PlannedCheck] {
        direction(of: index) == .revert
            ? plan.hosts[index].revertChecks : plan.hosts[index].checks
    }
}
