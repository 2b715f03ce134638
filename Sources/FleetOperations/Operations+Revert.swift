internal import FleetInventory
internal import FleetJournal
internal import FleetPlan
internal import FleetPlaybook
internal import FleetProject
internal import FleetReport
internal import FleetRollout
internal import FleetTransport

extension Operations {
    /// Prepares a revert of a rollout, or a return to a tag.
    ///
    /// An unfinished rollout is resumed and reverted as a whole.
    ///
    /// - Throws: ``OperationFailure``; nothing is changed then.
    public func prepare(_ request: RevertRequest) async throws(OperationFailure) -> PreparedRollout
    {
        var prepared = try await prepareRevert(request)
        // What has not come to its end goes back as it is then.
        if prepared.resumed == nil { prepared.request = .revert(request) }
        return prepared
    }

    private func prepareRevert(_ request: RevertRequest) async throws(OperationFailure)
        -> PreparedRollout
    {
        let (inventory, hosts) = try request.hosts.hosts(of: project)
        if case .tag(let tag) = request.target {
            return try await prepare(tag, request, inventory, hosts)
        }
        if let unfinished = try await unfinished(request) {
            return try await back(unfinished, request, inventory, hosts)
        }
        let transport = try await controller.openTransport(for: hosts, in: project)
        let (plan, leftOut) = try await undo(request, inventory, hosts)
        return PreparedRollout(
            of: project.root,
            plan,
            leavingOut: leftOut,
            question: question(plan, inventory.policy, mustAsk: request.target == .newest),
            recheck: .undo(request, inventory),
            terms: request.terms,
            overridden: request.sparesRelease ? [RolloutOrigin.quarantineRule] : [],
            transport: transport,
            selection: request.hosts,
            hosts: hosts
        )
    }

    private func prepare(
        _ tag: String,
        _ request: RevertRequest,
        _ inventory: Inventory,
        _ hosts: [Host]
    ) async throws(OperationFailure) -> PreparedRollout {
        let transport = try await controller.openTransport(for: hosts, in: project)
        let plan = try await planMaker(transport).plan(
            kind: .revert,
            playbook: request.playbook ?? "deploy",
            of: inventory,
            on: hosts,
            choice: RolloutChoice(release: .tag(tag))
        )
        // Going back to what has run here is always allowed; what never has is a release like any other.
        var isKnown = false
        if let release = plan.release {
            do throws(JournalError) {
                let environment = inventory.environment
                let ran = try await controller.journal.succeeded(release.commit, in: environment)
                let taken = try await controller.journal.reverted(release.commit, in: environment)
                isKnown = ran != nil || taken != nil
            } catch {
                throw OperationFailure(error)
            }
        }
        return PreparedRollout(
            of: project.root,
            plan,
            question: question(plan, inventory.policy, mustAsk: false),
            recheck: isKnown ? .nothing : .policy(policyCheck(inventory)),
            terms: request.terms,
            overridden: request.sparesRelease ? [RolloutOrigin.quarantineRule] : [],
            transport: transport,
            selection: request.hosts,
            hosts: hosts
        )
    }

    /// The rollout that is meant, if it has not come to its end.
    private func unfinished(_ request: RevertRequest) async throws(OperationFailure) -> RolloutID? {
        do {
            guard let found = try await controller.journal.unfinished(in: request.hosts.environment)
            else { return nil }
            if case .rollout(let wanted) = request.target, wanted != found.id.description {
                return nil
            }
            return found.id
        } catch {
            throw OperationFailure(error)
        }
    }

    /// The playbook's own name; nil for whatever was deployed last.
    private func title(_ request: RevertRequest) throws(OperationFailure) -> String? {
        guard let name = request.playbook else { return nil }
        do { return try project.playbook(name).name } catch { throw OperationFailure(error) }
    }

