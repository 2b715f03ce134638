internal import FleetJournal
internal import FleetPlan
public import FleetReport
public import FleetRollout
internal import FleetTransport

/// Answers questions from the journal, without contacting a host and without a project.
public struct Records: Sendable {
    let journal: any JournalReader

    init(_ journal: any JournalReader) { self.journal = journal }

    /// The newest rollout of an environment that was no command; nil if there is none.
    func lastChange(of environment: String) async throws(OperationFailure) -> HistoryLine? {
        do {
            return try await journal.rollouts(
                RolloutQuery(environment: environment, limit: 1, changesOnly: true)
            ).first.map(Self.line)
        } catch {
            throw OperationFailure(error)
        }
    }

    /// The environment of a rollout.
    ///
    /// - Throws: ``OperationFailure`` if the journal does not know the rollout, or cannot be read.
    public func environment(of id: RolloutID) async throws(OperationFailure) -> String {
        let first: JournalEntry?
        do { first = try await journal.beginning(of: id) } catch { throw OperationFailure(error) }
        guard case .planned(let plan, _) = first?.body else { throw RolloutLookup.unknown(id) }
        return plan.environment
    }

    /// Verifies every record of the journal.
    ///
    /// - Returns: The number of records.
    /// - Throws: ``OperationFailure`` if a record is not as it was written.
    public func verify() async throws(OperationFailure) -> Int {
        do { return try await journal.verify() } catch { throw OperationFailure(error) }
    }

    /// Lists who did what, the newest first; commands of `exec` are left out.
    ///
    /// - Parameters:
    ///   - environment: The environment whose entries are listed; nil for all.
    ///   - limit: The largest number of entries to return.
    /// - Returns: One line for each entry.
    /// - Throws: ``OperationFailure`` if the journal cannot be read.
    public func audit(of environment: String?, limit: Int) async throws(OperationFailure)
        -> [AuditLine]
    {
        do throws(JournalError) {
            var lines: [AuditLine] = []
            for entry in try await journal.beginnings(limit: environment == nil ? limit : 100_000) {
                guard lines.count < limit, let line = try await line(entry),
                    environment == nil || line.environment == environment
                else { continue }
                lines.append(line)
            }
            return lines
        } catch {
            throw OperationFailure(error)
        }
    }

    private func line(_ entry: JournalEntry) async throws(JournalError) -> AuditLine? {
        func line(_ environment: String, _ who: String, _ machine: String, _ what: String)
            -> AuditLine
        {
            AuditLine(
                name: entry.rollout.description,
                unixMilliseconds: entry.unixMilliseconds,
                environment: environment,
                who: "\(who)@\(machine)",
                what: what
            )
        }
        var found: AuditLine
        switch entry.body {
        case .planned(let plan, let origin):
            guard plan.kind != .exec else { return nil }
            let what = origin.isHotfix ? "hotfix" : plan.kind.rawValue
            found = line(plan.environment, origin.user, origin.machine, what)
            let outcome = try await journal.entries(of: entry.rollout).reversed().lazy.compactMap {
                if case .effect(.finish(let outcome)) = $0.body { outcome.rawValue } else { nil }
            }.first
            found.title = plan.title
            found.release = plan.release?.label
            found.commit = plan.release?.commit
            found.outcome = outcome ?? "unfinished"
            found.why = origin.reason
            found.overridden = origin.overridden
            found.planDigest = plan.digest
        case .approved(let approval):
            found = line(approval.environment, approval.approver, approval.machine, "approval")
            found.release = approval.release.label
            found.commit = approval.release.commit
            found.why = approval.note
            found.planDigest = approval.planDigest
        case .remarked(let remark):
            found = line(remark.environment, remark.user, remark.machine, remark.what)
            found.why = remark.reason
        case .askedToStop(let request):
            found = line(
                try await journal.beginning(of: request.rollout)?.environment ?? "?",
                request.user,
                request.machine,
                "asked rollout \(request.rollout) to stop after \(request.point.rawValue)"
            )
            found.why = request.reason
        case .event, .effect, .takenUp: return nil
        }
        return found
    }

    /// A rollout as it was recorded.
    public struct Story: Sendable {
        /// Every record, in order.
        public let entries: [JournalEntry]
        /// Who began it, and why.
        public let origin: RolloutOrigin
        /// The state that the rollout has reached.
        public let rollout: Rollout
        /// What hosts printed, in order; empty if outputs were not requested.
        public let outputs: [StepOutput]
    }

    /// What a step printed on a host.
    public struct StepOutput: Sendable, Hashable {
        /// The host.
        public let host: String
        /// The step.
        public let step: String
        /// The bytes that were kept.
        public let bytes: [UInt8]
        /// The number of bytes that the step printed.
        public let totalBytes: Int
        /// The number of printed bytes that were not kept.
        public let droppedBytes: Int
    }

    /// Returns everything that was recorded of a rollout.
    ///
    /// - Throws: ``OperationFailure`` if the journal does not know the rollout, or cannot be read.
    public func story(of id: RolloutID, withOutputs: Bool) async throws(OperationFailure) -> Story {
        let entries: [JournalEntry]
        let outputs: [StoredOutput]
        do throws(JournalError) {
            entries = try await journal.entries(of: id)
            outputs = withOutputs ? try await journal.outputs(of: id) : []
        } catch {
            throw OperationFailure(error)
        }
        guard case .planned(let plan, let origin) = entries.first?.body else {
            throw RolloutLookup.unknown(id)
        }
        return Story(
            entries: entries,
            origin: origin,
            rollout: try RolloutLookup.replay(plan, entries, id),
            outputs: Self.named(outputs, in: plan)
        )
    }

    /// Outputs with the steps that their keys stand for.
    private static func named(_ outputs: [StoredOutput], in plan: Plan) -> [StepOutput] {
        guard !outputs.isEmpty else { return [] }
        let hosts = Dictionary(plan.hosts.map { ($0.name, $0) }) { first, _ in first }
        func name(_ output: StoredOutput) -> String {
            guard let host = hosts[output.host],
                let (step, _) = StepReference.reading(output.key)
            else { return output.key.description }
            let isBack = step.direction == .revert
            let steps = isBack ? host.revertSteps : host.steps
            guard step.index < steps.count else { return output.key.description }
            return (isBack ? "revert " : "") + steps[step.index].name
        }
        return outputs.map { output in
            StepOutput(
                host: output.host.text,
                step: name(output),
                bytes: output.bytes,
                totalBytes: output.totalBytes,
                droppedBytes: output.droppedBytes
            )
        }
    }
}

extension Controller {
    /// What the journal says.
    public var records: Records { Records(journal) }
}
