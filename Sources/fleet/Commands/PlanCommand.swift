import ArgumentParser
import FleetOperations
import FleetPlan

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
        let operations = try await common.openOperations()
        let prepared = try await operations.prepare(
            RunRequest(playbook, on: hosts.selection, choice: options.choice)
        )
        guard common.output == .text else { return common.print(prepared.plan.json) }
        try await RolloutFace(common: common, operations: operations).show(prepared)
    }
}
