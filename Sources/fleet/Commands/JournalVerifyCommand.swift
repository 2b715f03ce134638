import ArgumentParser
import FleetOperations
import FleetReport
import FleetRollout
import FleetTerminal
import FleetTransport

/// `fleet journal verify`.
struct JournalVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Check that every record is what was written, and that none is missing.",
        discussion: """
            Each record carries the SHA-256 of the one before. Every host that a rollout touched was
            told where the journal was then: with an environment, its hosts are asked, so that
            records that were taken off the end are missed, too. Exits 74 if a record does not hold.
            """
    )

    @Argument(help: "Ask the hosts of this environment, too.")
    var environment: String?

    @OptionGroup var common: CommonOptions

    func run() async throws {
        let count = try await common.openRecords().verify()
        common.print("the journal holds \(count) records, each as it was written")
        guard let environment else { return }
        let result = try await common.openOperations().verifyJournal(against: environment)
        let (isMissed, isOpen) = common.face.show(result)
        if isMissed { throw ExitStatus.journal }
        if isOpen { throw ExitStatus.saidNo }
    }
}
