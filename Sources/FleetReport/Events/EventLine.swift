public import FleetPlan
public import FleetRollout
public import FleetTransport

/// One thing that happened in a rollout, in the form that other programs may rely on.
///
/// It is what `-o json`, `--progress json` and `fleet events` print, a line each, and docs/json.md and
/// docs/schema/event.json describe. A field may be added at any time; a field never changes its meaning. The journal's
/// own records, from which these are made, are nobody's interface.
public struct EventLine: Sendable, Hashable, Encodable {
    /// What happened, as in `step.ended`.
    public let type: String
    /// The rollout.
    public let rollout: RolloutID
    /// The number of the record, from 1; numbers that are no event are left out.
    public let sequence: Int
    /// When, as in `2026-11-22T19:05:12.123Z`: RFC 3339 in UTC.
    public let time: String
    /// The time since the rollout began, in milliseconds, on a clock that never jumps.
    public let elapsedMilliseconds: Int

    /// The host that it is about.
    public var host: HostName?
    /// The step, by its name.
    public var step: String?
    /// The check, by its name.
    public var check: String?
    /// `forward` or `revert`; for a check also `before`, if it is asked of what a host runs before anything is touched.
    public var direction: String?
    /// The batch that begins, from 1.
    public var batch: Int?
    /// Which attempt at the step, from 1.
    public var attempt: Int?
    /// How it ended; which words are possible depends on the type.
    public var outcome: String?
    /// Why, in one line.
    public var cause: String?
    /// The error code that the cause begins with.
    public var code: String?
    /// The end of what the host printed.
    public var excerpt: String?
    /// What to do next.
    public var next: String?
    /// How much the step printed, in bytes.
    public var outputBytes: Int?
    /// What the host runs or runs now: the release's label.
    public var release: String?
    /// Who.
    public var user: String?
    /// On which machine.
    public var machine: String?
    /// What was planned; only in `rollout.planned`.
    public var plan: PlanLine?

    /// A plan's facts.
    public struct PlanLine: Sendable, Hashable, Encodable {
        /// The environment.
        public let environment: String
        /// `deploy`, `run`, `exec` or `revert`.
        public let kind: Plan.Kind
        /// The playbook or the command.
        public let title: String
        /// The release's tag.
        public let tag: String?
        /// The release's commit.
        public let commit: String?
        /// The hosts, batch by batch.
        public let batches: [[HostName]]
        /// SHA-256 of the whole plan.
        public let digest: String
        /// Why it was begun against a rule, or as a hotfix.
        public let reason: String?
        /// The rules that do not hold this time.
        public let overridden: [String]?
        /// Whether it is an emergency.
        public let isHotfix: Bool
    }

    fileprivate init(_ type: String, _ entry: JournalEntry) {
        self.type = type
        rollout = entry.rollout
        sequence = entry.sequence
        time = Zone.rfc3339(unixMilliseconds: entry.unixMilliseconds)
        elapsedMilliseconds = entry.elapsedMilliseconds
    }

    fileprivate mutating func take(_ failure: Failure) {
        cause = FailureCause.summary(of: failure)
        code = ErrorCatalog.code(in: failure.summary)
        excerpt = failure.excerpt.isEmpty ? nil : failure.excerpt
        next = failure.hint
    }
}

/// Makes the events of one rollout from its records.
public struct EventLines: Sendable {
    /// The rollout after the records seen so far.
    public private(set) var rollout: Rollout
    private let hosts: [HostName: PlannedHost]
    private var batch = -1

    /// Prepares for a rollout.
    public init(plan: Plan) {
        rollout = Rollout(plan: plan)
        hosts = Dictionary(plan.hosts.map { ($0.name, $0) }) { first, _ in first }
    }

