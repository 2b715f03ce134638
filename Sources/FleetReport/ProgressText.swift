public import FleetPlan
public import FleetRollout
internal import FleetTransport

/// Renders a rollout as plain lines, one for each event: for pipes, CI logs and `fleet show`.
public struct ProgressText: Sendable {
    /// The importance of a line.
    public enum Weight: Sendable, Hashable {
        /// A line of minor importance.
        case detail
        /// A line that is kept above the live view.
        case notable
        /// A line that is kept above the live view, and says nothing new where every line is shown.
        case live
    }

    /// The state of the rollout after the records seen so far.
    public private(set) var rollout: Rollout
    private let style: Style
    private let nameWidth: Int
    private let planned: [HostName: PlannedHost]
    private var startedAt: [HostName: Int] = [:]
    private var lastFailure: [HostName: String] = [:]
    private var ready: [HostName] = []
    private var announcedBatch = -1
    /// Up to how many hosts each one that is finished has a line above the live view.
    private static let fewHosts = 50

    /// Prepares lines for a plan.
    public init(plan: Plan, style: Style) {
        rollout = Rollout(plan: plan)
        self.style = style
        planned = Dictionary(plan.hosts.map { ($0.name, $0) }) { first, _ in first }
        nameWidth = min(32, plan.hosts.map { $0.name.text.count }.max() ?? 8)
    }

    /// The lines for a record.
    public mutating func lines(for entry: JournalEntry) -> [(text: String, weight: Weight)] {
        let now = entry.elapsedMilliseconds
        switch entry.body {
        case .planned(let plan, _):
            return [
                (
                    "\(style.bold(PlanText.headline(plan)))  \(style.dim("rollout \(entry.rollout)"))",
                    .notable
                )
            ]
        case .approved, .remarked, .askedToStop:
            // Records of their own, never part of a rollout.
            return []
        case .takenUp(let taking):
            let who = Sanitizer.line(taking.origin.phrase)
            return [(line(now, nil, "controller \(taking.epoch.number): \(who)"), .detail)]
        case .effect(let effect):
            return lines(for: effect, at: now)
        case .event(let event):
            // Not the whole rollout: it would be copied for every event.
            var before = Before()
            if case .probed(let host, _, _) = event {
                before.stage = rollout.progress(of: host)?.stage
                before.isRehearsing = rollout.isRehearsing(host)
            }
            _ = rollout.handle(event, at: now)
            return lines(for: event, before: before, at: now) + batchLines(at: now)
        }
    }

    /// What an answer's host was at when it came.
    private struct Before {
        var stage: HostProgress.Stage?
        var isRehearsing = false
    }

    private func line(_ now: Int, _ host: HostName?, _ text: String) -> String {
        let time = DurationText.short(milliseconds: now)
        let stamp = String(repeating: " ", count: max(0, 7 - time.count)) + time
        guard let host else { return "\(style.dim(stamp))  \(text)" }
        let name = Style.padded(Sanitizer.line(host.text), to: nameWidth)
        return "\(style.dim(stamp))  \(name)  \(text)"
    }

    // MARK: Decisions

    /// What is said where nothing else was said for long.
    ///
    /// - Parameter now: The time since the rollout began, in milliseconds.
    /// - Returns: One line: what is under way, and what takes longest.
    public func heartbeat(at now: Int) -> String {
        let busy = rollout.hosts.filter { $0.activity != .idle }
        guard let slowest = busy.min(by: { $0.stageSinceMilliseconds < $1.stageSinceMilliseconds })
        else { return line(now, nil, style.dim("still under way")) }
        let count = busy.count == 1 ? "1 host" : "\(busy.count) hosts"
        let time = DurationText.short(milliseconds: max(0, now - slowest.stageSinceMilliseconds))
        let what = LiveFrame.doing(slowest, rollout, .plain)
        return line(
            now,
            nil,
            style.dim("still under way on \(count); longest: \(slowest.name) \(what), for \(time)")
        )
    }

