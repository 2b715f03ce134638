public import FleetPlan
public import FleetTransport

/// A plan as text: what `fleet plan` prints, and what is shown before a confirmation.
public enum PlanText {
    /// How much of a plan is shown.
    public enum Depth: Sendable, Hashable {
        /// One screen: batches, and the names of what every group of hosts does.
        case overview
        /// Each step with its values, the account and the directory.
        case steps
        /// Each step with the script that does it.
        case scripts
    }

    /// What shows more than the overview.
    public static let deeper =
        "more: --steps shows the values, --scripts what runs, --host NAME one host; -o json everything"

    /// One line: what goes where, in which batches.
    public static func headline(_ plan: Plan) -> String {
        let count = "\(plan.hosts.count) \(plan.hosts.count == 1 ? "host" : "hosts")"
        let batches = plan.batches.count > 1 ? " in batches of \(sizes(of: plan.batches))" : ""
        switch plan.kind {
        case .deploy:
            return "deploy \(release(plan)) to \(plan.environment): \(count)\(batches)"
        case .revert:
            return
                "revert `\(Sanitizer.line(plan.title))` on \(plan.environment) to \(release(plan)): \(count)\(batches)"
        case .run: return "run `\(plan.title)` on \(plan.environment): \(count)\(batches)"
        case .exec:
            return "exec `\(Sanitizer.line(plan.title))` on \(plan.environment): \(count)"
        }
    }

    /// How many hosts each batch has: `1, 59 × 10, 9`.
    private static func sizes(of batches: [[HostName]]) -> String {
        var runs: [(size: Int, count: Int)] = []
        for batch in batches {
            if runs.last?.size == batch.count {
                runs[runs.count - 1].count += 1
            } else {
                runs.append((batch.count, 1))
            }
        }
        return runs.flatMap { size, count in
            count > 2 ? ["\(count) × \(size)"] : Array(repeating: "\(size)", count: count)
        }.joined(separator: ", ")
    }

    private static func release(_ plan: Plan) -> String {
        guard let release = plan.release else {
            let labels = Set(plan.hosts.compactMap { $0.release?.label }).sorted()
            return labels.isEmpty ? "no release" : labels.joined(separator: " and ")
        }
        return release.tag.map { "\($0) (\(release.commit.prefix(12)))" }
            ?? "commit \(release.commit.prefix(12))"
    }

    /// What would run, the way back included.
    ///
    /// Hosts whose actions are the same are shown once, under their common name.
    ///
    /// - Parameters:
    ///   - plan: The plan.
    ///   - depth: How much of it.
    ///   - only: The hosts whose actions are shown; nil for all.
    ///   - clients: What is expected to reach each host; nothing for what nobody has looked at.
    ///   - outlook: What it means for the environment; nil if nobody has looked.
    ///   - style: How it looks.
    /// - Returns: The text, without a line end.
    public static func shown(
        _ plan: Plan,
        _ depth: Depth,
        only: Set<HostName>? = nil,
        clients: [HostName: HostClient] = [:],
        outlook: PlanOutlook? = nil,
        style: Style
    ) -> String {
        var lines = facts(of: plan, clients: clients, style: style)
        if let outlook { lines += OutlookText.short(outlook, style: style) }
        if depth == .overview {
            let overview = PlanOverview(plan: plan, style: style)
            lines += overview.batches() + overview.groups()
            return lines.joined(separator: "\n")
        }
        let byName = Dictionary(uniqueKeysWithValues: plan.hosts.map { ($0.name, $0) })
        for (number, batch) in plan.batches.enumerated() {
            let hosts = batch.filter { only?.contains($0) ?? true }
            guard !hosts.isEmpty else { continue }
            let canary = number == 0 && plan.batches.count > 1 ? ", the canary" : ""
            lines.append("")
            lines.append(
                style.bold("batch \(number + 1) of \(plan.batches.count)\(canary)")
                    + "  \(HostRange.fold(hosts))"
            )
            for group in alike(hosts.compactMap({ byName[$0] }), by: shape) {
                lines += describe(
                    group[0],
                    named: HostRange.fold(group.map(\.name)),
                    depth,
                    style
                )
            }
        }
        guard depth == .scripts else { return lines.joined(separator: "\n") }
        for (name, text) in plan.libraries.sorted(by: { $0.key < $1.key }) {
            lines += [
                "",
                "  \(style.cyan("functions"))  \(style.dim("\(name), before the scripts that name it"))",
            ]
            lines += text.split(whereSeparator: \.isNewline).map {
                "       " + style.dim("│ ") + Sanitizer.line(String($0))
            }
        }
        return lines.joined(separator: "\n")
    }

