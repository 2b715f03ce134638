import ArgumentParser
import FleetOperations

/// `fleet hotfix ENV --tag T --reason R`.
struct HotfixCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hotfix",
        _superCommandName: Fleet.name,
        abstract:
            "Deploy in an emergency: without staging and windows, never without the smoke test.",
        discussion: """
            The playbook's `hotfix:` block says how hosts are taken. What the policy's
            `hotfix_requires` names is needed all the same. The reason is recorded, and `fleet status`
            reminds of the hotfix until staging contains it.
            """
    )

    @OptionGroup var hosts: HostOptions
    @OptionGroup var options: RolloutOptions
    @Option(help: "Why; it is recorded.")
    var reason: String
    @Option(name: [.short, .long], help: "The playbook: playbooks/NAME.yml, or a path.")
    var playbook = "deploy"
    @OptionGroup var policy: PolicyOptions
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if reason.allSatisfy(\.isWhitespace) { throw ValidationError("--reason needs a text") }
        if options.choice.release == nil {
            throw ValidationError("name the release: --tag T, or --commit C")
        }
    }

    func run() async throws {
        let operations = try await common.openOperations()
        var request = DeployRequest(
            to: hosts.selection,
            choice: options.choice,
            terms: confirmation.terms(policy, hotfix: reason)
        )
        request.playbook = playbook
        try await confirmation.run(operations.prepare(request), common, operations)
        common.tell(
            "next: bring the fix to the release branch and to staging; "
                + "`fleet status \(hosts.environment)` reminds of it until then"
        )
    }
}
