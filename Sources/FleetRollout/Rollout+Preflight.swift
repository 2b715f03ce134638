internal import FleetPlan
internal import FleetTransport

/// Preflight: every host is asked before the first one is touched, and any of them may refuse.
extension Rollout {
    mutating func advancePreflight() -> Bool {
        if !isDraining {
            while cursor < hosts.count, room > 0 {
                defer { cursor += 1 }
                guard case .planned = hosts[cursor].stage else { continue }
                hosts[cursor].enter(.checking, at: now)
                emit(.check(host: hosts[cursor].name), for: cursor)
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
            for index in refused { explain(index) }
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
            && !refused.contains { oneRun(on: $0) != nil }
    }

    /// A step that runs on this host for all others.
    private func oneRun(on index: Int) -> String? {
        guard plan.keepsHostsOfOneRun else { return nil }
        return plan.hosts[index].steps.first(where: \.runsOnce)?.name
    }

    /// Says of a host that could not be left out why.
    private mutating func explain(_ index: Int) {
        guard let step = oneRun(on: index), let failure = hosts[index].failure else { return }
        hosts[index].failure = Failure(
            failure.summary,
            excerpt: failure.excerpt,
            hint: "it cannot be left out: `\(step)` runs there for all hosts (run_once)"
        )
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

    mutating func checked(_ index: Int, _ outcome: CheckOutcome) {
        precondition(hosts[index].stage == .checking)
        set(.idle, for: index)
        switch outcome {
        case .ready(let snapshot):
            hosts[index].snapshot = snapshot
            if let skew = snapshot.clockSkewSeconds, abs(skew) > RolloutLimits.clockSkewSeconds,
                plan.kind != .revert
            {
                let way = skew > 0 ? "ahead of" : "behind"
                return refuse(
                    index,
                    Failure(
                        "E_CLOCK its clock is \(abs(skew)) s \(way) this machine's",
                        hint: "set the clock there, or here (`chronyc tracking`, `timedatectl`)"
                    )
                )
            }
            probeBefore(index, from: 0)
        case .lost(let failure):
            hosts[index].losses += 1
            if hosts[index].losses < RolloutLimits.questions, !isDraining {
                let check = RolloutEffect.check(host: hosts[index].name)
                wait(index, RolloutLimits.retryMilliseconds, then: check)
            } else {
                hosts[index].isUnreachable = true
                refuse(index, failure)
            }
        case .unreachable(let failure):
            hosts[index].isUnreachable = true
            refuse(index, failure)
        case .refused(let failure): refuse(index, failure)
        }
    }

    private mutating func refuse(_ index: Int, _ failure: Failure) {
        hosts[index].failure = failure
        hosts[index].enter(.refused(failure), at: now)
        effects.append(.release(host: hosts[index].name))
    }

    /// Asks the smoke tests of what the host runs now: what cannot be verified today could not be
    /// verified after going back to it either.
    private mutating func probeBefore(_ index: Int, from first: Int) {
        let checks = plan.hosts[index].revertChecks
        let next = checks.indices.first { $0 >= first && checks[$0].step == nil }
        guard plan.asksHealthFirst, wayBack(index) == .present, let next, !isDraining else {
            hosts[index].enter(.ready, at: now)
            return
        }
        hosts[index].enter(.probingBefore(next), at: now)
        let name = hosts[index].name
        emit(.probe(host: name, direction: .revert, check: next), for: index)
    }

    mutating func probedBefore(_ index: Int, _ check: Int, _ verdict: Verdict) {
        set(.idle, for: index)
        let name = hosts[index].name
        let title = plan.hosts[index].revertChecks[check].name
        switch verdict {
        case .pass, .passWith: probeBefore(index, from: check + 1)
        case .fail(let failure):
            refuse(
                index,
                Failure(
                    "E_UNHEALTHY before anything was touched, \(title): \(failure.summary)",
                    excerpt: failure.excerpt,
                    hint: "if this release is the cure: --even-if-unhealthy"
                )
            )
        case .inconclusive(let failure):
            hosts[index].losses += 1
            guard hosts[index].losses < RolloutLimits.questions, !isDraining else {
                return refuse(index, failure)
            }
            let again = RolloutEffect.probe(host: name, direction: .revert, check: check)
            wait(index, RolloutLimits.retryMilliseconds, then: again)
        }
    }
}
