internal import FleetPlan
internal import FleetTransport

/// A plan on one screen, for 6 hosts or 600: its batches with folded hosts, and what hosts that do the same do, by name.
struct PlanOverview {
    let plan: Plan
    let style: Style

    /// The batches; long runs of batches of the same size are one line.
    func batches() -> [String] {
        let count = plan.batches.count
        guard count > 1 else { return [] }
        var lines: [String] = []
        var number = 0
        while number < count {
            // The canary and the last batch are shown by themselves.
            var end = number + 1
            if number > 0, count > Self.shownBatches {
                while end < count - 1, plan.batches[end].count == plan.batches[number].count {
                    end += 1
                }
            }
            let name = end - number > 1 ? "batches \(number + 1) to \(end)" : "batch \(number + 1)"
            let hosts = HostRange.fold(plan.batches[number..<end].flatMap { $0 })
            let size =
                end - number > 1 ? "\(plan.batches[number].count) hosts each: " : ""
            let canary = number == 0 ? ", the canary" : ""
            lines.append("\(Style.padded(name + canary, to: 22))\(size)\(hosts)")
            number = end
        }
        return lines
    }

    /// How many batches are shown one by one.
    private static let shownBatches = 8

    /// What each group of hosts does, forward and back.
    func groups() -> [String] {
        PlanText.alike(plan.hosts, by: Self.shape).flatMap { group -> [String] in
            let first = group[0]
            var lines = ["", style.cyan(HostRange.fold(group.map(\.name)))]
            lines += steps(group, \.steps)
            if !first.checks.isEmpty { lines.append(line("gate", first.checks.map(\.name))) }
            if !first.revertSteps.isEmpty {
                lines.append(line("way back", first.revertSteps.map(\.name)))
            }
            return lines
        }
    }

    private func line(_ title: String, _ names: [String]) -> String {
        "  \(style.dim(Style.padded(title, to: 10)))"
            + Sanitizer.line(names.joined(separator: ", "))
    }

    /// Hosts are one group if they do the same by name, whatever their values are.
    private static func shape(_ host: PlannedHost) -> [String] {
        (host.steps + host.revertSteps).map {
            "\($0.name) \($0.kind) \(String(describing: $0.condition))"
        }
            + (host.checks + host.revertChecks).map(\.name)
    }

    private func steps(_ group: [PlannedHost], _ steps: KeyPath<PlannedHost, [PlannedStep]>)
        -> [String]
    {
        let first = group[0][keyPath: steps]
        let width = first.map { Style.width($0.name) }.max() ?? 0
        return first.enumerated().map { number, step in
            var notes = [step.kind]
            if step.condition == .absent { notes.append("where nothing ran before") }
            if step.retries > 0 { notes.append("retries \(step.retries)") }
            let differing = Self.differing(group.map { $0[keyPath: steps][number] })
            if !differing.isEmpty {
                notes.append("\(differing.joined(separator: ", ")) by host")
            }
            let isIrreversible = step.isIrreversible ? "  " + style.yellow("irreversible") : ""
            let place = Style.padded("\(number + 1).", to: 4)
            let name = Style.padded(Sanitizer.line(step.name), to: width)
            return "  \(place)\(name)  \(style.dim(notes.joined(separator: ", ")))\(isIrreversible)"
        }
    }

    /// The names of the values that are not the same on every host.
    private static func differing(_ steps: [PlannedStep]) -> [String] {
        var values: [String: Set<String>] = [:]
        for step in steps {
            guard case .script(let script) = step.action else { continue }
            for entry in script.environment where !PlanText.isOrdinary(entry.name) {
                values[entry.name, default: []].insert(entry.value)
            }
        }
        let variable = "FLEET_VAR_"
        return values.filter { $0.value.count > 1 }.keys.sorted().map {
            $0.hasPrefix(variable) ? "vars.\($0.dropFirst(variable.count))" : $0
        }
    }
}
