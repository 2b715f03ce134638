import ArgumentParser
import FleetOperations
import FleetReport
import FleetTerminal

/// `fleet stats ENV`.
struct StatsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats",
        _superCommandName: Fleet.name,
        abstract: "Show how an environment is delivered to: how often, how well, how fast.",
        discussion: "docs/output.md says what counts. Lead times need a clone of the repository."
    )

    @Argument(help: "The environment.")
    var environment: String
    @Option(help: "From when: 30d, 12w, or a date as in 2026-11-01.")
    var since = "90d"
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let start = try HistoryCommand.start(since)
        let statistics = try await common.openRecords().statistics(
            of: environment,
            since: start,
            clone: common.opening.root ?? common.opening.workingDirectory
        )
        if common.output == .json { return common.printJSON([statistics]) }
        common.print(
            StatisticsText.text(
                statistics,
                zone: LocalTimes.zone,
                style: common.standardOutputStyle
            )
        )
    }
}
