import ArgumentParser
import FleetOperations
import FleetReport
import FleetTerminal

/// `fleet release [PART|VERSION]`.
struct ReleaseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "release",
        _superCommandName: Fleet.name,
        abstract: "Tag the next version of what is pushed on the release branch, and push the tag.",
        discussion: """
            Run it in a clone of the application's repository. The work tree must be clean, the
            release branch checked out and pushed. A published tag is never moved, reused or passed
            by a lower version. Contacts no host.
            """
    )

    @Argument(help: "major, minor, patch, or a version as in v1.4.0.")
    var version = "patch"
    @Option(help: ArgumentHelp("Make a pre-release with this label.", valueName: "label"))
    var prerelease: String?
    @Option(help: "The release branch; by default the remote's own, or main.")
    var branch: String?
    @Option(help: "The remote that the tag is pushed to.")
    var remote = "origin"
    @Flag(help: "Sign the tag, as git is configured to.")
    var sign = false
    @Option(
        name: .customLong("ci-status"),
        help: ArgumentHelp(
            "A command that exits 0 if CI is green for $FLEET_COMMIT; also FLEET_CI_STATUS.",
            valueName: "command"
        )
    )
    var ciStatus: String?
    @Flag(
        name: [.customShort("n"), .customLong("dry-run")],
        help: "Say what would be done, and stop."
    )
    var isDryRun = false
    @OptionGroup var agreement: AgreementOptions
    @OptionGroup var common: CommonOptions

    private var request: ReleaseRequest {
        var request = ReleaseRequest(version)
        request.prerelease = prerelease
        request.branch = branch
        request.remote = remote
        request.isSigned = sign
        request.ciStatus = ciStatus ?? Surroundings.variable("FLEET_CI_STATUS")
        return request
    }

    func validate() throws {
        if let problem = request.problem { throw ValidationError(problem) }
    }

    func run() async throws {
        let maker = try await ReleaseMaker(in: common.project ?? Surroundings.workingDirectory)
        let next = try await maker.propose(request)
        let style = common.standardErrorStyle
        for line in ReleaseText.lines(of: next, style: style) { common.tell(line) }
        guard !isDryRun else { return common.print("\(next.tag) would be pushed to \(remote)") }
        try agreement.confirm(
            "tag and push \(next.tag)?",
            or: "this needs a confirmation: \(next.tag)",
            "add --yes to go on without being asked",
            unchanged: "nothing was published"
        )
        try await maker.publish(next)
        common.print("\(next.tag) pushed to \(remote)")
        common.tell("\(style.dim("next:")) fleet deploy staging --tag \(next.tag)")
    }
}
