import ArgumentParser
import FleetOperations
import FleetReport
import FleetTerminal
import FleetYAML

/// `fleet check [ENV]`.
struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        _superCommandName: Fleet.name,
        abstract: "Check the project's files: every inventory, every playbook, and how they fit.",
        discussion: "Contacts no host. All problems are shown at once, with file, line and column."
    )

    @Argument(help: "Only this environment.")
    var environment: String?
    @Option(
        help: ArgumentHelp("Write all problems as SARIF, for code scanning.", valueName: "file")
    )
    var sarif: String?
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let operations = try await common.openUnrecorded()
        let found: ProjectCheck
        do {
            found = try await operations.check(only: environment)
            try await write(nil, operations)
        } catch let failure as OperationFailure {
            if let diagnostics = failure.diagnostics { try await write(diagnostics, operations) }
            throw failure
        }
        common.face.show(found)
    }

    private func write(_ problems: Diagnostics?, _ operations: UnrecordedOperations) async throws {
        guard let sarif else { return }
        let text = SARIFReport.text(
            problems,
            version: FleetVersion.number,
            in: await operations.folderInClone()
        )
        try ReportFile.write(text, to: Surroundings.output(sarif))
    }
}
