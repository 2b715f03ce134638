import ArgumentParser
import FleetClients
import FleetInventory
import FleetJournal
import FleetPlan
import FleetProject
import FleetReport
import FleetRollout
import FleetSSH
import FleetTransport
import FleetYAML

extension ColorChoice: ExpressibleByArgument {}

/// How results are printed.
enum OutputFormat: String, CaseIterable, ExpressibleByArgument {
    case text, json
}

/// Options that every command takes.
struct CommonOptions: ParsableArguments {
    @Option(help: "The project's directory; by default looked for from here upwards.")
    var project: String?

    @Option(name: .customLong("state-dir"), help: "Where the journal is kept.")
    var stateDirectory: String?

    @Option(
        name: [.short, .long],
        help: "text, or json for the journal's own entries, one a line."
    )
    var output: OutputFormat = .text

    @Option(help: "auto, always or never.")
    var color: ColorChoice = .auto

    @Flag(name: [.short, .long], help: "Only results, no progress.")
    var quiet = false

    @Option(
        name: .customLong("trusted-files"),
        help: ArgumentHelp(
            "What the project's files may do here, for CI: the digest that `fleet trust --files` prints, or `all`; "
                + "else FLEET_TRUSTED_FILES.",
            valueName: "digest"
        )
    )
    var trustedFiles: String?

    @Flag(
        name: .customLong("accept-libssh2"),
        help: "Go on with a libssh2 that is known to be unsafe; see `fleet doctor`."
    )
    var acceptsUnsafeLibSSH2 = false

    var standardOutputStyle: Style { color.style(for: .standardOutput) }
    var standardErrorStyle: Style { color.style(for: .standardError) }

    /// Where packed directories are kept.
    var archives: String { Surroundings.stateDirectory(option: stateDirectory) + "/uploads" }

    func openProject() async throws(CommandFailure) -> Project {
        let found: Project
        if let project {
            found = Project(root: Surroundings.fromHere(project))
        } else {
            do {
                found = try Project.find(from: Surroundings.workingDirectory)
            } catch {
                throw CommandFailure(error)
            }
        }
        do throws(ProjectError) { try found.requireReadable() } catch {
            throw CommandFailure(error)
        }
        let known = trustStore.values(of: found)
        guard let wanted = trustedFiles ?? Surroundings.variable("FLEET_TRUSTED_FILES") else {
            return found.trusting(.only(known))
        }
        if wanted == "all" { return found.trusting(.all) }
        let values = await found.sensitiveValues()
        let digest = Project.digest(of: values)
        guard wanted == digest else {
            // Whoever only looks is not kept from it.
            tell(
                standardErrorStyle.yellow("warning:")
                    + " what the project's files may do here has changed: it is \(digest), and "
                    + "\(Sanitizer.line(wanted)) was agreed to; none of it takes effect\n"
                    + "  next: look at it with `fleet trust --files`, then give CI the new digest"
            )
            return found.trusting(.none)
        }
        return found.trusting(.only(Set(values.map(\.text))))
    }

    /// What the people of this machine have agreed to.
    var trustStore: TrustStore {
        TrustStore(in: Surroundings.stateDirectory(option: stateDirectory))
    }

    func openJournal() throws(CommandFailure) -> (StateDirectory, Journal) {
        do {
            let directory = try StateDirectory(
                path: Surroundings.stateDirectory(option: stateDirectory)
            )
            return (directory, try Journal(in: directory))
        } catch {
            throw CommandFailure(error)
        }
    }

    /// SSH for some hosts, with every passphrase and password asked for that they need.
    func openTransport(for hosts: [Host], in project: Project) async throws(CommandFailure)
        -> ClientTransport
    {
        if !acceptsUnsafeLibSSH2, let danger = LibSSH2.danger {
            throw CommandFailure(
                .missingDependency,
                danger,
                hints: ["install the security update of libssh2, or add --accept-libssh2"]
            )
        }
        let transport = transport(in: project)
        await transport.prepare(hosts.map(\.endpoint))
        return transport
    }

    /// What reaches a plan's hosts: what the files say, and where they leave it open, what did so the last time.
    func clients(of plan: Plan, _ transport: ClientTransport) async throws(CommandFailure)
        -> [HostName: HostClient]
    {
        let journal = try openJournal().1
        let last: [HostName: String]
        do { last = try journal.clients(in: plan.environment) } catch {
            throw CommandFailure(error)
        }
        return await transport.expectedClients(of: plan.hosts.map(\.endpoint)).reduce(into: [:]) {
            clients,
            entry in
            let before = last[entry.key].map(Snapshot.clientName)
            clients[entry.key] =
                switch (entry.value, before) {
                case (.auto, "OpenSSH"): .openssh
                case (.auto, "libssh2"): .libssh2
                default: entry.value
                }
        }
    }

    /// SSH for questions that need no login.
    func transport(in project: Project) -> ClientTransport {
        ClientTransport(
            Surroundings.sshEnvironment(projectRoot: project.root),
            variables: Surroundings.variables
        )
    }

    /// Says what is being done, where people look for that.
    func tell(_ text: String) {
        if !quiet { Terminal.standardError.write(text + "\n") }
    }

    /// Prints a result.
    func print(_ text: String) { Terminal.standardOutput.write(text + "\n") }
}

/// Which hosts of an environment.
struct HostOptions: ParsableArguments {
    @Argument(help: "The environment: inventory/ENV.yml.")
    var environment: String

    @Option(name: [.short, .long], help: "A host pattern: web:!web03, web[01:04], db*.")
    var limit: String?

