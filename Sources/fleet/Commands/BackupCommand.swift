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
        try await RolloutFace(common: common, operations: operations)
            .run(operations.prepare(request), confirmation)
    }
}

/// `fleet restore ENV --from BACKUP`.
struct RestoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore",
        _superCommandName: Fleet.name,
        abstract:
            "Put a backup in the place of an environment's data: runs the playbook `restore`.",
        discussion: """
            The backup is checked before anything is touched: what is corrupt, or of a newer schema, is
            refused. When the service does not come up with it, what was there is put back.
            """
    )

    @OptionGroup var hosts: HostOptions
    @Option(help: "The backup's name, or `newest`: the newest one of each host.")
    var from: String
    @Option(name: [.short, .long], help: "The playbook: playbooks/NAME.yml, or a path.")
    var playbook = "restore"
    @OptionGroup var options: RolloutOptions
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        var choice = options.choice
        choice.variables["from"] = from
        let operations = try await common.openOperations()
        var request = RunRequest(
            playbook,
            on: hosts.selection,
            choice: choice,
            terms: confirmation.terms()
        )
        request.replacesData = true
        try await RolloutFace(common: common, operations: operations)
            .run(operations.prepare(request), confirmation)
    }
}
