public import FleetPlan
public import FleetRollout

/// One rollout in a list: what it was, when, by whom, and how it ended.
public struct HistoryLine: Sendable, Hashable, Encodable {
    /// The rollout's name.
    public let rollout: String
    /// The environment.
    public let environment: String
    /// What kind of rollout.
    public let kind: Plan.Kind
    /// The playbook or command.
    public let title: String
    /// The release's label; empty for none.
    public let release: String
    /// How many hosts.
    public let hosts: Int
    /// Who started it.
    public let user: String
    /// When it began, in milliseconds since 1970.
    public let startedUnixMilliseconds: Int
    /// When it ended; nil if it has not.
    public let endedUnixMilliseconds: Int?
    /// How long it took, in milliseconds; nil if it has not ended.
    public let milliseconds: Int?
    /// How it ended; nil if it has not.
    public let outcome: RolloutOutcome?

    /// Describes a rollout.
    public init(
        rollout: String,
        environment: String,
        kind: Plan.Kind,
        title: String,
        release: String,
        hosts: Int,
        user: String,
        startedUnixMilliseconds: Int,
        endedUnixMilliseconds: Int?,
        milliseconds: Int?,
        outcome: RolloutOutcome?
    ) {
        self.rollout = rollout
        self.environment = environment
        self.kind = kind
        self.title = title
        self.release = release
        self.hosts = hosts
        self.user = user
        self.startedUnixMilliseconds = startedUnixMilliseconds
        self.endedUnixMilliseconds = endedUnixMilliseconds
        self.milliseconds = milliseconds
        self.outcome = outcome
    }
}

/// Lists of rollouts as text.
public enum HistoryText {
    /// A table, a rollout a line.
    ///
    /// - Parameters:
    ///   - lines: The rollouts, the newest first.
    ///   - zone: The clock that times are shown on.
    ///   - style: How text is marked.
    /// - Returns: The table, without a line end.
    public static func table(_ lines: [HistoryLine], zone: Zone = .utc, style: Style) -> String {
        let (name, time) = zone.column(lines.map(\.startedUnixMilliseconds))
        let rows = lines.map { line in
            let took = line.milliseconds.map { DurationText.short(milliseconds: $0) }
            return [
                line.rollout, time(line.startedUnixMilliseconds),
                line.environment, line.kind.rawValue,
                line.release.isEmpty ? Style.short(Sanitizer.line(line.title)) : line.release,
                line.outcome.map { OutcomeText.styled($0, style) } ?? style.yellow("unfinished"),
                took ?? "-", Sanitizer.line(line.user),
            ]
        }
        return Table.lines(
            header: [
                "rollout", "started (\(name))", "environment", "kind", "what", "outcome", "took",
                "by",
            ],
            rows: rows,
            style: style,
            indent: ""
        ).joined(separator: "\n")
    }
}