    private mutating func lines(for effect: RolloutEffect, at now: Int) -> [(String, Weight)] {
        switch effect {
        case .perform(let host, let step, let attempt):
            startedAt[host] = now
            let attempt = attempt % HostProgress.attemptsPerRound
            guard attempt > 1 else { return [] }
            return [
                (line(now, host, style.yellow("\(name(host, step)) attempt \(attempt)")), .detail)
            ]
        case .recover(let host, let step, _):
            return [
                (line(now, host, style.yellow("looking for \(name(host, step)) again")), .detail)
            ]
        case .stop(let host, let step, _):
            return [
                (
                    line(now, host, style.yellow("making sure that \(name(host, step)) has ended")),
                    .detail
                )
            ]
        case .halt(let host, let failure):
            let text = "HALT after \(host): \(Sanitizer.line(failure.summary)). Nothing new starts."
            return [(line(now, nil, style.red(style.bold(text))), .notable)]
        case .decide(let decision, let reason):
            let text = "decision: \(decision.rawValue) (\(Sanitizer.line(reason)))"
            let shown = decision == .commit ? style.green(text) : style.yellow(style.bold(text))
            return [(line(now, nil, shown), .notable)]
        case .conclude(let host, let outcome):
            // The summary says who succeeded; a line each would bury what matters.
            guard outcome != .untouched, outcome != .succeeded, rollout.plan.kind != .exec else {
                return []
            }
            let weight: Weight = rollout.hosts.count <= Self.fewHosts ? .notable : .detail
            return [(line(now, host, OutcomeText.styled(outcome, style)), weight)]
        case .check, .lock, .unlock, .probe, .startTimer, .release, .finish:
            return []
        }
    }

    // MARK: Events

    private mutating func lines(for event: RolloutEvent, before: Before, at now: Int)
        -> [(String, Weight)]
    {
        switch event {
        case .started:
            guard rollout.plan.checksFirst else { return [] }
            let count = rollout.plan.hosts.count
            let hosts = count == 1 ? "1 host" : "\(count) hosts"
            return [(line(now, nil, "preflight of \(hosts), read-only"), .detail)]
        case .hostChecked(let host, .ready):
            ready.append(host)
            return refusalLines(host, at: now) + readyLines(at: now)
        case .hostChecked(let host, .unreachable(let failure)):
            let isLeftOut = rollout.plan.leastReachable < rollout.plan.hosts.count
            let word = style.red(isLeftOut ? "left out: " : "refused: ")
            return [(line(now, host, word + text(failure)), .notable)] + readyLines(at: now)
        case .hostChecked(let host, .lost(let failure)):
            let isLast = rollout.progress(of: host)?.isRefused ?? false
            let word = isLast ? style.red("refused: ") : style.yellow("asking again: ")
            return [(line(now, host, word + text(failure)), isLast ? .notable : .detail)]
                + readyLines(at: now)
        case .hostChecked(let host, .refused(let failure)):
            return [(line(now, host, style.red("refused: ") + text(failure)), .notable)]
        case .stepEnded(let host, let step, _, let outcome, _):
            return [(stepLine(host, step, outcome, at: now), outcome.isGood ? .detail : .notable)]
        case .probed(let host, let check, let verdict):
            var lines = probeLines(host, check, verdict, before: before, at: now)
            if rollout.isRehearsing(host), !before.isRehearsing {
                lines.append(
                    (line(now, host, "rehearsal: goes back, and then forward again"), .detail)
                )
            }
            return lines
        case .timerFired: return []
        case .locked(_, .done), .unlocked(_, .done): return []
        case .locked(let host, .refused(let failure)), .locked(let host, .unreachable(let failure)):
            return [(line(now, host, style.red("no lock: ") + text(failure)), .notable)]
        case .unlocked(let host, .refused(let failure)),
            .unlocked(let host, .unreachable(let failure)):
            return [
                (
                    line(
                        now,
                        host,
                        style.yellow("the lock could not be given back: ") + text(failure)
                    ), .notable
                )
            ]
        case .resumed(let direction):
            let way = direction == .back ? ", back" : ""
            return [(line(now, nil, style.bold("taken up again\(way)")), .notable)]
        case .mustHalt(let failure):
            return [(line(now, nil, style.red(style.bold(text(failure)))), .notable)]
        case .interrupted(let signal):
            let text =
                "interrupted (signal \(signal)): finishing what is in flight, starting nothing"
            return [(line(now, nil, style.yellow(style.bold(text))), .notable)]
        case .askedToStop(let request):
            return [(line(now, nil, style.yellow(style.bold(StopText.asked(request)))), .notable)]
        case .superseded(let host, _, let failure):
            return [(line(now, host, style.red(style.bold(text(failure)))), .notable)]
        }
    }

