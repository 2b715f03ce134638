import ArgumentParser
import FleetOperations
import FleetReport
import FleetRollout

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
        let records = try common.openRecords()
        let id = try await records.rollout(named: rollout)
        let story = try await records.story(of: id, withOutputs: outputs)
        if common.output == .json {
            var lines = EventLines(plan: story.rollout.plan)
            return common.printJSON(story.entries.flatMap { lines.lines(for: $0) })
        }
        let style = common.standardOutputStyle
        let origin = story.origin
        common.print(
            style.dim(
                "by \(Sanitizer.line(origin.user)) on \(Sanitizer.line(origin.machine)): "
                    + "fleet \(Sanitizer.line(origin.command))"
            )
        )
        if let reason = origin.reason {
            let rules = origin.overridden.map { ", overriding \($0.joined(separator: ", "))" } ?? ""
            let kind = origin.isHotfix ? "a hotfix" : "against a rule"
            common.print(style.yellow("\(kind)\(rules): “\(Sanitizer.line(reason))”"))
        }
        var text = ProgressText(plan: story.rollout.plan, style: style)
        for entry in story.entries {
            for line in text.lines(for: entry) { common.print(line.text) }
        }
        let elapsed = story.entries.last?.elapsedMilliseconds ?? 0
        common.print("\n" + RolloutText.summary(story.rollout, id: id, at: elapsed, style: style))
        for output in story.outputs {
            let note = output.droppedBytes > 0 ? ", \(output.droppedBytes) not kept" : ""
            common.print(
                "\n\(style.bold(output.host)) \(output.step)  "
                    + style.dim("\(output.totalBytes) bytes\(note)")
            )
            common.print(Sanitizer.safe(String(decoding: output.bytes, as: UTF8.self)))
        }
    }
}
