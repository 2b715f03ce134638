public import FleetPlan
public import FleetRollout
internal import FleetTransport

/// What a page shows of a rollout, kept up to date as its records arrive: never more rows than are useful.
public struct RolloutBoard: Sendable {
    /// How a step of a host stands.
    public enum Cell: String, Sendable, Hashable {
        /// Not begun.
        case waiting
        /// Under way.
        case running
        /// Done.
        case ok
        /// It failed, or its answer was lost.
        case failed
    }

    /// One host.
    public struct Row: Sendable, Hashable {
        /// The host.
        public let host: String
        /// The batch, from 1; 0 if it is in none.
        public let batch: Int
        /// What it is at, in a few words.
        public let state: String
        /// How long it has been at that, in milliseconds; nil if nothing is under way.
        public let milliseconds: Int?
        /// Its steps, in order.
        public let cells: [(name: String, cell: Cell)]
        /// Why it failed; nil if it has not.
        public let failure: String?
        /// Whether something is under way on it.
        public let isRunning: Bool
        /// Whether nothing is wrong and nothing is under way any more.
        public let isGood: Bool

        /// Equal by value.
        public static func == (one: Row, other: Row) -> Bool {
            one.host == other.host && one.batch == other.batch && one.state == other.state
                && one.milliseconds == other.milliseconds && one.failure == other.failure
                && one.cells.map(\.cell) == other.cells.map(\.cell)
        }

        /// Hashes by value.
        public func hash(into hasher: inout Hasher) {
            hasher.combine(host)
            hasher.combine(state)
        }
    }

    /// One batch.
    public struct Batch: Sendable, Hashable {
        /// Its number, from 1.
        public let number: Int
        /// Its hosts, folded.
        public let hosts: String
        /// How many hosts it has, how many of them are through, and how many failed.
        public let counts: (all: Int, done: Int, failed: Int)
        /// Whether it is the one that is under way.
        public let isCurrent: Bool

        /// Equal by value.
        public static func == (one: Batch, other: Batch) -> Bool {
            one.number == other.number && one.hosts == other.hosts && one.counts == other.counts
                && one.isCurrent == other.isCurrent
        }

        /// Hashes by value.
        public func hash(into hasher: inout Hasher) { hasher.combine(number) }
    }

    /// Hosts that are not shown one by one.
    public struct Rest: Sendable, Hashable {
        /// What they have in common.
        public let state: String
        /// How many there are.
        public let count: Int
        /// Their names, folded.
        public let hosts: String
    }

    /// The rollout, as far as it has come.
    public private(set) var rollout: Rollout
    /// The number of the last record that was taken.
    public private(set) var sequence = 0
    /// What was decided, and on what evidence: the time in milliseconds, and a line.
    public private(set) var course: [(milliseconds: Int, line: String, isBad: Bool)] = []
    /// The time of the last record, in milliseconds since the rollout began.
    public private(set) var milliseconds = 0
    private let places: [HostName: Int]
    private let batches: [Int]
    private var cells: [[Cell]]
    private var batch = -1
    private var isAtGate = false

    /// The most rows that are shown.
    public static let mostRows = 40

    /// A board of a rollout that has no records yet.
    public init(plan: Plan) {
        rollout = Rollout(plan: plan)
        var places: [HostName: Int] = [:]
        for (place, host) in plan.hosts.enumerated() { places[host.name] = place }
        var batches = [Int](repeating: 0, count: plan.hosts.count)
        for (number, batch) in plan.batches.enumerated() {
            for host in batch { if let place = places[host] { batches[place] = number + 1 } }
        }
        self.places = places
        self.batches = batches
        cells = plan.hosts.map { Array(repeating: .waiting, count: $0.steps.count) }
    }

    /// The plan.
    public var plan: Plan { rollout.plan }

    /// Takes records, in order.
    ///
    /// - Parameter entries: Records that fit the plan; see `RolloutLookup.replay`.
    public mutating func take(_ entries: [JournalEntry]) {
        for entry in entries where entry.sequence > sequence {
            sequence = entry.sequence
            milliseconds = max(milliseconds, entry.elapsedMilliseconds)
            take(entry)
        }
    }

    private mutating func take(_ entry: JournalEntry) {
        let now = entry.elapsedMilliseconds
        switch entry.body {
        case .planned, .approved, .remarked, .askedToStop: break
        case .takenUp(let taking):
            if taking.epoch.number > 1 { mark(now, .takenUp, taking.origin.phrase) }
        case .effect(let effect): take(effect, at: now)
        case .event(let event):
            if case .stepEnded(let host, let step, _, let outcome, _) = event {
                let isGood = if case .succeeded = outcome { true } else { false }
                set(host, step, isGood ? .ok : .failed)
            }
            _ = rollout.handle(event, at: now)
            switch event {
            case .interrupted(let signal): mark(now, .stop, "signal \(signal)")
            case .askedToStop(let request): mark(now, .stop, StopText.asked(request))
            default: break
            }
            switch rollout.phase {
            case .rolling(let number) where number != batch:
                batch = number
                mark(now, .batch(number), "")
            case .gate where !isAtGate:
                isAtGate = true
                mark(now, .gate, "")
            default: break
            }
        }
    }

    private mutating func take(_ effect: RolloutEffect, at now: Int) {
        switch effect {
        case .perform(let host, let step, _), .recover(let host, let step, _):
            set(host, step, .running)
        case .halt(let host, let failure):
            mark(now, .halt(host), FailureCause.summary(of: failure))
        case .decide(let decision, let reason): mark(now, .decision(decision), reason)
        case .finish(let outcome): mark(now, .end(outcome), "")
        default: break
        }
    }