    /// What holds for the whole rollout.
    private static func facts(of plan: Plan, clients: [HostName: HostClient], style: Style)
        -> [String]
    {
        var lines = [style.bold(headline(plan)), ""]
        lines.append("playbook   \(plan.title)")
        lines.append("fanout     \(plan.fanout) hosts in flight")
        lines.append("failures   \(failures(plan))")
        if !clients.isEmpty { lines.append("client     \(Self.clients(clients))") }
        if let limit = sessionLimit(of: plan) { lines.append("ssh        \(limit)") }
        if plan.rehearses {
            lines.append("rehearsal  the first batch deploys, goes back and deploys again")
        }
        if let soak = plan.soakMilliseconds {
            lines.append(
                "soak       \(DurationText.short(milliseconds: soak)) after the last batch"
            )
        }
        if let limit = plan.revertWithinMilliseconds {
            lines.append("way back   within \(DurationText.short(milliseconds: limit))")
        }
        lines.append("digest     sha256:\(plan.digest)")
        return lines
    }

    /// Which client reaches which hosts.
    private static func clients(_ clients: [HostName: HostClient]) -> String {
        let names: [(HostClient, String)] = [
            (.libssh2, "libssh2"), (.openssh, "ssh"), (.local, "this machine itself"),
            (.auto, "libssh2, or ssh where that cannot"),
        ]
        let groups = names.compactMap { client, name -> (String, [HostName])? in
            let hosts = clients.filter { $0.value == client }.map(\.key)
            return hosts.isEmpty ? nil : (name, hosts)
        }
        guard groups.count > 1 else { return groups.first?.0 ?? "" }
        return groups.map { "\($0): \(HostRange.fold($1))" }.joined(separator: "; ")
    }

    /// How sessions of the system's `ssh` are shared, where there may be more hosts than that; nil if there are not.
    private static func sessionLimit(of plan: Plan) -> String? {
        let clients = plan.hosts.map(\.endpoint.ssh.client)
        let most = clients.count { $0 != .local && $0 != .libssh2 }
        let limit =
            plan.hosts.first?.endpoint.ssh.openSSHSessions ?? SSHSettings.usualOpenSSHSessions
        guard most > limit else { return nil }
        let which =
            clients.allSatisfy { $0 == .openssh }
            ? "of the \(most) hosts" : "of those hosts that only `ssh` reaches"
        return
            "at most \(limit) sessions at once (`openssh_sessions`); \(which), the others wait, and log in anew for a step"
    }

    private static func failures(_ plan: Plan) -> String {
        let limit =
            switch plan.maxFailures {
            case 0: "at the first failed host"
            case 1: "at the second failed host"
            case let limit: "at more than \(limit) failed hosts"
            }
        switch plan.onFailure {
        case .revert: return "\(limit): every touched host goes back to what it ran before"
        case .hold: return "\(limit): stop, and leave the hosts as they are"
        case .report: return "go on with the other hosts"
        }
    }

    /// Hosts in groups of the same shape, in their order.
    static func alike(_ hosts: [PlannedHost], by shape: (PlannedHost) -> [String])
        -> [[PlannedHost]]
    {
        var groups: [[PlannedHost]] = []
        var places: [[String]: Int] = [:]
        for host in hosts {
            let shape = shape(host)
            if let place = places[shape] {
                groups[place].append(host)
            } else {
                places[shape] = groups.count
                groups.append([host])
            }
        }
        return groups
    }

    private static func shape(_ host: PlannedHost) -> [String] {
        let steps = host.steps + host.revertSteps
        return steps.map { "\($0.name) \(text(of: $0.action))" }
            + (host.checks + host.revertChecks).map { "\($0.name) \(text(of: $0.action))" }
    }

    private static func describe(
        _ host: PlannedHost,
        named name: String,
        _ depth: Depth,
        _ style: Style
    ) -> [String] {
        var lines = ["", "  \(style.cyan(name))"]
        lines += section("steps", host.steps, depth, style)
        lines += checks("gate", host.checks, depth, style)
        if !host.revertSteps.isEmpty {
            lines += section("way back", host.revertSteps, depth, style)
        }
        return lines
    }

