import ArgumentParser
import FleetClients
import FleetDigest
import FleetInventory
import FleetOperations
import FleetReport
import FleetRollout
import FleetSSH
import FleetTransport
import FleetYAML

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

    private struct Line: Encodable {
        let host: String
        let client: String
        let address: String
        let port: Int
        let user: String
        let groups: [String]
        let variables: [String: String]
    }

    func run() async throws {
        let project = try await common.openProject()
        let (_, selected) = try hosts.select(in: project, isOnlyShown: true)
        let transport = common.transport(in: project)
        if let explain { return try await show(explain, of: selected, transport) }
        var ways: [ClientTransport.Way] = []
        for host in selected {
            ways.append(try await answer(about: host, transport.way(to:)))
        }
        let lines = zip(selected, ways).map { host, way in
            Line(
                host: host.name.text,
                client: way.client.rawValue,
                address: way.hostname,
                port: way.port,
                user: way.user,
                groups: host.groups,
                variables: host.variables
            )
        }
        if common.output == .json {
            for line in lines {
                common.print(String(decoding: CanonicalJSON.encode(line), as: UTF8.self))
            }
            return
        }
        let rows = zip(lines, ways).map { line, way in
            [
                line.host, way.text + (way.client == .openssh ? " by ssh" : ""),
                line.groups.joined(separator: " "),
            ]
        }
        let table = Table.lines(
            header: ["host", "reached as", "groups"],
            rows: rows,
            style: common.standardOutputStyle,
            indent: ""
        )
        common.print(table.joined(separator: "\n"))
    }

    private func answer<Answer>(
        about host: Host,
        _ ask: (HostEndpoint) async throws(TransportError) -> Answer
    ) async throws(OperationFailure) -> Answer {
        do throws(TransportError) {
            return try await ask(host.endpoint)
        } catch {
            throw OperationFailure(.invalidFiles, "\(host.name): \(error.message)")
        }
    }

    private func show(_ name: String, of selected: [Host], _ transport: ClientTransport)
        async throws(OperationFailure)
    {
        guard let host = selected.first(where: { $0.name.text == name }) else {
            throw OperationFailure(
                .usage,
                "there is no host `\(name)` among those selected",
                hints: Suggestion.hint(for: name, in: selected.map(\.name.text))
            )
        }
        let rows = try await answer(about: host, transport.explanation(of:))
        if common.output == .json {
            for row in rows {
                var line = ["setting": row.name, "value": row.value, "source": row.source]
                line["ssh"] = row.ssh
                common.print(String(decoding: CanonicalJSON.encode(line), as: UTF8.self))
            }
            return
        }
        let table = Table.lines(
            header: ["setting", "value", "from"],
            rows: rows.map { [$0.name, Sanitizer.line($0.value), $0.source] },
            style: common.standardOutputStyle,
            indent: ""
        )
        common.print(table.joined(separator: "\n"))
        let others = rows.filter { $0.ssh != nil }
        guard !others.isEmpty else { return }
        let differences = Table.lines(
            header: ["where ssh differs", "fleet", "ssh", "why"],
            rows: others.map {
                [$0.name, Sanitizer.line($0.value), Sanitizer.line($0.ssh ?? ""), $0.note]
            },
            style: common.standardOutputStyle,
            indent: ""
        )
        common.print("\n" + differences.joined(separator: "\n"))
    }
}
