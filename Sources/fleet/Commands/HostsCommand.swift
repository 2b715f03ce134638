import ArgumentParser
import FleetClients
import FleetOperations
import FleetReport
import FleetTerminal

/// `fleet hosts ENV`.
struct HostsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hosts",
        _superCommandName: Fleet.name,
        abstract: "List hosts, how they are reached, and their groups. Contacts no host."
    )

    @OptionGroup var hosts: HostOptions
    @Option(
        help: ArgumentHelp(
            "Show every setting for one host and where it comes from.",
            valueName: "host"
        )
    )
    var explain: String?
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let operations = try await common.openUnrecorded()
        if let explain {
            return try await common.face.show(operations.explain(explain, of: hosts.selection))
        }
        let lines = try await operations.hosts(hosts.selection)
        if common.output == .json { return common.printJSON(lines) }
        common.face.table(
            ["host", "reached as", "groups"],
            lines.map { [$0.host, $0.way, $0.groups.joined(separator: " ")] }
        )
    }
}
