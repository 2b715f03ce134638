import ArgumentParser
import FleetOperations
import FleetReport
import FleetTerminal

/// `fleet report [ROLLOUT]`.
struct ReportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        _superCommandName: Fleet.name,
        abstract: "Make a report of a rollout: a page, Markdown or a CI system's test report.",
        discussion: """
            A rollout that still runs is reported as far as it has come. A file is replaced as a whole.
            """
    )

    @Argument(help: "The rollout: see `fleet history`.")
    var rollout = RolloutLookup.newest
    @Option(help: ArgumentHelp("Write one HTML page that needs nothing else.", valueName: "file"))
    var html: String?
    @Option(help: ArgumentHelp("Write JUnit's XML, for GitLab and Jenkins.", valueName: "file"))
    var junit: String?
    @Flag(help: "Print Markdown, for a chat or a ticket; also without --html and --junit.")
    var markdown = false
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let records = try common.openRecords()
        let report = try await records.report(
            of: try await records.rollout(named: rollout),
            zone: LocalTimes.zone
        )
        var files: [ReportFile] = []
        if let html { files.append(ReportFile(form: .html, path: Surroundings.output(html))) }
        if let junit { files.append(ReportFile(form: .junit, path: Surroundings.output(junit))) }
        for file in files {
            try file.write(report)
            if file.path != Surroundings.standardOutput { common.tell("\(file.path) is written") }
        }
        if common.output == .json { return common.printJSON([ReportLine(report)]) }
        if markdown || files.isEmpty { common.print(MarkdownReport(report).text()) }
    }
}
