internal import Dispatch
public import FleetJournal
internal import FleetPlan
public import FleetRollout
internal import FleetRunner
internal import FleetTestSupport
internal import FleetTransport
internal import Synchronization

/// One rollout by the real runner, over a transport, a clock and a store that a seed decides about.
///
/// The machine that decides is simulated by itself, at many times the speed; this is about what lies
/// between it and the hosts: effects that are performed, sessions that are dropped and opened again,
/// outputs that are put together, records that are durable before anything is done.
public struct RunnerSimulation {
    private let seed: UInt64
    private var random: SeededRandom
    private let machine = SimulatedMachine()
    private let fleet: SimulatedFleet
    private let plan: Plan
    private var store: SimulatedStore
    /// Journals of controllers that were thought dead and are not.
    private var rivals: [SimulatedStore] = []
    private var rivalEnds: [Ending] = []
    private var marks = 0
    /// How often the controller is left behind alive, at most.
    private var splits: Int
    /// Whose lock is broken, and when.
    private var broken: (host: HostName, at: Int)?
    /// How often the controller is killed at most.
    private var kills: Int

    /// What happened, line by line.
    public var trace: [String] { fleet.state.withLock { $0.trace } }
    /// How many records the journal holds at the end.
    public var recordCount: Int { store.entries.count }
    /// How often a controller was thought dead and was not.
    public private(set) var splitCount = 0
    /// How often the controller was killed.
    public private(set) var killCount = 0

    /// Whether nothing was in the way: then the end is known beforehand.
    public private(set) var wasFair = false

    /// Sets the stage.
    ///
    /// - Parameters:
    ///   - seed: Decides everything.
    ///   - mutant: What is done wrong on purpose; nil for nothing.
    ///   - journal: Where records are kept, too; what it says at the end must be the same. Nil for memory only.
    public init(
        seed: UInt64,
        mutant: RunnerMutant? = nil,
        journal: (any JournalReader & JournalWriter)? = nil
    ) {
        self.seed = seed
        var random = SeededRandom(seed: seed)
        func pick(_ range: ClosedRange<Int>) -> Int {
            range.lowerBound + Int(random.next() % UInt64(range.count))
        }
        let names = (1...(pick(1...100) <= 2 ? pick(20...60) : pick(1...6))).map {
            HostName("web\($0)")
        }
        var weather = RunnerWeather()
        if pick(1...100) <= 70 {
            weather.lostBefore = pick(0...6)
            weather.lostAfter = pick(0...6)
            weather.outage = pick(0...3)
            weather.reboot = pick(0...4)
            weather.failure = pick(0...4)
            weather.hang = pick(0...5)
            weather.flap = pick(0...10)
        }
        if pick(1...100) <= 8 {
            broken = (names[pick(1...names.count) - 1], pick(1...80_000))
        }
        kills = pick(1...100) <= 40 ? pick(1...4) : 0
        splits = pick(1...100) <= 15 ? pick(1...2) : 0
        plan = Self.plan(
            names,
            batch: pick(1...3),
            fanout: pick(1...6),
            maxFailures: pick(0...1),
            isIdempotent: pick(1...100) <= 50
        )
        let idempotent = plan.hosts[0].steps.filter(\.isIdempotent).map(\.name)
        let back = plan.hosts[0].revertSteps.map { "back \($0.name)" }
        let isBad = pick(1...100) <= 25
        fleet = SimulatedFleet(
            names,
            SeededRandom(seed: seed &+ 1),
            weather,
            machine,
            mutant: mutant,
            idempotent: Set(idempotent + back)
        )
        store = SimulatedStore(fleet, journal)
        fleet.state.withLock { state in
            for name in names { state.hosts[name]?.isBad = isBad }
        }
        self.random = random
    }

