import ArgumentParser
import FleetDigest
import FleetFiles
import FleetInventory
import FleetJournal
import FleetOperations
import FleetPlan
import FleetProject
import FleetReport
import FleetRollout
import FleetRunner
import FleetTransport
import FleetYAML
import Glibc

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
        let project = operations.project
        let (inventory, selected) = try hosts.select(in: project)
        let plan: Plan
        do {
            plan = try Planner.health(
                PlanRequest(
                    kind: .run,
                    inventory: inventory,
                    hosts: selected,
                    playbook: try project.playbook(playbook)
                )
            )
        } catch let error as Diagnostics {
            throw OperationFailure(project.withSources(error))
        } catch let error as ProjectError {
            throw OperationFailure(error)
        }
        guard plan.hosts.contains(where: { !$0.revertChecks.isEmpty }) else {
            throw OperationFailure(
                .usage,
                "the playbook `\(playbook)` has no smoke test that could be asked",
                hints: ["add `smoke:` to it, or name another one with --playbook"]
            )
        }
        let transport = try await common.openTransport(for: selected, in: project)
        let survey = HealthSurvey(
            of: plan,
            transport: transport,
            slowMilliseconds: YAMLReader.milliseconds(slow) ?? 5_000
        )
        if watch {
            // Nothing depends on it: it ends with the terminal or the pipe that it is shown on.
            signal(SIGHUP, SIG_DFL)
            signal(SIGPIPE, SIG_DFL)
        }
        let clock = ContinuousClock()
        while true {
            let start = clock.now
            let isHealthy = try await ask(survey, operations)
            guard watch else {
                if !isHealthy { throw ExitStatus.saidNo }
                return
            }
            let pause = Duration.milliseconds(YAMLReader.milliseconds(every) ?? 300_000)
            try await clock.sleep(until: start + pause)
        }
    }

    /// One round: asks, keeps, shows, tells of changes.
    private func ask(_ survey: HealthSurvey, _ operations: Operations) async throws -> Bool {
        let journal = operations.controller.journal
        let newest = await survey.ask()
        let now = Surroundings.unixMilliseconds
        let start = now - (YAMLReader.milliseconds(since) ?? 86_400_000)
        let isHealthy = newest.allSatisfy { $0.state == .healthy }
        let wasHealthy: Bool?
        let history: [HealthSample]
        do throws(JournalError) {
            wasHealthy = try lastState(in: journal, before: newest)
            try await journal.keep(newest, of: hosts.environment)
            history = try journal.samples(of: hosts.environment, since: start)
        } catch {
            throw OperationFailure(error)
        }
        show(newest, history, start, now)
        if let prometheus {
            try write(HealthText.prometheus(newest, environment: hosts.environment), to: prometheus)
        }
        // The first answer ever is no change, unless something is wrong.
        if isHealthy != (wasHealthy ?? true) { await tellOfChange(newest, isHealthy, operations) }
        return isHealthy
    }

    /// Whether everything was healthy when it was asked last; nil if it never was.
    private func lastState(in journal: Journal, before newest: [HealthSample])
        throws(JournalError) -> Bool?
    {
        let known = Set(newest.map { [$0.host.text, $0.check] })
        let last = try journal.newestSamples(of: hosts.environment)
            .filter { known.contains([$0.host.text, $0.check]) }
        return last.isEmpty ? nil : last.allSatisfy { $0.state == .healthy }
    }

    private func show(_ newest: [HealthSample], _ history: [HealthSample], _ start: Int, _ now: Int)
    {
        if common.output == .json {
            for sample in newest {
                common.print(String(decoding: CanonicalJSON.encode(sample), as: UTF8.self))
            }
            return
        }
        let style = common.standardOutputStyle
        if watch, !Terminal.standardOutput.isInteractive {
            let time = DurationText.utc(unixMilliseconds: now)
            return common.print("\(time)  \(summary(newest))")
        }
        // A screen of its own for every round, as `watch` does it.
        if watch { Terminal.standardOutput.write("\u{1B}[H\u{1B}[2J") }
        common.print(HealthText.table(newest, history: history, from: start, to: now, style: style))
        if watch {
            common.print(
                style.dim("\n\(DurationText.utc(unixMilliseconds: now)) UTC, every \(every)")
            )
        }
    }

    private func summary(_ newest: [HealthSample]) -> String {
        let bad = newest.filter { $0.state != .healthy }
        guard let first = bad.first else {
            return "\(hosts.environment) healthy: \(newest.count) of \(newest.count) answers"
        }
        let names = HostRange.fold(
            bad.map(\.host).reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
        )
        return "\(hosts.environment) unhealthy: \(names): \(first.check): "
            + Sanitizer.line(first.reason)
    }

    private func tellOfChange(
        _ newest: [HealthSample],
        _ isHealthy: Bool,
        _ operations: Operations
    ) async {
        let text = summary(newest)
        let style = common.standardErrorStyle
        common.tell(isHealthy ? style.green("recovered: \(text)") : style.red("changed: \(text)"))
        await operations.tell(.health(of: hosts.environment, text))
        guard let onChange else { return }
        let variables = [
            "FLEET_HEALTH": isHealthy ? "healthy" : "unhealthy",
            "FLEET_ENVIRONMENT": hosts.environment, "FLEET_SUMMARY": text,
        ]
        do throws(LocalCommand.Failure) {
            let told = try await LocalCommand.run(
                onChange,
                in: operations.project.root,
                with: variables
            )
            guard told.isSuccess else {
                return common.tell(
                    style.yellow(
                        "the command of --on-change failed: \(Sanitizer.line(told.reason))"
                    )
                )
            }
        } catch {
            common.tell(style.yellow("the command of --on-change cannot be run: \(error.reason)"))
        }
    }

    /// A collector may read it at any moment.
    private func write(_ text: String, to path: String) throws {
        do throws(WholeFile.Failure) {
            try WholeFile.write(Array(text.utf8), to: path, mode: 0o644)
        } catch {
            throw OperationFailure(
                .stateDirectory,
                "\(path): \(error.reason)",
                hints: ["name a file in a directory that can be written to"]
            )
        }
    }
}
