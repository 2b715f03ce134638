internal import FleetDigest
internal import FleetJournal
internal import FleetOperations
internal import FleetPlan
internal import FleetReport
internal import FleetRollout
internal import FleetServing
internal import HTTPTypes

/// Why the API did not do what it was asked.
struct APIFailure: Encodable {
    private let line: FailureLine

    /// The form that `fleet -o json` has for failures, too.
    init(_ refusal: Refusal) {
        line = FailureLine(
            status: Int(refusal.failure.status.rawValue),
            message: refusal.failure.message,
            hints: refusal.failure.hints,
            problems: nil
        )
    }

    func encode(to encoder: any Encoder) throws { try line.encode(to: encoder) }
}

/// What a program asks for: the fields of every request, of which each kind takes some.
struct APIRequest: Decodable {
    let tag: String?
    let branch: String?
    let commit: String?
    let limit: String?
    let playbook: String?
    let variables: [String: String]?
    let fanout: Int?
    let evenIfUnhealthy: Bool?
    let rehearses: Bool?
    let override: String?
    let quarantine: String?
    let hotfix: String?
    let from: String?
    let reason: String?
    let rollout: String?
    let sparesRelease: Bool?
    let direction: String?
    let preview: String?
    let name: String?
    let release: String?
    let note: String?
    let after: String?

    /// Reads a body.
    ///
    /// - Throws: ``Refusal`` if it is no JSON object with fields of these types.
    static func read(_ call: Call) throws -> APIRequest {
        let bytes = call.body.isEmpty ? Array("{}".utf8) : call.body
        do { return try CanonicalJSON.decode(APIRequest.self, from: bytes) } catch {
            throw Refusal(
                .badRequest,
                "the body is not the JSON that this takes",
                hints: ["docs/api.md and openapi.yaml say what it takes"]
            )
        }
    }

    /// The release that is named; nil if none is.
    ///
    /// - Throws: ``Refusal`` if more than one is.
    func selection() throws -> ReleaseSelection? {
        let found: [ReleaseSelection] = [
            tag.map { .tag($0) }, branch.map { .branch($0) }, commit.map { .commit($0) },
        ].compactMap { $0 }
        guard found.count <= 1 else {
            throw Refusal(.badRequest, "name one of `tag`, `branch` and `commit`")
        }
        return found.first
    }

    /// The choice that a deploy or a run makes.
    func choice() throws -> RolloutChoice {
        var choice = RolloutChoice(release: try selection())
        choice.variables = variables ?? [:]
        choice.fanout = fanout
        choice.evenIfUnhealthy = evenIfUnhealthy ?? false
        choice.rehearses = rehearses ?? false
        return choice
    }

    /// The terms.
    func terms() -> RolloutTerms {
        var terms = RolloutTerms()
        terms.exception = RuleException(
            quarantine: quarantine,
            override: override,
            hotfix: hotfix,
            revert: reason
        )
        return terms
    }

    /// A deploy or, with `from`, a promotion.
    func deploy(to environment: String) throws -> ServedRequest {
        var request = DeployRequest(
            to: HostSelection(environment, limit: limit),
            choice: try choice(),
            terms: terms()
        )
        request.terms.exception.revert = nil
        if let playbook { request.playbook = try Self.plain(playbook) }
        guard let from else { return .deploy(request) }
        return .promote(PromoteRequest(from: from, deploy: request))
    }

    /// A run of a playbook.
    func run(on environment: String) throws -> ServedRequest {
        guard let playbook else { throw Refusal(.badRequest, "which `playbook`?") }
        var request = RunRequest(
            try Self.plain(playbook),
            on: HostSelection(environment, limit: limit),
            choice: try choice(),
            terms: terms()
        )
        request.terms.exception.revert = nil
        return .run(request)
    }

    /// A revert.
    func revert(on environment: String) throws -> ServedRequest {
        let target: RevertRequest.Target =
            if let tag { .tag(tag) } else { rollout.map { .rollout($0) } ?? .newest }
        var request = RevertRequest(
            HostSelection(environment, limit: limit),
            to: target,
            terms: terms()
        )
        request.playbook = try playbook.map(Self.plain)
        request.sparesRelease = sparesRelease ?? false
        return .revert(request)
    }

    /// A playbook's name: a request never names a file of the server (Jenkins' CVE-2024-23897 began so).
    static func plain(_ playbook: String) throws -> String {
        guard !playbook.contains("/"), !playbook.hasSuffix(".yml"), !playbook.hasSuffix(".yaml")
        else {
            throw Refusal(.badRequest, "`playbook` is a name, not a path")
        }
        return playbook
    }
}

