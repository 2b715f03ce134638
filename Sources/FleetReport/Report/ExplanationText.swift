internal import FleetPlan
internal import FleetRollout
internal import FleetTransport

/// Why a rollout ended as it did: the rules that decided, what they saw, and what to type next.
public enum ExplanationText {
    /// The whole explanation.
    ///
    /// - Parameters:
    ///   - report: The rollout.
    ///   - style: How text is marked.
    /// - Returns: The text, without a line end.
    public static func text(_ report: RolloutReport, style: Style) -> String {
        let rollout = report.rollout
        var lines = [
            "\(rollout.outcome.map { OutcomeText.styled($0, style) } ?? style.yellow("unfinished"))  "
                + report.sentence,
            style.dim(
                "\(report.title), rollout \(report.id), \(report.time(at: 0)), by "
                    + Sanitizer.line(report.origin.user)
            ),
        ]
        lines += section("what was decided", rules(report), style)
        lines += section("what was seen", evidence(report), style)
        lines += section("the hosts", hosts(rollout), style)
        lines += section("next", RolloutText.nextSteps(rollout, id: report.id), style)
        return lines.joined(separator: "\n")
    }

    private static func section(_ title: String, _ lines: [String], _ style: Style) -> [String] {
        lines.isEmpty ? [] : ["", style.bold(title)] + lines.map { "  \($0)" }
    }

    /// Each decision with its rule.
    private static func rules(_ report: RolloutReport) -> [String] {
        let plan = report.plan
        return report.timeline.marks.flatMap { mark -> [String] in
            let time = DurationText.short(milliseconds: mark.at)
            let line = "\(time)  \(CourseText.line(mark, plan: plan))"
            switch mark.kind {
            case .batch, .gate: return []
            case .halt:
                return [
                    line,
                    "      rule: \(plan.failureRule)",
                ]
            case .decision(let decision): return [line, "      rule: \(rule(decision, report))"]
            case .stop, .takenUp, .end: return [line]
            }
        }
    }

    private static func rule(_ decision: Decision, _ report: RolloutReport) -> String {
        let rollout = report.rollout
        let touched = rollout.hosts.count(where: \.isTouched)
        switch decision {
        case .commit:
            return "every host passed its checks, and once more at the last gate: the release stays"
        case .keep:
            return
                "no more hosts failed than `max_failures` allows: the release stays where it is verified, and failed "
                + "hosts go back"
        case .hold:
            let past = rollout.hosts.filter(\.isPastReturn).map(\.name)
            guard !past.isEmpty else {
                return "this rollout leaves hosts as they are: \(report.plan.failureRule)"
            }
            return
                "a step that cannot be undone was started on \(HostRange.fold(past)): hosts stay as they are"
        case .revert:
            return
                (touched == 1
                ? "the one touched host goes back to what it ran before; "
                : "the \(touched) touched hosts go back to what each ran before; ")
                + "hosts that nothing was started on are left alone"
        }
    }

    private static func evidence(_ report: RolloutReport) -> [String] {
        report.failures.flatMap { group -> [String] in
            let hosts = group.hosts.count == 1 ? "1 host" : "\(group.hosts.count) hosts"
            let word = group.isLost ? "is not known" : "failed"
            var lines = [
                "\(Sanitizer.line(group.what)) \(word) on \(hosts) (\(HostRange.fold(group.hosts))): \(group.cause)"
            ]
            if let code = ErrorCatalog.code(in: group.cause) {
                lines.append("      `fleet explain \(code)` says what that means")
            }
            return lines
        }
    }

    private static func hosts(_ rollout: Rollout) -> [String] {
        var groups: [(text: String, hosts: [HostName])] = []
        for row in RolloutText.rows(rollout) {
            let stays = row.before == row.runs || row.runs == "-"
            let text = "\(row.state)\(stays ? "" : ": \(row.before) → \(row.runs)")"
            if let place = groups.firstIndex(where: { $0.text == text }) {
                groups[place].hosts += row.hosts
            } else {
                groups.append((text, row.hosts))
            }
        }
        return groups.map { "\($0.hosts.count) \($0.text) (\(HostRange.fold($0.hosts)))" }
    }
}

extension Plan {
    /// What happens when hosts fail, in words.
    fileprivate var failureRule: String {
        let allowed =
            "the playbook allows \(maxFailures) failed \(maxFailures == 1 ? "host" : "hosts") (`max_failures`)"
        switch onFailure {
        case .revert: return "\(allowed); when more fail, every touched host goes back"
        case .hold: return "\(allowed); when more fail, hosts are left as they are"
        case .report: return "failed hosts are reported, and the others go on"
        }
    }
}
