import ArgumentParser
import FleetOperations
import FleetReport
import FleetRollout
import FleetTransport

/// `fleet recover ENV`.
struct RecoverCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recover",
        _superCommandName: Fleet.name,
        abstract: "Rebuild the journal of unfinished rollouts from what the hosts have kept.",
        discussion: """
            For when the journal is lost, or on another machine. Changes nothing on the hosts: every
            host keeps what it was to do, what it ran before, and what came of each step, until its
            rollout has come to its end. `fleet resume` then takes such a rollout up.
            """
    )

    @OptionGroup var hosts: HostOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let recovery = try await common.openOperations().recover(hosts.selection)
        for (host, text) in recovery.problems { common.print("\(host)  \(text)") }
        for found in recovery.found {
            let touched = found.rollout.hosts.filter(\.isTouched).map(\.name)
            common.print(
                """
                \(Sanitizer.line(PlanText.headline(found.rollout.plan)))  rollout \(found.id)
                  remembered by \(HostRange.fold(found.rollout.hosts.map(\.name))), \
                touched \(touched.isEmpty ? "nobody" : HostRange.fold(touched))
                  next: fleet resume \(found.id) --back    or, if it shall go on: fleet resume \(found.id)
                """
            )
        }
        if recovery.isNothingLost {
            common.print("no host remembers a rollout that the journal does not know")
        }
        if !recovery.problems.isEmpty { throw ExitStatus.saidNo }
    }
}
