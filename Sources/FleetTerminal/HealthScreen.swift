package import FleetOperations
package import FleetReport

/// What `fleet health` shows of one round.
package struct HealthScreen {
    private let interval: String?
    private let style: Style

    /// Chooses how it looks.
    ///
    /// - Parameters:
    ///   - interval: How often it is asked again, as it was typed; nil for once.
    ///   - style: How it looks.
    package init(every interval: String?, style: Style) {
        self.interval = interval
        self.style = style
    }

    /// Shows one round on standard output: a table, or a line where every round goes into the same pipe.
    package func show(_ round: HealthRound) {
        let output = Terminal.standardOutput
        let time = DurationText.utc(unixMilliseconds: round.unixMilliseconds)
        if interval != nil, !output.isInteractive {
            return output.write("\(time)  \(round.summary)\n")
        }
        let table = HealthText.table(
            round.newest,
            history: round.history,
            from: round.sinceUnixMilliseconds,
            to: round.unixMilliseconds,
            style: style
        )
        guard let interval else { return output.write("\(table)\n") }
        // A screen of its own for every round, as `watch` does it.
        output.write(
            "\u{1B}[H\u{1B}[2J\(table)\n\(style.dim("\n\(time) UTC, every \(interval)"))\n"
        )
    }

    /// What is said when the environment fell ill or recovered.
    package func change(_ round: HealthRound, style: Style) -> String {
        round.isHealthy
            ? style.green("recovered: \(round.summary)") : style.red("changed: \(round.summary)")
    }
}
