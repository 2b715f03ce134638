internal import FleetDigest
internal import FleetJournal
internal import FleetPlan
internal import FleetReport
internal import FleetRollout
internal import FleetRunner

/// What was prepared, kept for later: the request, and the plan that it led to.
///
/// It holds nothing and promises nothing. Whoever carries it out has it prepared anew, by the same request, and it is
/// carried out only if that leads to the very same plan.
public struct SavedPreparation: Sendable, Hashable, Codable {
    /// A request that can be saved.
    public enum Request: Sendable, Hashable, Codable {
        /// A deploy, including a hotfix.
        case deploy(DeployRequest)
        /// A promotion.
        case promote(PromoteRequest)
        /// A run of a playbook, including a backup or a restore.
        case run(RunRequest)
        /// A revert.
        case revert(RevertRequest)
    }

    /// The form of what is written.
    private static let form = 1

    private let form: Int
    /// What was asked for.
    public let request: Request
    /// The ``FleetPlan/Plan/digest`` of the plan that the request led to.
    public let digest: String
    /// The plan in one line, for people.
    public var headline: String { PlanText.headline(plan) }
    /// Who prepared it, and with which version of fleet.
    public let preparedBy: String
    /// When, in milliseconds since 1970.
    public let unixMilliseconds: Int
    /// What would be done, for people and programs that look at it; ``digest`` is what counts.
    let plan: Plan
    /// The newest rollout of the environment then; nil if there was none.
    let newest: RolloutID?

    init(_ prepared: PreparedRollout, by initiator: Initiator, after newest: RolloutID?)
        throws(OperationFailure)
    {
        guard let request = prepared.request else {
            throw OperationFailure(
                .usage,
                "a rollout that is taken up, and a command of `exec`, cannot be kept for later"
            )
        }
        form = Self.form
        self.request = request
        digest = prepared.plan.digest
        preparedBy = initiator.origin.phrase
        unixMilliseconds = WallClock.unixMilliseconds()
        plan = prepared.plan
        self.newest = newest
    }

    /// Reads what ``bytes`` returned when the preparation was saved.
    ///
    /// - Throws: ``OperationFailure`` if the bytes are not a saved preparation.
    public init(_ bytes: [UInt8]) throws(OperationFailure) {
        do {
            self = try CanonicalJSON.decode(SavedPreparation.self, from: bytes)
        } catch {
            // What exactly is missing in it helps nobody.
            throw OperationFailure(
                .usage,
                "this is no plan that fleet has saved",
                hints: ["save one with --dry-run --save FILE", "nothing was changed"]
            )
        }
        guard form == Self.form else {
            throw OperationFailure(
                .usage,
                "it was saved by another fleet (\(Sanitizer.line(preparedBy))), in form \(form)",
                hints: ["save it anew", "nothing was changed"]
            )
        }
        guard plan.digest == digest else {
            throw OperationFailure(
                .usage,
                "the plan in it is not the one that it names: somebody has changed it",
                hints: ["save it anew", "nothing was changed"]
            )
        }
    }

    /// A file's worth of text.
    public var bytes: [UInt8] { CanonicalJSON.encode(self) + Array("\n".utf8) }
}

extension Operations {
    /// Keeps what was prepared.
    ///
    /// - Parameter prepared: What was prepared.
    /// - Returns: What can be written to a file.
    /// - Throws: ``OperationFailure`` for what cannot be kept (a command, and a rollout that is taken up again), and if
    ///   the journal cannot be read.
    public func save(_ prepared: PreparedRollout) async throws(OperationFailure) -> SavedPreparation
    {
        let newest: RolloutID?
        do {
            newest = try await controller.journal.rollouts(
                RolloutQuery(environment: prepared.plan.environment, limit: 1, changesOnly: true)
            ).first?.id
        } catch {
            throw OperationFailure(error)
        }
        return try SavedPreparation(prepared, by: initiator, after: newest)
    }

    /// Refuses what was carried out already, and what would come on top of a release that nobody had seen then.
    func requireUnchanged(since saved: SavedPreparation) async throws(OperationFailure) {
        let environment = saved.plan.environment
        var why: String?
        do throws(JournalError) {
            let records = try await controller.journal.rollouts(
                RolloutQuery(environment: environment, limit: nil, changesOnly: true)
            ).prefix { $0.id != saved.newest }
            for record in records where record.outcome != .refused && why == nil {
                let first = try await controller.journal.beginning(of: record.id)?.body
                if case .planned(let plan, _) = first, plan.digest == saved.digest {
                    why = "it was carried out already, by rollout \(record.id)"
                } else if record.kind == .deploy || record.kind == .revert {
                    why =
                        "rollout \(record.id) (\(record.kind.rawValue) \(record.release)) has changed "
                        + "\(environment) since it was saved"
                }
            }
        } catch {
            throw OperationFailure(error)
        }
        guard let why else { return }
        throw OperationFailure(
            .refused,
            "E_STALE \(why)",
            hints: ["look at it anew, and save it: --dry-run --save FILE", "nothing was changed"]
        )
    }

    /// Prepares what was kept, anew.
    ///
    /// - Parameters:
    ///   - saved: What was kept.
    ///   - isConfirmed: Whether nobody need be asked.
    /// - Returns: What is carried out: the very plan that was kept. It is always asked about.
    /// - Throws: ``OperationFailure`` if it would be another one by now, with what differs; nothing was changed.
    public func prepare(_ saved: SavedPreparation, isConfirmed: Bool = false)
        async throws(OperationFailure) -> PreparedRollout
    {
        try await requireUnchanged(since: saved)
        var prepared =
            switch saved.request {
            case .deploy(let request): try await prepare(request)
            case .promote(let request): try await prepare(request)
            case .run(let request): try await prepare(request)
            case .revert(let request): try await prepare(request)
            }
        guard prepared.plan.digest == saved.digest else {
            let place = saved.plan.firstDifference(from: prepared.plan) ?? "the plan"
            throw OperationFailure(
                .refused,
                "E_STALE what would be done has changed since it was saved: \(place)",
                hints: [
                    "look at it anew, and save it: --dry-run --save FILE", "nothing was changed",
                ]
            )
        }
        prepared.terms.isConfirmed = isConfirmed
        prepared.saved = saved
        prepared.question = prepared.question ?? .confirm(prepared.plan)
        return prepared
    }
}

extension Plan {
    /// Where another plan is different first, in words; nil if nowhere that has a name.
    func firstDifference(from other: Plan) -> String? {
        if environment != other.environment { return "the environment" }
        if release != other.release {
            return
                "the release (\(release?.label ?? "none"), now \(other.release?.label ?? "none"))"
        }
        let hosts = hosts.map(\.name)
        guard hosts == other.hosts.map(\.name) else { return "the hosts" }
        guard batches == other.batches else { return "the batches" }
        for (mine, theirs) in zip(self.hosts, other.hosts) where mine != theirs {
            for (lists, word) in [
                ((mine.steps, theirs.steps), "step"),
                ((mine.revertSteps, theirs.revertSteps), "step back"),
            ] {
                guard lists.0.map(\.name) == lists.1.map(\.name) else {
                    return "the \(word)s of \(mine.name)"
                }
                let step = zip(lists.0, lists.1).first { $0 != $1 }
                if let step { return "the \(word) `\(step.0.name)` of \(mine.name)" }
            }
            return "what is done on \(mine.name)"
        }
        return nil
    }
}