    private static func section(
        _ title: String,
        _ steps: [PlannedStep],
        _ depth: Depth,
        _ style: Style
    ) -> [String] {
        var lines = ["    \(style.dim(title))"]
        for (number, step) in steps.enumerated() {
            var notes = ["timeout \(DurationText.short(milliseconds: step.timeoutMilliseconds))"]
            if step.retries > 0 { notes.append("retries \(step.retries)") }
            if step.condition == .absent { notes.append("where nothing ran before") }
            if step.isIrreversible { notes.append(style.yellow("irreversible")) }
            let head = "\(number + 1). \(Sanitizer.line(step.name))"
            lines.append(
                "    \(head)  \(style.dim("\(step.kind); \(notes.joined(separator: ", "))"))"
            )
            lines += body(of: step.action, depth, style)
        }
        return lines
    }

    private static func checks(
        _ title: String,
        _ checks: [PlannedCheck],
        _ depth: Depth,
        _ style: Style
    ) -> [String] {
        guard !checks.isEmpty else { return [] }
        var lines = ["    \(style.dim(title))"]
        for check in checks {
            let often = check.passes > 1 ? "\(check.passes) passes in a row within " : "within "
            let bound = DurationText.short(milliseconds: max(1000, check.deadlineMilliseconds))
            lines.append("    - \(Sanitizer.line(check.name))  \(style.dim(often + bound))")
            // What a step put there is verified by the step's own script.
            if check.step != nil { continue }
            lines += body(of: check.action, depth, style)
        }
        return lines
    }

    /// What an action does, as lines; values are shown beside the script that gets them.
    private static func body(of action: Action, _ depth: Depth, _ style: Style) -> [String] {
        switch action {
        case .script(let script):
            var lines: [String] = []
            if let user = script.becomeUser { lines.append("as \(user)") }
            if let directory = script.directory { lines.append("in \(directory)") }
            if let library = script.library { lines.append("with the functions \(library)") }
            lines += script.environment.filter { !Self.isOrdinary($0.name) }
                .map { "\($0.name)=\(ShellWord.quote($0.value))" }
            if depth == .scripts {
                lines += script.text.split(whereSeparator: \.isNewline).map(String.init)
            }
            return lines.map { "       " + style.dim("│ ") + Sanitizer.line($0) }
        default:
            return ["       " + style.dim("│ ") + Sanitizer.line(text(of: action))]
        }
    }

    static func isOrdinary(_ name: String) -> Bool {
        ["FLEET_ENVIRONMENT", "FLEET_HOST", "FLEET_TAG", "FLEET_COMMIT", "FLEET_REVERT"]
            .contains(name)
    }

    /// An action in a few words; the same words mean the same action.
    private static func text(of action: Action) -> String {
        switch action {
        case .script(let script):
            let values = script.environment.filter { $0.name != "FLEET_HOST" }
                .map { "\($0.name)=\($0.value)" }.joined(separator: " ")
            return
                "\(script.becomeUser ?? "") \(script.directory ?? "") \(values) \(script.text)"
        case .upload(let upload):
            let place = upload.finish.environment
            func value(_ name: String) -> String? {
                place.first { $0.name == name }.flatMap { $0.value.isEmpty ? nil : $0.value }
            }
            return "\(upload.source), \(upload.sizeBytes) bytes, sha256 \(upload.sha256.prefix(12))"
                + (value("FLEET_DESTINATION").map { " to \($0)" } ?? "")
                + (value("FLEET_MODE").map { ", mode \($0)" } ?? "")
                + (value("FLEET_OWNER").map { ", owner \($0)" } ?? "")
                + (upload.finish.becomeUser.map { ", as \($0)" } ?? "")
        case .http(let probe):
            let contains = probe.contains.map { ", contains `\($0)`" } ?? ""
            return "GET \(probe.url): status \(probe.status)\(contains), within "
                + DurationText.short(milliseconds: probe.withinMilliseconds)
        case .tcp(let probe): return "connect to \(probe.host):\(probe.port)"
        case .deadman(.arm(let milliseconds, let back)):
            let time = DurationText.short(milliseconds: milliseconds)
            return "goes back by itself in \(time) unless it is confirmed: "
                + back.map(\.name).joined(separator: ", ")
        case .deadman(.confirm): return "confirm over a new connection"
        case .deadman(.disarm): return "or wait until the host has gone back by itself"
        }
    }
}
