import ArgumentParser
import FleetOperations

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
        try await confirmation.run(operations.prepare(request), common, operations)
    }
}
