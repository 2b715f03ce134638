internal import FleetClients
internal import FleetInventory
internal import FleetJournal
public import FleetPlan
internal import FleetProject
public import FleetRollout
public import FleetTransport
internal import FleetYAML

/// A rollout that was prepared from a request: exactly what is shown, confirmed and carried out.
///
/// Preparing it changes nothing, and it holds no lock.
public struct PreparedRollout: Sendable {
    /// The plan that is carried out.
    public let plan: Plan
    /// The rollout that is resumed, and in which direction; nil for a new rollout.
    public let resumed: (id: RolloutID, direction: ResumeDirection)?
    /// Hosts that cannot be reverted because they ran nothing before.
    public let leftOut: [HostName]
    /// Hosts that the resumed rollout has already touched.
    public let touched: [HostName]

    /// Returns a host of the plan.
    ///
    /// - Throws: ``OperationFailure`` if the plan has none of that name.
    public func host(named name: String) throws(OperationFailure) -> HostName {
        guard let host = plan.hosts.map(\.name).first(where: { $0.text == name }) else {
            throw OperationFailure(
                .usage,
                "`\(name)` is not in this plan",
                hints: ["its hosts are \(HostRange.fold(plan.hosts.map(\.name)))"]
            )
        }
        return host
    }

    /// The project that it was prepared in: its root.
    let project: String
    /// What was asked for; nil for what cannot be kept for later.
    var request: SavedPreparation.Request?
    /// The saved preparation that it stands for; nil if it was prepared just now.
    var saved: SavedPreparation?
    /// What is asked before it starts; nil if nobody has to be.
    var question: Question?
    /// What is looked at again once all questions are answered.
    let recheck: Recheck
    var terms: RolloutTerms
    /// Rules that do not hold this time because the request says so.
    let overridden: [String]
    let transport: ClientTransport
    let selection: HostSelection
    let hosts: [Host]
    /// Whether going back is what was asked for, and so is a success.
    let isToGoBack: Bool

    enum Recheck: Sendable {
        case nothing
        /// The environment's policy: asking and waiting may have taken hours.
        case policy(PolicyCheck)
        /// What would go back.
        case undo(RevertRequest, Inventory)
    }

    init(
        of project: String,
        _ plan: Plan,
        resuming resumed: (id: RolloutID, direction: ResumeDirection)? = nil,
        leavingOut leftOut: [HostName] = [],
        touched: [HostName] = [],
        question: Question? = nil,
        recheck: Recheck = .nothing,
        terms: RolloutTerms = RolloutTerms(),
        overridden: [String] = [],
        transport: ClientTransport,
        selection: HostSelection,
        hosts: [Host],
        isToGoBack: Bool = false
    ) {
        self.project = project
        self.plan = plan
        self.resumed = resumed
        self.leftOut = leftOut
        self.touched = touched
        self.question = question
        self.recheck = recheck
        self.terms = terms
        self.overridden = overridden
        self.transport = transport
        self.selection = selection
        self.hosts = hosts
        self.isToGoBack = isToGoBack
    }
}

extension Operations {
    /// Returns the client expected to connect to each host, as far as it is known without contacting the hosts.
    ///
    /// - Throws: ``OperationFailure`` if the journal cannot be read.
    public func clients(of prepared: PreparedRollout) async throws(OperationFailure)
        -> [HostName: HostClient]
    {
        try await controller.clients(of: prepared.plan, prepared.transport)
    }

    /// Lists the policy rules that would refuse the rollout now, in words; an objection is not an error.
    ///
    /// - Throws: ``OperationFailure`` if the journal cannot be read.
    public func objections(to prepared: PreparedRollout) async throws(OperationFailure) -> [String]
    {
        guard case .policy(let check) = prepared.recheck else { return [] }
        let isHotfix = prepared.terms.exception.hotfix != nil
        return try await check.refusals(to: prepared.plan, isHotfix: isHotfix).map(\.message)
    }

    // MARK: Deploys and playbooks

    /// Prepares a deploy.
    ///
    /// - Throws: ``OperationFailure``; nothing was changed.
    public func prepare(_ request: DeployRequest) async throws(OperationFailure) -> PreparedRollout
    {
        var choice = request.choice
        choice.isHotfix = request.terms.exception.hotfix != nil
        var prepared = try await prepare(
            .deploy,
            request.playbook,
            request.hosts,
            choice,
            request.terms,
            mustAsk: choice.release == nil
        )
        prepared.request = .deploy(request)
        return prepared
    }

