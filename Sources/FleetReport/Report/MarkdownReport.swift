internal import FleetPlan
internal import FleetRollout
internal import FleetTransport

/// A rollout's report as Markdown, for a ticket, a chat or a CI system's summary.
///
/// Everything that a host, a repository or a person wrote stands in code, where it is neither markup nor a mention of
/// somebody.
public struct MarkdownReport {
    private let report: RolloutReport

    /// A report on a rollout.
    public init(_ report: RolloutReport) { self.report = report }

    /// The text.
    ///
    /// - Parameter limit: The most bytes; what does not fit is left out, and that is said. GitHub takes 1 MiB for each
    ///   step's summary.
    /// - Returns: Markdown as GitHub and GitLab read it.
    public func text(limit: Int = 900_000) -> String {
        var parts = [head(), changes()]
        parts += failures()
        parts.append(course())
        parts.append(foot())
        let whole = parts.filter { !$0.isEmpty }
        var text = ""
        for (number, part) in whole.enumerated() {
            guard text.utf8.count + part.utf8.count < limit else {
                return text
                    + "\n\(whole.count - number) more parts do not fit here; "
                    + "`fleet show \(report.id)` has all.\n"
            }
            text += (text.isEmpty ? "" : "\n") + part + "\n"
        }
        return text
    }

    private func head() -> String {
        let glyph =
            switch report.rollout.outcome {
            case .succeeded: "✅"
            case .reverted: "↩️"
            case .refused: "⛔"
            default: "❌"
            }
        let who = Self.code("\(report.origin.user)@\(report.origin.machine)")
        var lines = [
            "## \(glyph) \(report.verdict): \(Self.code(report.title))", "",
            Self.prose(report.sentence), "",
            "\(report.time(at: 0)), took \(DurationText.short(milliseconds: report.timeline.milliseconds)), "
                + "by \(who), rollout `\(report.id)`",
        ]
        if let reason = report.origin.reason { lines.append("because \(Self.code(reason))") }
        for approval in report.approvals {
            lines.append("approved by \(Self.code(approval.approver))")
        }
        for caveat in RolloutText.caveats(report.rollout) {
            lines.append("> note: \(Self.code(caveat))")
        }
        return lines.joined(separator: "\n")
    }

    private func changes() -> String {
        var lines = ["| hosts | before | now | state | what was seen |", "|---|---|---|---|---|"]
        for row in RolloutText.rows(report.rollout) {
            let cells = [HostRange.fold(row.hosts), row.before, row.runs, row.state, row.seen]
            lines.append("| \(cells.map(Self.cell).joined(separator: " | ")) |")
        }
        return lines.joined(separator: "\n")
    }

    private func failures() -> [String] {
        report.failures.prefix(20).map { group in
            let text = report.output(of: group)?.text ?? group.failure.excerpt
            let lines = text.split(whereSeparator: \.isNewline).suffix(100).map {
                Style.cut(Sanitizer.safe(String($0)), to: 500)
            }
            var part =
                "**\(Self.code(group.what)) failed** on \(Self.code(HostRange.fold(group.hosts))): "
                + Self.code(group.cause)
            guard !lines.isEmpty else { return part }
            let body = lines.joined(separator: "\n")
            let fence = String(repeating: "`", count: max(3, Self.longestTicks(in: body) + 1))
            part +=
                "\n\n<details><summary>what \(Self.tagged(group.hosts[0].text)) printed</summary>\n\n"
                + "\(fence)text\n\(body)\n\(fence)\n\n</details>"
            return part
        }
    }

    private func course() -> String {
        let lines = report.timeline.marks.map { mark in
            "- \(DurationText.short(milliseconds: mark.at)) "
                + Self.code(CourseText.line(mark, plan: report.plan))
        }
        return
            (["<details><summary>what was decided, and when</summary>", ""] + lines + [
                "", "</details>",
            ])
            .joined(separator: "\n")
    }

    private func foot() -> String {
        "_plan `sha256:\(report.plan.digest)`, \(Self.code("fleet \(report.origin.version)"))_"
    }

    // MARK: Escaping

    /// Text as code, whatever is in it.
    static func code(_ text: String) -> String {
        let line = Sanitizer.line(text)
        guard !line.isEmpty else { return "" }
        let ticks = String(repeating: "`", count: longestTicks(in: line) + 1)
        let isPadded = line.hasPrefix("`") || line.hasSuffix("`")
        return isPadded ? "\(ticks) \(line) \(ticks)" : "\(ticks)\(line)\(ticks)"
    }

    /// Text as code in a cell of a table, where a bar ends the cell even in code.
    private static func cell(_ text: String) -> String {
        code(Style.cut(text, to: 300)).replacing("|", with: "\\|")
    }

    /// A sentence of this program's with names of others in it.
    private static func prose(_ text: String) -> String {
        var result = ""
        for character in Sanitizer.line(text) {
            if "\\`*_[]<>#|~!".contains(character) { result.append("\\") }
            if character == "@" { result.append("\\") }
            result.append(character)
        }
        return result
    }

    /// Text between tags of HTML.
    private static func tagged(_ text: String) -> String { HTMLText.escaped(text) }

    private static func longestTicks(in text: String) -> Int {
        var longest = 0
        var run = 0
        for byte in text.utf8 {
            run = byte == 0x60 ? run + 1 : 0
            longest = max(longest, run)
        }
        return longest
    }
}