    private static func plan(
        _ names: [HostName],
        batch: Int,
        fanout: Int,
        maxFailures: Int,
        isIdempotent: Bool
    ) -> Plan {
        let release = Release(tag: "v2", commit: SimulatedFleet.new)
        func step(_ name: String, _ text: String, isIdempotent: Bool = true) -> PlannedStep {
            PlannedStep(
                name: name,
                kind: "run",
                action: .script(Script(text)),
                timeoutMilliseconds: 60_000,
                isIdempotent: isIdempotent
            )
        }
        func checks(_ commit: String) -> [PlannedCheck] {
            [
                PlannedCheck(
                    name: "verify pull",
                    step: "pull",
                    action: .script(Script(commit)),
                    deadlineMilliseconds: 0
                ),
                PlannedCheck(
                    name: "health",
                    action: .script(Script("healthy")),
                    passes: 2,
                    deadlineMilliseconds: 10_000
                ),
            ]
        }
        var batches: [[HostName]] = []
        for start in stride(from: 0, to: names.count, by: batch) {
            batches.append(Array(names[start..<min(names.count, start + batch)]))
        }
        return Plan(
            kind: .deploy,
            environment: "e",
            title: "t",
            release: release,
            releaseStep: "pull",
            fanout: fanout,
            maxFailures: maxFailures,
            onFailure: .revert,
            batches: batches,
            hosts: names.map { name in
                PlannedHost(
                    endpoint: HostEndpoint(name: name),
                    release: release,
                    preflight: [PlannedPreflight(step: "pull", script: Script("facts"))],
                    steps: [
                        step("pull", "pull"),
                        step("migrate", "migrate", isIdempotent: isIdempotent),
                        step("restart", "restart"),
                    ],
                    checks: checks("on new"),
                    revertSteps: [step("pull", "back pull"), step("restart", "back restart")],
                    revertChecks: checks("on old")
                )
            },
            takesLocks: true
        )
    }

    // MARK: Playing

    /// Plays to the end: a controller that is killed, or asked to stop, is started again.
    ///
    /// - Returns: How the rollout ended.
    /// - Throws: ``RunnerViolation``.
    public mutating func run() throws(RunnerViolation) -> RolloutOutcome {
        var direction = ResumeDirection.onward
        if let broken {
            let fleet = fleet
            _ = machine.after(milliseconds: broken.at) { fleet.breakLock(of: broken.host) }
        }
        for _ in 1...20 {
            let transport = SimulatedTransport(fleet)
            store.prepare(killing: kills > 0 ? pick(1...40) : nil, transport)
            let result = try carryOut(transport, direction)
            if let violation = fleet.state.withLock({ $0.violation }) { throw violation }
            if let outcome = result, outcome != .interrupted {
                // Whoever was thought dead may still do something, and must not.
                let ends = rivalEnds
                guard machine.run(until: { ends.allSatisfy { $0.result != nil } }) else {
                    throw RunnerViolation(description: "a runner that was left behind does not end")
                }
                if let violation = fleet.state.withLock({ $0.violation }) { throw violation }
                try check(outcome)
                return outcome
            }
            if result == nil {
                kills -= 1
                killCount += 1
                fleet.note("the controller is killed")
            }
            // Its journal lacks what another controller has done since: somebody finds the newer one.
            if store.lacksRecords, !rivals.isEmpty {
                let own = store
                store = rivals[pick(1...rivals.count) - 1].fork()
                rivals.append(own)
            }
            direction = pick(1...100) <= 25 ? .back : .onward
            // Somebody notices after a while, and most of what hosts were doing has ended by then.
            let pause = pick(1...100_000)
            let until = machine.milliseconds + pause
            _ = machine.after(milliseconds: pause) {}
            _ = machine.run { machine.milliseconds >= until }
        }
        // No journal may know everything that was done: then people have to put one together from the hosts.
        guard splitCount == 0 else { return .interrupted }
        throw RunnerViolation(description: "the rollout does not end")
    }

    /// One controller's life; nil if it was killed.
    private mutating func carryOut(_ transport: SimulatedTransport, _ direction: ResumeDirection)
        throws(RunnerViolation) -> RolloutOutcome?
    {
        let entries = store.entries
        if let outcome = Rollout(plan: plan, replaying: entries).outcome, outcome != .interrupted {
            return outcome
        }
        guard let id = RolloutID("r1") else { preconditionFailure("a name") }
        marks += 1
        let runner = RolloutRunner(
            id: id,
            plan: plan,
            origin: RolloutOrigin(user: "u", machine: "m", command: "c", version: "0"),
            transport: transport,
            journal: store,
            clock: machine,
            resuming: entries.isEmpty
                ? nil
                : RolloutRunner.Earlier(
                    entries: entries,
                    direction: direction,
                    mark: "m\(marks)"
                ),
            watch: { _ in }
        )
        if pick(1...100) <= 8 {
            _ = machine.after(milliseconds: pick(1...30_000)) { runner.interrupt(signal: 2) }
        }
        let done = Ending()
        Task(executorPreference: machine) {
            do {
                done.end(.success(try await runner.run().outcome))
            } catch let error as JournalError {
                done.end(.failure(error))
            }
        }
        let machine = machine
        var leftAt = Int.max
        if splits > 0, pick(1...100) <= 50 {
            leftAt = machine.milliseconds + pick(1...60_000)
            _ = machine.after(milliseconds: leftAt - machine.milliseconds) {}
        }
        let isOver = machine.run { done.result != nil || machine.milliseconds >= leftAt }
        if done.result == nil, machine.milliseconds >= leftAt {
            splits -= 1
            // What is not begun is begun by whoever did.
            guard !store.entries.isEmpty else { return nil }
            fleet.note("the controller is thought dead")
            splitCount += 1
            rivals.append(store)
            rivalEnds.append(done)
            store = store.fork()
            return nil
        }
        guard isOver, let result = done.result else {
            throw RunnerViolation(description: "the runner waits for nothing")
        }
        switch result {
        case .success(let outcome): return outcome
        case .failure: return nil
        }
    }

