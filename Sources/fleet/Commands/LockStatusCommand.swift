import ArgumentParser
import FleetOperations
import FleetRollout
import FleetTerminal
import FleetTransport

/// `fleet lock status ENV`.
struct LockStatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Who holds the lock of every host. Exits 1 if any is held."
    )

    @OptionGroup var hosts: HostOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let keeper = try await common.openOperations().locks(of: hosts.selection)
        let holders = await keeper.holders()
        common.face.show(holders)
        if holders.contains(where: { !$0.isFree }) { throw ExitStatus.saidNo }
    }
}
