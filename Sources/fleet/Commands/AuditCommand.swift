import ArgumentParser
import FleetOperations
import FleetReport
import FleetTerminal

/// `fleet audit [ENV]`.
struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        _superCommandName: Fleet.name,
        abstract: "Who did what, when, why and with which plan, from the journal.",
        discussion: """
            Deploys, hotfixes, overridden rules, approvals and broken locks, the newest first. The
            records are chained by their hashes: `fleet journal verify` shows that none was changed.
            """
    )

    @Argument(help: "Only this environment.")
    var environment: String?
    @Option(name: [.customShort("c"), .long], help: "How many lines.")
    var count = 50
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if !(1...100_000).contains(count) {
            throw ValidationError("--count must be from 1 to 100000")
        }
    }

    func run() async throws {
        let lines = try await common.openRecords().audit(of: environment, limit: count)
        if common.output == .json { return common.printJSON(lines) }
        guard !lines.isEmpty else { return common.print("nothing was done yet") }
        common.print(
            AuditText.table(lines, zone: LocalTimes.zone, style: common.standardOutputStyle)
        )
    }
}
