internal import FleetInventory
internal import FleetJournal
public import FleetPlan
internal import FleetProject
public import FleetReport
public import FleetRollout
internal import FleetRunner
public import FleetServing
internal import FleetTransport
internal import Synchronization

/// What somebody asks a server to do to hosts.
public enum ServedRequest: Sendable, Hashable {
    /// A deploy, or a hotfix.
    case deploy(DeployRequest)
    /// A promotion.
    case promote(PromoteRequest)
    /// A run of a playbook.
    case run(RunRequest)
    /// A revert.
    case revert(RevertRequest)
    /// Taking up a rollout.
    case resume(ResumeRequest)

    /// The environment that is concerned; nil for a rollout that is named only.
    public var environment: String? {
        switch self {
        case .deploy(let request): request.hosts.environment
        case .promote(let request): request.deploy.hosts.environment
        case .run(let request): request.hosts.environment
        case .revert(let request): request.hosts.environment
        case .resume: nil
        }
    }

    /// The right that is needed.
    public var right: Right {
        switch self {
        case .deploy, .promote, .run: .deploy
        case .revert, .resume: .revert
        }
    }

    /// The rules that are asked to be set aside, which needs the right to ``FleetServing/Right/override``.
    public var overridesRules: Bool {
        let terms: RolloutTerms =
            switch self {
            case .deploy(let request): request.terms
            case .promote(let request): request.deploy.terms
            case .run(let request): request.terms
            case .revert(let request): request.terms
            case .resume(let request): request.terms
            }
        // A release that went back would be deployed again without anybody's override.
        if case .revert(let request) = self, request.sparesRelease { return true }
        let exception = terms.exception
        return exception.override != nil || exception.quarantine != nil
            || exception.hotfix != nil || exception.records != nil
    }

    /// The same in the words of the command line.
    public var words: String {
        switch self {
        case .deploy(let request):
            "\(request.terms.exception.hotfix == nil ? "deploy" : "hotfix") \(request.hosts.environment)"
                + Self.words(request.choice.release)
        case .promote(let request):
            "promote \(request.source) \(request.deploy.hosts.environment)"
        case .run(let request): "run \(request.playbook) \(request.hosts.environment)"
        case .revert(let request):
            switch request.target {
            case .newest: "revert \(request.hosts.environment)"
            case .rollout(let name): "revert \(request.hosts.environment) --rollout \(name)"
            case .tag(let tag): "revert \(request.hosts.environment) --to \(tag)"
            }
        case .resume(let request):
            "resume \(request.rollout?.description ?? "")"
                + (request.direction == .back ? " --back" : "")
        }
    }

    private static func words(_ release: ReleaseSelection?) -> String {
        switch release {
        case nil, .newest: ""
        case .tag(let tag): " --tag \(tag)"
        case .branch(let branch): " --branch \(branch)"
        case .commit(let commit): " --commit \(commit)"
        }
    }
}

/// What a request would do, looked at and not begun.
public struct Preview: Sendable {
    /// Its name, by which it can be begun by whoever looked at it, for half an hour.
    public let id: String
    /// What was asked for.
    public let request: ServedRequest
    /// The plan.
    public let plan: Plan
    /// What the policy has against it now, in words.
    public let objections: [String]
    /// What it means for the environment.
    public let outlook: PlanOutlook
    /// Hosts that cannot go back.
    public let leftOut: [String]
    /// Hosts that the rollout has touched already, if it is taken up.
    public let touched: [String]
    /// Whether the environment is protected, so that its name has to be typed.
    public let isProtected: Bool
    /// The project's commit.
    public let commit: String
}

/// The previews that were given out.
final class PreviewShelf: Sendable {
    struct Entry {
        let request: ServedRequest
        let digest: String
        let resumed: RolloutID?
        let environment: String
        let person: String
        let made: Int
    }

    private let entries = Mutex<[String: Entry]>([:])
    private static let milliseconds = 1_800_000
    private static let most = 1_000

    func keep(_ entry: Entry) -> String {
        let id = (0..<4).map { _ in RolloutID.mark() }.joined()
        entries.withLock { entries in
            if entries.count >= Self.most {
                entries = entries.filter { entry.made - $0.value.made < Self.milliseconds / 6 }
            }
            entries[id] = entry
        }
        return id
    }

    /// Takes one away: it is begun once.
    func take(_ id: String, by person: String, at now: Int) -> Entry? {
        entries.withLock { entries in
            guard let entry = entries[id], entry.person == person,
                now - entry.made < Self.milliseconds
            else { return nil }
            entries[id] = nil
            return entry
        }
    }
}

extension Operations {
    /// Prepares whatever is asked for.
    ///
    /// - Throws: ``OperationFailure``; nothing is changed then.
    func prepare(_ request: ServedRequest) async throws(OperationFailure) -> PreparedRollout {
        switch request {
        case .deploy(let request): return try await prepare(request)
        case .promote(let request): return try await prepare(request)
        case .run(let request): return try await prepare(request)
        case .revert(let request): return try await prepare(request)
        case .resume(let request):
            switch try await prepare(request) {
            case .begun(let prepared): return prepared
            case .over(let id, let outcome, _):
                throw OperationFailure(
                    .refused,
                    "rollout \(id) has come to its end: \(outcome.rawValue)",
                    hints: ["fleet show \(id)    what happened"]
                )
            }
        }
    }
}

