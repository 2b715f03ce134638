public import FleetTransport

/// Plans the way back of an earlier rollout: exactly the hosts it touched, each to its own snapshot.
public enum RevertPlanner {
    /// Turns an earlier plan's way back into a plan of its own.
    ///
    /// - Parameters:
    ///   - plan: The earlier plan.
    ///   - rollout: The rollout that carried it out; its locks may be taken over.
    ///   - snapshots: What each touched host ran before it; hosts that are not here stay as they
    ///     are.
    ///   - well: Hosts that serve the release as they should. They go back in the plan's own batches, each
    ///     behind the gate of the one before; all others go first, and at once.
    /// - Returns: A plan whose steps are the earlier plan's steps back; a touched host that ran
    ///   nothing before is torn down, or not in it where the playbook does not say how.
    /// - Throws: ``ReleaseRefused`` if no host has anything to go back to.
    public static func plan(
        undoing plan: Plan,
        of rollout: String,
        snapshots: [HostName: Snapshot],
        well: Set<HostName> = []
    ) throws(ReleaseRefused) -> Plan {
        guard let releaseStep = plan.releaseStep else {
            throw ReleaseRefused(
                message: "`\(plan.title)` deployed no release, so there is nothing to go back to",
                hints: ["run a playbook that undoes it: `fleet run PLAYBOOK \(plan.environment)`"]
            )
        }
        var hosts: [PlannedHost] = []
        for host in plan.hosts {
            guard let snapshot = snapshots[host.name], !host.revertSteps.isEmpty else { continue }
            let way = host.wayBack(to: snapshot, releaseStep: releaseStep)
            // A first deploy can only be torn down, where the playbook says how.
            guard way == .present || host.revertSteps.contains(where: { $0.condition == .absent })
            else { continue }
            hosts.append(
                undo(
                    host,
                    way,
                    of: rollout,
                    leaving: plan.release,
                    snapshot: snapshot,
                    releaseStep: releaseStep
                )
            )
        }
        guard !hosts.isEmpty else {
            throw ReleaseRefused(
                message: "no host ran anything before this rollout",
                hints: ["deploy a release instead: `fleet deploy \(plan.environment) --tag TAG`"]
            )
        }
        let releases = Set(hosts.compactMap(\.release))
        // A release that was deployed twice has run before itself: going back to it restarts everything, and
        // goes nowhere.
        if let again = plan.release, hosts.allSatisfy({ $0.release?.commit == again.commit }) {
            throw ReleaseRefused(
                message:
                    "E_NOTHING going back would change nothing: before rollout \(rollout) every host ran "
                    + "\(again.label) already",
                hints: [
                    "fleet history \(plan.environment)    shows what ran before",
                    "fleet revert \(plan.environment) --to TAG    goes to another release",
                ]
            )
        }
        let first = hosts.filter { !well.contains($0.name) }
        var batches =
            [first]
            + plan.batches.map { batch in
                hosts.filter { well.contains($0.name) && batch.contains($0.name) }
            }
        batches.removeAll(where: \.isEmpty)
        hosts = batches.flatMap { $0 }
        return Plan(
            kind: .revert,
            environment: plan.environment,
            title: plan.title,
            release: releases.count == 1 ? releases.first : nil,
            releaseStep: releaseStep,
            fanout: plan.fanout,
            // On past a host that fails to go back: the others are on the bad release, too.
            maxFailures: hosts.count,
            onFailure: .hold,
            batches: batches.map { $0.map(\.name) },
            hosts: hosts,
            takesLocks: true,
            adoptsLocksOf: rollout,
            libraries: plan.libraries,
            environmentHostCount: plan.environmentHostCount
        )
    }

    private static func undo(
        _ host: PlannedHost,
        _ way: SnapshotCondition,
        of rollout: String,
        leaving left: Release?,
        snapshot: Snapshot,
        releaseStep: String
    ) -> PlannedHost {
        let release = snapshot.release(of: releaseStep)
        func bind(_ action: Action, _ step: String) -> Action {
            if case .deadman = action { return .deadman(.disarm(rollout: rollout)) }
            return action.bound(to: snapshot, step: step, releaseStep: releaseStep)
        }
        return PlannedHost(
            endpoint: host.endpoint,
            release: release,
            preflight: host.preflight.map { question in
                PlannedPreflight(
                    step: question.step,
                    script: asking(
                        question.script,
                        for: release,
                        leaving: question.step == releaseStep ? left : nil
                    )
                )
            },
            steps: host.revertSteps.filter { $0.condition == nil || $0.condition == way }.map {
                step in
                PlannedStep(
                    name: step.name,
                    kind: step.kind,
                    action: bind(step.action, step.factsOf),
                    timeoutMilliseconds: step.timeoutMilliseconds,
                    retries: step.retries,
                    // A step back may always be repeated.
                    isIdempotent: true,
                    isIrreversible: false,
                    factsOf: step.factsOf
                )
            },
            checks: host.revertChecks.filter { $0.condition == nil || $0.condition == way }.map {
                check in
                PlannedCheck(
                    name: check.name,
                    step: check.step,
                    action: bind(check.action, check.step ?? releaseStep),
                    passes: check.passes,
                    intervalMilliseconds: check.intervalMilliseconds,
                    deadlineMilliseconds: check.deadlineMilliseconds,
                    settleMilliseconds: check.settleMilliseconds
                )
            }
        )
    }

    /// The same questions, about the release that is gone back to.
    ///
    /// A host that runs neither what the rollout left nor what ran before it was changed by something that
    /// this journal does not know: an old backup of it, for one, would lead two releases back.
    private static func asking(_ script: Script, for release: Release?, leaving left: Release?)
        -> Script
    {
        var script = script
        script.environment = script.environment.map { variable in
            switch variable.name {
            case "FLEET_COMMIT": EnvironmentVariable(variable.name, release?.commit ?? "")
            case "FLEET_TAG": EnvironmentVariable(variable.name, release?.tag ?? "")
            default: variable
            }
        }
        // What would refuse a deploy must not refuse the way back: local changes are stashed, and
        // the commit is pinned whatever became of its tag.
        script.environment.append(EnvironmentVariable("FLEET_GOING_BACK", "1"))
        // A first deploy that stopped half-way is torn down, whatever it has left.
        if let left, let release {
            let known = "\(left.commit) \(release.commit)"
            script.environment.append(EnvironmentVariable("FLEET_UNDOES", known))
        }
        return script
    }
}
