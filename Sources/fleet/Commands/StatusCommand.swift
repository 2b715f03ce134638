import ArgumentParser
import FleetOperations
import FleetReport
import FleetRollout
import FleetTerminal

/// `fleet status ENV`.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        _superCommandName: Fleet.name,
        abstract: "Ask every host what it really runs.",
        discussion: """
            Read-only. Exits 1 if a host cannot be asked, runs nothing, has local changes, or runs
            something else than the last rollout left on it.
            """
    )

    @OptionGroup var hosts: HostOptions
    @Option(name: [.short, .long], help: "The playbook that says where the release lives.")
    var playbook = "deploy"
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let status = try await common.openOperations().status(
            of: hosts.selection,
            playbook: playbook
        )
        let style = common.standardOutputStyle
        if common.output == .json {
            common.printJSON(status.hosts)
        } else {
            common.print(StatusText.table(status.hosts, style: style))
            if let last = status.last {
                common.print(
                    "\n"
                        + StatusText.last(
                            last,
                            isRunning: status.isRunning,
                            zone: LocalTimes.zone,
                            style: style
                        )
                )
            }
        }
        if let text = status.reminder { common.tell(common.standardErrorStyle.yellow(text)) }
        if status.hosts.contains(where: { !$0.isGood }) { throw ExitStatus.saidNo }
    }
}