    /// The events that a record stands for.
    ///
    /// - Parameter entry: The next record of the rollout.
    /// - Returns: Nothing if the record is nobody else's business, for example a timer; two events for a record with
    ///   which a batch begins.
    public mutating func lines(for entry: JournalEntry) -> [EventLine] {
        switch entry.body {
        case .planned(let plan, let origin): return [Self.planned(plan, origin, entry)]
        case .effect(let effect): return [line(for: effect, entry)].compactMap { $0 }
        case .takenUp(let taking): return [Self.takenUp(taking, entry)]
        case .approved, .remarked, .askedToStop: return []
        case .event(let event):
            let line = line(for: event, entry)
            _ = rollout.handle(event, at: entry.elapsedMilliseconds)
            return [line, begun(entry)].compactMap { $0 }
        }
    }

    /// The batch that begins with a record; nil if none does.
    private mutating func begun(_ entry: JournalEntry) -> EventLine? {
        guard case .rolling(let number) = rollout.phase, number != batch else { return nil }
        batch = number
        var line = EventLine("batch.started", entry)
        line.batch = number + 1
        return line
    }

    private static func planned(_ plan: Plan, _ origin: RolloutOrigin, _ entry: JournalEntry)
        -> EventLine
    {
        var line = EventLine("rollout.planned", entry)
        line.user = origin.user
        line.machine = origin.machine
        line.plan = EventLine.PlanLine(
            environment: plan.environment,
            kind: plan.kind,
            title: plan.title,
            tag: plan.release?.tag,
            commit: plan.release?.commit,
            batches: plan.batches,
            digest: plan.digest,
            reason: origin.reason,
            overridden: origin.overridden,
            isHotfix: origin.isHotfix
        )
        return line
    }

    private static func takenUp(_ taking: TakingUp, _ entry: JournalEntry) -> EventLine {
        var line = EventLine("rollout.taken_up", entry)
        line.user = taking.origin.user
        line.machine = taking.origin.machine
        return line
    }

    // MARK: Decisions

    private func line(for effect: RolloutEffect, _ entry: JournalEntry) -> EventLine? {
        switch effect {
        case .perform(let host, let step, let attempt):
            return line("step.started", entry, host, step, attempt)
        case .recover(let host, let step, let attempt):
            return line("step.recovering", entry, host, step, attempt)
        case .stop(let host, let step, let attempt):
            return line("step.stopping", entry, host, step, attempt)
        case .halt(let host, let failure):
            var line = EventLine("rollout.halted", entry)
            line.host = host
            line.take(failure)
            return line
        case .decide(let decision, let reason):
            var line = EventLine("rollout.decided", entry)
            line.outcome = decision.rawValue
            line.cause = reason
            return line
        case .conclude(let host, let outcome):
            var line = EventLine("host.ended", entry)
            line.host = host
            line.outcome = outcome.rawValue
            return line
        case .finish(let outcome):
            var line = EventLine("rollout.ended", entry)
            line.outcome = outcome.rawValue
            return line
        case .check, .lock, .unlock, .probe, .startTimer, .release: return nil
        }
    }

    private func line(
        _ type: String,
        _ entry: JournalEntry,
        _ host: HostName,
        _ step: StepReference,
        _ attempt: Int
    ) -> EventLine {
        var line = EventLine(type, entry)
        line.host = host
        line.step = name(of: step, on: host)
        line.direction = step.direction.rawValue
        line.attempt = max(1, attempt % HostProgress.attemptsPerRound)
        return line
    }

    private func name(of step: StepReference, on host: HostName) -> String? {
        guard let planned = hosts[host] else { return nil }
        let steps = step.direction == .forward ? planned.steps : planned.revertSteps
        return step.index < steps.count ? steps[step.index].name : nil
    }

    // MARK: Answers