    @Flag(name: [.customShort("k"), .customLong("ask-pass")], help: "Ask for the SSH password.")
    var asksForPassword = false

    @Flag(
        name: [.customShort("K"), .customLong("ask-become-pass")],
        help: "Ask for the password that sudo wants."
    )
    var asksForBecomePassword = false

    /// The environment, and those of its hosts that are meant.
    ///
    /// - Parameters:
    ///   - project: The project.
    ///   - isOnlyShown: Whether no host is connected to.
    /// - Returns: The inventory and the hosts.
    /// - Throws: ``CommandFailure``.
    func select(in project: Project, isOnlyShown: Bool = false) throws(CommandFailure)
        -> (Inventory, [Host])
    {
        var inventory: Inventory
        do {
            inventory =
                isOnlyShown
                ? try project.inventoryAsWritten(environment) : try project.inventory(environment)
        } catch {
            throw CommandFailure(error)
        }
        if asksForPassword || asksForBecomePassword { applyFlags(to: &inventory) }
        guard let limit else { return (inventory, inventory.hosts) }
        do {
            return (inventory, try HostPattern(limit).select(from: inventory))
        } catch {
            throw CommandFailure(error)
        }
    }

    /// What the flags say about secrets, into every host.
    private func applyFlags(to inventory: inout Inventory) {
        for index in inventory.hosts.indices {
            if asksForPassword { inventory.hosts[index].ssh.password = .prompt("SSH password") }
            guard asksForBecomePassword else { continue }
            inventory.hosts[index].ssh.becomePassword = .prompt("sudo password")
        }
    }
}

/// Which release, and how a rollout is gone about.
struct RolloutOptions: ParsableArguments {
    @Option(help: "Deploy this tag.")
    var tag: String?

    @Option(help: "Deploy this commit: its full id.")
    var commit: String?

    @Option(help: "Deploy a branch's newest commit.")
    var branch: String?

    @Option(
        name: [.customShort("e"), .customLong("var")],
        help: ArgumentHelp(
            "Set a variable. Its value is part of the plan, and recorded: no place for a secret.",
            valueName: "name=value"
        )
    )
    var variables: [String] = []

    @Option(name: [.customShort("f"), .long], help: "The most hosts in flight at once.")
    var fanout: Int?

    @Flag(
        name: .customLong("even-if-unhealthy"),
        help: "Deploy although the smoke tests fail on what the hosts run now."
    )
    var evenIfUnhealthy = false

    @Flag(
        name: .customLong("rehearse"),
        help: "The first batch deploys, goes back and deploys again before the others begin."
    )
    var rehearses = false

    func validate() throws {
        if [tag, commit, branch].compactMap({ $0 }).count > 1 {
            throw ValidationError("give only one of --tag, --commit and --branch")
        }
        if let fanout, !(1...10_000).contains(fanout) {
            throw ValidationError("--fanout must be from 1 to 10000")
        }
        for variable in variables where !variable.contains("=") {
            throw ValidationError("`-e \(variable)` must be name=value")
        }
    }

    var choice: RolloutChoice {
        var values: [String: String] = [:]
        for variable in variables {
            guard let equals = variable.firstIndex(of: "=") else { continue }
            values[String(variable[..<equals])] =
                String(variable[variable.index(after: equals)...])
        }
        let release: ReleaseSelection? =
            tag.map { .tag($0) } ?? commit.map { .commit($0) } ?? branch.map { .branch($0) }
        return RolloutChoice(
            release: release,
            variables: values,
            fanout: fanout,
            evenIfUnhealthy: evenIfUnhealthy,
            rehearses: rehearses
        )
    }
}

/// When a deploy begins, and why it may although the environment's policy says no.
struct PolicyOptions: ParsableArguments {
    @Option(
        name: .customLong("override"),
        help: ArgumentHelp(
            "Deploy although the environment's policy says no; the reason is recorded.",
            valueName: "reason"
        )
    )
    var overrideReason: String?

    @Option(
        help: ArgumentHelp(
            "Wait until then, on the policy's clock: 22:00, or \"2026-12-20 22:00\".",
            valueName: "time"
        )
    )
    var at: String?

    func validate() throws {
        if let at, LocalTime(at, after: LocalTime(day: 0, minute: 0)) == nil {
            throw ValidationError("`\(at)` is not a time: write 22:00 or \"2026-12-20 22:00\"")
        }
        if overrideReason?.allSatisfy(\.isWhitespace) ?? false {
            throw ValidationError("--override needs a reason")
        }
    }
}

/// Whether to ask before hosts are changed.
struct ConfirmationOptions: ParsableArguments {
    @Flag(name: [.customShort("n"), .customLong("dry-run")], help: "Print the plan and stop.")
    var isDryRun = false

    @Flag(name: [.customShort("y"), .customLong("yes")], help: "Do not ask.")
    var isConfirmed = false

    @Option(
        name: .customLong("lock-wait"),
        help: "How long to wait for hosts that another rollout has locked, as in 90s or 10m."
    )
    var lockWait: String?

    func validate() throws {
        if let lockWait, YAMLReader.milliseconds(lockWait) == nil {
            throw ValidationError("`\(lockWait)` is not a duration: write 90s or 10m")
        }
    }

    @Option(
        name: .customLong("force-quarantined"),
        help: ArgumentHelp(
            "Deploy a release although it was taken back before; the reason is recorded.",
            valueName: "reason"
        )
    )
    var quarantineReason: String?

    @Option(
        name: .customLong("force-missing-records"),
        help: ArgumentHelp(
            "Go on although hosts know of records that this journal lacks; the reason is recorded.",
            valueName: "reason"
        )
    )
    var missingRecordsReason: String?
}
