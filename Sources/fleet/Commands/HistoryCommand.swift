import ArgumentParser
import FleetOperations
import FleetReport
import FleetTerminal

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
    @Option(help: "Only rollouts that this host was in; commands of exec are left out.")
    var host: String?
    @Option(help: "Only this release: its tag, or seven or more digits of its commit.")
    var tag: String?
    @Option(help: "Only from then on: 90m, 12h, 7d, 2w, or a date as in 2026-11-01.")
    var since: String?
    @Option(help: "Only those that ended so, as in reverted; or unfinished.")
    var outcome: String?
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if let outcome, !HistoryRequest.outcomes.contains(outcome) {
            throw ValidationError(
                "`\(outcome)` is no outcome: \(HistoryRequest.outcomes.joined(separator: ", "))"
            )
        }
    }

    func run() async throws {
        var request = HistoryRequest()
        request.environment = environment
        request.host = host
        request.release = tag
        request.sinceUnixMilliseconds = try since.map(Self.start)
        request.outcome = outcome
        request.limit = max(1, count)
        let lines = try await common.openRecords().history(request)
        if common.output == .json { return common.printJSON(lines) }
        guard !lines.isEmpty else {
            return common.print(request.isForAll ? "no rollout yet" : "no rollout is like that")
        }
        common.print(
            HistoryText.table(lines, zone: LocalTimes.zone, style: common.standardOutputStyle)
        )
    }

    /// What `--since` means.
    static func start(_ text: String) throws -> Int {
        let now = Surroundings.unixMilliseconds
        guard let time = HistoryRequest.since(text, now: now, zone: LocalTimes.zone) else {
            throw ValidationError(
                "`\(text)` is no time gone by: write 90m, 12h, 7d, 2w or 2026-11-01"
            )
        }
        return time
    }
}
