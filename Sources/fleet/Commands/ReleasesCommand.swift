import ArgumentParser
import FleetOperations
import FleetReport
import FleetTerminal

/// `fleet releases`.
struct ReleasesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "releases",
        _superCommandName: Fleet.name,
        abstract: "List the releases, and where each one is live or was taken back.",
        discussion: "From the tags of this clone and the journal. Contacts no host."
    )

    @Option(name: [.customShort("c"), .long], help: "How many.")
    var count = 20
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let lines = try await common.openRecords().releases(
            in: common.project ?? Surroundings.workingDirectory,
            limit: max(1, count)
        )
        if common.output == .json { return common.printJSON(lines) }
        guard !lines.isEmpty else {
            return common.print("no release yet: `fleet release minor` makes the first one")
        }
        common.print(ReleasesText.table(lines, style: common.standardOutputStyle))
    }
}
