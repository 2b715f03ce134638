import ArgumentParser
import FleetInventory
import FleetPlan
import FleetReport
import FleetRollout
import FleetRunner
import FleetYAML

/// `fleet deploy ENV`.
struct DeployCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deploy",
        _superCommandName: Fleet.name,
        abstract: "Deploy a release, test it where it runs, and go back if it is bad.",
        discussion: """
            Every host is asked first; then hosts are taken in the playbook's batches. When more
            hosts fail than the playbook allows, nothing new starts, and every touched host goes
            back to the commit it ran before. Without a release, the newest tag is proposed.
            """
    )

    @OptionGroup var hosts: HostOptions
    @OptionGroup var options: RolloutOptions
    @Option(name: [.short, .long], help: "The playbook: playbooks/NAME.yml, or a path.")
    var playbook = "deploy"
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await RolloutVerb(
            kind: .deploy,
            playbook: playbook,
            hosts: hosts,
            options: options,
            confirmation: confirmation,
            common: common
        ).run()
    }
}

/// `fleet run PLAYBOOK ENV`.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        _superCommandName: Fleet.name,
        abstract: "Run a playbook on an environment."
    )

    @Argument(help: "The playbook: playbooks/NAME.yml, or a path.")
    var playbook: String
    @OptionGroup var hosts: HostOptions
    @OptionGroup var options: RolloutOptions
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await RolloutVerb(
            kind: .run,
            playbook: playbook,
            hosts: hosts,
            options: options,
            confirmation: confirmation,
            common: common
        ).run()
    }
}

/// `fleet plan ENV`.
struct PlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        _superCommandName: Fleet.name,
        abstract: "Print exactly what deploy would run, per batch and host, the way back included."
    )

    @OptionGroup var hosts: HostOptions
    @OptionGroup var options: RolloutOptions
    @Option(name: [.short, .long], help: "The playbook: playbooks/NAME.yml, or a path.")
    var playbook = "deploy"
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let verb = RolloutVerb(
            kind: .run,
            playbook: playbook,
            hosts: hosts,
            options: options,
            confirmation: ConfirmationOptions(),
            common: common
        )
        try await verb.printPlan()
    }
}

/// What `deploy`, `run` and `plan` share: from the command line to a plan, and on to its end.
struct RolloutVerb {
    let kind: Plan.Kind
    let playbook: String
    let hosts: HostOptions
    let options: RolloutOptions
    let confirmation: ConfirmationOptions
    let common: CommonOptions

    func run() async throws {
        let project = try common.openProject()
        let (_, selected) = try self.hosts.select(in: project)
        let transport = try await common.openTransport(for: selected, in: project)
        let maker = PlanMaker(
            project: project,
            transport: transport,
            archives: common.archives,
            note: note
        )
        let (plan, policy) = try await maker.plan(
            kind: kind,
            playbook: playbook,
            hosts: hosts,
            choice: options.choice
        )
        if confirmation.isDryRun {
            common.print(PlanText.full(plan, style: common.standardOutputStyle))
            return
        }
        let session = RolloutSession(common: common, transport: transport)
        let wasChosen = options.choice.release != nil
        try session.confirm(
            plan,
            protected: policy.isProtected,
            mustAsk: plan.release != nil && !wasChosen,
            options: confirmation
        )
        if let wait = confirmation.lockWait.flatMap(YAMLReader.milliseconds) {
            try await LockKeeper(self.hosts, common).wait(milliseconds: wait)
        }
        let status = try await session.run(plan, despite: confirmation.quarantineReason)
        if status != .succeeded { throw status }
    }

    func printPlan() async throws {
        let project = try common.openProject()
        let (_, selected) = try self.hosts.select(in: project)
        let transport = try await common.openTransport(for: selected, in: project)
        let maker = PlanMaker(
            project: project,
            transport: transport,
            archives: common.archives,
            note: note
        )
        let (plan, _) = try await maker.plan(
            kind: kind,
            playbook: playbook,
            hosts: hosts,
            choice: options.choice
        )
        if common.output == .json {
            common.print(plan.json)
        } else {
            common.print(PlanText.full(plan, style: common.standardOutputStyle))
        }
    }

    private func note(_ text: String) {
        guard !common.quiet, Terminal.standardError.isInteractive else { return }
        Terminal.standardError.write(common.standardErrorStyle.dim(text) + "\n")
    }
}
