internal import FleetInventory
internal import FleetJournal
internal import FleetPlan
internal import FleetProject
internal import FleetReport
internal import FleetRollout
public import FleetRunner
internal import FleetTransport
internal import Synchronization

/// Where the trace of a rollout begins.
public struct TraceParent: Sendable, Hashable {
    /// What `TRACEPARENT` says; nil if the rollout's trace stands by itself.
    public let value: String?

    /// Names the span that the trace is in.
    public init(_ value: String?) { self.value = value }
}

extension Operations {
    /// Starts a prepared rollout: asks for confirmation, waits, checks again, locks the hosts, and begins.
    ///
    /// All questions and all checks that are possible in advance come before any wait, because nobody may be present
    /// afterwards.
    ///
    /// - Parameters:
    ///   - prepared: The rollout, as it was prepared and shown.
    ///   - traceParent: The span that the rollout's trace is in, if there is to be one; nil for no trace.
    ///   - watch: Called with every record once it is durable, with outputs, and with the progress of transfers; it
    ///     must not block.
    /// - Returns: The running rollout.
    /// - Throws: ``OperationFailure``; no host is changed and no lock is held then.
    public func start(
        _ prepared: PreparedRollout,
        traceParent: TraceParent? = nil,
        watch: @escaping @Sendable (RolloutUpdate) -> Void = { _ in }
    ) async throws(OperationFailure) -> RunningRollout {
        guard prepared.project == project.root else {
            throw OperationFailure(
                .usage,
                "what was prepared in \(prepared.project) is not started in \(project.root)",
                hints: ["prepare it anew", "nothing was changed"]
            )
        }
        let plan = prepared.plan
        let terms = prepared.terms
        var until: Int?
        if case .policy(let check) = prepared.recheck {
            until = try check.beginning(terms.begins)
            _ = try await check.admit(plan, despite: terms.exception, atAnyTime: until != nil)
        }
        try await ask(prepared)
        if let until, case .policy(let check) = prepared.recheck {
            try await wait(until: until, check)
        }
        if let milliseconds = terms.lockWaitMilliseconds {
            try await HostLocks(
                environment: prepared.selection.environment,
                hosts: prepared.hosts,
                transport: prepared.transport,
                initiator: initiator
            ).wait(milliseconds: milliseconds, tell: tell)
        }
        // Asking and waiting may have taken hours: what holds now is what counts.
        var overridden = prepared.overridden
        switch prepared.recheck {
        case .nothing: break
        case .policy(let check):
            overridden += try await check.now().admit(plan, despite: terms.exception)
        case .undo(let request, let inventory):
            guard try await undo(request, inventory, prepared.hosts).plan.digest == plan.digest
            else {
                throw OperationFailure(
                    .refused,
                    "what would go back has changed while you were asked",
                    hints: [
                        "fleet revert \(plan.environment)    asks again", "nothing was changed",
                    ]
                )
            }
        }
        return try await begin(prepared, overridden: overridden, traceParent, watch)
    }

    /// Asks what has to be asked.
    func ask(_ prepared: PreparedRollout) async throws(OperationFailure) {
        guard !prepared.terms.isConfirmed, let question = prepared.question else { return }
        switch await asker.agrees(to: question) {
        case true?: return
        case false?: throw OperationFailure(.refused, "not confirmed; nothing was changed")
        case nil:
            throw OperationFailure(
                .refused,
                "this needs a confirmation: \(PlanText.headline(prepared.plan))",
                hints: ["add --yes to go on without being asked", "nothing was changed"]
            )
        }
    }

    /// Waits in the foreground until the time has come.
    private func wait(until: Int, _ check: PolicyCheck) async throws(OperationFailure) {
        let offset = try check.offset()(until)
        let shown = DurationText.utc(unixMilliseconds: (until + offset) * 1000).dropLast(3)
        let minutes = abs(offset) / 60
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        tell(
            .waiting(
                "waiting until \(shown) (\(check.policy.timeZone), UTC\(offset < 0 ? "-" : "+")"
                    + "\(two(minutes / 60)):\(two(minutes % 60))); Ctrl-C ends that"
            )
        )
        // In short stretches: a laptop that slept, or a clock that was set, is noticed.
        while case let left = until - WallClock.unixMilliseconds() / 1000, left > 0 {
            do { try await Task.sleep(for: .seconds(min(left, 5))) } catch {
                throw OperationFailure(.interrupted, "cancelled while waiting; nothing was changed")
            }
        }
    }

