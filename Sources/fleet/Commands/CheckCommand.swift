import ArgumentParser
import FleetOperations
import FleetReport

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
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let found = try await common.openUnrecorded().check(only: environment)
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
}
