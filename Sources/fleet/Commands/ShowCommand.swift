import ArgumentParser
import FleetDigest
import FleetJournal
import FleetOperations
import FleetPlan
import FleetReport
import FleetRollout
import FleetTransport

/// `fleet show ROLLOUT`.
struct ShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        _superCommandName: Fleet.name,
        abstract: "Show what happened in a rollout, line by line, from the journal."
    )

    @Argument(help: "The rollout: see `fleet history`.")
    var rollout: String
    @Flag(help: "Also print what every step printed on every host.")
    var outputs = false
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let (_, journal) = try common.openJournal()
        let id = try RolloutLookup.id(rollout)
        do {
            let entries = try journal.entries(of: id)
            guard case .planned(let plan, let origin) = entries.first?.body else {
                throw OperationFailure(
                    .usage,
                    "the journal knows no rollout \(id)",
                    hints: ["see `fleet history`"]
                )
            }
            if common.output == .json {
                for entry in entries {
                    common.print(String(decoding: CanonicalJSON.encode(entry), as: UTF8.self))
                }
                return
            }
            let style = common.standardOutputStyle
            common.print(
                style.dim(
                    "by \(Sanitizer.line(origin.user)) on \(Sanitizer.line(origin.machine)): "
                        + "fleet \(Sanitizer.line(origin.command))"
                )
            )
            if let reason = origin.reason {
                let rules =
                    origin.overridden.map { ", overriding \($0.joined(separator: ", "))" } ?? ""
                let kind = origin.isHotfix ? "a hotfix" : "against a rule"
                common.print(style.yellow("\(kind)\(rules): “\(Sanitizer.line(reason))”"))
            }
            var text = ProgressText(plan: plan, style: style)
            let replayed = try RolloutLookup.replay(plan, entries, id)
            for entry in entries {
                for line in text.lines(for: entry) { common.print(line.text) }
            }
            let elapsed = entries.last?.elapsedMilliseconds ?? 0
            common.print("\n" + RolloutText.summary(replayed, id: id, at: elapsed, style: style))
            if outputs { try printOutputs(of: id, replayed, journal, style) }
        } catch let error as JournalError {
            throw OperationFailure(error)
        }
    }

    private func printOutputs(
        of id: RolloutID,
        _ rollout: Rollout,
        _ journal: Journal,
        _ style: Style
    ) throws {
        for output in try journal.outputs(of: id) {
            let note = output.droppedBytes > 0 ? ", \(output.droppedBytes) not kept" : ""
            common.print(
                "\n\(style.bold(output.host.text)) \(name(output, in: rollout))  "
                    + style.dim("\(output.totalBytes) bytes\(note)")
            )
            common.print(Sanitizer.safe(String(decoding: output.bytes, as: UTF8.self)))
        }
    }

    /// The step that a key stands for.
    private func name(_ output: StoredOutput, in rollout: Rollout) -> String {
        guard let planned = rollout.plan.hosts.first(where: { $0.name == output.host }) else {
            return output.key.description
        }
        for (index, step) in planned.steps.enumerated()
        where output.key.description.hasPrefix("f\(index)-") {
            return step.name
        }
        for (index, step) in planned.revertSteps.enumerated()
        where output.key.description.hasPrefix("r\(index)-") {
            return "revert \(step.name)"
        }
        return output.key.description
    }
}
