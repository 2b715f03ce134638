import ArgumentParser
import FleetOperations
import FleetRollout
import FleetTransport

/// `fleet lock acquire ENV --reason REASON`.
struct LockAcquireCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "acquire",
        abstract: "Lock every host by hand, so that no rollout changes it."
    )

    @OptionGroup var hosts: HostOptions
    @Option(help: "Why; whoever finds the lock reads it.")
    var reason: String
    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await common.openOperations().acquireLocks(of: hosts.selection, reason: reason)
        common.print("locked; `fleet lock release \(hosts.environment)` gives it back")
    }
}
