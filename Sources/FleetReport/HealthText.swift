public import FleetRollout
internal import FleetTransport

/// Answers to smoke tests as tables, sparklines and Prometheus' text format.
public enum HealthText {
    /// One line: whether all is well, and if not, where and why.
    public static func summary(_ newest: [HealthSample], environment: String) -> String {
        let bad = newest.filter { $0.state != .healthy }
        guard let first = bad.first else {
            return "\(environment) healthy: \(newest.count) of \(newest.count) answers"
        }
        let names = HostRange.fold(
            bad.map(\.host).reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
        )
        return "\(environment) unhealthy: \(names): \(first.check): " + Sanitizer.line(first.reason)
    }

    /// A summary of a series of answers.
    public struct Summary: Sendable, Hashable {
        /// How many there are.
        public let count: Int
        /// The percentage of answers that were healthy; nil without answers.
        public let uptimePercent: Double?
        /// The 50th, 95th and 99th percentile of the latencies of healthy answers, in milliseconds; nil without any.
        public let percentiles: (p50: Int, p95: Int, p99: Int)?

        /// Summarizes answers; a question that could not be asked counts as not healthy.
        public init(_ samples: [HealthSample]) {
            count = samples.count
            let healthy = samples.filter { $0.state == .healthy }
            uptimePercent =
                samples.isEmpty ? nil : Double(healthy.count) * 100 / Double(samples.count)
            let sorted = healthy.map(\.latencyMilliseconds).sorted()
            // Nearest rank: always a value that was measured.
            func percentile(_ percent: Int) -> Int {
                sorted[max(0, (sorted.count * percent + 99) / 100 - 1)]
            }
            percentiles =
                sorted.isEmpty ? nil : (percentile(50), percentile(95), percentile(99))
        }

        /// Equal by value.
        public static func == (first: Summary, second: Summary) -> Bool {
            first.count == second.count && first.uptimePercent == second.uptimePercent
                && first.percentiles?.p50 == second.percentiles?.p50
                && first.percentiles?.p95 == second.percentiles?.p95
                && first.percentiles?.p99 == second.percentiles?.p99
        }

        /// Hashes by value.
        public func hash(into hasher: inout Hasher) {
            hasher.combine(count)
            hasher.combine(uptimePercent)
            hasher.combine(percentiles?.p50)
        }
    }

    /// How many columns a sparkline has.
    public static let sparklineWidth = 24

    /// Draws the latencies of a period as a sparkline, one column for each part of it.
    ///
    /// A column is `×` if any answer in it was not healthy, and a space if nothing was asked.
    ///
    /// - Parameters:
    ///   - samples: Answers of one host to one smoke test.
    ///   - start: The beginning of the period, in milliseconds since 1970.
    ///   - end: The end of the period, in milliseconds since 1970.
    /// - Returns: ``sparklineWidth`` characters.
    public static func sparkline(_ samples: [HealthSample], from start: Int, to end: Int) -> String
    {
        let bars = Array("▁▂▃▄▅▆▇█")
        var columns = [[HealthSample]](repeating: [], count: sparklineWidth)
        for sample in samples where (start...end).contains(sample.unixMilliseconds) {
            let place = (sample.unixMilliseconds - start) * sparklineWidth / max(1, end - start)
            columns[min(sparklineWidth - 1, place)].append(sample)
        }
        let means = columns.map { column in
            column.isEmpty ? 0 : column.map(\.latencyMilliseconds).reduce(0, +) / column.count
        }
        let highest = max(1, means.max() ?? 1)
        return String(
            zip(columns, means).map { column, mean in
                if column.isEmpty { return " " }
                if column.contains(where: { $0.state != .healthy }) { return "×" }
                return bars[min(bars.count - 1, mean * bars.count / (highest + 1))]
            }
        )
    }

    /// Returns a table of the newest answers, each with a summary of the history.
    ///
    /// - Parameters:
    ///   - newest: The newest answer of each host to each smoke test.
    ///   - history: All answers of the period, including the newest ones.
    ///   - start: The beginning of the period, in milliseconds since 1970.
    ///   - end: The end of the period, in milliseconds since 1970.
    ///   - style: How text is marked.
    /// - Returns: The lines of the table, the header first.
    public static func table(
        _ newest: [HealthSample],
        history: [HealthSample],
        from start: Int,
        to end: Int,
        style: Style
    ) -> String {
        struct Key: Hashable {
            let host: HostName
            let check: String
        }
        let rows = Dictionary(grouping: history) { Key(host: $0.host, check: $0.check) }
        let lines = newest.map { sample in
            let all = rows[Key(host: sample.host, check: sample.check)] ?? []
            let summary = Summary(all)
            let times = summary.percentiles
            return [
                sample.host.text, Sanitizer.line(sample.check), state(sample.state, style),
                "\(sample.latencyMilliseconds) ms", summary.uptimePercent.map(percent) ?? "-",
                times.map { "\($0.p50)/\($0.p95)/\($0.p99)" } ?? "-",
                sparkline(all, from: start, to: end), Sanitizer.line(sample.reason),
            ]
        }
        return Table.lines(
            header: [
                "host", "check", "now", "took", "uptime", "p50/p95/p99 ms", "latency",
                "what was seen",
            ],
            rows: lines,
            style: style,
            indent: ""
        ).joined(separator: "\n")
    }

    private static func state(_ state: HealthSample.State, _ style: Style) -> String {
        switch state {
        case .healthy: style.green("healthy")
        case .unhealthy: style.red("unhealthy")
        case .unknown: style.yellow("unknown")
        }
    }

    /// `99.9%`, never rounded up to a hundred.
    static func percent(_ value: Double) -> String {
        let tenths = Int(value * 10)
        return tenths % 10 == 0 ? "\(tenths / 10)%" : "\(tenths / 10).\(tenths % 10)%"
    }

    /// The newest answers in Prometheus' text format (exposition format 0.0.4).
    public static func prometheus(_ newest: [HealthSample], environment: String) -> String {
        func labels(_ sample: HealthSample) -> String {
            let pairs = [
                ("environment", environment), ("host", sample.host.text), ("check", sample.check),
            ]
            return pairs.map { "\($0.0)=\"\(escaped($0.1))\"" }.joined(separator: ",")
        }
        func metric(_ name: String, _ help: String, _ value: (HealthSample) -> String) -> [String] {
            ["# HELP \(name) \(help)", "# TYPE \(name) gauge"]
                + newest.map { "\(name){\(labels($0))} \(value($0))" }
        }
        func seconds(_ milliseconds: Int) -> String {
            let rest = String(milliseconds % 1000)
            return "\(milliseconds / 1000)."
                + String(repeating: "0", count: 3 - rest.count) + rest
        }
        let lines =
            metric("fleet_healthy", "Whether the smoke test passed, in time.") {
                $0.state == .healthy ? "1" : "0"
            }
            + metric("fleet_answered", "Whether the smoke test could be asked at all.") {
                $0.state == .unknown ? "0" : "1"
            }
            + metric("fleet_latency_seconds", "How long the answer took.") {
                seconds($0.latencyMilliseconds)
            }
            + metric("fleet_asked_timestamp_seconds", "When it was asked.") {
                seconds($0.unixMilliseconds)
            }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing(
            "\n",
            with: "\\n"
        )
    }
}
