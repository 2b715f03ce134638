import ArgumentParser
import FleetOperations
import FleetReport
import FleetRollout
import FleetTerminal

/// `fleet stop [ROLLOUT]`.
struct StopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop",
        _superCommandName: Fleet.name,
        abstract: "Ask a rollout to stop that another terminal, CI or a server carries out.",
        discussion: """
            It hears that within a second. What is under way on a host ends first, and nothing new
            starts; with --after batch the hosts of this batch are brought to their end, too, and
            with --now nothing is waited for. `fleet resume` goes on from there, or back.
            """
    )

    @Argument(help: "The rollout; by default the one that has not come to its end.")
    var rollout: String?
    @Option(
        help: ArgumentHelp("After what: batch or step.", valueName: "what"),
        transform: { text in
            guard let point = StopRequest.Point(rawValue: text), point != .now else {
                throw ValidationError("`\(text)` is neither `batch` nor `step`")
            }
            return point
        }
    )
    var after: StopRequest.Point?
    @Flag(help: "Wait for nothing: what runs on a host runs on there.")
    var now = false
    @Option(help: "Why; it is recorded, and shown where the rollout is carried out.")
    var reason: String?
    @OptionGroup var common: CommonOptions

    /// How long a controller is given to hear it, in milliseconds: it asks twice a second.
    private static let hearingMilliseconds = 10_000

    func validate() throws {
        if now, after != nil { throw ValidationError("give --now or --after, not both") }
    }

    func run() async throws {
        let stopping = try await common.openController().askToStop(
            try rollout.map(RolloutLookup.id),
            after: now ? .now : after ?? .step,
            reason: reason,
            by: Surroundings.initiator
        )
        try await stopping.requireHeard(within: Self.hearingMilliseconds)
        common.print(
            "rollout \(stopping.rollout) has heard it: \(StopText.effect(of: stopping.request.point))"
        )
    }
}
