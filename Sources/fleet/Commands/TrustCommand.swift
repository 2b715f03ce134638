import ArgumentParser
import FleetOperations
import FleetRollout
import FleetTerminal

/// `fleet trust ENV`.
struct TrustCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trust",
        _superCommandName: Fleet.name,
        abstract:
            "Collect the keys of hosts that are not known yet; or agree to what the project's files do here.",
        discussion: """
            With --files: what the project's files would run on this machine, read of it, or trust, takes effect
            only after you have agreed to it. A change asks again. CI is given the digest that it prints, as
            --trusted-files or FLEET_TRUSTED_FILES.

            With an environment: Compare each fingerprint with the host's own, from its console or its cloud's page:
            ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub. A key that has changed is never
            replaced.
            """
    )

    @Argument(help: "The environment: inventory/ENV.yml. With --files: a playbook's path.")
    var environment: String?
    @Option(name: [.short, .long], help: "A host pattern: web:!web03, web[01:04], db*.")
    var limit: String?
    @Flag(name: .customLong("files"), help: "Agree to what the project's files do on this machine.")
    var isAboutFiles = false
    @Option(name: [.customShort("f"), .long], help: "The most hosts in flight at once.")
    var fanout = 32
    @OptionGroup var agreement: AgreementOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if !(1...10_000).contains(fanout) {
            throw ValidationError("--fanout must be from 1 to 10000")
        }
        if environment == nil, !isAboutFiles {
            throw ValidationError("name an environment, or give --files")
        }
    }

    func run() async throws {
        let operations = try await common.openUnrecorded()
        guard let environment, !isAboutFiles else { return try await agree(operations) }
        let keys = try await operations.keys(of: HostSelection(environment, limit: limit))
        let text = TrustText(style: common.standardOutputStyle)
        var isGood = true
        for stage in 0..<keys.count {
            let found = await keys.collect(stage, fanout: fanout)
            common.print(lines: text.lines(of: found))
            Terminal.standardError.write(text.warnings(about: found))
            isGood = isGood && found.isComplete
            guard !found.new.isEmpty else { continue }
            try agreement.confirm(
                "are these the keys of your hosts?",
                or: "new keys need a person's word: \(found.new.count)",
                "compare the fingerprints, then add --yes"
            )
            try await keys.remember(found.new, by: Surroundings.user)
            common.print(text.remembered(found.new.count))
        }
        if !isGood { throw ExitStatus.saidNo }
    }

    /// Shows what the files would do here, beside what was agreed to before, and keeps a person's word.
    private func agree(_ operations: UnrecordedOperations) async throws(OperationFailure) {
        let found = try await operations.fileAgreement(with: environment)
        common.print(lines: TrustText(style: common.standardOutputStyle).lines(of: found))
        guard found.isNew else { return }
        try agreement.confirm(
            "may the project's files do that on this machine?",
            or: "what the project's files do here needs a person's word",
            "look at the list, then add --yes"
        )
        try operations.agree(to: found, by: Surroundings.user)
        common.print("agreed")
    }
}