    private func begin(
        _ prepared: PreparedRollout,
        overridden: [String],
        _ traceParent: TraceParent?,
        _ watch: @escaping @Sendable (RolloutUpdate) -> Void
    ) async throws(OperationFailure) -> RunningRollout {
        let (plan, exception) = (prepared.plan, prepared.terms.exception)
        let journal = controller.journal
        let id = prepared.resumed?.id ?? RolloutID.new()
        // Commands that change nothing of an environment's release do not exclude each other.
        var lease: (any EnvironmentLease)?
        let earlier: RolloutRunner.Earlier?
        let lastClients: [HostName: String]
        do throws(JournalError) {
            // Before anybody can take this process for the one that carries the rollout out.
            let heard = try await journal.requests(to: id, after: 0).last?.number ?? 0
            if plan.kind != .exec {
                lease = try await controller.leases.acquire(
                    plan.environment,
                    for: "\(initiator.user) with rollout \(id), `fleet \(initiator.command)`"
                )
            }
            // Read under the lock: whoever held it until now may have written more.
            if let resumed = prepared.resumed {
                earlier = RolloutRunner.Earlier(
                    entries: try await journal.entries(of: resumed.id),
                    direction: resumed.direction,
                    mark: RolloutID.mark(),
                    heard: heard
                )
            } else {
                earlier = nil
            }
            lastClients =
                plan.kind == .exec
                ? [:]
                : try await journal.clients(
                    of: Set(plan.hosts.map(\.name)),
                    in: plan.environment
                )
        } catch {
            throw OperationFailure(error)
        }
        if let saved = prepared.saved { try await requireUnchanged(since: saved) }
        if prepared.resumed != nil, let reason = exception.records {
            try await remark(on: id, of: plan.environment, reason)
        }
        if earlier == nil, plan.kind != .exec { try await admit(plan, exception) }
        let origin = initiator.origin(exception, overridden: overridden)
        let stepEnvironment = Self.stepEnvironment(of: id, traceParent)
        return RunningRollout(
            id: id,
            plan: plan,
            origin: origin,
            earlier: earlier,
            runner: { watch in
                RolloutRunner(
                    id: id,
                    plan: plan,
                    origin: origin,
                    transport: prepared.transport,
                    journal: journal,
                    spool: controller.directory.path,
                    resuming: earlier,
                    withoutRecords: exception.records != nil,
                    lastClients: lastClients,
                    stepEnvironment: stepEnvironment,
                    watch: watch
                )
            },
            notifier: plan.kind == .exec
                ? nil : Notifier(of: plan.environment, in: project, tell: tell),
            journal: journal,
            lease: lease,
            isToGoBack: prepared.isToGoBack,
            watch: watch
        )
    }

    /// What lets steps on hosts go on with the rollout's trace; nil if there is to be none.
    private static func stepEnvironment(of id: RolloutID, _ parent: TraceParent?)
        -> RolloutRunner.StepEnvironment?
    {
        guard let parent else { return nil }
        let trace = TraceContext(rollout: id.description, parent: parent.value)
        return { host, step in
            let isBack = step.direction == .revert
            let header = trace.header(ofStep: step.index, isBack: isBack, on: host.text)
            return [EnvironmentVariable("TRACEPARENT", header)]
        }
    }

    /// Refuses what would come on top of something unfinished, or bring back what was taken back.
    private func admit(_ plan: Plan, _ exception: RuleException) async throws(OperationFailure) {
        let other: RolloutRecord?
        let taken: RolloutRecord?
        do throws(JournalError) {
            other = try await controller.journal.unfinished(in: plan.environment)
            if exception.quarantine == nil, let release = plan.release {
                taken = try await controller.journal.reverted(
                    release.commit,
                    in: plan.environment
                )
            } else {
                taken = nil
            }
        } catch {
            throw OperationFailure(error)
        }
        if let other {
            throw OperationFailure(
                .locked,
                "rollout \(other.id) of \(plan.environment) by \(Sanitizer.line(other.user)) "
                    + "has not come to its end",
                hints: [
                    "fleet resume \(other.id)    go on from where it stopped",
                    "fleet resume \(other.id) --back    put the touched hosts back",
                    "nothing was changed",
                ]
            )
        }
        guard let taken, let release = plan.release else { return }
        throw OperationFailure(
            .refused,
            "E_QUARANTINE \(release.label) was taken back from \(plan.environment) by rollout "
                + "\(taken.id)",
            hints: [
                "fleet show \(taken.id)    why",
                "deploy a release that mends it, or add --force-quarantined REASON",
                "nothing was changed",
            ]
        )
    }

    /// A rollout that was begun long since has its reasons already: this one stands beside it.
    private func remark(on id: RolloutID, of environment: String, _ reason: String)
        async throws(OperationFailure)
    {
        let remark = Remark(
            environment: environment,
            what: "took rollout \(id) up without records that hosts know of",
            reason: reason,
            user: initiator.user,
            machine: initiator.machine
        )
        do {
            try await controller.journal.note(
                .remarked(remark),
                stamp: RolloutID.new(),
                at: WallClock.unixMilliseconds()
            )
        } catch {
            throw OperationFailure(error)
        }
    }
}