/// What a request would do.
struct APIPreview: Encodable {
    let id: String
    let environment: String
    let headline: String
    let digest: String
    let plan: Plan
    let objections: [String]
    let leftOut: [String]
    let touched: [String]
    let isProtected: Bool
    let projectCommit: String
    let changes: [DiffLine]

    init(_ preview: Preview) {
        id = preview.id
        environment = preview.plan.environment
        headline = PlanText.headline(preview.plan)
        digest = preview.plan.digest
        plan = preview.plan
        objections = preview.objections
        leftOut = preview.leftOut
        touched = preview.touched
        isProtected = preview.isProtected
        projectCommit = preview.commit
        changes = DiffLine.lines(of: preview.outlook)
    }
}

/// A rollout that has begun.
struct APIBegun: Encodable {
    let rollout: String
    let url: String
}

/// An environment at a glance.
struct APIEnvironment: Encodable {
    let environment: String
    let isProtected: Bool
    let hosts: Int?
    let problem: String?
    let release: String?
    let commit: String?
    let by: String?
    let open: String?
    let holder: String?
    let closed: String?
    let wanted: APIWish?
    let last: HistoryLine?

    init(_ card: EnvironmentCard) {
        environment = card.environment
        isProtected = card.isProtected
        hosts = card.hosts
        problem = card.problem
        release = card.live?.label
        commit = card.live?.commit
        by = card.liveBy?.description
        open = card.open?.description
        holder = card.holder
        closed = card.closed
        wanted = card.wanted.map(APIWish.init)
        last = card.last
    }
}

/// A release that a rule wants somewhere.
struct APIWish: Encodable {
    let number: Int
    let environment: String
    let later: [String]
    let hook: String
    let ref: String
    let commit: String
    let person: String
    let unixMilliseconds: Int
    let state: String
    let reasons: [String]
    let rollout: String?

    init(_ wish: Wish) {
        number = wish.id
        environment = wish.environment
        later = wish.later
        hook = wish.hook
        ref = wish.ref
        commit = wish.commit
        person = wish.person.name
        unixMilliseconds = wish.unixMilliseconds
        state = wish.state.word
        switch wish.state {
        case .held(let why): (reasons, rollout) = (why, nil)
        case .refused(let why), .dropped(let why): (reasons, rollout) = ([why], nil)
        case .running(let id), .done(let id, _): (reasons, rollout) = ([], id)
        case .awaitingCI, .queued, .starting: (reasons, rollout) = ([], nil)
        }
    }
}

/// A delivery.
struct APIDelivery: Encodable {
    let number: Int
    let hook: String
    let name: String
    let event: String?
    let address: String
    let unixMilliseconds: Int
    let state: String
    let note: String

    init(_ delivery: Delivery) {
        number = delivery.number
        hook = delivery.arrival.hook
        name = delivery.arrival.name
        event = delivery.arrival.event
        address = delivery.arrival.address
        unixMilliseconds = delivery.arrival.unixMilliseconds
        state = delivery.state.rawValue
        note = delivery.note
    }
}

/// An approval.
struct APIApproval: Encodable {
    let environment: String
    let release: String
    let commit: String
    let approver: String
    let note: String
    let unixMilliseconds: Int
    let expiresUnixMilliseconds: Int
    let isWithdrawal: Bool
    let planDigest: String
    /// What the policy still misses; nil where that was not asked.
    var missing: [String]?

    init(_ approval: Approval, missing: [String]? = nil) {
        environment = approval.environment
        release = approval.release.label
        commit = approval.release.commit
        approver = approval.approver
        note = approval.note
        unixMilliseconds = approval.unixMilliseconds
        expiresUnixMilliseconds = approval.expiresUnixMilliseconds
        isWithdrawal = approval.isWithdrawal
        planDigest = approval.planDigest
        self.missing = missing
    }
}

/// Something was done, and there is nothing more to say.
struct APIDone: Encodable {
    let done: String
}

/// Who asks.
struct APIAccount: Encodable {
    let account: String
    let roles: [String: [String]]
    let scopes: [String]?
    let expiresUnixMilliseconds: Int?

    init(_ caller: Caller) {
        account = caller.account.name
        roles = caller.account.roles.byEnvironment.mapValues { $0.map(\.rawValue).sorted() }
        scopes = caller.token?.scopes.map(\.rawValue).sorted()
        expiresUnixMilliseconds = caller.token?.expires
    }
}

extension APIRequest {
    /// A body that asks for nothing.
    static func empty() throws -> APIRequest {
        try CanonicalJSON.decode(APIRequest.self, from: Array("{}".utf8))
    }
}
