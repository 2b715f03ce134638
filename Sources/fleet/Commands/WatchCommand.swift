import ArgumentParser
import FleetOperations
import FleetPlan
import FleetReport
import FleetRollout
import FleetTerminal

/// `fleet watch [ROLLOUT]`.
struct WatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        _superCommandName: Fleet.name,
        abstract: "Show a rollout that another terminal, a CI job or --detach carries out.",
        discussion: """
            Leaving it (q, Ctrl-C) changes nothing of the rollout. It also makes a terminal usable again
            that a killed fleet has left without echo or cursor. Exits as the rollout does.
            """
    )

    @Argument(help: "The rollout; by default the one that has not come to its end, or the last.")
    var rollout: String?
    @Option(help: "auto, live, plain, json or quiet; else FLEET_PROGRESS.")
    var progress: ProgressForm?
    @OptionGroup var common: CommonOptions

    func run() async throws {
        TerminalMode.mend()
        Surroundings.endWithTheTerminal()
        let controller = try common.openController()
        let followed = try await controller.followed(rollout)
        let view = RolloutView(
            RolloutView.Settings(
                progress: ProgressForm.chosen(progress, isQuiet: common.quiet),
                printsEvents: common.output == .json
            )
        )
        let end = try await WatchFace(common.face, controller).watch(followed, in: view)
        switch end {
        case .over(let outcome):
            let status = ExitStatus(outcome, of: followed.plan.kind)
            if status != .succeeded { throw status }
        case .abandoned:
            common.tell(FollowText.abandoned(followed.id))
            throw ExitStatus.interrupted
        case .upToNow, .cancelled: break
        }
    }
}
