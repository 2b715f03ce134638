public import FleetPlan
public import FleetRollout
public import FleetTransport

/// What a plan means for its environment: what runs there now, what comes, what differs from last time, how long.
public struct PlanOutlook: Sendable {
    /// Hosts that go from one release to another.
    public struct Move: Sendable {
        /// The hosts.
        public let hosts: [HostName]
        /// What they run by the journal; nil if it knows nothing of them.
        public let from: Release?
        /// What they will run.
        public let to: Release?
        /// What is between the two; nil if no clone here has both.
        public let change: ReleaseChange?

        /// Describes a move.
        public init(hosts: [HostName], from: Release?, to: Release?, change: ReleaseChange?) {
            self.hosts = hosts
            self.from = from
            self.to = to
            self.change = change
        }
    }

    /// The moves, most hosts first.
    public let moves: [Move]
    /// The rollout that the plan is compared with; nil if there was none.
    public let since: RolloutID?
    /// What the plan does otherwise than that one.
    public let differences: [String]
    /// How long such a rollout usually takes, in milliseconds; nil if there was none.
    public let usualMilliseconds: Int?
    /// From how many rollouts that is known.
    public let comparedRollouts: Int

    /// Gathers it.
    public init(
        moves: [Move],
        since: RolloutID?,
        differences: [String],
        usual: (milliseconds: Int, rollouts: Int)?
    ) {
        self.moves = moves
        self.since = since
        self.differences = differences
        usualMilliseconds = usual?.milliseconds
        comparedRollouts = usual?.rollouts ?? 0
    }
}

/// What is between releases, as text.
public enum OutlookText {
    /// How many commits, files and differences one screen has room for.
    private static let few = 5

    /// The outlook in a few lines, for a plan's screen.
    ///
    /// - Parameters:
    ///   - outlook: The outlook.
    ///   - style: How text is marked.
    /// - Returns: The lines.
    public static func short(_ outlook: PlanOutlook, style: Style) -> [String] {
        var lines: [String] = []
        for move in outlook.moves.prefix(few) {
            lines.append("changes    \(headline(move))")
            lines += facts(move, commits: few, style: style).map { "           \($0)" }
        }
        if outlook.moves.count > few {
            lines.append("           and \(outlook.moves.count - few) more groups of hosts")
        }
        for (number, line) in outlook.differences.prefix(few).enumerated() {
            lines.append((number == 0 ? "otherwise  " : "           ") + Sanitizer.line(line))
        }
        if outlook.differences.count > few {
            lines.append("           and \(outlook.differences.count - few) more differences")
        }
        if let usual = outlook.usualMilliseconds {
            let count = outlook.comparedRollouts
            lines.append(
                "expected   \(DurationText.short(milliseconds: usual)) (median of \(count) "
                    + "\(count == 1 ? "rollout" : "rollouts") on as many hosts)"
            )
        }
        return lines
    }

    /// Everything, for `fleet diff`.
    ///
    /// - Parameters:
    ///   - outlook: The outlook.
    ///   - style: How text is marked.
    /// - Returns: The text, without a line end.
    public static func whole(_ outlook: PlanOutlook, style: Style) -> String {
        var lines: [String] = []
        for move in outlook.moves {
            if !lines.isEmpty { lines.append("") }
            lines.append(style.bold(headline(move)))
            lines += facts(move, commits: .max, style: style)
            guard let change = move.change, !change.files.isEmpty else { continue }
            lines.append("")
            lines += change.files.map { file in
                let added = file.added.map { style.green("+\($0)") } ?? "binary"
                let removed = file.removed.map { style.red("-\($0)") } ?? ""
                return "\(Style.padded("\(added) \(removed)", to: 14))\(Sanitizer.line(file.path))"
            }
        }
        if let since = outlook.since {
            lines += ["", style.bold("the plan, compared with rollout \(since)")]
            lines +=
                outlook.differences.isEmpty
                ? ["does the same"] : outlook.differences.map { Sanitizer.line($0) }
        }
        return lines.joined(separator: "\n")
    }

    private static func headline(_ move: PlanOutlook.Move) -> String {
        let hosts = HostRange.fold(move.hosts)
        let to = move.to?.label ?? "no release"
        guard let from = move.from else {
            return "\(hosts): nothing that this journal knows → \(to)"
        }
        if from.commit == move.to?.commit { return "\(hosts): \(from.label), and stays there" }
        return "\(hosts): \(from.label) → \(to)"
    }

    private static func facts(_ move: PlanOutlook.Move, commits limit: Int, style: Style)
        -> [String]
    {
        guard move.from?.commit != move.to?.commit, move.from != nil else { return [] }
        guard let change = move.change else {
            return [style.dim("what is between is not known: no clone here has both commits")]
        }
        var lines: [String] = []
        let people = Set(change.commits.map(\.author)).count
        var counts: [String] = []
        if change.coming > 0 {
            counts.append(
                "\(count(change.coming, "commit")) by \(people == 1 ? "1 person" : "\(people) people")"
            )
        }
        if change.going > 0 {
            counts.append(style.yellow("\(count(change.going, "commit")) taken away"))
        }
        counts.append(count(change.files.count, "file"))
        lines.append(counts.joined(separator: ", "))
        lines += change.commits.prefix(limit).map {
            "  \(style.dim($0.id)) \(Sanitizer.line($0.subject)) \(style.dim(Sanitizer.line($0.author)))"
        }
        let shown = min(limit, change.commits.count)
        if change.coming > shown { lines.append(style.dim("  and \(change.coming - shown) more")) }
        let directories = change.directories
        if !directories.isEmpty {
            let named = directories.prefix(few).map { "\(Sanitizer.line($0.name)) \($0.files)" }
            let more = directories.count > few ? ", and \(directories.count - few) more" : ""
            lines.append("files: \(named.joined(separator: ", "))\(more)")
        }
        if !change.lockFiles.isEmpty {
            lines.append(style.yellow("dependencies change: \(names(change.lockFiles))"))
        }
        if !change.migrations.isEmpty {
            lines.append(style.yellow("migrations: \(names(change.migrations))"))
        }
        return lines
    }

    private static func names(_ paths: [String]) -> String {
        let more = paths.count > few ? ", and \(paths.count - few) more" : ""
        return paths.prefix(few).map { Sanitizer.line($0) }.joined(separator: ", ") + more
    }

    private static func count(_ count: Int, _ word: String) -> String {
        count == 1 ? "1 \(word)" : "\(count) \(word)s"
    }
}
