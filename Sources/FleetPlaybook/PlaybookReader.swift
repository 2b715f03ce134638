internal import FleetTransport
public import FleetYAML

/// Reads a playbook file: `name`, `vars`, `serial`, `fanout`, `max_failures`, `unreachable`,
/// `revert_within`, `deadman`, `soak`, `hotfix`, `steps`, `smoke`, `revert`, `teardown`.
public enum PlaybookReader {
    /// The most steps in one playbook.
    public static let stepLimit = 200

    /// Reads one playbook.
    ///
    /// - Parameters:
    ///   - source: The file's text.
    ///   - file: The name that messages will carry.
    ///   - defaultName: The playbook's name if it names none.
    /// - Returns: The playbook, with at least one step or smoke test.
    /// - Throws: ``FleetYAML/Diagnostics`` with everything that is wrong with the file.
    public static func read(_ source: String, file: String, defaultName: String)
        throws(Diagnostics) -> Playbook
    {
        let root = try YAMLDocument.parse(source, file: file)
        let reader = YAMLReader(file: file, source: source)
        guard let fields = reader.fields(root, of: "a playbook") else {
            try reader.finish()
            preconditionFailure("a refused shape is a diagnostic")
        }
        let name = fields.line("name") ?? defaultName
        let variables = variables(fields, reader: reader)
        let strategy = strategy(fields, over: Strategy(), reader: reader)
        var hotfixStrategy: Strategy?
        if let node = fields.node("hotfix"), let more = reader.fields(node, of: "`hotfix`") {
            hotfixStrategy = self.strategy(more, over: strategy, reader: reader)
            more.refuseUnknown()
        }
        let steps = fields.node("steps").map { self.steps($0, of: "`steps`", reader: reader) } ?? []
        let smoke = fields.node("smoke").map { self.smoke($0, reader: reader) } ?? []
        let revert = fields.node("revert").map { self.steps($0, of: "`revert`", reader: reader) }
        let teardown = fields.node("teardown").map {
            self.steps($0, of: "`teardown`", reader: reader)
        }
        let isEmpty = steps.isEmpty && fields.node("steps") == nil
        if isEmpty, fields.has("steps") || smoke.isEmpty {
            reader.report("a playbook needs `steps`, or `smoke` to ask only", at: root.location)
        }
        fields.refuseUnknown()
        try reader.finish()
        return Playbook(
            name: name,
            variables: variables,
            strategy: strategy,
            hotfixStrategy: hotfixStrategy,
            steps: steps,
            smoke: smoke,
            revert: revert,
            teardown: teardown
        )
    }

    /// What a level says about how hosts are taken; the rest is as before.
    private static func strategy(
        _ fields: YAMLFields,
        over base: Strategy,
        reader: YAMLReader
    ) -> Strategy {
        var strategy = base
        if let node = fields.node("serial") { strategy.serial = serial(node, reader: reader) }
        strategy.fanout = fields.number("fanout", in: 1...10_000) ?? strategy.fanout
        strategy.maxFailures =
            fields.number("max_failures", in: 0...10_000) ?? strategy.maxFailures
        if let node = fields.node("unreachable") {
            strategy.unreachable = unreachable(node, reader: reader)
        }
        if let time = fields.milliseconds("deadman") {
            strategy.deadmanMilliseconds = time
            if time < 10_000 {
                reader.report(
                    "`deadman` needs at least 10 s",
                    at: fields.location(of: "deadman"),
                    hints: ["longer than the steps and the smoke tests of one host take"]
                )
            }
        }
        if let time = fields.milliseconds("revert_within") {
            strategy.revertWithinMilliseconds = time
        }
        if let time = fields.milliseconds("soak") { strategy.soakMilliseconds = time }
        return strategy
    }

    private static func variables(_ fields: YAMLFields, reader: YAMLReader) -> [String: String] {
        var variables: [String: String] = [:]
        for (key, value, location) in fields.textMap("vars") {
            if !ShellWord.isVariableName(key) {
                reader.report("`\(key)` cannot name a variable", at: location)
            }
            variables[key] = value
        }
        return variables
    }

    private static func unreachable(_ node: YAMLNode, reader: YAMLReader) -> UnreachablePolicy {
        guard let text = reader.text(node, of: "`unreachable`") else { return .abort }
        switch text {
        case "abort": return .abort
        case "exclude": return .exclude
        default:
            if text.hasSuffix("%"), let percent = Int(text.dropLast()), (1...100).contains(percent)
            {
                return .quorum(percent: percent)
            }
            reader.report(
                "`\(text)` is not what can be done about unreachable hosts",
                at: node.location,
                hints: ["one of: abort, exclude, or how many must be reachable: `90%`"]
            )
            return .abort
        }
    }

