import ArgumentParser
import FleetInventory
import FleetJournal
import FleetPlan
import FleetProject
import FleetReport
import FleetRollout
import FleetTransport
import FleetYAML

/// `fleet approve RELEASE ENV`.
struct ApproveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "approve",
        _superCommandName: Fleet.name,
        abstract: "Sign a release off for an environment.",
        discussion: """
            The release's commit and the digest of the plan are recorded, with who approves and until
            when. Needed where the environment's policy says `require: [approved]`. The journal of this
            machine keeps it: approve where deploys are started from.
            """
    )

    @Argument(help: "The release: a tag, or a commit's full id.")
    var release: String
    @OptionGroup var hosts: HostOptions
    @Option(name: [.customShort("m"), .long], help: "Why, in your words.")
    var note: String
    @Option(name: [.short, .long], help: "The playbook: playbooks/NAME.yml, or a path.")
    var playbook = "deploy"
    @Flag(help: "Take back what you have approved.")
    var withdraw = false
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if note.allSatisfy(\.isWhitespace) { throw ValidationError("--note needs a text") }
    }

    func run() async throws {
        let project = try await common.openProject()
        let (inventory, selected) = try hosts.select(in: project)
        let transport = try await common.openTransport(for: selected, in: project)
        let choice = RolloutChoice(
            release: GitName.isCommit(release) ? .commit(release) : .tag(release)
        )
        let plan = try await RolloutVerb(
            kind: .deploy,
            playbook: playbook,
            hosts: hosts,
            choice: choice,
            confirmation: ConfirmationOptions(),
            common: common
        ).plan(project, transport)
        guard let found = plan.release else { return }
        let now = Surroundings.unixMilliseconds
        let origin = Surroundings.origin
        let approval = Approval(
            environment: inventory.environment,
            release: found,
            planDigest: plan.digest,
            approver: await approver(project) ?? origin.user,
            machine: origin.machine,
            note: note,
            unixMilliseconds: now,
            expiresUnixMilliseconds: now + inventory.policy.approvalMilliseconds,
            hosts: plan.hosts.map(\.name.text),
            playbook: plan.title,
            work: plan.work,
            isWithdrawal: withdraw
        )
        let (_, journal) = try common.openJournal()
        do {
            try await journal.note(.approved(approval), stamp: Surroundings.newRolloutID(), at: now)
        } catch {
            throw CommandFailure(error)
        }
        guard !withdraw else {
            return common.print(
                "\(found.label) (\(found.commit.prefix(12))): \(Sanitizer.line(approval.approver)) approves "
                    + "it for \(inventory.environment) no more"
            )
        }
        let until = DurationText.utc(unixMilliseconds: approval.expiresUnixMilliseconds)
        common.print(
            "\(found.label) (\(found.commit.prefix(12))) approved for \(inventory.environment) by "
                + "\(Sanitizer.line(approval.approver)), until \(until.dropLast(3)) UTC"
        )
        // Whether it is enough is the policy's to say, and it is said now, not when somebody deploys.
        let check = PolicyCheck(
            project: project,
            journal: journal,
            environment: inventory.environment,
            policy: inventory.policy
        )
        for refusal in try await check.refusals(to: plan, isHotfix: false)
        where refusal.rule == "approved" {
            common.tell(common.standardErrorStyle.yellow("note: not enough: \(refusal.message)"))
        }
        if !inventory.policy.requirements.contains(.approved) {
            common.tell(
                "note: \(inventory.environment) does not ask for approvals (policy.require)"
            )
        }
    }

    /// The address that git knows this person by, as a tag's author is known by it.
    private func approver(_ project: Project) async -> String? {
        guard Surroundings.actor == nil else { return nil }
        do throws(GitRepository.Failure) {
            let repository = try await GitRepository(containing: project.root)
            return await repository.answer("config", "user.email").flatMap { $0.isEmpty ? nil : $0 }
        } catch {
            // No clone, no address: the login's name it is.
            return nil
        }
    }
}

/// `fleet promote FROM TO`.
struct PromoteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "promote",
        _superCommandName: Fleet.name,
        abstract: "Deploy to one environment what was verified on another.",
        discussion: "The same commit, by the tag it was deployed by there."
    )

    @Argument(help: "The environment whose release is taken.")
    var source: String
    @OptionGroup var hosts: HostOptions
    @Option(name: [.short, .long], help: "The playbook: playbooks/NAME.yml, or a path.")
    var playbook = "deploy"
    @OptionGroup var options: RolloutOptions
    @OptionGroup var policy: PolicyOptions
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if options.choice.release != nil {
            throw ValidationError(
                "\(source) says which release: leave --tag, --commit and --branch out"
            )
        }
        if source == hosts.environment {
            throw ValidationError("\(source) cannot be promoted to itself")
        }
    }

    func run() async throws {
        let (_, journal) = try common.openJournal()
        let live: (release: Release, rollout: RolloutRecord, origin: RolloutOrigin)?
        do {
            live = try journal.live(in: source)
        } catch {
            throw CommandFailure(error)
        }
        guard let live else {
            throw CommandFailure(
                .refused,
                "E_NOT_STAGED no release has succeeded on \(source)",
                hints: ["fleet deploy \(source)    first", "nothing was changed"]
            )
        }
        // Its hosts are not asked: somebody may have changed them by hand since.
        common.tell(
            "the release that succeeded last on \(source) is \(live.release.label), by rollout "
                + "\(live.rollout.id)"
        )
        var choice = options.choice
        choice.release = live.release.tag.map { .tag($0) } ?? .commit(live.release.commit)
        choice.mustBe = live.release.commit
        try await RolloutVerb(
            kind: .deploy,
            playbook: playbook,
            hosts: hosts,
            choice: choice,
            policy: policy,
            confirmation: confirmation,
            common: common
        ).run()
    }
}
