internal import FleetInventory
internal import FleetJournal
public import FleetPlan
internal import FleetProject
internal import FleetRollout
internal import FleetRunner
internal import FleetTransport

/// A request to approve a release for an environment, or to withdraw an approval.
public struct ApprovalRequest: Sendable, Hashable {
    /// A tag, or a commit's full id.
    public var release: String
    /// The hosts to which the release may be deployed.
    public var hosts: HostSelection
    /// Why, in the approver's words.
    public var note: String
    /// The playbook that deploys it.
    public var playbook = "deploy"
    /// Whether the request withdraws an approval instead of giving one.
    public var isWithdrawal = false
    /// Whether the approver is git's `user.email` in the project; false where a CI system makes the request.
    public var asksGit = true

    /// Creates a request to approve a release.
    public init(_ release: String, for hosts: HostSelection, note: String) {
        self.release = release
        self.hosts = hosts
        self.note = note
    }
}

/// An approval that was recorded.
public struct RecordedApproval: Sendable, Hashable {
    /// The approval.
    public let approval: Approval
    /// The policy's requirements for approval that are still not met, in words.
    public let missing: [String]
    /// Whether the environment's policy requires approvals.
    public let isAskedFor: Bool
}

extension Operations {
    /// Records an approval of exactly what a deploy would do now.
    ///
    /// - Throws: ``OperationFailure``; nothing is recorded then.
    public func approve(_ request: ApprovalRequest) async throws(OperationFailure)
        -> RecordedApproval
    {
        let (inventory, hosts) = try request.hosts.hosts(of: project)
        let transport = try await controller.openTransport(for: hosts, in: project)
        let name = request.release
        let plan = try await planMaker(transport).plan(
            kind: .deploy,
            playbook: request.playbook,
            of: inventory,
            on: hosts,
            choice: RolloutChoice(release: GitName.isCommit(name) ? .commit(name) : .tag(name))
        )
        guard let release = plan.release else {
            preconditionFailure("a plan for a release has one")
        }
        let now = WallClock.unixMilliseconds()
        let approval = Approval(
            environment: inventory.environment,
            release: release,
            planDigest: plan.digest,
            approver: await approver(request),
            machine: initiator.machine,
            note: request.note,
            unixMilliseconds: now,
            expiresUnixMilliseconds: now + inventory.policy.approvalMilliseconds,
            hosts: plan.hosts.map(\.name.text),
            playbook: plan.title,
            work: plan.work,
            isWithdrawal: request.isWithdrawal
        )
        do {
            try await controller.journal.note(
                .approved(approval),
                stamp: RolloutID.new(),
                at: now
            )
        } catch {
            throw OperationFailure(error)
        }
        // Whether it is enough is the policy's to say, and it is said now, not when somebody deploys.
        let missing =
            request.isWithdrawal
            ? [] : try await policyCheck(inventory).refusals(to: plan, isHotfix: false)
        return RecordedApproval(
            approval: approval,
            missing: missing.filter { $0.rule == "approved" }.map(\.message),
            isAskedFor: inventory.policy.requirements.contains(.approved)
        )
    }

    /// The address that git knows this person by, as a tag's author is known by it; else their name.
    private func approver(_ request: ApprovalRequest) async -> String {
        guard request.asksGit else { return initiator.user }
        do throws(GitRepository.Failure) {
            let repository = try await GitRepository(containing: project.root)
            let address = await repository.answer("config", "user.email") ?? ""
            return address.isEmpty ? initiator.user : address
        } catch {
            // No clone, no address: the login's name it is.
            return initiator.user
        }
    }
}
