import ArgumentParser
import FleetClients
import FleetDigest
import FleetInventory
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
        let address: String
        let port: Int
        let user: String
        let groups: [String]
        let variables: [String: String]
    }

    func run() async throws {
        let project = try await common.openProject()
        let (_, selected) = try hosts.select(in: project, isOnlyShown: true)
        let transport = common.transport(in: project).libssh2
        if let explain { return try show(explain, of: selected, transport) }
        let lines = try selected.map { host in
            let settings = try answer(about: host, transport.effectiveSettings(for:))
            return Line(
                host: host.name.text,
                address: settings.hostname,
                port: settings.port,
                user: settings.user,
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
        let rows = lines.map { line in
            [
                line.host, "\(line.user)@\(line.address):\(line.port)",
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
        _ ask: (HostEndpoint) throws(TransportError) -> Answer
    ) throws(CommandFailure) -> Answer {
        do throws(TransportError) {
            return try ask(host.endpoint)
        } catch {
            throw CommandFailure(.invalidFiles, "\(host.name): \(error.message)")
        }
    }

    private func show(_ name: String, of selected: [Host], _ transport: SSHTransport)
        throws(CommandFailure)
    {
        guard let host = selected.first(where: { $0.name.text == name }) else {
            throw CommandFailure(
                .usage,
                "there is no host `\(name)` among those selected",
                hints: Suggestion.hint(for: name, in: selected.map(\.name.text))
            )
        }
        let rows = try answer(about: host, transport.explanation(of:))
        if common.output == .json {
            for row in rows {
                let line = ["setting": row.name, "value": row.value, "source": row.source]
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
    }
}
