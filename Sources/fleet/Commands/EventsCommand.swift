import ArgumentParser
import FleetOperations
import FleetReport
import FleetTerminal

/// `fleet events [ROLLOUT]`.
struct EventsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events",
        _superCommandName: Fleet.name,
        abstract:
            "Print what happened in a rollout for other programs: a line of JSON for each event.",
        discussion:
            "docs/json.md describes each line. It is always JSON, with or without `-o json`."
    )

    @Argument(help: "The rollout: see `fleet history`.")
    var rollout: String?
    @Flag(name: [.short, .long], help: "Wait for what happens next, until the rollout ends.")
    var follow = false
    @OptionGroup var common: CommonOptions

    func run() async throws {
        Surroundings.endWithTheTerminal()
        let followed = try await common.openController().followed(rollout)
        var lines = EventLines(plan: followed.plan)
        let end = try await followed.follow(waits: follow) { entries in
            for entry in entries {
                for line in lines.lines(for: entry) {
                    Terminal.standardOutput.write(JSONLine.bytes(of: line))
                }
            }
        }
        if end == .abandoned { common.tell(FollowText.abandoned(followed.id)) }
    }
}
