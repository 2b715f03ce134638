import ArgumentParser
import FleetOperations
import FleetReport
import FleetRollout

/// `fleet explain E_CODE`.
struct ExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        _superCommandName: Fleet.name,
        abstract: "Say what an error code means, what it leaves unchanged, and what to do."
    )

    @Argument(
        help: "A code that a message begins with, as in E_DIRTY; all of them if none is named."
    )
    var code: String?
    @OptionGroup var common: CommonOptions

    func run() async throws {
        guard let code else {
            if common.output == .json { return common.printJSON(ErrorCatalog.entries) }
            return common.print(ErrorText.list(style: common.standardOutputStyle))
        }
        guard let entry = ErrorCatalog.entry(for: code) else {
            throw OperationFailure(
                .usage,
                "`\(Sanitizer.line(code))` is no error code of this fleet",
                hints: [ErrorText.hint(for: code)]
            )
        }
        if common.output == .json { return common.printJSON([entry]) }
        common.print(ErrorText.page(of: entry, style: common.standardOutputStyle))
    }
}