    private static func serial(_ node: YAMLNode, reader: YAMLReader) -> [BatchSize] {
        var nodes = [node]
        if case .sequence(let items) = node.content { nodes = items }
        if nodes.isEmpty { reader.report("`serial` is empty", at: node.location) }
        return nodes.compactMap { item in
            guard let text = reader.text(item, of: "a batch size") else { return nil }
            if text.hasSuffix("%"), let percent = Int(text.dropLast()), (1...100).contains(percent)
            {
                return .percent(percent)
            }
            if let count = Int(text), (1...10_000).contains(count) { return .hosts(count) }
            reader.report(
                "`\(text)` is not a batch size",
                at: item.location,
                hints: ["write a number of hosts, or `\"25%\"`"]
            )
            return nil
        }
    }

    // MARK: Steps

    private static func steps(_ node: YAMLNode, of what: String, reader: YAMLReader) -> [Step] {
        guard let items = reader.items(node, of: what) else { return [] }
        if items.isEmpty { reader.report("\(what) is empty", at: node.location) }
        if items.count > stepLimit {
            reader.report("\(what) has more than \(stepLimit) entries", at: node.location)
        }
        var names: Set<String> = []
        var hasBackup = false
        var backups: [(directory: String, step: Step)] = []
        return items.compactMap { item in
            guard let step = step(item, reader: reader) else { return nil }
            // Steps go in order, and none starts after one that failed.
            if step.needsBackup, !hasBackup {
                reader.report(
                    "`\(step.name)` needs a backup, and no step before it makes one on every host",
                    at: step.location,
                    hints: ["add a `backup` step before it, without `when` and `run_once`"]
                )
            }
            hasBackup =
                hasBackup || step.kind is BackupStep && step.whenGroups == nil && !step.runsOnce
            if let directory = (step.kind as? BackupStep)?.commandDirectory {
                // Databases are told apart by their paths; of commands nobody could say which backup is whose.
                if let other = backups.first(where: {
                    $0.directory == directory && $0.step.mayShareHosts(with: step)
                }) {
                    reader.report(
                        "`\(step.name)` and `\(other.step.name)` back up into one directory",
                        at: step.location,
                        hints: ["give each command a `directory` of its own"]
                    )
                }
                backups.append((directory, step))
            }
            if what != "`steps`", step.runsOnce {
                reader.report("`run_once` has no place in \(what)", at: step.location)
            }
            if !names.insert(step.name).inserted {
                reader.report(
                    "another step is named `\(step.name)`",
                    at: item.location,
                    hints: ["a step's name is how the journal and the screen speak of it"]
                )
            }
            return step
        }
    }

    private static func step(_ node: YAMLNode, reader: YAMLReader) -> Step? {
        guard let fields = reader.fields(node, of: "a step") else { return nil }
        let written = StepKinds.all.filter { fields.has($0.key) }
        let keys = StepKinds.all.map { $0.key }
        guard let type = written.first, written.count == 1 else {
            let common = [
                "name", "timeout", "retries", "env", "cwd", "sudo", "become_user", "when",
                "run_once", "idempotent", "irreversible", "needs_backup",
            ]
            let strange = fields.entries.map(\.key).first { !(keys + common).contains($0) }
            reader.report(
                written.isEmpty
                    ? "the step does nothing" : "the step does \(written.count) things at once",
                at: node.location,
                hints: strange.flatMap { name in
                    Suggestion.closest(to: name, in: keys)
                        .map { ["did you mean `\($0)` instead of `\(name)`?"] }
                } ?? ["a step has exactly one of: \(keys.joined(separator: ", "))"]
            )
            return nil
        }
        let kindNode = fields.node(type.key)
        if kindNode == nil {
            reader.report("`\(type.key)` is empty", at: fields.location(of: type.key))
        }
        var kind: (any StepKind)?
        if let kindNode { kind = type.init(kindNode, reader: reader) }
        let environment = fields.textMap("env").map { name, value, location in
            checkVariable(name, at: location, reader: reader)
            return (name: name, value: Template(value, location: location, reader: reader))
        }
        let directory = fields.node("cwd").flatMap { node in
            reader.text(node, of: "`cwd`").map {
                Template($0, location: node.location, reader: reader)
            }
        }
        let becomeUser = becomeUser(fields, at: node.location, reader: reader)
        let timeout = fields.milliseconds("timeout") ?? type.defaultTimeoutMilliseconds
        if timeout < 1 {
            reader.report("a step needs a timeout above 0", at: fields.location(of: "timeout"))
        }
        let name = fields.line("name")
        let retries = fields.number("retries", in: 0...100) ?? 0
        let groups = fields.texts("when")
        let runsOnce = fields.flag("run_once") ?? false
        let isIdempotent = fields.flag("idempotent") ?? type.isIdempotent
        let isIrreversible = fields.flag("irreversible") ?? false
        let needsBackup = fields.flag("needs_backup") ?? false
        fields.refuseUnknown(others: keys)
        guard let kind else { return nil }
        return Step(
            name: name ?? type.key,
            kind: kind,
            timeoutMilliseconds: timeout,
            retries: retries,
            environment: environment,
            directory: directory,
            becomeUser: becomeUser,
            whenGroups: groups,
            runsOnce: runsOnce,
            isIdempotent: isIdempotent,
            isIrreversible: isIrreversible,
            needsBackup: needsBackup,
            location: node.location
        )
    }

