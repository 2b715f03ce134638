internal import FleetYAML

/// Reads an environment's `policy`: `protected`, `require`, `staging`, `approval`, `signers`,
/// `freeze`, `windows`, `time_zone`, `hotfix_requires`.
struct PolicyReader {
    let reader: YAMLReader
    let environment: String

    func read(_ keys: YAMLFields) -> EnvironmentPolicy {
        var policy = EnvironmentPolicy()
        policy.isProtected = keys.flag("protected") ?? false
        policy.requirements = requirements("require", keys)
        policy.hotfixRequirements = requirements("hotfix_requires", keys)
        if let staging = keys.text("staging") { policy.stagingEnvironment = staging }
        if policy.requirements.contains(.staged), policy.stagingEnvironment == environment {
            reader.report(
                "an environment cannot be its own staging",
                at: keys.location(of: "staging") ?? keys.location(of: "require"),
                hints: ["name another environment: `staging: qa`"]
            )
        }
        if let node = keys.node("approval"), let more = reader.fields(node, of: "`approval`") {
            policy.approvalMilliseconds =
                more.milliseconds("expires") ?? policy.approvalMilliseconds
            policy.needsAnotherApprover = more.flag("by_another") ?? false
            policy.countsAllAuthors = more.flag("all_authors") ?? false
            more.refuseUnknown()
        }
        policy.signers = keys.texts("signers") ?? []
        policy.freezes = windows("freeze", keys)
        policy.windows = windows("windows", keys)
        policy.timeZone = keys.text("time_zone") ?? policy.timeZone
        policy.timeZoneLocation = keys.location(of: "time_zone")
        keys.refuseUnknown()
        return policy
    }

    private func requirements(_ key: String, _ keys: YAMLFields)
        -> Set<EnvironmentPolicy.Requirement>
    {
        guard let node = keys.node(key), let items = reader.items(node, of: "`\(key)`") else {
            return []
        }
        return Set(
            items.compactMap { item in
                guard let text = reader.text(item, of: "a requirement") else { return nil }
                if let known = EnvironmentPolicy.Requirement(rawValue: text) { return known }
                let all = EnvironmentPolicy.Requirement.allCases.map(\.rawValue)
                reader.report(
                    "`\(text)` is not a requirement",
                    at: item.location,
                    hints: Suggestion.hint(for: text, in: all)
                        + ["there are: \(all.joined(separator: ", "))"]
                )
                return nil
            }
        )
    }

    private func windows(_ key: String, _ keys: YAMLFields) -> [ChangeWindow] {
        guard let node = keys.node(key), let items = reader.items(node, of: "`\(key)`") else {
            return []
        }
        return items.compactMap { item in
            guard let text = reader.text(item, of: "a time") else { return nil }
            if let window = ChangeWindow(text) { return window }
            reader.report(
                "`\(text)` is not a stretch of time",
                at: item.location,
                hints: [
                    "write `Fri 16:00 - Mon 09:00`, `Mon-Thu 09:00-16:00`, `daily 22:00-04:00` "
                        + "or `2026-12-20 - 2027-01-03`"
                ]
            )
            return nil
        }
    }
}
