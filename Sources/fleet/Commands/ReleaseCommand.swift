import ArgumentParser
import FleetOperations
import FleetPlan
import FleetReport
import FleetRollout
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
    @Flag(name: [.customShort("y"), .customLong("yes")], help: "Do not ask.")
    var isConfirmed = false
    @OptionGroup var common: CommonOptions

    func validate() throws {
        let isPart = SemanticVersion.Part(rawValue: version) != nil
        if !isPart, SemanticVersion(version) == nil {
            throw ValidationError(
                "`\(version)` is not a version: write major, minor, patch, or v1.4.0"
            )
        }
        if !isPart, prerelease != nil {
            throw ValidationError("write the label into the version: \(version)-rc.1")
        }
        if let prerelease, SemanticVersion("0.0.0-\(prerelease)") == nil || prerelease.contains(".")
        {
            throw ValidationError("`\(prerelease)` is not a label: write letters, as in rc")
        }
    }

    func run() async throws {
        let maker = try await ReleaseMaker(in: common.project ?? Surroundings.workingDirectory)
        var request = ReleaseRequest(version)
        request.prerelease = prerelease
        request.branch = branch
        request.remote = remote
        request.isSigned = sign
        request.ciStatus = ciStatus ?? Surroundings.variable("FLEET_CI_STATUS")
        let next = try await maker.propose(request)
        let style = common.standardErrorStyle
        let since = next.since.map { " since \($0)" } ?? ""
        common.tell(
            "\(style.bold(next.tag)) on \(next.commit.prefix(12)), \(next.changes.count) changes\(since)"
        )
        for change in next.changes.prefix(Self.shownChanges) { common.tell("  \(change)") }
        if next.changes.count > Self.shownChanges {
            common.tell("  … and \(next.changes.count - Self.shownChanges) more")
        }
        if let higher = next.higherElsewhere {
            common.tell(
                "note: \(higher) is on another line, which this commit does not have behind it"
            )
        }
        guard !isDryRun else { return common.print("\(next.tag) would be pushed to \(remote)") }
        if !isConfirmed {
            try Terminal.confirm(
                "tag and push \(next.tag)?",
                or: "this needs a confirmation: \(next.tag)",
                hints: ["add --yes to go on without being asked", "nothing was published"],
                refusal: OperationFailure(
                    .refused,
                    "not confirmed",
                    hints: ["nothing was published"]
                )
            )
        }
        try await maker.publish(next)
        common.print("\(next.tag) pushed to \(remote)")
        common.tell("\(style.dim("next:")) fleet deploy staging --tag \(next.tag)")
    }

    private static let shownChanges = 30
}
