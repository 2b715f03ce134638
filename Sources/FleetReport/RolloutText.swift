internal import FleetPlan
public import FleetRollout
public import FleetTransport

/// The end of a rollout as text: what became of it, of every host, and what to type next.
public enum RolloutText {
    /// The outcome, a table of hosts, and the next command.
    public static func summary(_ rollout: Rollout, id: RolloutID, at elapsed: Int, style: Style)
        -> String
    {
        guard let outcome = rollout.outcome else { return "" }
        var lines = [
            "\(OutcomeText.styled(outcome, style))  \(sentence(rollout, outcome))  "
                + style.dim(DurationText.short(milliseconds: elapsed)), "",
        ]
        lines += table(rollout, style)
        let caveats = caveats(rollout)
        if !caveats.isEmpty {
            lines.append("")
            lines += caveats.map { "\(style.yellow("note:")) \($0)" }
        }
        if let back = wayBack(rollout, style) { lines += ["", back] }
        let next = next(rollout, outcome, id: id)
        if !next.isEmpty {
            lines.append("")
            lines += next.map { "\(style.dim("next:")) \($0)" }
        }
        return lines.joined(separator: "\n")
    }

    /// What has become of an environment, in one sentence.
    static func sentence(_ rollout: Rollout, _ outcome: RolloutOutcome) -> String {
        let environment = rollout.plan.environment
        let release = rollout.plan.release?.label ?? "`\(Sanitizer.line(rollout.plan.title))`"
        switch outcome {
        case .succeeded:
            return rollout.plan.release == nil
                ? "\(release) ended well on \(hosts(rollout)) of \(environment)"
                : "\(environment) runs \(release), verified on \(hosts(rollout))"
                    + proof(rollout)
        case .reverted:
            return
                "\(release) \(wasAskedBack(rollout) ? "was taken back" : "failed"), and every touched host of "
                + "\(environment) is verified back"
                + proof(rollout)
        case .refused: return "nothing was changed on \(environment)"
        case .held where !rollout.isTouched:
            let bad = rollout.hosts.count { $0.failure != nil }
            return
                "nothing was changed on \(environment); \(bad) of \(rollout.hosts.count) hosts say no"
        case .held: return "\(environment) is in a mixed state"
        case .revertFailed: return "going back failed on part of \(environment)"
        case .unknown: return "the state of part of \(environment) is not known"
        case .interrupted where rollout.paused != nil:
            return "paused: part of \(environment) cannot be asked; \(release) stays where it is"
        case .interrupted where rollout.superseded != nil:
            return "another controller carries this rollout out; nothing more is done from here"
        case .interrupted:
            let who = rollout.stopRequest.map { " by \(StopText.who($0))" } ?? ""
            return "stopped\(who) before the end; \(environment) is in a mixed state"
        }
    }

    /// On how many hosts of the environment.
    private static func hosts(_ rollout: Rollout) -> String {
        let busy = rollout.plan.hosts.filter(\.hasWork).map(\.name)
        let count = busy.count
        if let all = rollout.plan.environmentHostCount, all != count {
            return "\(count) of \(all) hosts (\(HostRange.fold(busy)))"
        }
        return count == 1 ? "its one host" : "all \(count) hosts"
    }

    /// Whether it went back because somebody asked for it, and not because anything had failed.
    static func wasAskedBack(_ rollout: Rollout) -> Bool {
        rollout.halted?.summary == Rollout.askedBack
    }

    /// What the word "verified" covers, where it is not everything.
    private static func proof(_ rollout: Rollout) -> String {
        let unknown = rollout.hosts.filter { host in
            host.caveats.values.joined().contains {
                if case .processNotKnown = $0 { true } else { false }
            }
        }
        guard !unknown.isEmpty else { return "" }
        let isAll = unknown.count == rollout.hosts.count(where: { $0.outcome != .untouched })
        let hosts = isAll ? "" : " on \(HostRange.fold(unknown.map(\.name)))"
        return " (files verified, process not known\(hosts))"
    }

    /// What has to be said beside checks that passed, each once, with the hosts that it is said of.
    static func caveats(_ rollout: Rollout) -> [String] {
        var said: [(text: String, hosts: [HostName])] = []
        for host in rollout.hosts {
            let texts = host.caveats.sorted { $0.key < $1.key }.flatMap { $0.value.map(\.text) }
            for text in Set(texts).sorted() {
                if let index = said.firstIndex(where: { $0.text == text }) {
                    said[index].hosts.append(host.name)
                } else {
                    said.append((text, [host.name]))
                }
            }
        }
        return said.map { "\(HostRange.fold($0.hosts)): \(Sanitizer.line($0.text))" }
    }

