internal import FleetRollout

/// One entry of the audit list: a rollout, an approval, or an action by hand.
public struct AuditLine: Sendable, Hashable, Encodable {
    /// The record's name.
    public let name: String
    /// When, in milliseconds since 1970.
    public let unixMilliseconds: Int
    /// The environment.
    public let environment: String
    /// Who, and on which machine.
    public let who: String
    /// What, in words.
    public let what: String
    /// The playbook's name.
    public var title: String?
    /// The release's label.
    public var release: String?
    /// The release's commit.
    public var commit: String?
    /// How it ended; `unfinished` if it has not.
    public var outcome: String?
    /// Why, in the words of who did it.
    public var why: String?
    /// The rules that were overridden.
    public var overridden: [String]?
    /// The digest of the plan that was carried out or approved.
    public var planDigest: String?

    /// Describes what was done; the rest is set afterwards.
    public init(
        name: String,
        unixMilliseconds: Int,
        environment: String,
        who: String,
        what: String
    ) {
        self.name = name
        self.unixMilliseconds = unixMilliseconds
        self.environment = environment
        self.who = who
        self.what = what
    }
}

/// Who did what, as text.
public enum AuditText {
    /// A table, the newest first.
    ///
    /// - Parameters:
    ///   - lines: The entries.
    ///   - zone: The clock that times are shown on.
    ///   - style: How text is marked.
    /// - Returns: The table, without a line end.
    public static func table(_ lines: [AuditLine], zone: Zone = .utc, style: Style) -> String {
        let (name, time) = zone.column(lines.map(\.unixMilliseconds))
        let rows = lines.map { line in
            let outcome = line.outcome ?? "-"
            let why =
                (line.overridden.map { ["overrides \($0.joined(separator: ", "))"] } ?? [])
                + (line.why.map { ["“\(Sanitizer.line($0))”"] } ?? [])
            return [
                time(line.unixMilliseconds),
                line.environment, Sanitizer.line(line.who),
                line.what == "hotfix" ? style.yellow(line.what) : Sanitizer.line(line.what),
                line.release ?? line.title.map { Sanitizer.line($0) } ?? "-",
                RolloutOutcome(rawValue: outcome).map { OutcomeText.styled($0, style) } ?? outcome,
                line.planDigest.map { String($0.prefix(12)) } ?? "-",
                why.joined(separator: " "),
            ]
        }
        return Table.lines(
            header: [
                "when (\(name))", "environment", "who", "what", "release or playbook", "outcome",
                "plan", "why",
            ],
            rows: rows,
            style: style,
            indent: ""
        ).joined(separator: "\n")
    }
}
