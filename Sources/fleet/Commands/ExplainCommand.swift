import ArgumentParser
import FleetOperations
import FleetReport
import FleetTerminal

/// `fleet explain E_CODE` and `fleet explain ROLLOUT`.
struct ExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        _superCommandName: Fleet.name,
        abstract: "Say what an error code means, or why a rollout ended as it did."
    )

    @Argument(
        help:
            "A code that a message begins with, as in E_DIRTY, a rollout, or `last`; all codes if nothing is named."
    )
    var what: String?
    @OptionGroup var common: CommonOptions

    func run() async throws {
        guard let what else {
            if common.output == .json { return common.printJSON(ErrorCatalog.entries) }
            return common.print(ErrorText.list(style: common.standardOutputStyle))
        }
        let style = common.standardOutputStyle
        switch try await common.openRecords().explained(what, zone: LocalTimes.zone) {
        case .code(let entry) where common.output == .json: common.printJSON([entry])
        case .code(let entry): common.print(ErrorText.page(of: entry, style: style))
        case .rollout(let report) where common.output == .json:
            common.printJSON([ReportLine(report)])
        case .rollout(let report): common.print(ExplanationText.text(report, style: style))
        }
    }
}
