import ArgumentParser
import FleetDigest
import FleetInventory
import FleetReport
import FleetSSH
import FleetTransport

/// `fleet hosts ENV`.
struct HostsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hosts",
        abstract: "List hosts, how they are reached, and their groups. Contacts no host."
    )

    @OptionGroup var hosts: HostOptions
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
        let project = try common.openProject()
        let (_, selected) = try hosts.select(in: project)
        let transport = common.openTransport()
        let lines = selected.map { host in
            let settings = transport.effectiveSettings(for: host.endpoint)
            return Line(
                host: host.name.text,
                address: settings.hostname ?? host.name.text,
                port: settings.port ?? 22,
                user: settings.user ?? "",
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
}
