import ArgumentParser
import FleetOperations
import FleetPlan

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
        let operations = try await common.openOperations()
        let request = RunRequest(
            playbook,
            on: hosts.selection,
            choice: options.choice,
            terms: confirmation.terms(policy)
        )
        try await confirmation.run(operations.prepare(request), common, operations)
    }
}
