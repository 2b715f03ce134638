internal import FleetPlan
internal import FleetTransport

// MARK: Going back

extension Rollout {
    func isReverting(_ index: Int) -> Bool {
        switch hosts[index].stage {
        case .settling, .reverting, .revertProbing: true
        default: false
        }
    }

    private mutating func beginRevert(_ index: Int) {
        hosts[index].wasVerified = isServing(index)
        if let (step, attempt) = hosts[index].unresolved {
            hosts[index].enter(.settling, at: now)
            hosts[index].attempt = attempt
            emit(.stop(host: hosts[index].name, step: step, attempt: attempt), for: index)
        } else {
            goBack(index)
        }
    }

    // MARK: Rehearsal

    /// Whether a host goes back for practice only.
    func isRehearsing(_ index: Int) -> Bool {
        hosts[index].round == 1 && isReverting(index) && decision == nil
    }

    /// Whether a host has yet to show that it can go back, before others follow it.
    ///
    /// What cannot be undone cannot be rehearsed.
    func mustRehearse(_ index: Int) -> Bool {
        plan.rehearses && hosts[index].round == 0 && batches[0].contains(index)
            && wayBack(index) == .present && hasWayBack(index)
            && !plan.hosts[index].steps.contains(where: \.isIrreversible)
    }

    mutating func rehearse(_ index: Int) {
        hosts[index].round = 1
        goBack(index)
    }

    /// It can: forward again.
    mutating func rehearsed(_ index: Int) {
        hosts[index].round = 2
        hosts[index].enter(.stepping(0), at: now)
        proceed(index)
    }

    private mutating func goBack(_ index: Int) {
        guard hasWayBack(index) else { return conclude(index, .held) }
        // In earnest after a rehearsal: its keys are used.
        if decision != nil, hosts[index].round == 1 { hosts[index].round = 2 }
        hosts[index].caveats = [:]
        hosts[index].enter(.reverting(0), at: now)
        proceed(index)
    }

    /// Whether the host ran something before: a first deploy cannot be put back.
    private func hasWayBack(_ index: Int) -> Bool {
        let host = plan.hosts[index]
        let deploys = host.steps.contains { $0.name == plan.releaseStep }
        return switch wayBack(index) {
        case .present: deploys || !host.revertSteps.isEmpty
        case .absent: host.revertSteps.contains { $0.condition == .absent }
        }
    }

    func wayBack(_ index: Int) -> SnapshotCondition {
        plan.hosts[index].wayBack(to: hosts[index].snapshot, releaseStep: plan.releaseStep)
    }

    mutating func settled(_ index: Int, _ outcome: StepOutcome) {
        switch outcome {
        case .succeeded, .failed, .neverStarted, .vanished:
            goBack(index)
        case .stuck(let failure):
            hosts[index].failure = failure
            conclude(index, .unknown)
        case .lost(let failure), .unreachable(let failure), .barred(let failure):
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

    mutating func endedRevert(
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
            guard hosts[index].attempt - hosts[index].firstAttempt < RolloutLimits.attempts else {
                return giveUpBack(index, .unknown, Failure("the step could not be started"))
            }
            emit(next(index, step), for: index)
        case .stuck(let failure):
            hosts[index].unresolved = (step, hosts[index].attempt)
            giveUpBack(index, .unknown, failure)
        case .lost(let failure), .unreachable(let failure), .barred(let failure):
            guard !isDraining else {
                hosts[index].unresolved = (step, hosts[index].attempt)
                return
            }
            guard let wait = reconnectWait(index) else {
                hosts[index].unresolved = (step, hosts[index].attempt)
                return giveUpBack(index, .unknown, failure)
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

    /// The way back has failed: in earnest that is the host's end, in a rehearsal its failure.
    mutating func giveUpBack(_ index: Int, _ outcome: HostOutcome, _ failure: Failure) {
        guard isRehearsing(index) else {
            hosts[index].failure = failure
            return conclude(index, outcome)
        }
        let told = Failure(
            "in the rehearsal of the way back: \(failure.summary)",
            excerpt: failure.excerpt,
            hint: failure.hint
        )
        fail(index, told, halts: true)
    }

    private mutating func againOrGiveUp(_ index: Int, _ step: StepReference, _ failure: Failure) {
        hosts[index].failedAttempts += 1
        if isDraining { return }
        if hosts[index].failedAttempts < RolloutLimits.revertAttempts {
            wait(index, RolloutLimits.retryMilliseconds, then: next(index, step))
        } else {
            giveUpBack(index, .revertFailed, failure)
        }
    }

    /// Whether a host is well on the new release, as far as it was asked.
    private func isServing(_ index: Int) -> Bool {
        switch hosts[index].stage {
        case .verified, .gating: true
        case .stopped: if case .gating = hosts[index].stoppedAt { true } else { false }
        default: false
        }
    }

    /// How many hosts that were serving have been taken down to go back, and are not through.
    private var downCount: Int {
        hosts.count { $0.wasVerified && $0.outcome == nil }
    }

    /// As many hosts as went forward together may go back together: what still serves must carry on.
    private var widestBatch: Int {
        max(1, batches.map { batch in batch.count { hosts[$0].isTouched } }.max() ?? 1)
    }

    /// The hosts that show that going back makes things worse, once there are enough of them.
    private func brokenWayBack() -> [HostName]? {
        let broken = hosts.filter { host in
            host.wasVerified && (host.outcome == .revertFailed || host.outcome == .unknown)
        }
        return broken.count < RolloutLimits.brokenReverts ? nil : broken.map(\.name)
    }

    /// A host that is well stays where it is.
    private mutating func leave(_ index: Int, because broken: [HostName]) {
        let why = "going back failed on " + HostRange.fold(broken)
        let hint = "mend what runs there, then deploy a release that is good everywhere"
        // What it said last may have been no pass.
        guard hosts[index].lastAnswer == nil else {
            hosts[index].failure = Failure("left on the new release in doubt: \(why)", hint: hint)
            return conclude(index, .held)
        }
        hosts[index].failure = Failure(
            "left on the new release, where it is well: \(why)",
            hint: hint
        )
        conclude(index, .succeeded)
    }

    mutating func advanceRevert() -> Bool {
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
            for index in waiting where !isServing(index) && room > 0 {
                beginRevert(index)
            }
            let serving = waiting.filter(isServing)
            if let broken = brokenWayBack() {
                for index in serving { leave(index, because: broken) }
            } else {
                for index in serving.reversed() where room > 0 && downCount < widestBatch {
                    beginRevert(index)
                }
            }
        }
        guard activeCount == 0 else { return false }
        if isDraining, hosts.contains(where: { $0.outcome == nil }) { return finishInterrupted() }
        guard hosts.allSatisfy({ $0.outcome != nil }) else { return true }
        return finish(worst ?? (decision == .keep ? .held : .reverted))
    }
}
