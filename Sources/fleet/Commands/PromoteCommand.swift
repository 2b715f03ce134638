import ArgumentParser
import FleetOperations
import FleetPlan
import FleetReport

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
        let operations = try await common.openOperations()
        var deploy = DeployRequest(
            to: hosts.selection,
            choice: options.choice,
            terms: confirmation.terms(policy)
        )
        deploy.playbook = playbook
        let request = PromoteRequest(from: source, deploy: deploy)
        try await confirmation.run(operations.prepare(request), common, operations)
    }
}
