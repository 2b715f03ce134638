internal import FleetPlan
internal import FleetTransport

// MARK: What a step's end means

extension Rollout {
    mutating func ended(_ index: Int, _ step: StepReference, _ outcome: StepOutcome) {
        set(.idle, for: index)
        if case .fenced(let failure) = outcome { return fenced(index, failure) }
        // Whoever mends that takes the rollout up again; looking for the host until then is in vain.
        if case .barred = outcome { hosts[index].losses = RolloutLimits.losses + 1 }
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
        case .stuck, .unreachable, .barred, .fenced:
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
        case .unreachable(let failure), .barred(let failure):
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
        guard hosts[index].attempt - hosts[index].firstAttempt < RolloutLimits.attempts else {
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
    var mustAskBeforeHold: Bool {
        plan.onFailure == .hold || hosts.contains(where: \.isPastReturn)
    }

    /// The time before the next look at a lost host; nil when the budget is spent.
    mutating func reconnectWait(_ index: Int) -> Int? {
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
}
