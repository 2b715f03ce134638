import ArgumentParser
import FleetOperations
import FleetPlan
import FleetReport
import FleetTerminal

/// `fleet approve RELEASE ENV`.
struct ApproveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "approve",
        _superCommandName: Fleet.name,
        abstract: "Sign a release off for an environment.",
        discussion: """
            The release's commit and the digest of the plan are recorded, with who approves and until
            when. Needed where the environment's policy says `require: [approved]`. The journal of this
            machine keeps it: approve where deploys are started from.
            """
    )

    @Argument(help: "The release: a tag, or a commit's full id.")
    var release: String
    @OptionGroup var hosts: HostOptions
    @Option(name: [.customShort("m"), .long], help: "Why, in your words.")
    var note: String
    @Option(name: [.short, .long], help: "The playbook: playbooks/NAME.yml, or a path.")
    var playbook = "deploy"
    @Flag(help: "Take back what you have approved.")
    var withdraw = false
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if note.allSatisfy(\.isWhitespace) { throw ValidationError("--note needs a text") }
    }

    func run() async throws {
        let operations = try await common.openOperations()
        var request = ApprovalRequest(release, for: hosts.selection, note: note)
        request.playbook = playbook
        request.isWithdrawal = withdraw
        request.asksGit = Surroundings.actor == nil
        let approved = try await operations.approve(request)
        let approval = approved.approval
        let name = "\(approval.release.label) (\(approval.release.commit.prefix(12)))"
        let who = Sanitizer.line(approval.approver)
        guard !withdraw else {
            return common.print("\(name): \(who) approves it for \(approval.environment) no more")
        }
        let until = LocalTimes.zone.text(unixMilliseconds: approval.expiresUnixMilliseconds)
        common.print(
            "\(name) approved for \(approval.environment) by \(who), until \(until)"
        )
        for objection in approved.missing {
            common.tell(common.standardErrorStyle.yellow("note: not enough: \(objection)"))
        }
        if !approved.isAskedFor {
            common.tell(
                "note: \(approval.environment) does not ask for approvals (policy.require)"
            )
        }
    }
}