    private mutating func set(_ host: HostName, _ step: StepReference, _ cell: Cell) {
        guard step.direction == .forward, let place = places[host], step.index < cells[place].count
        else { return }
        cells[place][step.index] = cell
    }

    private mutating func mark(_ now: Int, _ kind: RolloutTimeline.Mark.Kind, _ reason: String) {
        let mark = RolloutTimeline.Mark(at: now, kind: kind, reason: reason)
        let isBad: Bool =
            switch kind {
            case .halt, .stop: true
            case .decision(let decision): decision != .commit
            case .end(let outcome): outcome != .succeeded
            default: false
            }
        course.append((now, CourseText.line(mark, plan: plan), isBad))
    }

    // MARK: What is shown

    /// What the rollout is at, in a few words.
    public var phase: String {
        switch rollout.phase {
        case .planned: "starting"
        case .preflight: "preflight"
        case .locking: "locking"
        case .closing: "unlocking"
        case .rolling(let batch):
            rollout.halted != nil ? "halted" : "batch \(batch + 1) of \(plan.batches.count)"
        case .gate: plan.soakMilliseconds == nil ? "last gate" : "soaking"
        case .reverting: "reverting"
        case .finished(let outcome): outcome.rawValue
        }
    }

    /// How many hosts are through.
    public var done: Int { rollout.hosts.count { $0.stage == .verified || $0.outcome != nil } }

    /// How the rollout ended in one sentence; nil if it has not.
    public var sentence: String? {
        rollout.outcome.map { RolloutText.sentence(rollout, $0) }
    }

    /// The batches.
    public func strip() -> [Batch] {
        var current: Int?
        if case .rolling(let number) = rollout.phase { current = number }
        return plan.batches.enumerated().map { number, hosts in
            let states = hosts.compactMap { places[$0] }.map { rollout.hosts[$0] }
            return Batch(
                number: number + 1,
                hosts: HostRange.fold(hosts),
                counts: (
                    states.count, states.count { $0.stage == .verified || $0.outcome != nil },
                    states.count { $0.failure != nil }
                ),
                isCurrent: number == current
            )
        }
    }

    /// What failed, by reason, most hosts first.
    public func failures() -> [(cause: String, hosts: String, count: Int)] {
        var groups: [(cause: String, hosts: [HostName])] = []
        var known: [String: Int] = [:]
        for host in rollout.hosts {
            guard let failure = host.failure else { continue }
            let cause = FailureCause.summary(of: failure)
            if let place = known[cause] {
                groups[place].hosts.append(host.name)
            } else {
                known[cause] = groups.count
                groups.append((cause, [host.name]))
            }
        }
        return groups.sorted { $0.hosts.count > $1.hosts.count }.map {
            ($0.cause, HostRange.fold($0.hosts), $0.hosts.count)
        }
    }

    /// The hosts that are shown one by one, and the others.
    ///
    /// Hosts that failed come first, then those that something is under way on, the slowest first; then the others until
    /// there is no room.
    ///
    /// - Parameters:
    ///   - limit: The most rows.
    ///   - host: A host that is shown in any case; nil for none.
    /// - Returns: The rows, and what is left.
    public func rows(limit: Int = mostRows, with host: String? = nil) -> (rows: [Row], rest: [Rest])
    {
        func rank(_ host: HostProgress, _ wanted: String?) -> Int {
            if host.name.text == wanted { return 0 }
            if host.failure != nil { return 1 }
            return host.activity != .idle && host.outcome == nil ? 2 : host.outcome == nil ? 3 : 4
        }
        let order = rollout.hosts.indices.map { (rank(rollout.hosts[$0], host), $0) }.sorted {
            one,
            other in
            if one.0 != other.0 { return one.0 < other.0 }
            if one.0 == 2 {
                let (a, b) = (rollout.hosts[one.1], rollout.hosts[other.1])
                if a.stageSinceMilliseconds != b.stageSinceMilliseconds {
                    return a.stageSinceMilliseconds < b.stageSinceMilliseconds
                }
            }
            return one.1 < other.1
        }.map(\.1)
        var rest: [(state: String, hosts: [HostName])] = []
        for place in order.dropFirst(limit) {
            let state = word(rollout.hosts[place])
            if let known = rest.firstIndex(where: { $0.state == state }) {
                rest[known].hosts.append(rollout.hosts[place].name)
            } else {
                rest.append((state, [rollout.hosts[place].name]))
            }
        }
        return (
            order.prefix(limit).map(row),
            rest.map {
                Rest(state: $0.state, count: $0.hosts.count, hosts: HostRange.fold($0.hosts))
            }
        )
    }

    private func row(_ place: Int) -> Row {
        let host = rollout.hosts[place]
        let doing = LiveFrame.doing(host, rollout, .plain)
        let isOver = host.outcome != nil || host.stage == .verified
        let isIdle = isOver || doing.isEmpty
        return Row(
            host: host.name.text,
            batch: batches[place],
            state: doing.isEmpty ? word(host) : doing,
            milliseconds: isIdle ? nil : max(0, milliseconds - host.stageSinceMilliseconds),
            cells: zip(plan.hosts[place].steps, cells[place]).map { ($0.name, $1) },
            failure: host.failure.map { FailureCause.summary(of: $0) },
            isRunning: !doing.isEmpty,
            isGood: isOver && host.failure == nil
        )
    }

    private func word(_ host: HostProgress) -> String {
        switch host.stage {
        case .planned, .ready, .locking: "waiting"
        case .verified: "verified"
        case .stopped: "stopped"
        case .failed: "failed"
        case .refused: "refused"
        case .concluded(let outcome): outcome.rawValue
        default: "under way"
        }
    }
}
