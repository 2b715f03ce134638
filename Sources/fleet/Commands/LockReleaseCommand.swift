import ArgumentParser
import FleetOperations
import FleetRollout
import FleetTerminal
import FleetTransport

/// `fleet lock release ENV`.
struct LockReleaseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "release",
        abstract: "Give back what `fleet lock acquire` took."
    )

    @OptionGroup var hosts: HostOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let holders = try await common.openOperations().releaseLocks(of: hosts.selection)
        common.face.show(holders)
        if holders.contains(where: { !$0.isFree }) { throw ExitStatus.saidNo }
    }
}
