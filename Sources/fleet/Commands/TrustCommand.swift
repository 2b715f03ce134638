import ArgumentParser
import FleetOperations
import FleetReport
import FleetRollout
import FleetSSH
import FleetTerminal
import FleetTransport

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

    @Argument(
        help:
            "The environment whose hosts' keys are collected: inventory/ENV.yml. With --files, the path of a playbook that is not in `playbooks`."
    )
    var environment: String?
    @Option(name: [.short, .long], help: "A host pattern: web:!web03, web[01:04], db*.")
    var limit: String?
    @Flag(name: .customLong("files"), help: "Agree to what the project's files do on this machine.")
    var isAboutFiles = false
    @Option(name: [.customShort("f"), .long], help: "The most hosts in flight at once.")
    var fanout = 32
    @Flag(name: [.customShort("y"), .customLong("yes")], help: "Do not ask.")
    var isConfirmed = false
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
        guard let environment, !isAboutFiles else {
            return try await agree(operations)
        }
        let keys = try await operations.keys(of: HostSelection(environment, limit: limit))
        var isGood = true
        for stage in 0..<keys.count {
            let found = await keys.collect(stage, fanout: fanout)
            show(found)
            let new = try await remember(found, keys)
            isGood = isGood && new
        }
        if !isGood { throw ExitStatus.saidNo }
    }

    /// Shows what the files would do here, beside what was agreed to before, and keeps a person's word.
    private func agree(_ operations: UnrecordedOperations) async throws(OperationFailure) {
        let agreement = try await operations.fileAgreement(with: environment)
        let style = common.standardOutputStyle
        for (text, file, isKnown) in agreement.values {
            common.print(
                "\(isKnown ? "  " : style.green("+ "))\(Sanitizer.line(text))  (\(Sanitizer.line(file)))"
            )
        }
        for text in agreement.gone { common.print(style.red("- ") + Sanitizer.line(text)) }
        for file in agreement.invalidFiles {
            common.print(
                "\(style.yellow("not looked at:")) \(Sanitizer.line(file)) is not valid: fleet check"
            )
        }
        common.print(
            agreement.values.isEmpty
                ? "the project's files do nothing on this machine"
                : "for CI: --trusted-files \(agreement.digest)"
        )
        guard agreement.isNew else { return }
        try confirm(
            "may the project's files do that on this machine?",
            or: "what the project's files do here needs a person's word",
            "look at the list, then add --yes"
        )
        try operations.agree(to: agreement, by: Surroundings.user)
        common.print("agreed")
    }

    /// Asks, unless `--yes` has answered.
    private func confirm(_ question: String, or needed: String, _ hint: String)
        throws(OperationFailure)
    {
        guard !isConfirmed else { return }
        try Terminal.confirm(
            question,
            or: needed,
            hints: [hint, "nothing was changed"],
            refusal: OperationFailure(.refused, "not confirmed; nothing was changed")
        )
    }

    private func show(_ found: [KeyCollection.Found]) {
        let rows = found.map { host, result in
            switch result {
            case .success(nil): [host.text, "known", "this machine itself"]
            case .success(let key?):
                switch key.standing {
                case .known: [host.text, "known", key.fingerprint]
                case .new: [host.text, "new", key.fingerprint]
                case .changed(let known, let place):
                    [host.text, "CHANGED", "\(key.fingerprint); known is \(known) at \(place)"]
                case .revoked(let place):
                    [host.text, "REVOKED", "\(key.fingerprint) at \(place)"]
                }
            case .failure(let error):
                [host.text, "not seen", "\(error.token): \(Sanitizer.line(error.message))"]
            }
        }
        let table = Table.lines(
            header: ["host", "key", "fingerprint"],
            rows: rows,
            style: common.standardOutputStyle,
            indent: ""
        )
        common.print(table.joined(separator: "\n"))
    }

    /// Asks about the new keys and has them written; whether every host's key is known now.
    private func remember(_ found: [KeyCollection.Found], _ keys: KeyCollection)
        async throws(OperationFailure) -> Bool
    {
        var new: [OfferedHostKey] = []
        var isGood = true
        for (host, result) in found {
            switch result {
            case .success(let key?) where key.standing == .new: new.append(key)
            case .success(let key?) where key.standing == .known: break
            case .success(nil): break
            case .success(let key?):
                isGood = false
                let place = if case .changed(_, let place) = key.standing { place } else { "" }
                Terminal.standardError.write(
                    "\(host): if it was rebuilt, remove the line at \(place) yourself and run "
                        + "`fleet trust` again; otherwise someone may be between you and it\n"
                )
            case .failure: isGood = false
            }
        }
        guard !new.isEmpty else { return isGood }
        try confirm(
            "are these the keys of your hosts?",
            or: "new keys need a person's word: \(new.count)",
            "compare the fingerprints, then add --yes"
        )
        try await keys.remember(new, by: Surroundings.user)
        common.print(new.count == 1 ? "1 key remembered" : "\(new.count) keys remembered")
        return isGood
    }
}
