import ArgumentParser
import FleetOperations
import FleetReport
import FleetRollout
import FleetTransport

/// `fleet journal verify`.
struct JournalCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "journal",
        _superCommandName: Fleet.name,
        abstract: "Look after the journal.",
        subcommands: [JournalVerifyCommand.self]
    )
}
