import ArgumentParser
import FleetOperations
import FleetRollout
import FleetTerminal
import FleetYAML

/// `fleet fetch ENV PATH`.
struct FetchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fetch",
        _superCommandName: Fleet.name,
        abstract: "Bring a file from every host here, checked.",
        discussion: """
            A file arrives as DIR/HOST/NAME, a directory as DIR/HOST/NAME.tar. What was there is
            replaced only by a complete file. Exits 1 if any host's file is not here.
            """
    )

    @OptionGroup var hosts: HostOptions
    @Argument(help: "The file or directory on the hosts; `~/` is the login directory.")
    var path: String
    @Option(help: "Where the hosts' directories are made.")
    var to = "."
    @Option(name: [.customShort("f"), .long], help: "The most hosts in flight at once.")
    var fanout = 32
    @Option(help: "The longest one host may take, as in 90s or 10m.")
    var timeout = "10m"
    @Flag(help: "Read as root, through sudo.")
    var sudo = false
    @Option(name: .customLong("become-user"), help: "Read as this user, through sudo.")
    var becomeUser: String?
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if !(1...10_000).contains(fanout) {
            throw ValidationError("--fanout must be from 1 to 10000")
        }
        if YAMLReader.milliseconds(timeout) ?? 0 < 1 {
            throw ValidationError("`\(timeout)` is not a duration: write 90s or 10m")
        }
    }

    func run() async throws {
        let operations = try await common.openUnrecorded()
        let meter = TransferMeter(isShown: Terminal.standardError.isInteractive && !common.quiet)
        var request = FetchRequest(path, from: hosts.selection, into: to)
        request.fanout = fanout
        request.timeoutMilliseconds = YAMLReader.milliseconds(timeout) ?? 600_000
        request.becomeUser = becomeUser ?? (sudo ? "root" : nil)
        let fetched = try await operations.fetch(request) { meter.note($0, $1, $2) }
        meter.finish()
        common.print(lines: FetchText.lines(of: fetched, style: common.standardOutputStyle))
        if !fetched.isComplete { throw ExitStatus.saidNo }
    }
}
