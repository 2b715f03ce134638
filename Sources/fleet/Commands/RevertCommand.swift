import ArgumentParser
import FleetOperations

/// `fleet revert ENV`.
struct RevertCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revert",
        _superCommandName: Fleet.name,
        abstract: "Put hosts back on what they ran before a rollout, or on a tag.",
        discussion: """
            Without a rollout, the newest one that changed the environment is undone: exactly the
            hosts that it touched, each back to the commit recorded before it was touched.
            """,
        aliases: ["rollback"]
    )

    @OptionGroup var hosts: HostOptions
    @Option(help: "Go to this tag instead of what each host ran before.")
    var to: String?
    @Option(help: "Undo this rollout.")
    var rollout: String?
    @Option(
        name: [.short, .long],
        help:
            "The playbook that deployed what is taken back, or with --to the one that deploys it (`deploy`)."
    )
    var playbook: String?
    @Option(help: "Why; recorded, and said to whoever wants to deploy the release again.")
    var reason: String?
    @Flag(
        name: .customLong("no-quarantine"),
        help: "Let the release be deployed again without being forced: nothing is wrong with it."
    )
    var sparesRelease = false
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if to != nil, rollout != nil {
            throw ValidationError("give only one of --to and --rollout")
        }
        if playbook != nil, rollout != nil {
            throw ValidationError(
                "give only one of --playbook and --rollout: a rollout has its own"
            )
        }
    }

    func run() async throws {
        let operations = try await common.openOperations()
        var request = RevertRequest(
            hosts.selection,
            to: to.map { .tag($0) } ?? rollout.map { .rollout($0) } ?? .newest,
            terms: confirmation.terms(revert: reason)
        )
        request.playbook = playbook
        request.sparesRelease = sparesRelease
        try await confirmation.run(operations.prepare(request), common, operations)
    }
}
