import ArgumentParser
import FleetDigest
import FleetInventory
import FleetOperations
import FleetPlan
import FleetReport
import FleetRollout
import FleetTerminal
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
        help: "text, or json: a line for each result, as docs/json.md describes."
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

    func validate() throws {
        if output == .json { FailureText.isJSON = true }
    }

    var standardOutputStyle: Style { color.style(for: .standardOutput) }
    var standardErrorStyle: Style { color.style(for: .standardError) }

    /// What the engine of this process stands on.
    var settings: Controller.Settings {
        Surroundings.settings(
            stateDirectory: Surroundings.stateDirectory(option: stateDirectory),
            acceptsUnsafeLibrary: acceptsUnsafeLibSSH2
        )
    }

    /// The engine, and the journal with it.
    func openController() throws(OperationFailure) -> Controller { try Controller(settings) }

    /// The door to the use cases.
    func openOperations() async throws(OperationFailure) -> Operations {
        Operations(
            controller: try openController(),
            project: try await opening.open(say),
            initiator: Surroundings.initiator,
            asker: TerminalAsker(style: standardErrorStyle),
            tell: say
        )
    }

    /// The door to the use cases that need no journal.
    func openUnrecorded() async throws(OperationFailure) -> UnrecordedOperations {
        UnrecordedOperations(settings, project: try await opening.open(say))
    }

    /// The same options as words, for another process of this program.
    var same: [String] {
        let found = opening
        return ["--project", project.map(Surroundings.fromHere) ?? found.workingDirectory]
            + ["--state-dir", found.stateDirectory]
            + (found.agreement.map { ["--trusted-files", $0] } ?? [])
            + (acceptsUnsafeLibSSH2 ? ["--accept-libssh2"] : [])
    }

    /// Which project, and what it may do here.
    var opening: ProjectOpening {
        ProjectOpening(
            root: project.map(Surroundings.fromHere),
            workingDirectory: Surroundings.workingDirectory,
            agreement: trustedFiles ?? Surroundings.variable("FLEET_TRUSTED_FILES"),
            stateDirectory: Surroundings.stateDirectory(option: stateDirectory)
        )
    }

    /// What the journal says.
    func openRecords() throws(OperationFailure) -> Records { try openController().records }

    /// The same as a value.
    var face: Face {
        Face(
            outputStyle: standardOutputStyle,
            errorStyle: standardErrorStyle,
            isQuiet: quiet,
            printsJSON: output == .json,
            initiator: Surroundings.initiator
        )
    }

    /// Prints values, a line of JSON each.
    func printJSON(_ lines: [some Encodable]) { face.printJSON(lines) }

    /// Says what happens, where people look for that.
    var say: @Sendable (Happening) -> Void { face.say }

    /// Says what is being done, where people look for that.
    func tell(_ text: String) { face.tell(text) }

    /// Prints a result of several lines.
    func print(lines: [String]) { print(lines.joined(separator: "\n")) }

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

    /// The same as a value.
    var selection: HostSelection {
        var selection = HostSelection(environment, limit: limit)
        selection.asksForPassword = asksForPassword
        selection.asksForBecomePassword = asksForBecomePassword
        return selection
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
        var choice = RolloutChoice(release: release)
        choice.variables = values
        choice.fanout = fanout
        choice.evenIfUnhealthy = evenIfUnhealthy
        choice.rehearses = rehearses
        return choice
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

/// Whether a question is asked before something is done that needs a person's word.
struct AgreementOptions: ParsableArguments {
    @Flag(name: [.customShort("y"), .customLong("yes")], help: "Do not ask.")
    var isConfirmed = false

    /// Asks a yes-or-no question, unless `--yes` has answered it.
    func confirm(
        _ question: String,
        or needed: String,
        _ hint: String,
        unchanged: String = "nothing was changed"
    )
        throws(OperationFailure)
    {
        guard !isConfirmed else { return }
        try Terminal.confirm(
            question,
            or: needed,
            hints: [hint, unchanged],
            refusal: OperationFailure(.refused, "not confirmed; \(unchanged)")
        )
    }
}

/// How much of a plan is shown.
struct PlanOptions: ParsableArguments {
    @Flag(name: .customLong("steps"), help: "Show each step with its values.")
    var showsSteps = false
    @Flag(name: .customLong("scripts"), help: "Show each step with the script that does it.")
    var showsScripts = false
    @Option(name: .customLong("host"), help: "Show what one host would do, with its scripts.")
    var host: String?

    var depth: PlanText.Depth {
        showsScripts || host != nil ? .scripts : showsSteps ? .steps : .overview
    }
}

/// Whether to ask before hosts are changed, and how that is shown.
struct ConfirmationOptions: ParsableArguments {
    @OptionGroup var view: ViewOptions

    @Flag(
        name: .customLong("detach"),
        help: "Go on in a session of its own, without this terminal; `fleet watch` shows it."
    )
    var detaches = false

    @Flag(name: [.customShort("n"), .customLong("dry-run")], help: "Print the plan and stop.")
    var isDryRun = false

    @OptionGroup var shown: PlanOptions

    @Option(
        name: .customLong("save"),
        help: ArgumentHelp(
            "With --dry-run: keep what would be done in a file, for `fleet apply FILE`.",
            valueName: "file"
        )
    )
    var saved: String?

    @Flag(name: [.customShort("y"), .customLong("yes")], help: "Do not ask.")
    var isConfirmed = false

    @Option(
        name: .customLong("lock-wait"),
        help: "How long to wait for hosts that another rollout has locked, as in 90s or 10m."
    )
    var lockWait: String?

    func validate() throws {
        if detaches, isDryRun { throw ValidationError("give --detach or --dry-run, not both") }
        if saved != nil, !isDryRun {
            throw ValidationError("--save goes with --dry-run")
        }
        if shown.depth != .overview, !isDryRun {
            throw ValidationError("--steps, --scripts and --host go with --dry-run")
        }
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

    /// Shows what was prepared or carries it out, as the options say; ends the program with what became of it.
    func run(_ prepared: PreparedRollout, _ common: CommonOptions, _ operations: Operations)
        async throws
    {
        let face = RolloutFace(common.face, operations)
        face.warn(of: prepared)
        if isDryRun {
            try await face.show(prepared, shown.depth, only: shown.host)
            return try await face.save(prepared, in: saved.map(Surroundings.fromHere))
        }
        if detaches { return try await face.detach(prepared, common.same + view.same) }
        let status = try await face.carryOut(prepared, view.settings(common), view.ending)
        if status != .succeeded { throw status }
    }

    /// Under which terms a rollout begins, as typed.
    func terms(_ policy: PolicyOptions? = nil, hotfix: String? = nil, revert: String? = nil)
        -> RolloutTerms
    {
        var terms = RolloutTerms()
        terms.begins = policy?.at
        terms.isConfirmed = isConfirmed
        terms.lockWaitMilliseconds = lockWait.flatMap(YAMLReader.milliseconds)
        terms.exception = RuleException(
            quarantine: quarantineReason,
            override: policy?.overrideReason,
            hotfix: hotfix,
            revert: revert,
            records: missingRecordsReason
        )
        return terms
    }
}
