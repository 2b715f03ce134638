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

    /// What the view shows beside the rollout itself.
    public struct Extras: Sendable {
        /// The progress of each host that is transferring.
        public var transfers: [HostName: Transfer] = [:]
        /// What each host printed last.
        public var lastLines: [HostName: String] = [:]
        /// How long such a rollout usually takes, in milliseconds; nil if there was none before.
        public var usualMilliseconds: Int?
        /// Whether only what failed is shown.
        public var showsFailuresOnly = false
        /// Whether the keys are explained.
        public var showsKeys = false
        /// What is said at the end; nil for nothing.
        public var note: String?

        /// Nothing.
        public init() {}
    }

    /// Returns the lines that the screen shows now.
    ///
    /// - Parameters:
    ///   - rollout: The current state of the rollout.
    ///   - now: The time since the rollout began, in milliseconds.
    ///   - width: The terminal's columns; no line takes more cells.
    ///   - height: The largest number of lines, at least 2; hosts that do not fit are counted instead of listed.
    ///   - extras: What is shown beside.
    ///   - style: How text is marked.
    /// - Returns: Lines without line breaks.
    public static func lines(
        _ rollout: Rollout,
        at now: Int,
        width: Int,
        height: Int,
        extras: Extras = Extras(),
        style: Style
    ) -> [String] {
        var room = max(1, height - 1)
        // What has to be there comes first, and what there is room for behind it.
        var failures = pinned(rollout, style)
        let hidden = failures.count - max(1, room / 3)
        if hidden > 0, !extras.showsFailuresOnly {
            failures =
                failures.dropLast(hidden + 1)
                + [style.dim("    and \(hidden + 1) more reasons: f shows them")]
        }
        failures = Array(failures.prefix(room))
        room -= failures.count
        var foot: [String] = []
        if let note = extras.note { foot.append(style.yellow(Sanitizer.line(note))) }
        if extras.showsKeys { foot += keys.map(style.dim) }
        foot = Array(foot.prefix(max(0, room - 1)))
        room -= foot.count
        let current = extras.showsFailuresOnly ? [] : currentHosts(rollout)
        var counted = others(rollout, except: Set(current.map(\.name)), style)
        if counted.count > max(1, room - min(3, current.count)) {
            counted = [counts(rollout, except: Set(current.map(\.name)), style)]
        }
        counted = Array(counted.prefix(max(0, room)))
        room -= counted.count
        var running: [String] = []
        if !current.isEmpty, room > 0 {
            let shown = current.count <= room ? current.count : room - 1
            let nameWidth = min(
                28,
                current.prefix(shown).map { Style.width($0.name.text) }.max() ?? 0
            )
            for host in current.prefix(shown) {
                running.append(line(of: host, rollout, at: now, nameWidth, extras, style))
            }
            if current.count > shown { running.append("    and \(current.count - shown) more") }
        }
        let head = head(rollout, at: now, width: width, usual: extras.usualMilliseconds, style)
        return ([head] + failures + running + counted + foot).prefix(max(1, height)).map {
            Style.cut($0, to: width)
        }
    }

    /// What each key does.
    public static let keys = [
        "  q  go on with plain lines        p  pause after this batch (fleet resume goes on)",
        "  f  failures only, or all         ?  these lines        Ctrl-C  stop after what is under way",
    ]

    private static func line(
        of host: HostProgress,
        _ rollout: Rollout,
        at now: Int,
        _ nameWidth: Int,
        _ extras: Extras,
        _ style: Style
    ) -> String {
        let name = Style.padded(Style.cut(Sanitizer.line(host.name.text), to: 28), to: nameWidth)
        let time = DurationText.short(milliseconds: max(0, now - host.stageSinceMilliseconds))
        let transfer = extras.transfers[host.name].map { "  " + $0.text } ?? ""
        let said = extras.lastLines[host.name].map { "  " + style.dim(Sanitizer.line($0)) } ?? ""
        return "  \(mark(at: now, style)) \(name)  \(style.dim(time))  "
            + "\(doing(host, rollout, style))\(transfer)\(said)"
    }

    /// What failed, by reason, most hosts first.
    private static func pinned(_ rollout: Rollout, _ style: Style) -> [String] {
        var groups: [(cause: String, hosts: [HostName])] = []
        var places: [String: Int] = [:]
        for host in rollout.hosts {
            guard let failure = host.failure else { continue }
            let cause = FailureCause.summary(of: failure)
            if let place = places[cause] {
                groups[place].hosts.append(host.name)
            } else {
                places[cause] = groups.count
                groups.append((cause, [host.name]))
            }
        }
        return groups.sorted { $0.hosts.count > $1.hosts.count }.map { group in
            let count = group.hosts.count > 1 ? " (\(group.hosts.count))" : ""
            return
                "  \(style.red("✗")) \(HostRange.fold(group.hosts))\(count)  \(style.red(group.cause))"
        }
    }

    private static func head(
        _ rollout: Rollout,
        at now: Int,
        width: Int,
        usual: Int?,
        _ style: Style
    ) -> String {
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
        let time = DurationText.short(milliseconds: now)
        let usually =
            usual.map { ", usually \(DurationText.short(milliseconds: $0))" } ?? ""
        let tail = "\(done)/\(plan.hosts.count)  \(style.dim(time + usually))"
        let title = style.bold("\(plan.kind.rawValue) \(what)")
        // In a narrow terminal, what happens counts more than its name.
        guard width >= 60 else { return "\(style.cyan(phase))  \(tail)  \(title)" }
        let line = "\(title)  \(style.cyan(phase))  \(bar(done, of: plan.hosts.count)) \(tail)"
        let room = width - Style.width(line)
        return room < 10 ? line : line + "  " + style.dim("? keys")
    }

    private static func bar(_ done: Int, of total: Int) -> String {
        let width = 16
        let filled = total == 0 ? width : done * width / total
        return String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
    }

    /// Hosts that something is under way on, what takes longest first.
    private static func currentHosts(_ rollout: Rollout) -> [HostProgress] {
        rollout.hosts.filter { host in
            switch host.stage {
            case .planned, .ready, .verified, .concluded, .stopped, .failed, .refused:
                host.activity != .idle
            default: true
            }
        }.sorted {
            $0.stageSinceMilliseconds != $1.stageSinceMilliseconds
                ? $0.stageSinceMilliseconds < $1.stageSinceMilliseconds : $0.name < $1.name
        }
    }

    private static func mark(at now: Int, _ style: Style) -> String {
        let frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]
        return style.cyan(frames[now / 100 % frames.count])
    }

    /// What a host is at, in a few words.
    static func doing(_ host: HostProgress, _ rollout: Rollout, _ style: Style) -> String {
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
        default: return ""
        }
    }

    /// Everything else, counted and folded.
    private static func others(_ rollout: Rollout, except shown: Set<HostName>, _ style: Style)
        -> [String]
    {
        groups(rollout, except: shown).map { title, hosts in
            "  \(mark(of: title, style)) \(style.dim("\(title):")) \(HostRange.fold(hosts))"
        }
    }

    private static func groups(_ rollout: Rollout, except shown: Set<HostName>) -> [(
        title: String, hosts: [HostName]
    )] {
        var groups: [(title: String, hosts: [HostName])] = []
        for host in rollout.hosts where !shown.contains(host.name) {
            // Those are above, with the reason.
            if host.failure != nil, host.stage == .failed || host.isRefused { continue }
            let title =
                switch host.stage {
                case .planned, .ready, .locking: "waiting"
                case .verified: "verified"
                case .stopped: "stopped"
                case .failed, .refused: "failed"
                case .concluded(let outcome): outcome.rawValue
                default: "under way"
                }
            if let index = groups.firstIndex(where: { $0.title == title }) {
                groups[index].hosts.append(host.name)
            } else {
                groups.append((title, [host.name]))
            }
        }
        return groups
    }

    /// The same on one line, without names.
    private static func counts(_ rollout: Rollout, except shown: Set<HostName>, _ style: Style)
        -> String
    {
        let groups = groups(rollout, except: shown).map { title, hosts in
            "\(mark(of: title, style)) \(hosts.count) \(style.dim(title))"
        }
        return "  " + groups.joined(separator: "  ")
    }

    private static func mark(of title: String, _ style: Style) -> String {
        switch title {
        case "verified", "succeeded": style.green("✓")
        case "failed": style.red("✗")
        default: style.dim("·")
        }
    }
}
