internal import FleetPlan
internal import FleetTransport

/// Makes a scenario that breaks an invariant as small as it can be and still break the same one.
///
/// Hosts, kinds of bad weather and events from outside are left out one after the other; what still
/// fails is kept. Nothing is drawn by chance, so a seed always shrinks to the same scenario.
public struct Shrinking {
    /// The smallest scenario that was found.
    public private(set) var scenario: Scenario
    /// How it breaks.
    public private(set) var violation: Violation

    private let mutant: Mutant
    /// How many ways of playing a smaller scenario are tried: fewer draws give other draws.
    private static let plays: UInt64 = 150

    /// Shrinks a scenario; nil if it breaks nothing.
    public init?(_ scenario: Scenario, mutant: Mutant = Mutant()) {
        self.mutant = mutant
        guard let violation = Self.violation(of: scenario, mutant) else { return nil }
        self.scenario = scenario
        self.violation = violation
        while shrinkOnce() {}
        var last = Simulation(self.scenario, keepsTrace: true, mutant: mutant)
        do throws(Violation) { _ = try last.run() } catch { self.violation = error }
    }

    /// What is left, in words.
    public var summary: String {
        let weather = Weather.fields.filter { scenario.weather[keyPath: $0.path] > 0 }.map(\.name)
        var words = ["\(scenario.plan.hosts.count) hosts in \(scenario.plan.batches.count) batches"]
        words.append("weather: \(weather.isEmpty ? "clear" : weather.joined(separator: ", "))")
        if scenario.isReleaseBad { words.append("a bad release") }
        if scenario.interruptedAt != nil { words.append("interrupted") }
        if scenario.diskFullAt != nil { words.append("disk full") }
        return words.joined(separator: "; ")
    }

    private typealias Weather = Scenario.Weather

    /// Takes the first smaller scenario that breaks the same invariant.
    private mutating func shrinkOnce() -> Bool {
        for candidate in smaller() {
            for play in 0..<Self.plays {
                var candidate = candidate
                candidate.play = play
                guard let found = Self.violation(of: candidate, mutant),
                    Self.invariant(found) == Self.invariant(violation)
                else { continue }
                scenario = candidate
                violation = found
                return true
            }
        }
        return false
    }

    /// The next smaller scenarios, the much smaller ones first.
    private func smaller() -> [Scenario] {
        var all: [Scenario] = []
        func add(_ change: (inout Scenario) -> Void) {
            var copy = scenario
            change(&copy)
            all.append(copy)
        }
        let count = scenario.plan.hosts.count
        for kept in [1, 2, count / 2, count - 1] where kept > 0 && kept < count {
            add { $0.plan = $0.plan.keeping(kept) }
        }
        for field in Weather.fields where scenario.weather[keyPath: field.path] > 0 {
            add { $0.weather[keyPath: field.path] = 0 }
        }
        if scenario.interruptedAt != nil { add { $0.interruptedAt = nil } }
        if scenario.diskFullAt != nil { add { $0.diskFullAt = nil } }
        if scenario.resumes != nil { add { $0.resumes = nil } }
        if scenario.isReleaseBad { add { $0.isReleaseBad = false } }
        return all
    }

    private static func violation(of scenario: Scenario, _ mutant: Mutant) -> Violation? {
        var simulation = Simulation(scenario, mutant: mutant)
        do throws(Violation) {
            _ = try simulation.run()
            return nil
        } catch {
            return error
        }
    }

    /// What an invariant is called: its number, or else the message without the names in it.
    private static func invariant(_ violation: Violation) -> String {
        let first = violation.what.prefix { $0 != ":" }
        guard first.first == "I", first.dropFirst().allSatisfy(\.isNumber) else {
            return violation.what.split(separator: " ").filter { !$0.contains(where: \.isNumber) }
                .joined(separator: " ")
        }
        return String(first)
    }
}

extension Plan {
    /// The same for the first hosts only, in the same batches.
    fileprivate func keeping(_ count: Int) -> Plan {
        var left = count
        let kept = batches.map { batch in
            defer { left -= min(left, batch.count) }
            return batch.prefix(left).compactMap { name in hosts.first { $0.name == name } }
        }
        return with(batches: kept.filter { !$0.isEmpty })
    }
}

extension Scenario.Weather {
    fileprivate static var fields: [(name: String, path: WritableKeyPath<Self, Int>)] {
        [
            ("refused", \.refused), ("step fails", \.stepFails), ("lost", \.lost),
            ("outage", \.outage),
            ("stuck", \.stuck), ("flap", \.flap), ("bad host", \.badHost), ("lies", \.lies),
            ("HEAD only", \.headOnly),
            ("inconclusive", \.inconclusive), ("late timers", \.lateTimers),
            ("first deploy", \.firstDeploy), ("crash", \.crash), ("locked", \.locked),
            ("fenced", \.fenced),
        ]
    }
}
