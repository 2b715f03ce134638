internal import FleetPlan
internal import FleetRollout
internal import FleetTransport

/// A rollout as a drawing: hosts from top to bottom, time from left to right, a bar for each thing that a host was at.
///
/// Up to ``mostRows`` hosts have a row each. Of more, failed and slow ones have, and the others of a batch share one.
struct ReportChart {
    let report: RolloutReport
    /// The most hosts that get a row each.
    static let mostRows = 60
    /// How many rows a large rollout has at the most.
    static let mostSharedRows = 120

    private let left = 170.0
    private let width = 1000.0
    private let top = 34.0
    private let rowHeight = 18.0

    /// How a bar looks; every look differs by its pattern or outline too, not by colour alone.
    private enum Look: String {
        case wait, step, check, bad, back, open

        init(_ span: RolloutTimeline.Span) {
            switch (span.ending, span.activity) {
            case (.failed, _), (.lost, _): self = .bad
            case (.open, _): self = .open
            case (.ok, .revertStep), (.ok, .revertCheck), (.ok, .settle): self = .back
            case (.ok, .step): self = .step
            case (.ok, .check), (.ok, .gate): self = .check
            case (.ok, .preflight), (.ok, .lock): self = .wait
            }
        }
    }

    private struct Row {
        var label: String
        var bars: [(start: Int, end: Int, look: Look, title: String)]
    }

    /// The drawing and its legend.
    func write(to page: inout HTMLText) {
        let rows = rows()
        let total = Double(max(1, report.timeline.milliseconds))
        let height = top + Double(rows.count) * rowHeight + 8
        func x(_ milliseconds: Int) -> Double {
            left + Double(milliseconds) / total * (width - left - 10)
        }
        page.safe(
            "<div class=scroll><svg viewBox=\"0 0 1000 \(Self.number(height))\" role=img aria-labelledby=\"ct cd\">"
        )
        page.markup(
            "<title id=ct>What every host did when</title><desc id=cd>A bar for each step of each host. The tables below say the same in words.</desc>"
        )
        page.markup(
            """
            <defs><pattern id=hb width=6 height=6 patternUnits=userSpaceOnUse patternTransform="rotate(45)"><rect width=6 height=6 class=backfill /><path d="M0 0V6" class=hatch /></pattern><pattern id=hx width=5 height=5 patternUnits=userSpaceOnUse><rect width=5 height=5 class=badfill /><path d="M0 5L5 0M0 0L5 5" class=hatch /></pattern></defs>
            """
        )
        for tick in Self.ticks(upTo: report.timeline.milliseconds) {
            let place = Self.number(x(tick))
            page.safe(
                "<path class=tick d=\"M\(place) \(Self.number(top - 6))V\(Self.number(height - 4))\"/>"
            )
            page.safe("<text class=axis x=\"\(place)\" y=\"12\" text-anchor=middle>")
            page.text(DurationText.short(milliseconds: tick))
            page.safe("</text>")
        }
        for (number, row) in rows.enumerated() {
            let y = top + Double(number) * rowHeight
            page.safe(
                "<text class=host x=\"\(Self.number(left - 8))\" y=\"\(Self.number(y + 12))\" text-anchor=end>"
            )
            page.text(Style.cut(Sanitizer.line(row.label), to: 24))
            page.safe("</text>")
            for bar in row.bars {
                let start = x(bar.start)
                let wide = max(2, x(bar.end) - start)
                page.safe(
                    "<rect class=\(bar.look.rawValue) x=\"\(Self.number(start))\" y=\"\(Self.number(y))\" "
                        + "width=\"\(Self.number(wide))\" height=14><title>"
                )
                page.text(bar.title)
                page.safe("</title></rect>")
            }
        }
        marks(to: &page, height: height, x: x)
        page.markup("</svg></div>")
        legend(to: &page)
    }

    private func marks(to page: inout HTMLText, height: Double, x: (Int) -> Double) {
        var lastLabel = -1000.0
        for mark in report.timeline.marks {
            let (kind, label): (String, String)
            switch mark.kind {
            case .halt: (kind, label) = ("halt", "halt")
            case .decision(let decision): (kind, label) = ("decision", decision.rawValue)
            case .batch(let number): (kind, label) = ("batch", "batch \(number + 1)")
            case .gate: (kind, label) = ("batch", "gate")
            case .takenUp: (kind, label) = ("decision", "taken up")
            case .stop: (kind, label) = ("halt", "stop")
            case .end: continue
            }
            let place = x(mark.at)
            page.safe(
                "<path class=\(kind) d=\"M\(Self.number(place)) 18V\(Self.number(height - 4))\"><title>"
            )
            page.text("\(label) at \(DurationText.short(milliseconds: mark.at)) \(mark.reason)")
            page.safe("</title></path>")
            guard place - lastLabel > 44 || kind == "halt" else { continue }
            lastLabel = place
            page.safe("<text class=\"m\(kind)\" x=\"\(Self.number(place + 3))\" y=\"26\">")
            page.text(label)
            page.safe("</text>")
        }
    }

