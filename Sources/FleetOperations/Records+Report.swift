internal import FleetJournal
public import FleetPlan
public import FleetReport
public import FleetRollout
internal import FleetTransport

extension Records {
    /// Finds the rollout that a name means; `last` is the newest one but commands of `exec`.
    ///
    /// - Throws: ``OperationFailure`` if the text is not a valid name, or the journal holds none.
    public func rollout(named text: String) async throws(OperationFailure) -> RolloutID {
        try await RolloutLookup.id(text, in: journal)
    }

    /// Gathers what a report of a rollout is made from.
    ///
    /// - Parameters:
    ///   - id: The rollout; one that still runs is reported as far as it has come.
    ///   - zone: The clock that times are shown on.
    /// - Returns: The report.
    /// - Throws: ``OperationFailure`` if the journal does not know the rollout, or cannot be read.
    public func report(of id: RolloutID, zone: Zone) async throws(OperationFailure) -> RolloutReport
    {
        let story = try await story(of: id, withOutputs: true)
        let plan = story.rollout.plan
        let timeline = RolloutTimeline(plan: plan, entries: story.entries)
        // Only what failed is shown with its output.
        var failed: Set<String> = []
        for span in timeline.spans {
            switch span.ending {
            case .failed, .lost:
                failed.insert("\(plan.hosts[span.host].name) \(timeline.name(of: span))")
            case .ok, .open: continue
            }
        }
        do throws(JournalError) {
            return RolloutReport(
                id: id,
                origin: story.origin,
                startedUnixMilliseconds: story.entries.first?.unixMilliseconds ?? 0,
                timeline: timeline,
                outputs: story.outputs.filter { failed.contains("\($0.host) \($0.step)") }.map {
                    RolloutReport.Output(
                        host: HostName($0.host),
                        step: $0.step,
                        text: String(decoding: $0.bytes, as: UTF8.self),
                        droppedBytes: $0.droppedBytes
                    )
                },
                approvals: try await approvals(of: plan, until: story.entries.first),
                earlier: try await earlier(than: id, plan),
                statistics: try await statistics(before: id, plan, story.entries.first),
                zone: zone
            )
        } catch {
            throw OperationFailure(error)
        }
    }

    /// The approvals that were there when a rollout began: of its commit, given before and not expired.
    private func approvals(of plan: Plan, until first: JournalEntry?)
        async throws(JournalError) -> [Approval]
    {
        guard let release = plan.release, let start = first?.unixMilliseconds else { return [] }
        return try await journal.approvals(for: plan.environment).filter {
            $0.release.commit == release.commit && !$0.isWithdrawal
                && $0.unixMilliseconds <= start && $0.expiresUnixMilliseconds > start
        }
    }

    /// What `fleet explain` is asked about.
    public enum Explained: Sendable {
        /// An error code.
        case code(ErrorCode)
        /// A rollout.
        case rollout(RolloutReport)
    }

    /// Finds what a person wants explained: an error code, or else a rollout.
    ///
    /// - Parameters:
    ///   - text: A code in any case, with or without `E_`, a rollout's name, or `last`.
    ///   - zone: The clock that times are shown on.
    /// - Returns: What was meant.
    /// - Throws: ``OperationFailure`` if it is neither, or the journal cannot be read.
    public func explained(_ text: String, zone: Zone) async throws(OperationFailure) -> Explained {
        if let entry = ErrorCatalog.entry(for: text) { return .code(entry) }
        guard text == RolloutLookup.newest || text.first?.isNumber ?? false else {
            throw OperationFailure(
                .usage,
                "`\(Sanitizer.line(text))` is neither an error code of this fleet nor a rollout",
                hints: [ErrorText.hint(for: text), "`fleet history` lists rollouts"]
            )
        }
        return .rollout(try await report(of: try await rollout(named: text), zone: zone))
    }

    /// The figures of the ninety days before a rollout, without what would have to be looked at step by step.
    private func statistics(before id: RolloutID, _ plan: Plan, _ first: JournalEntry?)
        async throws(JournalError) -> DeliveryStatistics?
    {
        guard plan.kind != .exec, let end = first?.unixMilliseconds else { return nil }
        let records = try await journal.rollouts(
            RolloutQuery(
                environment: plan.environment,
                limit: 2_000,
                changesOnly: true,
                before: id,
                aims: .releases,
                withTimes: true
            )
        )
        guard let oldest = records.last else { return nil }
        let days = 90 * 86_400_000
        let start = max(end - days, oldest.startedUnixMilliseconds)
        return DeliveryStatistics(
            of: plan.environment,
            records,
            in: min(start, end)..<end + 1,
            leads: [],
            timelines: []
        )
    }

    /// How many rollouts before one it is compared with.
    private static let compared = 20

    /// Earlier rollouts of the same playbook that came to an end and changed something.
    private func earlier(than id: RolloutID?, _ plan: Plan)
        async throws(JournalError) -> [RolloutReport.Earlier]
    {
        guard plan.kind != .exec else { return [] }
        let records = try await journal.rollouts(
            RolloutQuery(
                environment: plan.environment,
                limit: Self.compared * 10,
                changesOnly: true,
                before: id,
                withTimes: true
            )
        )
        return records.lazy.filter { record in
            record.kind == plan.kind && record.title == plan.title && record.outcome != .refused
        }.compactMap { record -> RolloutReport.Earlier? in
            guard let outcome = record.outcome, let took = record.milliseconds else {
                return nil
            }
            return RolloutReport.Earlier(
                milliseconds: took,
                outcome: outcome,
                hosts: record.hostCount
            )
        }.prefix(Self.compared).map { $0 }
    }

    /// How long a rollout of a plan usually takes, for whoever shows it: the median of those before it that succeeded on as many hosts.
    ///
    /// - Parameter plan: The plan.
    /// - Returns: Milliseconds, and from how many rollouts; nil if there were none.
    /// - Throws: ``OperationFailure`` if the journal cannot be read.
    public func expectedMilliseconds(of plan: Plan) async throws(OperationFailure)
        -> (milliseconds: Int, rollouts: Int)?
    {
        let all: [RolloutReport.Earlier]
        do { all = try await earlier(than: nil, plan) } catch { throw OperationFailure(error) }
        let alike = all.filter { $0.outcome == .succeeded && $0.hosts == plan.hosts.count }
        guard !alike.isEmpty else { return nil }
        return (RolloutReport.median(alike.map(\.milliseconds)), alike.count)
    }
}

extension Operations {
    /// How long such a rollout usually takes, in milliseconds; nil if there was none like it.
    ///
    /// - Throws: ``OperationFailure`` if the journal cannot be read.
    public func usualMilliseconds(of prepared: PreparedRollout) async throws(OperationFailure)
        -> Int?
    {
        try await controller.records.expectedMilliseconds(of: prepared.plan)?.milliseconds
    }
}
