import ArgumentParser
import FleetReport
import FleetRollout
import FleetSSH

/// `fleet doctor`.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        _superCommandName: Fleet.name,
        abstract: "Say what this machine's libraries can and cannot do. Contacts no host."
    )

    @OptionGroup var common: CommonOptions

    func run() async throws {
        let style = common.standardOutputStyle
        common.print(FleetVersion.text)
        common.print("\nwith libssh2 \(LibSSH2.version):")
        for line in LibSSH2.limitations { common.print("  - \(line)") }
        guard let danger = LibSSH2.danger else {
            common.print("\n\(style.green("nothing speaks against using it"))")
            return
        }
        common.print("\n\(style.red(danger))")
        common.print("install your distribution's security update of libssh2")
        throw ExitStatus.missingDependency
    }
}