    /// What has not come to its end goes back by itself.
    private func back(
        _ unfinished: RolloutID,
        _ request: RevertRequest,
        _ inventory: Inventory,
        _ hosts: [Host]
    ) async throws(OperationFailure) -> PreparedRollout {
        let begun = try await RolloutLookup.replay(unfinished, in: controller.journal)
        let title = try title(request)
        guard title == nil || title == begun.plan.title else {
            throw OperationFailure(
                .locked,
                "rollout \(unfinished) of `\(Sanitizer.line(begun.plan.title))` has not come to its end",
                hints: [
                    "fleet resume \(unfinished) --back    takes it back first",
                    "nothing was changed",
                ]
            )
        }
        let chosen = Set(hosts.map(\.name))
        let others = begun.hosts.filter { $0.isTouched && !chosen.contains($0.name) }
        guard others.isEmpty else {
            throw OperationFailure(
                .usage,
                "rollout \(unfinished) has not come to its end, and goes back as a whole: it "
                    + "touched \(HostRange.fold(others.map(\.name))), too",
                hints: ["leave out --limit", "nothing was changed"]
            )
        }
        let all = begun.plan.hosts.map { Host(name: $0.name, ssh: $0.endpoint.ssh) }
        return PreparedRollout(
            of: project.root,
            begun.plan,
            resuming: (unfinished, .back),
            touched: begun.hosts.filter(\.isTouched).map(\.name),
            question: question(
                begun.plan,
                inventory.policy,
                mustAsk: request.target == .newest
            ),
            terms: request.terms,
            transport: try await controller.openTransport(for: all, in: project),
            selection: request.hosts,
            hosts: all,
            isToGoBack: true
        )
    }

    /// What would go back, read while nobody changes the environment from this machine.
    func undo(_ request: RevertRequest, _ inventory: Inventory, _ hosts: [Host])
        async throws(OperationFailure) -> (plan: Plan, leftOut: [HostName])
    {
        let selected = Set(hosts.map(\.name))
        do {
            // A rollout that is under way touches more hosts while we look.
            let lease = try await controller.leases.acquire(
                inventory.environment,
                for: "fleet revert"
            )
            defer { lease.release() }
            let id =
                if case .rollout(let text) = request.target { try RolloutLookup.id(text) } else {
                    try await newest(inventory.environment, title: try title(request))
                }
            let earlier = try await RolloutLookup.replay(id, in: controller.journal)
            guard earlier.plan.environment == inventory.environment else {
                throw OperationFailure(
                    .usage,
                    "rollout \(id) was for \(earlier.plan.environment)",
                    hints: ["fleet revert \(earlier.plan.environment) --rollout \(id)"]
                )
            }
            var snapshots: [HostName: Snapshot] = [:]
            for host in earlier.hosts where host.isTouched && selected.contains(host.name) {
                snapshots[host.name] = host.snapshot ?? Snapshot()
            }
            let well = Set(earlier.hosts.filter { $0.outcome == .succeeded }.map(\.name))
            let plan = try RevertPlanner.plan(
                undoing: earlier.plan,
                of: id.description,
                snapshots: snapshots,
                well: well
            )
            return (plan, Set(snapshots.keys).subtracting(plan.hosts.map(\.name)).sorted())
        } catch let failure as OperationFailure {
            throw failure
        } catch let error as ReleaseRefused {
            throw OperationFailure(error)
        } catch let error as JournalError {
            throw OperationFailure(error)
        } catch {
            throw OperationFailure(.internalError, "\(error)")
        }
    }

    /// The newest deploy that left something changed.
    private func newest(_ environment: String, title: String?) async throws -> RolloutID {
        let records = try await controller.journal.rollouts(
            RolloutQuery(environment: environment, limit: nil, changesOnly: true)
        )
        for record in records {
            guard title == nil || title == record.title, record.kind != .revert,
                record.outcome != .refused, record.outcome != .reverted
            else { continue }
            let rollout = try await RolloutLookup.replay(record.id, in: controller.journal)
            if rollout.hosts.contains(where: \.isTouched) { return record.id }
        }
        throw OperationFailure(
            .refused,
            "no rollout of \(title.map { "`\(Sanitizer.line($0))` on " } ?? "")\(environment) left anything "
                + "to put back",
            hints: ["see `fleet history \(environment)`", "nothing was changed"]
        )
    }
}
