import ArgumentParser
import FleetOperations
import FleetReport
import FleetRollout

/// `fleet doctor [ENV]`.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        _superCommandName: Fleet.name,
        abstract: "Say what this machine can do, and what a deploy to an environment would miss.",
        discussion: """
            Without an environment no host is contacted. With one, every host is logged in to and asked
            what it is like; nothing is changed. Exits 11 if a deploy would refuse a host.
            """
    )

    @Argument(help: "The environment: inventory/ENV.yml.")
    var environment: String?
    @Option(name: [.short, .long], help: "A host pattern: web:!web03, web[01:04], db*.")
    var limit: String?
    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await showThisMachine(isWhole: environment == nil)
        guard let environment else { return }
        let found = try await common.openUnrecorded().examine(
            HostSelection(environment, limit: limit)
        )
        if common.output == .json {
            common.printJSON(found.map(\.findings))
        } else {
            let text = DoctorText(environment: environment, style: common.standardOutputStyle)
            common.print("\n" + text.lines(found.map { ($0, $1) }).joined(separator: "\n"))
        }
        if found.contains(where: \.findings.isRefused) { throw ExitStatus.refused }
    }

    /// What this machine has; with its limits only where nothing else is asked.
    private func showThisMachine(isWhole: Bool) async throws {
        let style = common.standardOutputStyle
        let found = await MachineFindings.look()
        if common.output != .json {
            common.print(FleetVersion.text)
            common.print(
                found.openSSH ?? style.yellow("no `ssh`: \(found.whyNoOpenSSH ?? "")")
            )
            if isWhole {
                common.print(
                    found.openSSH == nil
                        ? "libssh2 \(found.libssh2) does not reach:"
                        : "`ssh` is used for what libssh2 \(found.libssh2) cannot do:"
                )
                for limitation in found.limitations {
                    let cure = found.openSSH == nil ? "; \(limitation.cure)" : ""
                    common.print("  - \(limitation.text)\(cure)")
                }
            }
        }
        guard let danger = found.danger else {
            if common.output != .json {
                common.print(style.green("nothing speaks against using them"))
            }
            return
        }
        common.print("\n\(style.red(danger))")
        common.print("install your distribution's security update of libssh2")
        throw ExitStatus.missingDependency
    }
}
