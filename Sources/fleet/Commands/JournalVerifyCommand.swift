import ArgumentParser
import FleetOperations
import FleetReport
import FleetRollout
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
        var agreeing: [HostName] = []
        var isMissed = false
        var isOpen = false
        for (host, answer) in result.answers {
            switch answer {
            case .nothing: continue
            case .agrees: agreeing.append(host)
            case .missed(let rollout, let sequence):
                isMissed = true
                common.print(
                    "\(host)  was told of record \(sequence) of rollout \(rollout), which is changed or missing here"
                )
            case .foreign(let rollout):
                isOpen = true
                common.print(
                    "\(host)  was last changed by rollout \(rollout), which is not in this journal: another one has "
                        + "it, or it was taken away"
                )
            case .garbled:
                isOpen = true
                common.print(
                    "\(host)  was told of a record, and its note of that cannot be read any more"
                )
            case .unknown(let why):
                isOpen = true
                common.print("\(host)  \(why)")
            }
        }
        if !agreeing.isEmpty { common.print("\(HostRange.fold(agreeing))  agree with it") }
        if isMissed { throw ExitStatus.journal }
        if isOpen { throw ExitStatus.saidNo }
    }
}
