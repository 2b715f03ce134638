internal import FleetReport
internal import FleetRollout
internal import FleetTransport

/// Answers to smoke tests as small pictures that stand in the page itself.
enum HealthChart {
    /// One check of one host.
    struct Series {
        let host: String
        let check: String
        let look: String
        let glyph: String
        let state: String
        let chart: String
        let summary: String
    }

    /// The series of some answers, those that are not healthy now first.
    static func series(_ samples: [HealthSample], from start: Int, to end: Int) -> [Series] {
        var order: [[String]] = []
        var found: [[String]: [HealthSample]] = [:]
        for sample in samples {
            let key = [sample.host.text, sample.check]
            if found[key] == nil { order.append(key) }
            found[key, default: []].append(sample)
        }
        let all = order.compactMap { key -> Series? in
            guard let mine = found[key], let last = mine.last else { return nil }
            let summary = HealthText.Summary(mine)
            let isGood = last.state == .healthy
            let uptime = summary.uptimePercent.map { "\(($0 * 10).rounded() / 10) % healthy" } ?? ""
            let times =
                summary.percentiles.map { "; p50 \($0.p50) ms, p95 \($0.p95) ms, p99 \($0.p99) ms" }
                ?? ""
            return Series(
                host: key[0],
                check: key[1],
                look: isGood ? "good" : "bad",
                glyph: isGood ? "✓" : "✕",
                state: isGood
                    ? "healthy, \(last.latencyMilliseconds) ms"
                    : "\(last.state.rawValue): \(last.reason)",
                chart: chart(mine, from: start, to: end),
                summary: "\(mine.count) answers, \(uptime)\(times)"
            )
        }
        return all.filter { $0.look == "bad" } + all.filter { $0.look == "good" }
    }

    private static let width = 600
    private static let height = 90

    /// Latency over time, with a mark for every answer that was not healthy.
    ///
    /// Only numbers stand in it.
    private static func chart(_ samples: [HealthSample], from start: Int, to end: Int) -> String {
        let span = max(1, end - start)
        let most = max(1, samples.map(\.latencyMilliseconds).max() ?? 1)
        // Never more points than pixels.
        let step = max(1, samples.count / width)
        var points: [String] = []
        var marks = ""
        for (number, sample) in samples.enumerated() {
            let x = (sample.unixMilliseconds - start) * width / span
            if sample.state != .healthy {
                marks += "<rect class=\"bad\" x=\"\(x)\" y=\"0\" width=\"2\" height=\"\(height)\"/>"
            } else if number % step == 0 {
                points.append("\(x),\(height - sample.latencyMilliseconds * (height - 8) / most)")
            }
        }
        let bad = samples.count { $0.state != .healthy }
        return "<svg class=\"chart\" viewBox=\"0 0 \(width) \(height + 16)\" role=\"img\" "
            + "aria-label=\"\(samples.count) answers, \(bad) of them not healthy, at most \(most) ms\">"
            + marks + "<polyline class=\"line\" points=\"\(points.joined(separator: " "))\"/>"
            + "<line class=\"axis\" x1=\"0\" y1=\"\(height)\" x2=\"\(width)\" y2=\"\(height)\" stroke=\"currentColor\"/>"
            + "<text x=\"0\" y=\"\(height + 13)\">24 h ago</text>"
            + "<text x=\"\(width)\" y=\"\(height + 13)\" text-anchor=\"end\">now</text>"
            + "<text x=\"0\" y=\"10\">\(most) ms</text></svg>"
    }

    /// The last hour in a line of text: a bar for each of 24 stretches; nothing without answers.
    static func spark(_ samples: [HealthSample]) -> String {
        guard let last = samples.last?.unixMilliseconds else { return "" }
        let bars = 24
        let start = last - 3_600_000
        var stretches = [(all: Int, bad: Int)](repeating: (0, 0), count: bars)
        for sample in samples where sample.unixMilliseconds >= start {
            let place = min(bars - 1, (sample.unixMilliseconds - start) * bars / 3_600_000)
            stretches[place].all += 1
            if sample.state != .healthy { stretches[place].bad += 1 }
        }
        var drawn = ""
        for (place, stretch) in stretches.enumerated() where stretch.all > 0 {
            let look = stretch.bad > 0 ? "bad" : "good"
            let top = stretch.bad > 0 ? 0 : 6
            drawn +=
                "<rect class=\"\(look)\" x=\"\(place * 5)\" y=\"\(top)\" width=\"4\" height=\"\(14 - top)\"/>"
        }
        let bad = stretches.count { $0.bad > 0 }
        return "<svg class=\"spark\" width=\"120\" height=\"14\" role=\"img\" "
            + "aria-label=\"the last hour: \(bad == 0 ? "healthy" : "not healthy at some time")\">\(drawn)</svg>"
    }
}
