import ArgumentParser
import FleetClients
import FleetOperations
import FleetReport

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
            return try await show(operations.explain(explain, of: hosts.selection))
        }
        let lines = try await operations.hosts(hosts.selection)
        if common.output == .json { return common.printJSON(lines) }
        table(
            ["host", "reached as", "groups"],
            lines.map { [$0.host, $0.way, $0.groups.joined(separator: " ")] }
        )
    }

    private func show(_ rows: [ClientTransport.Explanation]) {
        if common.output == .json {
            return common.printJSON(
                rows.map { row in
                    var line = ["setting": row.name, "value": row.value, "source": row.source]
                    line["ssh"] = row.ssh
                    return line
                }
            )
        }
        table(
            ["setting", "value", "from"],
            rows.map { [$0.name, Sanitizer.line($0.value), $0.source] }
        )
        let others = rows.filter { $0.ssh != nil }
        guard !others.isEmpty else { return }
        common.print("")
        table(
            ["where ssh differs", "fleet", "ssh", "why"],
            others.map {
                [$0.name, Sanitizer.line($0.value), Sanitizer.line($0.ssh ?? ""), $0.note]
            }
        )
    }

    private func table(_ header: [String], _ rows: [[String]]) {
        let lines = Table.lines(
            header: header,
            rows: rows,
            style: common.standardOutputStyle,
            indent: ""
        )
        common.print(lines.joined(separator: "\n"))
    }
}