    /// How long going back took, beside what the playbook allows.
    private static func wayBack(_ rollout: Rollout, _ style: Style) -> String? {
        guard let took = rollout.revertMilliseconds else { return nil }
        let text = "going back took \(DurationText.short(milliseconds: took))"
        guard let limit = rollout.plan.revertWithinMilliseconds else { return style.dim(text) }
        let allowed = DurationText.short(milliseconds: limit)
        return took <= limit
            ? style.dim("\(text), within the \(allowed) that the playbook allows")
            : style.red("\(text), longer than the \(allowed) that the playbook allows")
    }

    /// Hosts to which the same happened.
    struct Row {
        /// The hosts, in the order of the plan.
        var hosts: [HostName]
        /// What they ran before.
        let before: String
        /// What they run now, as far as it was verified.
        let runs: String
        /// What became of them, in a word or two.
        let state: String
        /// Whether that is what was wanted.
        let isGood: Bool
        /// Whether somebody has to look.
        let isBad: Bool
        /// Why; empty if nothing failed.
        let seen: String
        fileprivate let outcome: HostOutcome?
    }

    /// What became of the hosts, folded.
    static func rows(_ rollout: Rollout) -> [Row] {
        var rows: [Row] = []
        var places: [[String]: Int] = [:]
        let idle = Set(rollout.plan.hosts.filter { !$0.hasWork }.map(\.name))
        for (place, host) in rollout.hosts.enumerated() {
            let planned = rollout.plan.hosts[place].release?.label
            let seen = host.failure.map(FailureCause.summary) ?? ""
            let isIdle = idle.contains(host.name) && host.failure == nil
            let state =
                isIdle
                ? "nothing to do"
                : host.outcome?.rawValue
                    ?? (host.stage == .verified
                        ? "verified" : host.isTouched ? "stopped" : "untouched")
            let before = rollout.plan.releaseStep.flatMap { host.snapshot?.release(of: $0)?.label }
            let runs = runs(host, planned, rollout)
            let key = [before ?? "", state, runs, seen]
            if let row = places[key] {
                rows[row].hosts.append(host.name)
                continue
            }
            places[key] = rows.count
            let isGood = host.outcome == .succeeded || host.stage == .verified
            rows.append(
                Row(
                    hosts: [host.name],
                    before: before ?? (rollout.plan.releaseStep == nil ? "-" : "nothing"),
                    runs: runs,
                    state: state,
                    isGood: isGood && !isIdle,
                    isBad: [.revertFailed, .fenced, .unknown].contains(host.outcome),
                    seen: seen,
                    outcome: isIdle ? nil : host.outcome
                )
            )
        }
        return rows
    }

    private static func table(_ rollout: Rollout, _ style: Style) -> [String] {
        var rows: [(hosts: [HostName], cells: [String])] = []
        for row in self.rows(rollout) {
            let state =
                row.outcome.map { OutcomeText.styled($0, style) }
                ?? (row.isGood
                    ? style.green(row.state)
                    : row.state == "stopped" ? style.yellow(row.state) : style.dim(row.state))
            let cells = [state, row.runs, row.seen]
            // What a host ran before is not shown here, and tells nobody apart.
            if let place = rows.firstIndex(where: { $0.cells == cells }) {
                rows[place].hosts.append(contentsOf: row.hosts)
            } else {
                rows.append((row.hosts, cells))
            }
        }
        return Table.lines(
            header: ["hosts", "state", "runs", "what was seen"],
            rows: rows.map { [HostRange.fold($0.hosts)] + $0.cells },
            style: style
        )
    }

    /// What a host runs now, as far as it was verified.
    private static func runs(_ host: HostProgress, _ planned: String?, _ rollout: Rollout)
        -> String
    {
        guard let step = rollout.plan.releaseStep else { return "-" }
        let before = host.snapshot?.release(of: step)?.label
        switch host.outcome {
        case .succeeded: return planned ?? "-"
        case .reverted: return before ?? "-"
        case .removed: return "nothing"
        case .untouched: return before ?? "?"
        default:
            if host.stage == .verified { return planned ?? "-" }
            return host.isTouched ? "?" : before ?? "?"
        }
    }

    /// Replaces the placeholders ` ENV` and ` HOST` in a hint by the real names.
    public static func hint(_ text: String, environment: String, host: HostName) -> String {
        text.replacing(" ENV", with: " \(environment)").replacing(" HOST", with: " \(host)")
    }

    /// What to type next; nothing while it runs, and where all is well.
    static func nextSteps(_ rollout: Rollout, id: RolloutID) -> [String] {
        rollout.outcome.map { next(rollout, $0, id: id) } ?? [
            "fleet watch \(id)    see how it goes on, if somebody carries it out",
            "fleet resume \(id)    take it up again, if nobody does",
        ]
    }