    /// What preflight's own judgement of a host is, if it is against it.
    private func refusalLines(_ host: HostName, at now: Int) -> [(String, Weight)] {
        guard let host = rollout.progress(of: host), case .refused(let failure) = host.stage else {
            return []
        }
        return [(line(now, host.name, style.red("refused: ") + text(failure)), .notable)]
    }

    private mutating func readyLines(at now: Int) -> [(String, Weight)] {
        // Only when preflight has let the rollout go on.
        switch rollout.phase {
        case .locking, .rolling: break
        default: return []
        }
        guard !ready.isEmpty else { return [] }
        defer { ready = [] }
        var releases: [String: [HostName]] = [:]
        for host in rollout.hosts where host.outcome == nil {
            let release = rollout.plan.releaseStep.flatMap { host.snapshot?.release(of: $0) }
            let isNew = rollout.plan.releaseStep != nil && release == nil
            let label =
                (release.map { ", running \($0.label)" } ?? (isNew ? ", nothing deployed yet" : ""))
                + Self.client(of: host.snapshot) + Self.relay(of: host.snapshot)
            releases[label, default: []].append(host.name)
        }
        return releases.sorted { $0.key < $1.key }.map { label, hosts in
            (line(now, nil, "ready: \(HostRange.fold(hosts))\(label)"), .detail)
        }
    }

    /// What asks the smoke tests, where sshd lets no connection through.
    private static func relay(of snapshot: Snapshot?) -> String {
        snapshot?.relay.map {
            ", smoke tests by \(Sanitizer.line($0)) there (sshd lets no connection through)"
        } ?? ""
    }

    /// What reaches a host, where it is not what reaches most.
    private static func client(of snapshot: Snapshot?) -> String {
        guard let client = snapshot?.client else { return "" }
        let name = Snapshot.clientName(client)
        if let before = snapshot?.clientBefore {
            return
                ", reached by \(Sanitizer.line(client)) and no longer by \(Sanitizer.line(before))"
        }
        switch name {
        case "libssh2": return ""
        case "local": return ", this machine itself"
        default: return ", reached by \(Sanitizer.line(client))"
        }
    }

    private func stepLine(
        _ host: HostName,
        _ step: StepReference,
        _ outcome: StepOutcome,
        at now: Int
    ) -> String {
        let time =
            startedAt[host].map { " " + style.dim(DurationText.short(milliseconds: now - $0)) }
            ?? ""
        let name = name(host, step)
        switch outcome {
        case .succeeded: return line(now, host, "\(name) \(style.green("ok"))\(time)")
        case .failed(let failure):
            return line(now, host, style.red("\(name) failed: ") + text(failure))
        case .stuck(let failure):
            return line(now, host, style.red("\(name) cannot be stopped: ") + text(failure))
        case .lost(let failure), .unreachable(let failure), .barred(let failure):
            return line(now, host, style.yellow("\(name): ") + text(failure))
        case .neverStarted: return line(now, host, "\(name) had not started")
        case .fenced(let failure):
            return line(now, host, style.red("\(name) refused: ") + text(failure))
        case .vanished:
            return line(
                now,
                host,
                step.direction == .forward && rollout.decision != nil
                    ? "\(name) has ended" : style.yellow("\(name) left no result")
            )
        }
    }