    /// As whom the step runs: `become_user`, which may be a variable's value, or root with `sudo`.
    private static func becomeUser(
        _ fields: YAMLFields,
        at location: SourceLocation,
        reader: YAMLReader
    ) -> Template? {
        let place = fields.node("become_user")?.location ?? location
        let sudo = fields.flag("sudo") ?? false
        guard let text = fields.text("become_user") else {
            return sudo ? Template(literal: "root", location: place) : nil
        }
        let template = Template(text, location: place, reader: reader)
        if template.references.isEmpty, !StepScope.isUserName(text) {
            reader.report("`\(text)` cannot be a user", at: place)
        }
        return template
    }

    /// Names that would change what runs instead of what it is given.
    private static func checkVariable(
        _ name: String,
        at location: SourceLocation,
        reader: YAMLReader
    ) {
        let reserved = ["BASH_ENV", "ENV", "IFS", "SHELLOPTS", "BASHOPTS", "PS4"]
        if !ShellWord.isVariableName(name) {
            reader.report("`\(name)` cannot name a variable", at: location)
        } else if reserved.contains(name) || name.hasPrefix("LD_") || name.hasPrefix("FLEET_") {
            reader.report("`\(name)` is reserved", at: location)
        }
    }

    // MARK: Smoke tests

    private static func smoke(_ node: YAMLNode, reader: YAMLReader) -> [SmokeTest] {
        guard let items = reader.items(node, of: "`smoke`") else { return [] }
        let keys = SmokeKinds.all.map { $0.key }
        return items.compactMap { item in
            guard let fields = reader.fields(item, of: "a smoke test") else { return nil }
            let written = SmokeKinds.all.filter { fields.has($0.key) }
            guard let type = written.first, written.count == 1 else {
                reader.report(
                    written.isEmpty
                        ? "the smoke test asks nothing" : "the smoke test asks several things",
                    at: item.location,
                    hints: ["a smoke test has exactly one of: \(keys.joined(separator: ", "))"]
                )
                return nil
            }
            guard let node = fields.node(type.key) else {
                reader.report("`\(type.key)` is empty", at: fields.location(of: type.key))
                return nil
            }
            let kind: (any SmokeKind)? = type.init(node, reader: reader)
            let name = fields.line("name")
            let passes = fields.number("passes", in: 1...1000) ?? 3
            let interval = fields.milliseconds("interval") ?? 1000
            let deadline = fields.milliseconds("deadline") ?? 60_000
            let settle = fields.milliseconds("settle") ?? 0
            let groups = fields.texts("when")
            fields.refuseUnknown(others: keys)
            guard let kind else { return nil }
            return SmokeTest(
                name: name ?? kind.title,
                kind: kind,
                passes: passes,
                intervalMilliseconds: interval,
                deadlineMilliseconds: deadline,
                settleMilliseconds: settle,
                whenGroups: groups,
                location: item.location
            )
        }
    }
}

extension Step {
    /// Whether a host may take both steps, as far as their `when` tells.
    fileprivate func mayShareHosts(with other: Step) -> Bool {
        guard let whenGroups, let others = other.whenGroups else { return true }
        return !Set(whenGroups).isDisjoint(with: others)
    }
}
