import ArgumentParser
import FleetOperations
import FleetTerminal

/// `fleet serve`.
struct ServeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        _superCommandName: Fleet.name,
        abstract: "Serve a dashboard, an API and webhooks over the same operations.",
        discussion: """
            What is served, to whom, and which pushes deploy where, stands in a server file; see docs/server.md. The
            server is a program of its own beside this one, fleet-server.
            """
    )

    @Option(help: ArgumentHelp("The server file.", valueName: "file"))
    var config = "server.yml"
    @Option(
        name: .customLong("first-user"),
        help: ArgumentHelp(
            "Print a link by which this account sets its password, and end.",
            valueName: "account"
        )
    )
    var firstUser: String?
    @OptionGroup var common: CommonOptions

    func run() throws {
        let path = Surroundings.fromHere(config)
        // Whatever is wrong with it is said here, where somebody types.
        _ = try ServerFileOpening.read(path)
        try SiblingProgram.become(
            "fleet-server",
            [path, common.opening.stateDirectory, FleetVersion.number]
                + (firstUser.map { ["--first-user", $0] } ?? [])
                + (common.acceptsUnsafeLibSSH2 ? ["--accept-libssh2"] : [])
        )
    }
}
