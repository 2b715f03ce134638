internal import FleetPlan
internal import FleetRollout

/// What one host runs, compared with what the journal says.
public struct HostStatus: Sendable, Hashable, Encodable {
    /// The host.
    public let host: String
    /// The release that it runs, by the name that it was deployed by; `?` if nobody knows.
    public let runs: String
    /// Its commit; empty if nobody knows.
    public let commit: String
    /// The release that should run there; empty if the journal knows none.
    public let expected: String
    /// The problem with the host, or `as deployed`.
    public let state: String
    /// Whether the host has no problem.
    public let isGood: Bool

    /// Describes a host's state.
    public init(
        host: String,
        runs: String,
        commit: String,
        expected: String,
        state: String,
        isGood: Bool
    ) {
        self.host = host
        self.runs = runs
        self.commit = commit
        self.expected = expected
        self.state = state
        self.isGood = isGood
    }
}

/// What hosts run, as text.
public enum StatusText {
    /// A table, a host a line.
    public static func table(_ lines: [HostStatus], style: Style) -> String {
        let rows = lines.map { line in
            [
                line.host, line.runs, String(line.commit.prefix(12)),
                line.isGood ? style.green(line.state) : style.red(line.state),
            ]
        }
        return Table.lines(
            header: ["host", "runs", "commit", "state"],
            rows: rows,
            style: style,
            indent: ""
        ).joined(separator: "\n")
    }

    /// Describes the newest rollout in one line.
    ///
    /// - Parameters:
    ///   - line: The rollout.
    ///   - isRunning: Whether somebody is changing the environment from this machine.
    ///   - zone: The clock that times are shown on.
    ///   - style: How text is marked.
    /// - Returns: The rollout's name, its kind, its outcome and who began it.
    public static func last(
        _ line: HistoryLine,
        isRunning: Bool,
        zone: Zone = .utc,
        style: Style
    ) -> String {
        let outcome =
            line.outcome.map { OutcomeText.styled($0, style) }
            ?? style.yellow(
                isRunning
                    ? "under way" : "unfinished, and nobody is at it (fleet resume \(line.rollout))"
            )
        let time = zone.text(unixMilliseconds: line.startedUnixMilliseconds)
        return "last rollout: \(line.rollout)  \(line.kind.rawValue) \(line.release)  \(outcome)  "
            + "by \(Sanitizer.line(line.user)), \(time)"
    }
}
