import ArgumentParser
import FleetOperations
import FleetRollout
import FleetTerminal
import FleetTransport

/// `fleet lock break ENV --reason REASON`.
struct LockBreakCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "break",
        abstract: "Take the locks away from a rollout, and end what still runs of it.",
        discussion: """
            From then on the hosts refuse every further step of that rollout. What state it left them
            in is for `fleet status` to find out.
            """
    )

    @OptionGroup var hosts: HostOptions
    @Option(help: "The rollout that holds the locks; asked for if it is not given.")
    var owner: String?
    @Option(help: "Why; the locks' next reader sees it while they are being broken.")
    var reason: String
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let operations = try await common.openOperations()
        let locks = try await operations.locks(of: hosts.selection)
        let holders = await locks.holders()
        common.face.show(holders)
        let owners = Set(holders.compactMap(\.owner))
        guard !owners.isEmpty else { return }
        if owner == nil, !Terminal.canAsk {
            throw OperationFailure(
                .refused,
                "name the rollout that holds the locks with --owner",
                hints: owners.sorted() + ["nothing was changed"]
            )
        }
        let question = "type the name of the rollout whose locks shall be broken: "
        let typed = owner ?? Terminal.ask(question) ?? ""
        let broken = try await operations.breakLocks(
            locks,
            heldBy: holders,
            owner: typed,
            reason: reason
        )
        common.print("broken on \(HostRange.fold(broken)); nothing of \(typed) runs there any more")
    }
}
