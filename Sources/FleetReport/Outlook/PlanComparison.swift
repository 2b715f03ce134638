public import FleetPlan
internal import FleetTransport

/// What a plan does otherwise than an earlier one of the same playbook.
public enum PlanComparison {
    /// The differences, a line each, with the hosts that each is on; the release itself is none.
    ///
    /// - Parameters:
    ///   - plan: The plan.
    ///   - earlier: The one before.
    /// - Returns: Lines; none if both do the same.
    public static func lines(_ plan: Plan, since earlier: Plan) -> [String] {
        let before = Dictionary(earlier.hosts.map { ($0.name, $0) }) { first, _ in first }
        var found: [(text: String, hosts: [HostName])] = []
        var places: [String: Int] = [:]
        func add(_ text: String, _ host: HostName) {
            if let place = places[text] {
                found[place].hosts.append(host)
            } else {
                places[text] = found.count
                found.append((text, [host]))
            }
        }
        for host in plan.hosts {
            guard let old = before[host.name] else {
                add("was not in the last one", host.name)
                continue
            }
            for text in differences(host, old) { add(text, host.name) }
        }
        let now = Set(plan.hosts.map(\.name))
        let gone = earlier.hosts.map(\.name).filter { !now.contains($0) }
        let lines = found.map { found in
            found.hosts.count == plan.hosts.count
                ? found.text : "\(found.text) (\(HostRange.fold(found.hosts)))"
        }
        return gone.isEmpty
            ? lines : lines + ["was in the last one and is not in this (\(HostRange.fold(gone)))"]
    }

    private static func differences(_ new: PlannedHost, _ old: PlannedHost) -> [String] {
        var lines: [String] = []
        let before = Dictionary(old.steps.map { ($0.name, $0) }) { first, _ in first }
        let names = Set(new.steps.map(\.name))
        for step in new.steps {
            guard let earlier = before[step.name] else {
                lines.append("step added: \(step.name)")
                continue
            }
            lines += changes(of: step, since: earlier)
        }
        for step in old.steps where !names.contains(step.name) {
            lines.append("step removed: \(step.name)")
        }
        if names == Set(before.keys), new.steps.map(\.name) != old.steps.map(\.name) {
            lines.append("the steps are in another order")
        }
        let tests = Set(new.checks.filter { $0.step == nil }.map(\.name))
        let oldTests = Set(old.checks.filter { $0.step == nil }.map(\.name))
        lines += tests.subtracting(oldTests).sorted().map { "smoke test added: \($0)" }
        lines += oldTests.subtracting(tests).sorted().map { "smoke test removed: \($0)" }
        return lines
    }

    private static func changes(of new: PlannedStep, since old: PlannedStep) -> [String] {
        var lines: [String] = []
        switch (new.action, old.action) {
        case (.script(let script), .script(let before)):
            let names = differing(script.environment, before.environment)
            if !names.isEmpty {
                lines.append("\(new.name): other values: \(names.joined(separator: ", "))")
            }
            if script.text != before.text { lines.append("\(new.name): another script") }
            if script.becomeUser != before.becomeUser {
                lines.append("\(new.name): runs as \(script.becomeUser ?? "the login account")")
            }
        case (.upload(let upload), .upload(let before)):
            let keys = keys(of: upload)
            let oldKeys = keys == nil ? nil : Self.keys(of: before)
            if let keys, let oldKeys {
                let added = keys.filter { !oldKeys.contains($0) }
                let removed = oldKeys.filter { !keys.contains($0) }
                if !added.isEmpty {
                    lines.append("\(new.name): keys added: \(added.joined(separator: ", "))")
                }
                if !removed.isEmpty {
                    lines.append("\(new.name): keys removed: \(removed.joined(separator: ", "))")
                }
                if added.isEmpty, removed.isEmpty, upload.sha256 != before.sha256 {
                    lines.append("\(new.name): other values for the same keys")
                }
            } else if upload.sha256 != before.sha256 {
                lines.append("\(new.name): another content of \(upload.source)")
            }
        default:
            if new.action != old.action { lines.append("\(new.name): does something else") }
        }
        if new.timeoutMilliseconds != old.timeoutMilliseconds {
            lines.append(
                "\(new.name): timeout \(DurationText.short(milliseconds: old.timeoutMilliseconds)) → "
                    + DurationText.short(milliseconds: new.timeoutMilliseconds)
            )
        }
        return lines
    }

    /// The keys of an `.env` file, by name; nil for another upload.
    private static func keys(of upload: Upload) -> [String]? {
        upload.finish.environment.first { $0.name == "FLEET_KEYS" }.map {
            $0.value.split(separator: " ").map(String.init)
        }
    }

    /// The names of values that differ; what differs with every release is left out.
    private static func differing(_ new: [EnvironmentVariable], _ old: [EnvironmentVariable])
        -> [String]
    {
        let ofRelease: Set<String> = ["FLEET_TAG", "FLEET_COMMIT", "FLEET_BUNDLE"]
        let before = Dictionary(old.map { ($0.name, $0.value) }) { first, _ in first }
        let now = Dictionary(new.map { ($0.name, $0.value) }) { first, _ in first }
        return Set(before.keys).union(now.keys).filter { name in
            before[name] != now[name] && !ofRelease.contains(name)
                // The release's name and commit stand in values of fleet's own steps, too.
                && !isCommit(before[name]) && !isCommit(now[name])
        }.sorted().map { $0.hasPrefix("FLEET_VAR_") ? "vars.\($0.dropFirst(10))" : $0 }
    }

    private static func isCommit(_ value: String?) -> Bool {
        guard let value, value.utf8.count == 40 else { return false }
        return value.allSatisfy(\.isHexDigit)
    }
}
