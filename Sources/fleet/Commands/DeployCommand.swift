import ArgumentParser
import FleetOperations
import FleetPlan

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
        let operations = try await common.openOperations()
        var request = DeployRequest(
            to: hosts.selection,
            choice: options.choice,
            terms: confirmation.terms(policy)
        )
        request.playbook = playbook
        try await confirmation.run(operations.prepare(request), common, operations)
    }
}
