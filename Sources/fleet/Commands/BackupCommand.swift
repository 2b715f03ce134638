import ArgumentParser
import FleetOperations

/// `fleet backup ENV`.
struct BackupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        _superCommandName: Fleet.name,
        abstract: "Back up an environment's data: runs the playbook `backup`.",
        discussion: "`fleet show ROLLOUT --outputs` lists the backups of every host."
    )

    @OptionGroup var hosts: HostOptions
    @Option(name: [.short, .long], help: "The playbook: playbooks/NAME.yml, or a path.")
    var playbook = "backup"
    @OptionGroup var options: RolloutOptions
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let operations = try await common.openOperations()
        let request = RunRequest(
            playbook,
            on: hosts.selection,
            choice: options.choice,
            terms: confirmation.terms()
        )
        try await confirmation.run(operations.prepare(request), common, operations)
    }
}
