internal import FleetInventory
internal import FleetPlan
internal import FleetRollout
internal import FleetTransport

/// A rollout's report as one HTML file that needs nothing else: no script, no picture, no network.
///
/// It is readable on paper, in the dark, on a telephone and by a screen reader.
public struct ReportPage {
    private let report: RolloutReport
    /// How much of what one failure printed is shown, in characters.
    private static let outputLimit = 64_000
    /// How much of all outputs is shown, in characters.
    private static let outputsLimit = 1_000_000
    /// The most failures that are shown one by one.
    private static let mostFailures = 50

    /// A page about a rollout.
    public init(_ report: RolloutReport) { self.report = report }

    /// The whole file, UTF-8.
    public func html() -> String {
        var page = HTMLText()
        page.markup("<!doctype html>\n<html lang=en><meta charset=utf-8>")
        page.markup("<meta name=viewport content=\"width=device-width,initial-scale=1\">")
        page.markup("<meta name=color-scheme content=\"light dark\">")
        page.markup(
            "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        )
        page.element("title", "\(report.verdict): \(report.title)")
        page.markup("<style>")
        page.safe(Self.style)
        page.markup("</style>\n<body>")
        head(to: &page)
        page.markup("<main>")
        failures(to: &page)
        changes(to: &page)
        page.markup("<section><h2>When</h2>")
        ReportChart(report: report).write(to: &page)
        course(to: &page)
        page.markup("</section>")
        durations(to: &page)
        hosts(to: &page)
        plan(to: &page)
        page.markup("</main>")
        foot(to: &page)
        page.markup("</body></html>\n")
        return page.html
    }

    private func head(to page: inout HTMLText) {
        page.safe("<header class=\"\(Self.kind(of: report.rollout.outcome))\"><p class=verdict>")
        page.safe("<b>\(Self.glyph(of: report.rollout.outcome)) ")
        page.text(report.verdict)
        page.markup("</b> ")
        page.text(report.title)
        page.markup("</p>")
        page.element("h1", report.sentence)
        page.markup("<dl>")
        fact("began", report.time(at: 0), to: &page)
        fact("took", DurationText.short(milliseconds: report.timeline.milliseconds), to: &page)
        fact("by", "\(report.origin.user) on \(report.origin.machine)", to: &page)
        if let reason = report.origin.reason { fact("because", reason, to: &page) }
        if let overridden = report.origin.overridden {
            fact("overriding", overridden.joined(separator: ", "), to: &page)
        }
        if let release = report.plan.release { fact("commit", release.commit, to: &page) }
        let approvers = report.approvals.map {
            "\($0.approver), \(report.zone.text(unixMilliseconds: $0.unixMilliseconds))"
                + ($0.note.isEmpty ? "" : " (“\($0.note)”)")
        }
        if !approvers.isEmpty {
            fact("approved by", approvers.joined(separator: "; "), to: &page)
        }
        fact("rollout", report.id.description, to: &page)
        page.markup("</dl>")
        for caveat in RolloutText.caveats(report.rollout) {
            page.markup("<p class=note>note: ")
            page.text(caveat)
            page.markup("</p>")
        }
        page.markup("</header>")
    }

    private func fact(_ name: StaticString, _ value: String, to page: inout HTMLText) {
        page.markup("<div>")
        page.element("dt", "\(name)")
        page.element("dd", Sanitizer.line(value))
        page.markup("</div>")
    }

    private func failures(to page: inout HTMLText) {
        let groups = report.failures
        guard !groups.isEmpty else { return }
        page.markup("<section><h2>What failed</h2>")
        var room = Self.outputsLimit
        for (number, group) in groups.prefix(Self.mostFailures).enumerated() {
            page.markup("<article class=failure><h3>")
            page.text(group.what)
            page.markup(" <small>on ")
            page.text(HostRange.fold(group.hosts))
            page.markup("</small></h3>")
            page.element("p", group.cause, class: "cause")
            let output = report.output(of: group)
            let text = output?.text ?? group.failure.excerpt
            if !text.isEmpty {
                let shown = Self.ends(of: text, limit: min(Self.outputLimit, room))
                room -= shown.count
                page.safe("<details\(number < 3 ? " open" : "")><summary>")
                page.text("what \(group.hosts[0]) printed")
                if let dropped = output?.droppedBytes, dropped > 0 {
                    page.text(" (\(dropped) bytes in the middle were not kept)")
                }
                page.markup("</summary><pre>")
                page.text(shown)
                page.markup("</pre></details>")
            }
            if let hint = group.failure.hint {
                page.markup("<p class=next>next: <code>")
                page.text(
                    RolloutText.hint(
                        hint,
                        environment: report.plan.environment,
                        host: group.hosts[0]
                    )
                )
                page.markup("</code></p>")
            }
            page.markup("</article>")
        }
        if groups.count > Self.mostFailures {
            page.element(
                "p",
                "and \(groups.count - Self.mostFailures) more; `fleet show \(report.id)` has all"
            )
        }
        page.markup("</section>")
    }

    /// A long text's beginning and end.
    private static func ends(of text: String, limit: Int) -> String {
        guard text.count > limit else { return text }
        let half = max(0, limit / 2)
        return text.prefix(half) + "\n… \(text.count - 2 * half) characters are left out here …\n"
            + text.suffix(half)
    }

    private func changes(to page: inout HTMLText) {
        page.markup(
            "<section><h2>What runs where</h2><div class=scroll><table><thead><tr><th scope=col>hosts<th scope=col>before<th scope=col>now<th scope=col>state<th scope=col>what was seen</thead><tbody>"
        )
        for row in RolloutText.rows(report.rollout) {
            page.markup("<tr><th scope=row>")
            page.text(HostRange.fold(row.hosts))
            page.markup("<td>")
            page.text(row.before)
            page.markup("<td>")
            page.text(row.runs)
            page.safe("<td class=\"\(row.isGood ? "good" : row.isBad ? "bad" : "")\">")
            page.text("\(row.isGood ? "✓ " : row.isBad ? "✕ " : "")\(row.state)")
            page.markup("<td>")
            page.text(row.seen)
        }
        page.markup("</tbody></table></div></section>")
    }

    /// What was decided, and on what evidence.
    private func course(to page: inout HTMLText) {
        page.markup("<ol class=course>")
        for mark in report.timeline.marks {
            page.markup("<li><time>")
            page.text(DurationText.short(milliseconds: mark.at))
            page.markup("</time> ")
            page.text(CourseText.line(mark, plan: report.plan))
        }
        page.markup("</ol>")
    }

    private func durations(to page: inout HTMLText) {
        let times = report.stepTimes
        guard !times.isEmpty else { return }
        page.markup("<section><h2>How long</h2>")
        if !report.earlier.isEmpty {
            let usual = RolloutReport.median(report.earlier.map(\.milliseconds))
            page.element(
                "p",
                "This rollout took \(DurationText.short(milliseconds: report.timeline.milliseconds)); "
                    + "the median of the \(report.earlier.count) before it is "
                    + "\(DurationText.short(milliseconds: usual))."
            )
            sparkline(to: &page)
        }
        if let statistics = report.statistics, statistics.deploys > 0 {
            page.element("p", StatisticsText.sentence(statistics))
        }
        page.markup(
            "<div class=scroll><table><thead><tr><th scope=col>step or check<th scope=col>hosts<th scope=col>median<th scope=col>slowest<th scope=col>failed</thead><tbody>"
        )
        for time in times {
            page.markup("<tr><th scope=row>")
            page.text(time.name)
            page.safe("<td>\(time.milliseconds.count)<td>")
            page.text(DurationText.fine(time.median))
            page.markup("<td>")
            if let slowest = time.slowest {
                page.text(
                    "\(DurationText.fine(slowest.milliseconds)) (\(slowest.host))"
                )
            }
            page.safe("<td>\(time.failed == 0 ? "" : "\(time.failed)")")
        }
        page.markup("</tbody></table></div></section>")
    }

    /// The total times of earlier rollouts, oldest first, and this one's, as bars.
    private func sparkline(to page: inout HTMLText) {
        var bars = report.earlier.reversed().map { (time: $0.milliseconds, outcome: $0.outcome) }
        bars.append((report.timeline.milliseconds, report.rollout.outcome ?? .interrupted))
        let most = max(1, bars.map(\.time).max() ?? 1)
        page.safe(
            "<svg class=spark width=\"\(bars.count * 14)\" height=44 role=img><title>times of the rollouts before, and of this one at the right</title>"
        )
        for (number, bar) in bars.enumerated() {
            let height = max(2, bar.time * 40 / most)
            let look = bar.outcome == .succeeded ? "step" : "bad"
            page.safe(
                "<rect class=\(look) x=\"\(number * 14)\" y=\"\(42 - height)\" width=10 height=\"\(height)\"><title>"
            )
            page.text("\(bar.outcome.rawValue), \(DurationText.short(milliseconds: bar.time))")
            page.markup("</title></rect>")
        }
        page.markup("</svg>")
    }

    /// Hosts × steps: the chart in words.
    private func hosts(to page: inout HTMLText) {
        var columns: [String] = []
        var seen: Set<String> = []
        var cells: [Int: [String: RolloutTimeline.Span]] = [:]
        for span in report.timeline.spans {
            let name = report.timeline.name(of: span)
            let column =
                span.activity.isBack && !name.hasPrefix("revert ") ? "\(name) (back)" : name
            if seen.insert(column).inserted { columns.append(column) }
            cells[span.host, default: [:]][column] = span
        }
        let isLong = report.plan.hosts.count > 20
        page.safe("<section><h2>Every host</h2><details\(isLong ? "" : " open")><summary>")
        page.text("\(report.plan.hosts.count) hosts, failed ones first")
        page.markup(
            "</summary><div class=scroll><table class=hosts><thead><tr><th scope=col>host<th scope=col>batch"
        )
        for column in columns { page.element("th", column) }
        page.markup("</thead><tbody>")
        var batches: [HostName: Int] = [:]
        for (number, batch) in report.plan.batches.enumerated() {
            for host in batch { batches[host] = number + 1 }
        }
        let order = report.rollout.hosts.indices.sorted {
            let (one, other) = (report.rollout.hosts[$0], report.rollout.hosts[$1])
            if (one.failure != nil) != (other.failure != nil) { return one.failure != nil }
            return $0 < $1
        }
        for place in order {
            let host = report.rollout.hosts[place]
            page.markup("\n<tr><th scope=row>")
            page.text(host.name.text)
            page.safe("<td>\(batches[host.name] ?? 0)<td>")
            page.text(host.outcome?.rawValue ?? "no end")
            for column in columns {
                guard let span = cells[place]?[column] else {
                    page.markup("<td>")
                    continue
                }
                let isBad =
                    switch span.ending {
                    case .failed, .lost: true
                    case .ok, .open: false
                    }
                page.safe(isBad ? "<td class=bad>✕ " : "<td>")
                page.text(DurationText.fine(span.milliseconds))
            }
        }
        page.markup("</tbody></table></div></details></section>")
    }

    private func plan(to page: inout HTMLText) {
        page.markup(
            "<section><h2>The plan</h2><details><summary>what was to be done</summary><pre>"
        )
        page.text(PlanText.shown(report.plan, .overview, style: .plain))
        page.markup("</pre></details></section>")
    }

    private func foot(to page: inout HTMLText) {
        page.markup("<footer>")
        page.text(
            "fleet \(report.origin.command) · fleet \(report.origin.version)"
        )
        page.markup("</footer>")
    }

    private static func kind(of outcome: RolloutOutcome?) -> String {
        switch outcome {
        case .succeeded: "good"
        case .reverted, .refused: "warn"
        case .held, .revertFailed, .unknown, .interrupted, nil: "bad"
        }
    }

    private static func glyph(of outcome: RolloutOutcome?) -> String {
        switch outcome {
        case .succeeded: "✓"
        case .reverted: "↺"
        case .refused: "–"
        case .held, .revertFailed, .unknown, .interrupted, nil: "✕"
        }
    }
}