    private mutating func probeLines(
        _ host: HostName,
        _ check: Int,
        _ verdict: Verdict,
        before: Before,
        at now: Int
    ) -> [(String, Weight)] {
        let old = before.stage
        if case .probingBefore = old { return refusalLines(host, at: now) + readyLines(at: now) }
        let isBack = if case .revertProbing = old { true } else { false }
        guard let planned = planned[host] else { return [] }
        let checks = isBack ? planned.revertChecks : planned.checks
        let name = Sanitizer.line(checks[check].name)
        switch verdict {
        case .pass, .passWith:
            lastFailure[host] = nil
            guard rollout.progress(of: host)?.stage != old else { return [] }
            if case .gating = old { return [] }
            let ok = (line(now, host, "\(name) \(style.green("ok"))"), Weight.detail)
            // One by one, what is finished goes up and stays there; of many hosts the counts say enough.
            guard rollout.progress(of: host)?.stage == .verified,
                rollout.hosts.count <= Self.fewHosts
            else { return [ok] }
            return [ok, (line(now, host, style.green("verified")), .live)]
        case .fail(let failure), .inconclusive(let failure):
            // The same answer again and again is said once.
            guard lastFailure[host] != failure.summary else { return [] }
            lastFailure[host] = failure.summary
            return [(line(now, host, style.yellow("\(name): ") + text(failure, lines: 4)), .detail)]
        }
    }

    private mutating func batchLines(at now: Int) -> [(String, Weight)] {
        guard case .rolling(let batch) = rollout.phase, batch != announcedBatch else {
            if rollout.phase == .gate, announcedBatch != rollout.plan.batches.count {
                announcedBatch = rollout.plan.batches.count
                let soak = rollout.plan.soakMilliseconds.map {
                    "soaking: every host is asked again and again for "
                        + DurationText.short(milliseconds: $0)
                }
                let text = soak ?? "last gate: every host is asked once more"
                return [(line(now, nil, text), .detail)]
            }
            return []
        }
        announcedBatch = batch
        guard rollout.plan.kind != .exec else { return [] }
        let hosts = HostRange.fold(rollout.plan.batches[batch])
        let text = "batch \(batch + 1) of \(rollout.plan.batches.count): \(hosts)"
        return [(line(now, nil, style.bold(text)), .detail)]
    }

    private func name(_ host: HostName, _ step: StepReference) -> String {
        guard let planned = planned[host] else { return "" }
        return step.direction == .forward
            ? planned.steps[step.index].name : "revert \(planned.revertSteps[step.index].name)"
    }

    private func text(_ failure: Failure, lines limit: Int = 20) -> String {
        var text = Sanitizer.line(failure.summary)
        for excerpt in failure.excerpt.split(whereSeparator: \.isNewline).suffix(limit) {
            text += "\n           \(style.dim("│")) \(Sanitizer.safe(String(excerpt)))"
        }
        return text
    }
}

extension StepOutcome {
    fileprivate var isGood: Bool {
        switch self {
        case .succeeded, .neverStarted, .vanished: true
        default: false
        }
    }
}

/// Final states in words.
public enum OutcomeText {
    /// A host's outcome, coloured by how good it is.
    public static func styled(_ outcome: HostOutcome, _ style: Style) -> String {
        switch outcome {
        case .succeeded: style.green(outcome.rawValue)
        case .untouched: style.dim(outcome.rawValue)
        case .reverted, .removed, .held: style.yellow(outcome.rawValue)
        case .revertFailed, .fenced, .unknown: style.red(outcome.rawValue)
        }
    }

    /// A rollout's outcome, coloured by how good it is.
    public static func styled(_ outcome: RolloutOutcome, _ style: Style) -> String {
        switch outcome {
        case .succeeded: style.green(style.bold(outcome.rawValue))
        case .reverted, .refused, .held, .interrupted: style.yellow(style.bold(outcome.rawValue))
        case .revertFailed, .unknown: style.red(style.bold(outcome.rawValue))
        }
    }
}