    private mutating func pick(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(random.next() % UInt64(range.count))
    }

    // MARK: What must be so at the end

    private mutating func check(_ outcome: RolloutOutcome) throws(RunnerViolation) {
        let rollout = Rollout(plan: plan, replaying: store.entries)
        guard rollout.outcome == outcome else {
            throw RunnerViolation(
                description: "the journal says \(rollout.outcome.map(\.rawValue) ?? "nothing"), "
                    + "the runner \(outcome.rawValue)"
            )
        }
        for progress in rollout.hosts {
            let name = progress.name
            let host = fleet.with(name) { host, _ in host }
            // What another controller did on a host that could not be asked any more at the end is not known here.
            if splitCount > 0, progress.lockFailure != nil { continue }
            func wrong(_ text: String) -> RunnerViolation {
                RunnerViolation(description: "\(outcome.rawValue), but \(text) on \(name)")
            }
            switch progress.outcome {
            case .succeeded:
                guard host.commit == SimulatedFleet.new, host.running == SimulatedFleet.new else {
                    throw wrong("something else runs")
                }
            case .reverted:
                guard host.commit == SimulatedFleet.old, host.running == SimulatedFleet.old else {
                    throw wrong("it is not back")
                }
            // Of two controllers that begin at once, the one that is refused knows only of itself.
            case .untouched where splitCount > 0 && outcome == .refused: break
            case .untouched:
                guard host.spools.isEmpty else { throw wrong("something was done") }
            default: break
            }
            if progress.outcome != .unknown, progress.outcome != .fenced {
                if host.spools.contains(where: { $0.value.isAlive }) {
                    throw wrong("something still runs")
                }
                let isOthers = splitCount > 0 && outcome == .refused
                if host.rollout == "r1", progress.lockFailure == nil, !isOthers {
                    throw wrong("the lock stays")
                }
            }
            if progress.outcome == nil { throw wrong("nothing is said") }
        }
        try checkOutputs()
        try store.checkJournal()
        let isFair = fleet.state.withLock { $0.faults == 0 } && killCount == 0
        let isBad = fleet.state.withLock { $0.hosts.values.contains(where: \.isBad) }
        let isAllowed = plan.hosts.count <= plan.maxFailures
        let fair: RolloutOutcome = !isBad ? .succeeded : isAllowed ? .held : .reverted
        if isFair { wasFair = true }
        if isFair, outcome != fair, !store.wasInterrupted {
            throw RunnerViolation(description: "\(outcome.rawValue) in fair weather")
        }
    }

    /// What a step that has ended printed is in the journal, every byte of it once.
    private func checkOutputs() throws(RunnerViolation) {
        for entry in store.entries {
            guard
                case .event(.stepEnded(let name, let step, let attempt, let outcome, let size)) =
                    entry.body, outcome == .succeeded
            else { continue }
            let key = step.key(attempt: attempt)
            let printed = fleet.with(name) { host, _ in host.spools[key.description]?.output }
            let kept = store.outputs["\(name) \(key)"]
            guard let printed, kept == printed, size == printed.count else {
                throw RunnerViolation(
                    description: "\(name) \(key) printed \(printed?.count ?? -1) bytes, and "
                        + "\(kept?.count ?? -1) are kept"
                )
            }
        }
    }
}

/// How a runner ended.
private final class Ending: Sendable {
    private let state = Mutex<Result<RolloutOutcome?, JournalError>?>(nil)

    var result: Result<RolloutOutcome?, JournalError>? { state.withLock { $0 } }

    func end(_ result: Result<RolloutOutcome?, JournalError>) { state.withLock { $0 = result } }
}

/// A journal in memory, whose controller is killed at one of its writes.
final class SimulatedStore: JournalWriter {
    private struct State {
        var entries: [JournalEntry] = []
        var outputs: [String: [UInt8]] = [:]
        var writesLeft: Int?
        var transport: SimulatedTransport?
        var isDead = false
    }

    private let state = Mutex(State())
    private let fleet: SimulatedFleet
    /// A real journal, which is told the same.
    private let journal: (any JournalReader & JournalWriter)?

