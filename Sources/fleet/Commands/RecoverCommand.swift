import ArgumentParser
import FleetInventory
import FleetJournal
import FleetOperations
import FleetPlan
import FleetReport
import FleetRollout
import FleetRunner
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
        let project = try await common.openProject()
        let (_, selected) = try hosts.select(in: project)
        let (_, journal) = try common.openJournal()
        let transport = try await common.openTransport(for: selected, in: project)
        let lock = HostLock(environment: hosts.environment, owner: "-", description: "")
        let answers = await Survey(transport: transport).ask(selected.map { ($0, lock.records) })
        var reconstruction = Reconstruction()
        var isComplete = true
        for host in selected {
            switch answers[host.name] {
            case .success(let answer):
                let strange = reconstruction.add(
                    answer.text,
                    from: host.endpoint,
                    environment: hosts.environment
                )
                guard strange > 0 else { continue }
                isComplete = false
                common.print("\(host.name)  \(strange) lines of what it has kept make no sense")
            case .failure(let error):
                isComplete = false
                common.print("\(host.name)  \(error.token): \(error.message)")
            case nil: isComplete = false
            }
        }
        let known = Set(
            try journal.history(environment: hosts.environment, limit: nil).map(\.id)
        )
        let lost = reconstruction.found.keys.filter { !known.contains($0) }
            .sorted { $0.description < $1.description }
        for id in lost {
            do {
                guard
                    let rollout = try await reconstruction.write(
                        id,
                        by: Surroundings.origin,
                        to: journal
                    )
                else { continue }
                let touched = rollout.hosts.filter(\.isTouched).map(\.name)
                common.print(
                    """
                    \(Sanitizer.line(PlanText.headline(rollout.plan)))  rollout \(id)
                      remembered by \(HostRange.fold(rollout.hosts.map(\.name))), \
                    touched \(touched.isEmpty ? "nobody" : HostRange.fold(touched))
                      next: fleet resume \(id) --back    or, if it shall go on: fleet resume \(id)
                    """
                )
            } catch {
                throw OperationFailure(error)
            }
        }
        if lost.isEmpty {
            common.print("no host remembers a rollout that the journal does not know")
        }
        if !isComplete { throw ExitStatus.saidNo }
    }
}