    private func line(for event: RolloutEvent, _ entry: JournalEntry) -> EventLine? {
        switch event {
        case .started: return EventLine("rollout.started", entry)
        case .hostChecked(let host, let outcome): return line(host, outcome, entry)
        case .stepEnded(let host, let step, let attempt, let outcome, let bytes):
            var line = line("step.ended", entry, host, step, attempt)
            line.outputBytes = bytes
            line.outcome = outcome.word
            if let failure = outcome.failure { line.take(failure) }
            return line
        case .locked(let host, let outcome): return line("host.locked", host, outcome, entry)
        case .unlocked(let host, let outcome): return line("host.unlocked", host, outcome, entry)
        case .probed(let host, let check, let verdict): return line(host, check, verdict, entry)
        case .resumed(let direction):
            var line = EventLine("rollout.resumed", entry)
            line.outcome = direction.rawValue
            return line
        case .interrupted(let signal):
            var line = EventLine("rollout.interrupted", entry)
            line.cause = "signal \(signal)"
            return line
        case .askedToStop(let request):
            var line = EventLine("rollout.asked_to_stop", entry)
            line.outcome = request.point.rawValue
            line.user = request.user
            line.machine = request.machine
            line.cause = request.reason
            return line
        case .mustHalt(let failure):
            var line = EventLine("rollout.must_halt", entry)
            line.take(failure)
            return line
        case .superseded(let host, _, let failure):
            var line = EventLine("rollout.superseded", entry)
            line.host = host
            line.take(failure)
            return line
        case .timerFired: return nil
        }
    }

    private func line(_ host: HostName, _ outcome: CheckOutcome, _ entry: JournalEntry) -> EventLine
    {
        var line = EventLine("host.checked", entry)
        line.host = host
        switch outcome {
        case .ready(let snapshot):
            line.outcome = "ready"
            let steps = hosts[host]?.steps ?? []
            line.release = steps.lazy.compactMap { snapshot.release(of: $0.name)?.label }.first
        case .refused(let failure):
            line.outcome = "refused"
            line.take(failure)
        case .unreachable(let failure):
            line.outcome = "unreachable"
            line.take(failure)
        case .lost(let failure):
            line.outcome = "lost"
            line.take(failure)
        }
        return line
    }

    private func line(
        _ type: String,
        _ host: HostName,
        _ outcome: LockOutcome,
        _ entry: JournalEntry
    ) -> EventLine {
        var line = EventLine(type, entry)
        line.host = host
        switch outcome {
        case .done: line.outcome = "done"
        case .refused(let failure):
            line.outcome = "refused"
            line.take(failure)
        case .unreachable(let failure):
            line.outcome = "unreachable"
            line.take(failure)
        }
        return line
    }

    private func line(_ host: HostName, _ check: Int, _ verdict: Verdict, _ entry: JournalEntry)
        -> EventLine
    {
        var line = EventLine("check.asked", entry)
        line.host = host
        if let planned = hosts[host] {
            // What is asked before and after going back is the same list.
            var checks = planned.revertChecks
            switch rollout.progress(of: host)?.stage {
            case .probingBefore: line.direction = "before"
            case .revertProbing: line.direction = StepReference.Direction.revert.rawValue
            default:
                line.direction = StepReference.Direction.forward.rawValue
                checks = planned.checks
            }
            if check < checks.count { line.check = checks[check].name }
        }
        switch verdict {
        case .pass, .passWith: line.outcome = "pass"
        case .fail(let failure):
            line.outcome = "fail"
            line.take(failure)
        case .inconclusive(let failure):
            line.outcome = "inconclusive"
            line.take(failure)
        }
        return line
    }
}

extension StepOutcome {
    fileprivate var word: String {
        switch self {
        case .succeeded: "succeeded"
        case .failed: "failed"
        case .stuck: "stuck"
        case .lost: "lost"
        case .unreachable: "unreachable"
        case .barred: "barred"
        case .neverStarted: "never_started"
        case .vanished: "vanished"
        case .fenced: "fenced"
        }
    }

    fileprivate var failure: Failure? {
        switch self {
        case .failed(let failure), .stuck(let failure), .lost(let failure),
            .unreachable(let failure), .barred(let failure), .fenced(let failure):
            failure
        case .succeeded, .neverStarted, .vanished: nil
        }
    }
}
