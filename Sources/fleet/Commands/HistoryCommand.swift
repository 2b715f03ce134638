import ArgumentParser
import FleetOperations
import FleetReport

/// `fleet history [ENV]`.
struct HistoryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history",
        _superCommandName: Fleet.name,
        abstract: "List rollouts, the newest first."
    )

    @Argument(help: "Only this environment.")
    var environment: String?
    @Option(name: [.customShort("n"), .long], help: "The most rollouts to list.")
    var count = 20
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let lines = try await common.openRecords().history(of: environment, limit: max(1, count))
        if common.output == .json { return common.printJSON(lines) }
        guard !lines.isEmpty else { return common.print("no rollout yet") }
        common.print(HistoryText.table(lines, style: common.standardOutputStyle))
    }
}