    private func legend(to page: inout HTMLText) {
        let words: [(Look, String)] = [
            (.wait, "preflight, lock"), (.step, "step"), (.check, "check, gate"),
            (.bad, "failed"), (.back, "way back"), (.open, "no end"),
        ]
        let used = Set(report.timeline.spans.map { Look($0).rawValue })
        page.markup("<p class=legend>")
        for (look, word) in words where used.contains(look.rawValue) {
            page.safe(
                "<span><svg width=14 height=12 aria-hidden=true><rect class=\(look.rawValue) width=14 height=12 /></svg> "
            )
            page.text(word)
            page.markup("</span> ")
        }
        page.markup("</p>")
    }

    // MARK: Rows

    private func rows() -> [Row] {
        var byHost: [Int: [RolloutTimeline.Span]] = [:]
        for span in report.timeline.spans { byHost[span.host, default: []].append(span) }
        let hosts = report.plan.hosts
        func row(_ place: Int) -> Row {
            Row(
                label: hosts[place].name.text,
                bars: (byHost[place] ?? []).map { bar($0, hosts[place].name.text) }
            )
        }
        guard hosts.count > Self.mostRows else { return hosts.indices.map(row) }
        var rows: [Row] = []
        var first = 0
        for (number, batch) in report.plan.batches.enumerated() {
            let places = Array(first..<min(hosts.count, first + batch.count))
            first += batch.count
            guard rows.count < Self.mostSharedRows else { break }
            let failed = places.filter { report.rollout.hosts[$0].failure != nil }
            let ends = places.map { (place: $0, end: byHost[$0]?.map(\.end).max() ?? 0) }
            let slow = ends.sorted { $0.end > $1.end }.prefix(1).map(\.place)
            let own = Array((failed.prefix(10) + slow.filter { !failed.contains($0) }))
            rows += own.sorted().map(row)
            let others = places.filter { !own.contains($0) }
            guard !others.isEmpty else { continue }
            rows.append(
                Row(
                    label: "batch \(number + 1): \(others.count)\(own.isEmpty ? "" : " others")",
                    bars: shared(others.flatMap { byHost[$0] ?? [] }, hosts: others.count)
                )
            )
        }
        return rows
    }

    /// One row for many hosts: of each activity from its first beginning to its last end.
    private func shared(_ spans: [RolloutTimeline.Span], hosts: Int) -> [(
        start: Int, end: Int, look: Look, title: String
    )] {
        var bars: [(name: String, start: Int, end: Int, look: Look, times: [Int])] = []
        var places: [String: Int] = [:]
        for span in spans {
            let look = Look(span)
            let name = report.timeline.name(of: span)
            let key = "\(look.rawValue) \(name)"
            if let place = places[key] {
                bars[place].start = min(bars[place].start, span.start)
                bars[place].end = max(bars[place].end, span.end)
                bars[place].times.append(span.milliseconds)
            } else {
                places[key] = bars.count
                bars.append((name, span.start, span.end, look, [span.milliseconds]))
            }
        }
        return bars.map {
            (
                $0.start, $0.end, $0.look,
                "\($0.name) on \($0.times.count) hosts, "
                    + "median \(DurationText.short(milliseconds: RolloutReport.median($0.times)))"
            )
        }
    }

    private func bar(_ span: RolloutTimeline.Span, _ host: String) -> (
        start: Int, end: Int, look: Look, title: String
    ) {
        let ending =
            switch span.ending {
            case .ok: ""
            case .failed(let failure): ": \(FailureCause.summary(of: failure))"
            case .lost(let failure): ": \(FailureCause.summary(of: failure))"
            case .open: ": no end"
            }
        let tries = span.attempts > 1 ? ", \(span.attempts) attempts" : ""
        return (
            span.start, span.end, Look(span),
            "\(host) \(report.timeline.name(of: span)) "
                + "\(DurationText.short(milliseconds: span.milliseconds))\(tries)\(ending)"
        )
    }

    // MARK: Numbers

    /// Round times, five to nine of them.
    static func ticks(upTo milliseconds: Int) -> [Int] {
        let steps = [
            100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000,
            600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000,
        ]
        let step = steps.first { milliseconds / $0 < 9 } ?? milliseconds / 5 + 1
        return Array(stride(from: 0, through: milliseconds, by: step))
    }

    /// A number with one decimal, which is enough for a drawing 1,000 wide.
    private static func number(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(abs(tenths % 10))"
    }
}
