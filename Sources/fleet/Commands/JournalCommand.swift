import ArgumentParser
import FleetInventory
import FleetJournal
import FleetOperations
import FleetProject
import FleetReport
import FleetRollout
import FleetRunner
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
        let (_, journal) = try common.openJournal()
        do {
            let count = try journal.verify()
            common.print("the journal holds \(count) records, each as it was written")
        } catch {
            throw OperationFailure(error)
        }
        guard let environment else { return }
        let project = try await common.openProject()
        let hosts: [Host]
        do {
            hosts = try project.inventory(environment).hosts
        } catch {
            throw OperationFailure(error)
        }
        let transport = try await common.openTransport(for: hosts, in: project)
        let ledgers = await HostLedger.ask(
            hosts,
            environment: environment,
            over: Survey(transport: transport)
        )
        var agreeing: [HostName] = []
        var isMissed = false
        var isOpen = false
        for host in hosts.map(\.name) {
            switch ledgers[host] {
            case .success(let ledger):
                if ledger.hasGarbledWitness {
                    isOpen = true
                    common.print(
                        "\(host)  was told of a record, and its note of that cannot be read any more"
                    )
                }
                guard let witness = ledger.witness else { continue }
                switch try journal.holds(witness) {
                case true?: agreeing.append(host)
                case false?:
                    isMissed = true
                    common.print(
                        "\(host)  was told of record \(witness.sequence) of rollout "
                            + "\(witness.rollout), which is changed or missing here"
                    )
                case nil:
                    isOpen = true
                    common.print(
                        "\(host)  was last changed by rollout \(witness.rollout), which is not in "
                            + "this journal: another one has it, or it was taken away"
                    )
                }
            case .failure(let error):
                isOpen = true
                common.print("\(host)  \(error.token): \(error.message)")
            case nil: isOpen = true
            }
        }
        if !agreeing.isEmpty { common.print("\(HostRange.fold(agreeing))  agree with it") }
        if isMissed { throw ExitStatus.journal }
        if isOpen { throw ExitStatus.saidNo }
    }
}
