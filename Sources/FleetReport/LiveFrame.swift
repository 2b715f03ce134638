internal import FleetPlan
public import FleetRollout
public import FleetTransport

/// The part of the screen that is drawn again and again while a rollout runs.
public enum LiveFrame {
    /// How far a transfer to a host has come.
    public struct Transfer: Sendable, Hashable {
        /// Bytes sent.
        public let bytes: Int
        /// Bytes in all.
        public let total: Int

        /// Describes a transfer.
        public init(bytes: Int, total: Int) {
            self.bytes = bytes
            self.total = total
        }

        var text: String {
            "\(Self.size(bytes)) of \(Self.size(total)), \(total == 0 ? 100 : bytes * 100 / total) %"
        }

        private static func size(_ bytes: Int) -> String {
            let units = ["B", "kB", "MB", "GB", "TB"]
            var value = bytes
            var tenths = 0
            var unit = 0
            while value >= 1000, unit < units.count - 1 {
                tenths = value % 1000 / 100
                value /= 1000
                unit += 1
            }
            return unit < 2 ? "\(value) \(units[unit])" : "\(value).\(tenths) \(units[unit])"
        }
    }

    /// Several hosts' transfers on one line.
    public static func line(of transfers: [Transfer], width: Int) -> String {
        let sum = Transfer(
            bytes: transfers.map(\.bytes).reduce(0, +),
            total: transfers.map(\.total).reduce(0, +)
        )
        let hosts = transfers.count == 1 ? "1 host" : "\(transfers.count) hosts"
        return Style.cut("\(hosts): \(sum.text)", to: width)
    }

    /// Returns the lines that the screen shows now.
    ///
    /// - Parameters:
    ///   - rollout: The current state of the rollout.
    ///   - now: The time since the rollout began, in milliseconds.
    ///   - width: The terminal's columns; no line is longer.
    ///   - height: The largest number of lines; hosts that do not fit are counted instead of listed.
    ///   - transfers: The progress of each host that is transferring.
    ///   - style: How text is marked.
    /// - Returns: Lines without line breaks.
    public static func lines(
        _ rollout: Rollout,
        at now: Int,
        width: Int,
        height: Int,
        transfers: [HostName: Transfer] = [:],
        style: Style
    ) -> [String] {
        var lines = [head(rollout, at: now, style)]
        let budget = max(3, height - 3)
        let current = currentHosts(rollout)
        let nameWidth = min(28, current.map { $0.name.text.count }.max() ?? 0)
        for host in current.prefix(budget) {
            let name = Style.padded(Sanitizer.line(host.name.text), to: nameWidth)
            let time = DurationText.short(milliseconds: now - host.stageSinceMilliseconds)
            let transfer = transfers[host.name].map { "  " + $0.text } ?? ""
            lines.append(
                "  \(mark(host, at: now, style)) \(name)  \(style.dim(time))  \(doing(host, rollout, style))\(transfer)"
            )
        }
        if current.count > budget { lines.append("    and \(current.count - budget) more") }
        lines += others(rollout, except: Set(current.prefix(budget).map(\.name)), style)
        return lines.map { Style.cut($0, to: width) }
    }

    private static func head(_ rollout: Rollout, at now: Int, _ style: Style) -> String {
        let plan = rollout.plan
        let done = rollout.hosts.count { $0.stage == .verified || $0.outcome != nil }
        let phase =
            switch rollout.phase {
            case .planned: "starting"
            case .preflight: "preflight"
            case .locking: "locking"
            case .closing: "unlocking"
            case .rolling(let batch):
                rollout.halted != nil
                    ? "halted" : "batch \(batch + 1) of \(plan.batches.count)"
            case .gate: rollout.plan.soakMilliseconds == nil ? "last gate" : "soaking"
            case .reverting: "reverting"
            case .finished(let outcome): outcome.rawValue
            }
        let what = plan.release.map { "\($0.label) to \(plan.environment)" } ?? plan.environment
        return "\(style.bold("\(plan.kind.rawValue) \(what)"))  \(style.cyan(phase))  "
            + "\(bar(done, of: plan.hosts.count)) \(done)/\(plan.hosts.count)  "
            + style.dim(DurationText.short(milliseconds: now))
    }

    private static func bar(_ done: Int, of total: Int) -> String {
        let width = 16
        let filled = total == 0 ? width : done * width / total
        return String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
    }

    /// Hosts worth a line of their own: whatever is under way or has failed.
    private static func currentHosts(_ rollout: Rollout) -> [HostProgress] {
        rollout.hosts.filter { host in
            switch host.stage {
            case .planned, .ready, .verified, .concluded, .stopped: host.activity != .idle
            default: true
            }
        }
    }

    private static func mark(_ host: HostProgress, at now: Int, _ style: Style) -> String {
        switch host.stage {
        case .failed, .refused: return style.red("✗")
        default:
            let frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]
            return style.cyan(frames[now / 100 % frames.count])
        }
    }

    private static func doing(_ host: HostProgress, _ rollout: Rollout, _ style: Style) -> String {
        guard let planned = rollout.plan.hosts.first(where: { $0.name == host.name }) else {
            return ""
        }
        func step(_ steps: [PlannedStep], _ index: Int) -> String {
            index < steps.count
                ? "\(steps[index].name) \(style.dim("\(index + 1)/\(steps.count)"))" : ""
        }
        func check(_ checks: [PlannedCheck], _ index: Int) -> String {
            guard index < checks.count else { return "" }
            let name = "checking \(Sanitizer.line(checks[index].name))"
            guard let answer = host.lastAnswer else { return name }
            return "\(name): \(style.yellow(Sanitizer.line(answer.summary)))"
        }
        switch host.stage {
        case .checking: return "preflight"
        case .probingBefore(let index): return "preflight, " + check(planned.revertChecks, index)
        case .locking: return "taking the lock"
        case .stepping(let index): return step(planned.steps, index)
        case .probing(let index), .gating(let index): return check(planned.checks, index)
        case .settling: return "making sure nothing runs"
        case .reverting(let index):
            return style.yellow("revert ") + step(planned.revertSteps, index)
        case .revertProbing(let index):
            return style.yellow("revert ") + check(planned.revertChecks, index)
        case .failed, .refused:
            return style.red(Sanitizer.line(host.failure?.summary ?? "failed"))
        default: return ""
        }
    }

    /// Everything else, counted and folded.
    private static func others(_ rollout: Rollout, except shown: Set<HostName>, _ style: Style)
        -> [String]
    {
        var groups: [(title: String, hosts: [HostName])] = []
        for host in rollout.hosts where !shown.contains(host.name) {
            let title =
                switch host.stage {
                case .planned, .ready, .locking: "waiting"
                case .verified: "verified"
                case .stopped: "stopped"
                case .concluded(let outcome): outcome.rawValue
                default: "under way"
                }
            if let index = groups.firstIndex(where: { $0.title == title }) {
                groups[index].hosts.append(host.name)
            } else {
                groups.append((title, [host.name]))
            }
        }
        return groups.map { title, hosts in
            let mark =
                title == "verified" || title == "succeeded" ? style.green("✓") : style.dim("·")
            return "  \(mark) \(style.dim("\(title):")) \(HostRange.fold(hosts))"
        }
    }
}