    /// Prepares to deploy the commit that last succeeded on the source environment.
    ///
    /// - Throws: ``OperationFailure``, for example if no release has succeeded there; nothing is changed then.
    public func prepare(_ request: PromoteRequest) async throws(OperationFailure) -> PreparedRollout
    {
        let live: (release: Release, rollout: RolloutID)?
        do {
            live = try await controller.journal.live(in: request.source).map {
                ($0.release, $0.rollout.id)
            }
        } catch {
            throw OperationFailure(error)
        }
        guard let live else {
            throw OperationFailure(
                .refused,
                "E_NOT_STAGED no release has succeeded on \(request.source)",
                hints: ["fleet deploy \(request.source)    first", "nothing was changed"]
            )
        }
        // Its hosts are not asked: somebody may have changed them by hand since.
        tell(
            .note(
                "the release that succeeded last on \(request.source) is \(live.release.label), by rollout "
                    + "\(live.rollout)"
            )
        )
        var deploy = request.deploy
        deploy.choice.release = live.release.tag.map { .tag($0) } ?? .commit(live.release.commit)
        deploy.choice.mustBe = live.release.commit
        var prepared = try await prepare(deploy)
        prepared.request = .promote(request)
        return prepared
    }

    /// Prepares to run a playbook; a playbook that deploys a release is treated as a deploy.
    ///
    /// - Throws: ``OperationFailure``; nothing is changed then.
    public func prepare(_ request: RunRequest) async throws(OperationFailure) -> PreparedRollout {
        var prepared = try await prepare(
            .run,
            request.playbook,
            request.hosts,
            request.choice,
            request.terms,
            mustAsk: request.replacesData
        )
        prepared.request = .run(request)
        return prepared
    }

    private func prepare(
        _ kind: Plan.Kind,
        _ playbook: String,
        _ selection: HostSelection,
        _ choice: RolloutChoice,
        _ terms: RolloutTerms,
        mustAsk: Bool
    ) async throws(OperationFailure) -> PreparedRollout {
        let (inventory, hosts) = try selection.hosts(of: project)
        let transport = try await controller.openTransport(for: hosts, in: project)
        let plan = try await planMaker(transport).plan(
            kind: kind,
            playbook: playbook,
            of: inventory,
            on: hosts,
            choice: choice
        )
        let isChosen = plan.release != nil && choice.release == nil
        return PreparedRollout(
            of: project.root,
            plan,
            question: question(plan, inventory.policy, mustAsk: mustAsk || isChosen),
            recheck: .policy(policyCheck(inventory)),
            terms: terms,
            transport: transport,
            selection: selection,
            hosts: hosts
        )
    }

    /// Prepares to run one command on every host.
    ///
    /// - Throws: ``OperationFailure``; nothing is changed then.
    public func prepare(_ request: ExecRequest) async throws(OperationFailure) -> PreparedRollout {
        let (inventory, hosts) = try request.hosts.hosts(of: project)
        let plan = Planner.exec(
            command: request.command,
            inventory: inventory,
            hosts: hosts,
            fanout: request.fanout,
            timeoutMilliseconds: request.timeoutMilliseconds,
            becomeUser: request.becomeUser
        )
        return PreparedRollout(
            of: project.root,
            plan,
            transport: try await controller.openTransport(for: hosts, in: project),
            selection: request.hosts,
            hosts: hosts
        )
    }

    // MARK: Rollouts that were begun

    /// Prepares to resume a rollout from its recorded plan; later changes to the project's files have no effect on it.
    ///
    /// - Throws: ``OperationFailure`` if the rollout does not exist or cannot be resumed; nothing is changed then.
    public func prepare(_ request: ResumeRequest) async throws(OperationFailure)
        -> Resumption
    {
        let id =
            if let rollout = request.rollout { rollout } else {
                try await RolloutLookup.onlyUnfinished(in: controller.journal)
            }
        let earlier = try await RolloutLookup.replay(id, in: controller.journal)
        let plan = earlier.plan
        guard plan.kind != .exec else {
            throw OperationFailure(
                .usage,
                "rollout \(id) ran one command on every host; run it again if you want to"
            )
        }
        if let outcome = earlier.outcome, outcome != .interrupted {
            return .over(id, outcome, plan.kind)
        }
        let hosts = plan.hosts.map { Host(name: $0.name, ssh: $0.endpoint.ssh) }
        return .begun(
            PreparedRollout(
                of: project.root,
                plan,
                resuming: (id, request.direction),
                touched: earlier.hosts.filter(\.isTouched).map(\.name),
                question: try isProtected(plan.environment) ? .typeName(plan) : nil,
                terms: request.terms,
                transport: try await controller.openTransport(for: hosts, in: project),
                selection: HostSelection(plan.environment),
                hosts: hosts
            )
        )
    }

    /// The result of a request to resume a rollout.
    public enum Resumption: Sendable {
        /// The rollout can be resumed as prepared.
        case begun(PreparedRollout)
        /// The rollout has already ended.
        case over(RolloutID, RolloutOutcome, Plan.Kind)
    }

    /// Whether the environment's name has to be typed; one whose file is gone by now is not protected.
    private func isProtected(_ environment: String) throws(OperationFailure) -> Bool {
        guard project.environments.contains(environment) else { return false }
        do {
            return try project.inventoryAsWritten(environment).policy.isProtected
        } catch {
            throw OperationFailure(error)
        }
    }

    /// What has to be asked before hosts are changed.
    func question(_ plan: Plan, _ policy: EnvironmentPolicy, mustAsk: Bool) -> Question? {
        policy.isProtected ? .typeName(plan) : mustAsk ? .confirm(plan) : nil
    }
}