extension ServerEngine {
    /// Works out what a request would do; changes nothing.
    ///
    /// - Parameters:
    ///   - request: What is asked for.
    ///   - person: Who asks.
    /// - Returns: The preview.
    /// - Throws: ``OperationFailure``.
    public func preview(_ request: ServedRequest, for person: Person) async throws(OperationFailure)
        -> Preview
    {
        let (operations, version) = try await operations(for: person, command: request.words)
        await keeper.hold(version.commit)
        let result: Result<(PreparedRollout, [String], PlanOutlook), OperationFailure>
        do throws(OperationFailure) {
            let prepared = try await operations.prepare(request)
            result = .success(
                (
                    prepared, try await operations.objections(to: prepared),
                    try await operations.outlook(of: prepared)
                )
            )
        } catch { result = .failure(error) }
        await keeper.giveBack(version.commit)
        let (prepared, objections, outlook) = try result.get()
        let id = previews.keep(
            PreviewShelf.Entry(
                request: request,
                digest: prepared.plan.digest,
                resumed: prepared.resumed?.id,
                environment: prepared.plan.environment,
                person: person.name,
                made: WallClock.unixMilliseconds()
            )
        )
        return Preview(
            id: id,
            request: request,
            plan: prepared.plan,
            objections: objections,
            outlook: outlook,
            leftOut: prepared.leftOut.map(\.text),
            touched: prepared.touched.map(\.text),
            isProtected: isProtected(prepared.plan.environment, in: version),
            commit: version.commit
        )
    }

    /// Whether an environment is protected in a version of the project; one that is not there is.
    public func isProtected(_ environment: String, in version: ProjectKeeper.Version?) -> Bool {
        guard let version else { return true }
        // Of a file that cannot be read nobody can say that it asks for less.
        return (try? version.project.inventoryAsWritten(environment).policy.isProtected) ?? true
    }

    /// Begins exactly what was looked at.
    ///
    /// - Parameters:
    ///   - preview: The name of the preview.
    ///   - person: Who begins it; the same person who looked at it.
    ///   - environment: The environment in which that person has the right.
    ///   - right: The right.
    /// - Returns: The rollout, which has begun.
    /// - Throws: ``OperationFailure`` if it would be something else by now, or is refused; nothing is changed then.
    public func begin(
        _ preview: String,
        by person: Person,
        in environment: String,
        with right: Right
    ) async throws(OperationFailure) -> RunningRollout {
        guard
            let entry = previews.take(preview, by: person.name, at: WallClock.unixMilliseconds()),
            entry.environment == environment, entry.request.right == right
        else {
            throw OperationFailure(
                .refused,
                "E_STALE what was looked at is too old, or was begun already",
                hints: ["look at it again", "nothing was changed"]
            )
        }
        let (operations, version) = try await operations(
            for: person,
            command: entry.request.words
        )
        return try await begin(operations, on: version) { () throws(OperationFailure) in
            var prepared = try await operations.prepare(entry.request)
            guard prepared.plan.digest == entry.digest, prepared.resumed?.id == entry.resumed else {
                throw OperationFailure(
                    .refused,
                    "E_STALE what would be done has changed since it was looked at",
                    hints: ["look at it again", "nothing was changed"]
                )
            }
            // Whoever looks and then begins has been asked.
            prepared.terms.isConfirmed = true
            return prepared
        }
    }

    /// Starts what is prepared, and looks after it until its end.
    func begin(
        _ operations: Operations,
        on version: ProjectKeeper.Version,
        _ prepare: () async throws(OperationFailure) -> PreparedRollout
    ) async throws(OperationFailure) -> RunningRollout {
        let closing = OperationFailure(
            .interrupted,
            "the server is stopping; nothing new begins",
            hints: ["try again when it is back", "nothing was changed"]
        )
        guard rollouts.isToBegin() else { throw closing }
        await keeper.hold(version.commit)
        let running: RunningRollout
        do throws(OperationFailure) {
            let prepared = try await prepare()
            // That may have taken long.
            guard !rollouts.isClosed else { throw closing }
            running = try await operations.start(prepared)
        } catch {
            rollouts.began(nil)
            await keeper.giveBack(version.commit)
            throw error
        }
        rollouts.began(running)
        Task {
            // How it ended stands in the journal.
            _ = try? await running.end()
            await running.isTold()
            rollouts.remove(running.id)
            await keeper.giveBack(version.commit)
            bell.ring()
        }
        bell.ring()
        return running
    }

    /// Asks a rollout to stop.
    ///
    /// - Parameters:
    ///   - id: The rollout, whoever carries it out on this machine.
    ///   - point: The point at which it stops.
    ///   - reason: Why; it is recorded.
    ///   - person: Who asks.
    /// - Throws: ``OperationFailure``; nothing is recorded then.
    public func stop(
        _ id: RolloutID,
        after point: StopRequest.Point,
        reason: String?,
        by person: Person
    ) async throws(OperationFailure) {
        let initiator = initiator(person, command: "stop \(id)")
        _ = try await controller.askToStop(id, after: point, reason: reason, by: initiator)
    }

    /// Records an approval.
    ///
    /// - Parameters:
    ///   - request: What is approved.
    ///   - person: Who approves; by the address that git knows them by, so that nobody approves their own work.
    /// - Returns: What was recorded.
    /// - Throws: ``OperationFailure``; nothing is recorded then.
    public func approve(_ request: ApprovalRequest, by person: Person)
        async throws(OperationFailure) -> RecordedApproval
    {
        var request = request
        request.asksGit = false
        let approver = Person(name: person.address ?? person.name, address: person.address)
        let (operations, _) = try await operations(
            for: approver,
            command: "approve \(request.release) \(request.hosts.environment)"
        )
        let recorded = try await operations.approve(request)
        bell.ring()
        return recorded
    }
}
