import ArgumentParser
import FleetOperations
import FleetReport
import FleetTerminal
import FleetYAML

/// `fleet check [ENV]`.
struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        _superCommandName: Fleet.name,
        abstract: "Check the project's files: every inventory, every playbook, and how they fit.",
        discussion: "Contacts no host. All problems are shown at once, with file, line and column."
    )

    @Argument(help: "Only this environment.")
    var environment: String?
    @Option(
        help: ArgumentHelp("Write all problems as SARIF, for code scanning.", valueName: "file")
    )
    var sarif: String?
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let operations = try await common.openUnrecorded()
        let found: ProjectCheck
        do {
            found = try await operations.check(only: environment)
            try await write(nil, operations)
        } catch let failure as OperationFailure {
            if let diagnostics = failure.diagnostics { try await write(diagnostics, operations) }
            throw failure
        }
        if common.output == .json {
            common.printJSON(
                found.environments.map { CheckLine(environment: $0, hosts: $1, groups: $2) }
            )
            return common.printJSON(
                found.playbooks.map { CheckLine(playbook: $0, steps: $1, provesRelease: $2) }
            )
        }
        let style = common.standardOutputStyle
        for text in found.lacking {
            common.print("\(style.yellow("not agreed to here")) \(Sanitizer.line(text))")
        }
        if !found.lacking.isEmpty { common.print("  next: fleet trust --files") }
        let ok = style.green("ok")
        for (name, hosts, groups) in found.environments {
            common.print("\(ok) \(name): \(hosts) hosts, \(groups) groups")
        }
        for (name, steps, _) in found.playbooks { common.print("\(ok) \(name): \(steps) steps") }
        for (name, _, _) in found.playbooks.filter({ !$0.provesRelease }).sorted(by: {
            $0.name < $1.name
        }) {
            common.print(
                "\(style.yellow("warning")) \(name): no smoke test proves which release answers, so an old process "
                    + "could pass them\n  next: `contains: \"${{ release.tag }}\"` in an `http` test, or $FLEET_TAG in a `command`"
            )
        }
    }

    private func write(_ problems: Diagnostics?, _ operations: UnrecordedOperations) async throws {
        guard let sarif else { return }
        let text = SARIFReport.text(
            problems,
            version: FleetVersion.number,
            in: await operations.folderInClone()
        )
        try ReportFile.write(text, to: Surroundings.fromHere(sarif))
    }
}
