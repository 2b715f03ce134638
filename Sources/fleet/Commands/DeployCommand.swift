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
    @OptionGroup var policy: PolicyOptions
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await RolloutVerb(
            kind: .deploy,
            playbook: playbook,
            hosts: hosts,
            choice: options.choice,
            policy: policy,
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
    @OptionGroup var policy: PolicyOptions
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await RolloutVerb(
            kind: .run,
            playbook: playbook,
            hosts: hosts,
            choice: options.choice,
            policy: policy,
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
            choice: options.choice,
            confirmation: ConfirmationOptions(),
            common: common
        )
        try await verb.printPlan()
    }
}
