import ArgumentParser
import FleetDigest
import FleetInventory
import FleetJournal
import FleetOperations
import FleetPlan
import FleetPlaybook
import FleetProject
import FleetReport
import FleetRollout
import FleetRunner
import FleetTransport
import FleetYAML

/// `fleet status ENV`.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        _superCommandName: Fleet.name,
        abstract: "Ask every host what it really runs.",
        discussion: """
            Read-only. Exits 1 if a host cannot be asked, runs nothing, has local changes, or runs
            something else than the last rollout left on it.
            """
    )

    @OptionGroup var hosts: HostOptions
    @Option(name: [.short, .long], help: "The playbook that says where the release lives.")
    var playbook = "deploy"
    @OptionGroup var common: CommonOptions

    /// One host's state, as it is printed.
    private struct Line: Encodable {
        let host: String
        let runs: String
        let commit: String
        let expected: String
        let state: String
        let isGood: Bool
    }

    func run() async throws {
        let operations = try await common.openOperations()
        let project = operations.project
        let (inventory, selected) = try hosts.select(in: project)
        let questions = try questions(project, inventory, selected)
        let (directory, journal) = (operations.controller.directory, operations.controller.journal)
        let expected = try expectations(
            at: questions.map { ($0.host.name, ReleasePlace.path(in: $0.script)) },
            in: hosts.environment,
            journal
        )
        let transport = try await common.openTransport(for: selected, in: project)
        let answers = await Survey(transport: transport).ask(questions)
        let lines = selected.map { line($0.name, answers[$0.name], expected[$0.name]) }
        let holder = try EnvironmentLock.holder(of: hosts.environment, in: directory)
        show(lines, try last(in: journal), isRunning: holder != nil)
        if let text = try await operations.hotfixReminder(of: inventory) {
            common.tell(common.standardErrorStyle.yellow(text))
        }
        if lines.contains(where: { !$0.isGood }) { throw ExitStatus.saidNo }
    }

    private func questions(_ project: Project, _ inventory: Inventory, _ selected: [Host])
        throws(OperationFailure) -> [(host: Host, script: Script)]
    {
        do {
            let request = PlanRequest(
                kind: .run,
                inventory: inventory,
                hosts: selected,
                playbook: try project.playbook(playbook)
            )
            return try selected.map { host in
                guard let script = try Planner.script(.reading, on: host, for: request) else {
                    throw OperationFailure(
                        .usage,
                        "the playbook `\(playbook)` deploys no release",
                        hints: ["name one that has a `checkout` step: --playbook NAME"]
                    )
                }
                return (host, script)
            }
        } catch let error as ProjectError {
            throw OperationFailure(error)
        } catch let error as Diagnostics {
            throw OperationFailure(project.withSources(error))
        } catch let failure as OperationFailure {
            throw failure
        } catch {
            throw OperationFailure(.internalError, "\(error)")
        }
    }

    /// What the journal says of a host.
    private enum Expectation {
        case release(Release)
        /// A rollout touched it and came to no verified end.
        case unsettled(RolloutID)
    }

    /// What the newest rollouts left on each host, at the place that is looked at.
    private func expectations(
        at places: [(host: HostName, path: String?)],
        in environment: String,
        _ journal: Journal
    ) throws -> [HostName: Expectation] {
        var expected: [HostName: Expectation] = [:]
        var open = Dictionary(uniqueKeysWithValues: places)
        // The newest that says something about a host counts, however many came after it that do not.
        for record in try journal.history(environment: environment, limit: nil, changesOnly: true)
        where !open.isEmpty && (record.kind == .deploy || record.kind == .revert) {
            let rollout = try RolloutLookup.replay(record.id, in: journal)
            for (host, planned) in zip(rollout.hosts, rollout.plan.hosts) {
                guard let place = open[host.name] else { continue }
                // Another application's rollout says nothing about this one.
                let there = planned.preflight.first { $0.step == rollout.plan.releaseStep }
                    .flatMap { ReleasePlace.path(in: $0.script) }
                if let place, let there, place != there { continue }
                switch host.outcome {
                case .succeeded: expected[host.name] = planned.release.map { .release($0) }
                case .reverted:
                    expected[host.name] = rollout.plan.releaseStep.flatMap {
                        host.snapshot?.release(of: $0)
                    }.map { .release($0) }
                case .removed: break
                case .untouched: continue
                default:
                    guard host.isTouched else { continue }
                    expected[host.name] = .unsettled(record.id)
                }
                open[host.name] = nil
            }
        }
        return expected
    }

    private func last(in journal: Journal) throws -> RolloutRecord? {
        try journal.history(environment: hosts.environment, limit: 1, changesOnly: true).first
    }

    private func line(
        _ name: HostName,
        _ answer: Result<Survey.Answer, TransportError>?,
        _ known: Expectation?
    ) -> Line {
        let expected: Release? = if case .release(let release) = known { release } else { nil }
        func bad(_ state: String) -> Line {
            Line(
                host: name.text,
                runs: "?",
                commit: "",
                expected: expected?.label ?? "",
                state: state,
                isGood: false
            )
        }
        switch answer {
        case .none: return bad("not asked")
        case .failure(let error): return bad("\(error.token): \(error.message)")
        case .success(let answer):
            guard answer.status == 0 else {
                return bad(
                    Sanitizer.line(
                        answer.text.split(whereSeparator: \.isNewline).last.map(String.init)
                            ?? "failed"
                    )
                )
            }
            let snapshot = Snapshot(facts: ["it": Snapshot.facts(from: answer.text)])
            guard let release = snapshot.release(of: "it") else {
                return bad("nothing is deployed")
            }
            var state = "as deployed"
            var isGood = true
            if snapshot.facts["it"]?["state"] == "dirty" {
                state = "has local changes"
                isGood = false
            } else if let expected, expected.commit != release.commit {
                state = "drifted: the last rollout left \(expected.label) here"
                isGood = false
            } else if case .unsettled(let id) = known {
                state = "left by rollout \(id), which came to no verified end"
                isGood = false
            } else if expected == nil {
                state = "no rollout of this journal"
            }
            return Line(
                host: name.text,
                // The name that it was deployed by; a host may have others for the same commit.
                runs: expected?.commit == release.commit
                    ? expected?.label ?? release.label : release.label,
                commit: release.commit,
                expected: expected?.label ?? "",
                state: state,
                isGood: isGood
            )
        }
    }

    private func show(_ lines: [Line], _ last: RolloutRecord?, isRunning: Bool) {
        if common.output == .json {
            for line in lines {
                common.print(String(decoding: CanonicalJSON.encode(line), as: UTF8.self))
            }
            return
        }
        let style = common.standardOutputStyle
        let rows = lines.map { line in
            [
                line.host, line.runs, String(line.commit.prefix(12)),
                line.isGood ? style.green(line.state) : style.red(line.state),
            ]
        }
        common.print(
            Table.lines(
                header: ["host", "runs", "commit", "state"],
                rows: rows,
                style: style,
                indent: ""
            )
            .joined(separator: "\n")
        )
        guard let last else { return }
        let outcome =
            last.outcome.map { OutcomeText.styled($0, style) }
            ?? style.yellow(
                isRunning
                    ? "under way" : "unfinished, and nobody is at it (fleet resume \(last.id))"
            )
        common.print(
            "\nlast rollout: \(last.id)  \(last.kind.rawValue) \(last.release)  \(outcome)  "
                + "by \(Sanitizer.line(last.user)), \(DurationText.utc(unixMilliseconds: last.startedUnixMilliseconds)) UTC"
        )
    }
}
