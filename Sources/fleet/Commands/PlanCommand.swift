import ArgumentParser
import FleetOperations
import FleetPlan
import FleetTerminal

/// `fleet plan ENV`.
struct PlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        _superCommandName: Fleet.name,
        abstract: "Show what deploy would run on which hosts, the way back included."
    )

    @OptionGroup var hosts: HostOptions
    @OptionGroup var options: RolloutOptions
    @Option(name: [.short, .long], help: "The playbook: playbooks/NAME.yml, or a path.")
    var playbook = "deploy"
    @Option(
        name: .customLong("save"),
        help: ArgumentHelp("Keep it in a file, for `fleet apply FILE`.", valueName: "file")
    )
    var saved: String?
    @OptionGroup var shown: PlanOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let operations = try await common.openOperations()
        let prepared = try await operations.prepare(
            RunRequest(playbook, on: hosts.selection, choice: options.choice)
        )
        let face = RolloutFace(common.face, operations)
        if common.output == .text {
            try await face.show(prepared, shown.depth, only: shown.host)
        } else {
            common.printJSON([prepared.plan])
        }
        try await face.save(prepared, in: saved.map(Surroundings.fromHere))
    }
}
