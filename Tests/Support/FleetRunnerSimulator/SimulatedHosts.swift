internal import FleetPlan
internal import FleetRunner
internal import FleetTestSupport
internal import FleetTransport
internal import Synchronization

/// Something that must never be so, and is.
public struct RunnerViolation: Error, CustomStringConvertible {
    /// What.
    public let description: String
}

/// A mistake that is made on purpose: the simulation has to find it.
public enum RunnerMutant: String, Sendable, CaseIterable {
    /// A host starts steps for every controller of the rollout that owns its lock.
    case lowerEpochLetIn
    /// A host does not say which steps it knows of: a journal that is older than the host is not found out.
    case stepsUntold
}

/// What may go wrong, in percent of what is asked.
struct RunnerWeather {
    /// A question is lost before the host hears it.
    var lostBefore = 0
    /// An answer is lost after the host has done it.
    var lostAfter = 0
    /// A host goes away for a while.
    var outage = 0
    /// A host starts anew: what ran there is gone.
    var reboot = 0
    /// A step fails.
    var failure = 0
    /// A step does not end in time.
    var hang = 0
    /// A smoke test says no although the service is well.
    var flap = 0
}

/// A host that holds a release, runs steps and answers questions, as the shell on a real one does.
struct SimulatedRunnerHost {
    /// What the host keeps of one attempt at a step.
    struct Spool {
        let text: String
        let output: [UInt8]
        let beganAt: Int
        var endsAt: Int
        /// Its exit status once it has ended by itself or was ended.
        var status: CommandStatus?
        var isAlive = true
    }

    var commit: String
    var running: String
    var owner: String?
    var generation = 0
    var spools: [String: Spool] = [:]
    /// Attempts that may never start any more.
    var never: Set<String> = []
    /// How often each script was begun.
    var begun: [String: Int] = [:]
    var downUntil = 0
    /// Whether the new release does not work here.
    var isBad = false

    /// The rollout that owns the lock.
    var rollout: String? { owner.map { String($0.prefix { $0 != " " }) } }

    /// Lets a controller of the same rollout follow the one that was here; what it is told if it may not.
    mutating func follow(_ claim: String) -> String? {
        guard owner != claim else { return nil }
        func number(_ text: String?) -> Int {
            text?.split(separator: " ").dropFirst().first?.split(separator: ".").first
                .flatMap { Int($0) } ?? 1
        }
        guard number(claim) > number(owner) else {
            return "E_SUPERSEDED \(number(owner)) rollout r1 was taken up by another controller\n"
        }
        owner = claim
        return nil
    }

    /// What has ended by now has its effect.
    mutating func settle(_ now: Int, to new: String, back old: String) {
        let due = spools.filter { $0.value.isAlive && $0.value.endsAt <= now }
            .sorted { $0.value.endsAt < $1.value.endsAt }
        for (key, spool) in due {
            spools[key]?.isAlive = false
            guard case .exited(0) = spool.status else { continue }
            switch spool.text {
            case "pull": commit = new
            case "back pull": commit = old
            case "restart", "back restart": running = commit
            default: break
            }
        }
    }
}

/// All hosts, what happens to them, and what they have been seen to do wrong.
final class SimulatedFleet: Sendable {
    struct State {
        var hosts: [HostName: SimulatedRunnerHost]
        var random: SeededRandom
        var violation: RunnerViolation?
        /// What is durable in the journal about steps: `web1 f0-1`.
        var intents: Set<String> = []
        var trace: [String] = []
        var faults = 0
    }

    static let new = String(repeating: "b", count: 40)
    static let old = String(repeating: "a", count: 40)

    let state: Mutex<State>
    let machine: SimulatedMachine
    let weather: RunnerWeather
    /// What is done wrong on purpose; nil for nothing.
    let mutant: RunnerMutant?
    /// Scripts that may run more than once.
    let idempotent: Set<String>

    init(
        _ names: [HostName],
        _ random: SeededRandom,
        _ weather: RunnerWeather,
        _ machine: SimulatedMachine,
        mutant: RunnerMutant?,
        idempotent: Set<String>
    ) {
        self.mutant = mutant
        let host = SimulatedRunnerHost(commit: Self.old, running: Self.old)
        state = Mutex(
            State(
                hosts: Dictionary(uniqueKeysWithValues: names.map { ($0, host) }),
                random: random
            )
        )
        self.weather = weather
        self.machine = machine
        self.idempotent = idempotent
    }

    /// Looks at, or changes, one host, as it is by now.
    func with<T>(_ name: HostName, _ body: (inout SimulatedRunnerHost, inout State) -> T) -> T {
        let now = machine.milliseconds
        return state.withLock { state in
            guard var host = state.hosts[name] else { preconditionFailure("no \(name)") }
            host.settle(now, to: Self.new, back: Self.old)
            let result = body(&host, &state)
            state.hosts[name] = host
            return result
        }
    }

    func chance(_ percent: Int) -> Bool {
        state.withLock { state in
            let isSo = Int(state.random.next() % 100) < percent
            if isSo, percent < 100 { state.faults += 1 }
            return isSo
        }
    }

    func pick(_ range: ClosedRange<Int>) -> Int {
        state.withLock { range.lowerBound + Int($0.random.next() % UInt64(range.count)) }
    }

    func note(_ line: String) {
        let now = machine.milliseconds
        state.withLock { $0.trace.append("\(now) ms  \(line)") }
    }

    func violate(_ text: String) {
        let now = machine.milliseconds
        state.withLock { state in
            state.violation = state.violation ?? RunnerViolation(description: "\(now) ms: \(text)")
        }
    }

    /// Somebody else takes a host over: what runs is ended, and nothing of ours starts any more.
    func breakLock(of name: HostName) {
        with(name) { host, state in
            guard host.owner != nil else { return }
            state.faults += 1
            host.owner = "other"
            for (key, spool) in host.spools where spool.isAlive {
                host.spools[key]?.isAlive = false
                host.spools[key]?.status = .fenced
            }
        }
        note("the lock of \(name) is broken")
    }

    /// What may happen to a host while nobody looks.
    func pass(_ name: HostName) {
        if chance(weather.outage) {
            let until = machine.milliseconds + pick(100...200_000)
            with(name) { host, _ in host.downUntil = until }
            note("\(name) is away until \(until)")
        }
        if chance(weather.reboot) {
            with(name) { host, _ in
                for (key, spool) in host.spools where spool.isAlive {
                    host.spools[key]?.isAlive = false
                    host.spools[key]?.status = nil
                }
            }
            note("\(name) starts anew")
        }
    }
}
