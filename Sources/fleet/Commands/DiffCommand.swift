import ArgumentParser
import FleetOperations
import FleetReport

/// `fleet diff ENV`.
struct DiffCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        _superCommandName: Fleet.name,
        abstract:
            "Show what a deploy would bring: commits, files, and what the plan does otherwise.",
        discussion: """
            What hosts run is what the journal says (`fleet status` asks them). Commits and files come from
            the clone that the project is in.
            """
    )

    @OptionGroup var hosts: HostOptions
    @OptionGroup var options: RolloutOptions
    @Option(name: [.short, .long], help: "The playbook: playbooks/NAME.yml, or a path.")
    var playbook = "deploy"
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let operations = try await common.openOperations()
        let outlook = try await operations.outlook(
            of: operations.prepare(
                RunRequest(playbook, on: hosts.selection, choice: options.choice)
            )
        )
        if common.output == .json { return common.printJSON(DiffLine.lines(of: outlook)) }
        common.print(OutlookText.whole(outlook, style: common.standardOutputStyle))
    }
}
