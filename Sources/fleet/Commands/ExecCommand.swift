import ArgumentParser
import FleetOperations
import FleetRollout
import FleetTerminal
import FleetTransport
import FleetYAML

/// `fleet exec ENV -- COMMAND`.
struct ExecCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec",
        _superCommandName: Fleet.name,
        abstract: "Run one command on every host and show what they print, folded.",
        discussion: """
            One argument is a shell script; several are one command and its arguments, each passed
            as it is. Exits 1 if the command failed on any host.
            """
    )

    @OptionGroup var hosts: HostOptions
    @Option(name: [.customShort("f"), .long], help: "The most hosts in flight at once.")
    var fanout = 32
    @Option(help: "The longest the command may take, as in 90s or 10m.")
    var timeout = "10m"
    @Flag(help: "Run as root, through sudo -n.")
    var sudo = false
    @Option(name: .customLong("become-user"), help: "Run as this user, through sudo -n.")
    var becomeUser: String?
    @OptionGroup var view: ViewOptions
    @OptionGroup var common: CommonOptions
    @Argument(parsing: .postTerminator, help: "The command, after `--`.")
    var command: [String] = []

    func validate() throws {
        if command.isEmpty { throw ValidationError("give a command after `--`") }
        if !(1...10_000).contains(fanout) {
            throw ValidationError("--fanout must be from 1 to 10000")
        }
        if YAMLReader.milliseconds(timeout) ?? 0 < 1 {
            throw ValidationError("`\(timeout)` is not a duration: write 90s or 10m")
        }
    }

    func run() async throws {
        let operations = try await common.openOperations()
        let text =
            command.count == 1
            ? command[0] : command.map(ShellWord.quote).joined(separator: " ")
        var request = ExecRequest(text, on: hosts.selection)
        request.fanout = fanout
        request.timeoutMilliseconds = YAMLReader.milliseconds(timeout) ?? 600_000
        request.becomeUser = becomeUser ?? (sudo ? "root" : nil)
        let status = try await RolloutFace(common.face, operations).carryOut(
            try await operations.prepare(request),
            view.settings(common),
            view.ending
        )
        if status != .succeeded { throw status }
    }
}
