import ArgumentParser
import FleetJournal

/// `fleet journal verify`.
struct JournalCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "journal",
        abstract: "Look after the journal.",
        subcommands: [JournalVerifyCommand.self]
    )
}

/// `fleet journal verify`.
struct JournalVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Check that every record is what was written, and that none is missing.",
        discussion:
            "Each record carries the SHA-256 of the one before. Exits 74 if one does not hold."
    )

    @OptionGroup var common: CommonOptions

    func run() async throws {
        let (_, journal) = try common.openJournal()
        do {
            let count = try journal.verify()
            common.print("the journal holds \(count) records, each as it was written")
        } catch {
            throw CommandFailure(error)
        }
    }
}