    init(_ fleet: SimulatedFleet, _ journal: (any JournalReader & JournalWriter)? = nil) {
        self.fleet = fleet
        self.journal = journal
    }

    /// Waits for a real journal: in here nothing else goes on meanwhile.
    private static func waiting<T: Sendable>(
        _ work: @escaping @Sendable () async throws -> T
    ) -> Result<T, any Error> {
        let done = DispatchSemaphore(value: 0)
        let result = Mutex<Result<T, any Error>?>(nil)
        Task.detached {
            let found: Result<T, any Error>
            do { found = .success(try await work()) } catch { found = .failure(error) }
            result.withLock { $0 = found }
            done.signal()
        }
        done.wait()
        guard let found = result.withLock({ $0 }) else { preconditionFailure("it was set") }
        return found
    }

    /// The real journal holds every record that was durable, as it was, and every output.
    func checkJournal() throws(RunnerViolation) {
        guard let journal, let id = entries.first?.rollout else { return }
        let outputs = outputs
        let found = Self.waiting {
            _ = try await journal.verify()
            let kept = try await journal.outputs(of: id).map { ("\($0.host) \($0.key)", $0.bytes) }
            return (try await journal.entries(of: id), Dictionary(kept) { $1 })
        }
        switch found {
        case .success(let (kept, bytes)) where kept == entries && bytes == outputs: return
        case .success(let (kept, _)):
            throw RunnerViolation(
                description:
                    "the journal holds \(kept.count) records and other ones than \(entries.count)"
            )
        case .failure(let error): throw RunnerViolation(description: "the journal: \(error)")
        }
    }

    /// Another journal that says the same so far.
    func fork() -> SimulatedStore {
        let other = SimulatedStore(fleet)
        let (entries, outputs) = (entries, outputs)
        other.state.withLock { state in
            state.entries = entries
            state.outputs = outputs
        }
        return other
    }

    /// Whether the last controller has found that hosts know more than this.
    var lacksRecords: Bool {
        entries.suffix(6).contains { entry in
            guard case .event(.superseded(_, _, let failure)) = entry.body else { return false }
            return failure.summary.hasPrefix("E_RECORDS")
        }
    }
    var requestMilliseconds: Int? { nil }
    func requests(to rollout: RolloutID, after number: Int) async throws(JournalError)
        -> [(number: Int, request: StopRequest)]
    { [] }

    var entries: [JournalEntry] { state.withLock { $0.entries } }
    var outputs: [String: [UInt8]] { state.withLock { $0.outputs } }
    var wasInterrupted: Bool {
        entries.contains { if case .event(.interrupted) = $0.body { true } else { false } }
    }
    var isOnReserve: Bool { false }
    /// Nothing is ever taken from it.
    func holds(_ head: JournalHead) -> Bool? { true }

    /// A new controller, which is killed at a write, or never.
    func prepare(killing writes: Int?, _ transport: SimulatedTransport) {
        state.withLock { state in
            state.writesLeft = writes
            state.transport = transport
            state.isDead = false
        }
    }

    func requireReserve() {}

    func append(_ entries: [JournalEntry], outputs: [StoredOutput]) async throws(JournalError)
        -> JournalHead?
    {
        guard !entries.isEmpty else { return nil }
        await fleet.machine.sleep(milliseconds: fleet.pick(0...3))
        let isDurable = fleet.pick(0...1) == 1
        let isKilled = state.withLock { state -> Bool in
            guard !state.isDead else { return true }
            if let left = state.writesLeft {
                state.writesLeft = left - 1
                if left <= 1 { state.isDead = true }
            }
            // Killed before it was durable, or just after.
            if !state.isDead || isDurable {
                if let journal {
                    let written = Self.waiting {
                        try await journal.append(entries, outputs: outputs)
                    }
                    guard case .success = written else {
                        fleet.violate("\(written)")
                        return true
                    }
                }
                state.entries += entries
                for output in outputs {
                    state.outputs["\(output.host) \(output.key)"] = output.bytes
                }
            }
            return state.isDead
        }
        let intents = self.entries.suffix(entries.count).compactMap { entry -> String? in
            guard case .effect(.perform(let host, let step, let attempt)) = entry.body else {
                return nil
            }
            return "\(host) \(step.key(attempt: attempt))"
        }
        fleet.state.withLock { $0.intents.formUnion(intents) }
        guard isKilled else {
            let last = entries[entries.count - 1]
            return JournalHead(rollout: last.rollout, sequence: last.sequence, hash: "0")
        }
        state.withLock { $0.transport }?.isDead.store(true, ordering: .relaxed)
        throw .write(reason: "the controller is dead")
    }
}
