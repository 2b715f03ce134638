import ArgumentParser
import FleetOperations
import FleetReport
import FleetRollout
import FleetTransport

/// `fleet reconcile ENV`.
struct ReconcileCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reconcile",
        _superCommandName: Fleet.name,
        abstract: "Compare what fleet has left on every host with what the journal says.",
        discussion: """
            Read-only: locks, steps that still run or ended without a result, armed dead-man
            switches, and the record that each host was last changed under. What the hosts run is
            what `fleet status` compares. Exits 1 if something does not fit, with the command that
            mends it.
            """
    )

    @OptionGroup var hosts: HostOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let result = try await common.openOperations().reconcile(hosts.selection)
        if let holder = result.holder {
            common.print("under way on this machine: \(Sanitizer.line(holder))")
        } else if let unfinished = result.unfinished {
            common.print(
                "rollout \(unfinished) has not come to its end    fleet resume \(unfinished)"
            )
        }
        for finding in result.findings {
            common.print("\(HostRange.fold(finding.hosts))  \(Sanitizer.line(finding.text))")
        }
        guard result.isGood else { throw ExitStatus.saidNo }
        common.print("\(HostRange.fold(result.hosts)): everything there is as the journal says")
    }
}