    private static func next(_ rollout: Rollout, _ outcome: RolloutOutcome, id: RolloutID)
        -> [String]
    {
        let environment = rollout.plan.environment
        if rollout.plan.kind == .exec { return [] }
        let locked = rollout.hosts.filter { $0.mayHoldLock && $0.lockFailure != nil }.map(\.name)
        guard locked.isEmpty else {
            return [
                "fleet lock break \(environment) --limit \(HostRange.fold(locked)) --owner \(id) "
                    + "--reason R    when it can be reached again: it is still locked"
            ] + next(outcome, rollout, environment, id: id)
        }
        return next(outcome, rollout, environment, id: id)
    }

    private static func next(
        _ outcome: RolloutOutcome,
        _ rollout: Rollout,
        _ environment: String,
        id: RolloutID
    ) -> [String] {
        switch outcome {
        case .succeeded: return []
        case .refused:
            let hints = rollout.hosts.compactMap { host in
                host.failure?.hint.map { Self.hint($0, environment: environment, host: host.name) }
            }
            return Array(Set(hints)).sorted()
        case .reverted:
            return ["fleet show \(id)    what happened, with the hosts' output"]
        case .interrupted where rollout.superseded != nil:
            return [
                "fleet lock status \(environment)    who it is",
                "fleet resume \(id)    takes it over, once that controller is gone for certain",
            ]
        case .interrupted:
            return [
                "fleet resume \(id)    go on from here",
                "fleet resume \(id) --back    put the touched hosts back",
                "fleet status \(environment)    what every host runs",
            ]
        case .held:
            return rollout.plan.onFailure == .revert
                ? [
                    "fleet status \(environment)    what every host runs",
                    "fleet revert \(environment) --rollout \(id)    put the touched hosts back",
                ] : ["fleet show \(id)    what happened, with the hosts' output"]
        case .revertFailed, .unknown:
            return [
                "fleet status \(environment)    what every host runs",
                "fleet revert \(environment) --rollout \(id)    try to go back again",
                "fleet show \(id)    what happened, with the hosts' output",
            ]
        }
    }
}

/// Groups what a command printed on many hosts, so that identical output is shown once for a range of hosts.
public enum FoldedOutput {
    /// One host's result.
    public struct Answer: Sendable, Hashable {
        /// The host.
        public let host: HostName
        /// How the command ended there: `ok`, or what went wrong.
        public let status: String
        /// Whether that is good.
        public let isGood: Bool
        /// How much it printed, in bytes.
        public let outputBytes: Int
        /// The next thing to type or check, if there is one.
        public let hint: String?

        /// Describes a result.
        public init(
            host: HostName,
            status: String,
            isGood: Bool,
            outputBytes: Int,
            hint: String? = nil
        ) {
            self.hint = hint
            self.host = host
            self.status = status
            self.isGood = isGood
            self.outputBytes = outputBytes
        }
    }

    /// Hosts on which a command ended alike and printed the same.
    public struct Group: Sendable, Hashable {
        /// The hosts; the first one's output stands for all.
        public internal(set) var hosts: [HostName]
        /// How the command ended there.
        public let status: String
        /// Whether that is good.
        public let isGood: Bool
        /// The next thing to type or check, if there is one.
        public let hint: String?

        /// The line above the output, and under it what to do next.
        public func header(style: Style) -> String {
            let count = hosts.count > 1 ? " (\(hosts.count))" : ""
            let word = isGood ? style.green(status) : style.red(status)
            let next = hint.map { "\n  next: \(Sanitizer.line($0))" } ?? ""
            return "\(style.bold(HostRange.fold(hosts)))\(style.dim(count))  \(word)\(next)"
        }
    }

    /// Groups the results: successes before failures, and larger groups before smaller ones.
    ///
    /// Failures come last, where the reader's eye ends up.
    ///
    /// - Parameters:
    ///   - answers: One result for each host.
    ///   - isSame: Whether two hosts printed the same; asked only if their results and output sizes are equal.
    /// - Returns: The groups, in the order in which they are shown.
    public static func groups(
        _ answers: [Answer],
        isSame: (_ first: HostName, _ second: HostName) -> Bool
    ) -> [Group] {
        struct Key: Hashable {
            let status: String
            let isGood: Bool
            let outputBytes: Int
        }
        var found: [Key: [Group]] = [:]
        for answer in answers {
            let key = Key(
                status: answer.status,
                isGood: answer.isGood,
                outputBytes: answer.outputBytes
            )
            let known = found[key] ?? []
            if let index = known.firstIndex(where: { isSame($0.hosts[0], answer.host) }) {
                found[key]?[index].hosts.append(answer.host)
            } else {
                let group = Group(
                    hosts: [answer.host],
                    status: answer.status,
                    isGood: answer.isGood,
                    hint: answer.hint
                )
                found[key, default: []].append(group)
            }
        }
        return found.values.flatMap { $0 }.sorted { first, second in
            if first.isGood != second.isGood { return first.isGood }
            if first.hosts.count != second.hosts.count {
                return first.hosts.count > second.hosts.count
            }
            return (first.hosts.min() ?? "") < (second.hosts.min() ?? "")
        }
    }
}
