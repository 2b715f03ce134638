import ArgumentParser
import FleetOperations
import FleetRollout
import FleetTransport

/// `fleet lock status|acquire|release|break ENV`.
struct LockCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lock",
        _superCommandName: Fleet.name,
        abstract: "See, take, give back and break the locks on the hosts.",
        discussion: """
            A rollout locks every host before it changes any, and gives the locks back at its end. A
            lock that stays belongs to a rollout that has not come to its end: `fleet resume` first.
            """,
        subcommands: [
            LockStatusCommand.self, LockAcquireCommand.self, LockReleaseCommand.self,
            LockBreakCommand.self,
        ]
    )
}
