public import FleetPlan
public import FleetTransport

/// What a host keeps of an unfinished rollout, so that it can be taken up although its journal is
/// lost.
public struct HostRecord: Sendable, Hashable, Codable {
    /// The rollout's plan, with this host alone in it.
    public let plan: Plan
    /// The host's batch, from 0.
    public let batch: Int
    /// What the host ran before.
    public let snapshot: Snapshot

    /// Gathers a record.
    ///
    /// - Parameters:
    ///   - plan: The whole plan.
    ///   - host: The host that keeps it.
    ///   - snapshot: What it ran before.
    public init(plan: Plan, host: PlannedHost, snapshot: Snapshot) {
        self.plan = plan.with(batches: [[host]])
        batch = plan.batches.firstIndex { $0.contains(host.name) } ?? 0
        self.snapshot = snapshot
    }

    /// Replaces how the host is reached by the inventory's settings; nil if the record belongs to another host.
    public func trusted(for endpoint: HostEndpoint) -> HostRecord? {
        guard plan.hosts.map(\.name) == [endpoint.name] else { return nil }
        let host = plan.hosts[0].remembered(by: endpoint)
        return HostRecord(plan: plan.with(batches: [[host]]), batch: batch, snapshot: snapshot)
    }

    private init(plan: Plan, batch: Int, snapshot: Snapshot) {
        self.plan = plan
        self.batch = batch
        self.snapshot = snapshot
    }
}

extension Rollout {
    /// What a host knows about an attempt at a step.
    public enum Trace: Sendable, Hashable {
        /// It exited with this status.
        case exited(Int)
        /// It still runs, or ended without a result; the host is asked again when the rollout is resumed.
        case open
    }

    /// Reconstructs the events of a rollout from what its hosts kept.
    ///
    /// A later batch begins only after the gate of the batch before it, and nothing goes back before that was decided,
    /// so these events follow from the recorded steps. Everything else is left open and determined when the rollout is
    /// resumed.
    ///
    /// - Parameters:
    ///   - records: The record of each host.
    ///   - traces: The attempts at steps that each host knows, by their key.
    /// - Returns: The plan and the events; nil if there are no records.
    public static func reconstructed(
        from records: [HostName: HostRecord],
        _ traces: [HostName: [ActionKey: Trace]]
    ) -> (plan: Plan, events: [RolloutEvent])? {
        guard let any = records.values.first else { return nil }
        let numbers = Set(records.values.map(\.batch)).sorted()
        let batches = numbers.map { number in
            records.filter { $0.value.batch == number }.sorted { $0.key < $1.key }
                .flatMap(\.value.plan.hosts)
        }
        let plan = any.plan.with(batches: batches)
        func hasKey(_ host: HostName, _ direction: Character) -> Bool {
            traces[host]?.keys.contains { $0.description.first == direction } ?? false
        }
        var rollout = Rollout(plan: plan)
        var events: [RolloutEvent] = []
        var waiting: [RolloutEffect] = []
        func post(_ event: RolloutEvent) {
            events.append(event)
            waiting += rollout.handle(event, at: 0)
        }
        post(.started)
        var isMoving = true
        while isMoving, rollout.outcome == nil {
            isMoving = false
            let effects = waiting
            waiting = []
            for effect in effects {
                guard
                    let event = answer(
                        to: effect,
                        in: rollout,
                        records,
                        traces,
                        begun: { batch in
                            plan.batches[batch...].joined().contains { hasKey($0, "f") }
                        }
                    )
                else {
                    waiting.append(effect)
                    continue
                }
                post(event)
                isMoving = true
            }
        }
        if plan.hosts.contains(where: { hasKey($0.name, "r") }), rollout.decision == nil {
            post(.mustHalt(Failure("it was going back when its journal was lost")))
        }
        return (plan, events)
    }

    private static func answer(
        to effect: RolloutEffect,
        in rollout: Rollout,
        _ records: [HostName: HostRecord],
        _ traces: [HostName: [ActionKey: Trace]],
        begun: (_ batch: Int) -> Bool
    ) -> RolloutEvent? {
        switch effect {
        case .check(let host):
            return .hostChecked(host: host, outcome: .ready(records[host]?.snapshot ?? Snapshot()))
        case .lock(let host): return .locked(host: host, outcome: .done)
        case .perform(let host, let step, let attempt):
            guard case .exited(let status) = traces[host]?[step.key(attempt: attempt)] else {
                return nil
            }
            return .stepEnded(
                host: host,
                step: step,
                attempt: attempt,
                outcome: status == 0 ? .succeeded : .failed(Failure("exited \(status)")),
                outputBytes: 0
            )
        case .probe(let host, let direction, let check):
            if case .preflight = rollout.phase {
                return .probed(host: host, check: check, verdict: .pass)
            }
            guard direction == .forward, case .rolling(let batch) = rollout.phase,
                batch + 1 < rollout.plan.batches.count, begun(batch + 1)
            else { return nil }
            return .probed(host: host, check: check, verdict: .pass)
        case .startTimer(let host, let number, _):
            guard case .waiting(let next) = rollout.progress(of: host)?.activity else { return nil }
            switch next {
            case .perform(_, let step, let attempt):
                guard traces[host]?[step.key(attempt: attempt)] != nil else { return nil }
            case .probe(_, .forward, _):
                guard case .rolling(let batch) = rollout.phase,
                    batch + 1 < rollout.plan.batches.count, begun(batch + 1)
                else { return nil }
            default: return nil
            }
            return .timerFired(host: host, number: number)
        default: return nil
        }
    }
}
