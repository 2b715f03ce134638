import ArgumentParser
import FleetOperations
import FleetRollout
import FleetTerminal
import FleetYAML

/// `fleet health ENV`.
struct HealthCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "health",
        _superCommandName: Fleet.name,
        abstract: "Ask every host the playbook's smoke tests, once or again and again.",
        discussion: """
            Read-only. Exits 1 if any host is not healthy: it says no, says that something is in error,
            takes too long, or cannot be asked. Answers are kept for 90 days in the state directory.
            """
    )

    @OptionGroup var hosts: HostOptions
    @Option(name: [.short, .long], help: "The playbook whose smoke tests are asked.")
    var playbook = "deploy"
    @Flag(name: [.short, .long], help: "Ask again and again, until Ctrl-C.")
    var watch = false
    @Option(help: "How often, with --watch.")
    var every = "5m"
    @Option(help: "What takes longer is unhealthy.")
    var slow = "5s"
    @Option(help: "How far back uptime and latencies are summed up.")
    var since = "24h"
    @Option(help: ArgumentHelp("Write Prometheus' text format there.", valueName: "file"))
    var prometheus: String?
    @Option(
        name: .customLong("on-change"),
        help: ArgumentHelp(
            "Run this when the environment falls ill or recovers, with FLEET_HEALTH, "
                + "FLEET_ENVIRONMENT and FLEET_SUMMARY set.",
            valueName: "command"
        )
    )
    var onChange: String?
    @OptionGroup var common: CommonOptions

    func validate() throws {
        for (name, text) in [("--every", every), ("--slow", slow), ("--since", since)]
        where YAMLReader.milliseconds(text) ?? 0 < 1 {
            throw ValidationError("\(name) \(text): write a duration, as in 90s or 10m")
        }
    }

    func run() async throws {
        let operations = try await common.openOperations()
        let health = try await operations.health(
            of: hosts.selection,
            playbook: playbook,
            slowMilliseconds: YAMLReader.milliseconds(slow) ?? 5_000
        )
        // Nothing depends on it: it ends with the terminal or the pipe that it is shown on.
        if watch { Surroundings.endWithTheTerminal() }
        let screen = HealthScreen(every: watch ? every : nil, style: common.standardOutputStyle)
        let since = YAMLReader.milliseconds(since) ?? 86_400_000
        let clock = ContinuousClock()
        while true {
            let start = clock.now
            let round = try await health.ask(sinceMilliseconds: since)
            if let prometheus { try health.export(round, to: prometheus) }
            if common.output == .json { common.printJSON(round.newest) } else { screen.show(round) }
            if round.hasChanged {
                common.tell(screen.change(round, style: common.standardErrorStyle))
                await operations.tellOfChange(round, of: hosts.environment, command: onChange)
            }
            guard watch else {
                if !round.isHealthy { throw ExitStatus.saidNo }
                return
            }
            let pause = YAMLReader.milliseconds(every) ?? 300_000
            try await clock.sleep(until: start + .milliseconds(pause))
        }
    }
}
