public import FleetPlan
public import FleetRollout
public import FleetTransport
internal import Synchronization

/// A journal in memory, for simulations and tests, that fulfils the same contract.
public final class MemoryJournal: JournalWriter, JournalReader {
    private struct State {
        var entries: [(entry: JournalEntry, environment: String, hash: String)] = []
        var outputs: [(rollout: RolloutID, output: StoredOutput)] = []
        var heads: [String: JournalHead] = [:]
    }

    private let state = Mutex(State())

    /// Creates an empty journal.
    public init() {}

    /// As ``JournalWriter`` promises.
    public var isOnReserve: Bool { false }
    /// As ``JournalWriter`` promises.
    public var requestMilliseconds: Int? { 500 }
    /// As ``JournalWriter`` promises.
    public func requireReserve() throws(JournalError) {}

    // MARK: Writing

    /// As ``JournalWriter`` promises.
    @discardableResult
    public func append(_ entries: [JournalEntry], outputs: [StoredOutput])
        async throws(JournalError) -> JournalHead?
    {
        guard let first = entries.first, let last = entries.last else { return nil }
        let head = state.withLock { state -> JournalHead? in
            let known = Set(
                state.entries.map { [$0.entry.rollout.description, "\($0.entry.sequence)"] }
            )
            var new: Set<[String]> = []
            for entry in entries {
                let name = [entry.rollout.description, "\(entry.sequence)"]
                guard !known.contains(name), new.insert(name).inserted else { return nil }
            }
            let environment = Self.environment(of: first, in: state.entries.map(\.entry))
            var previous = state.heads[environment]?.hash ?? ""
            for entry in entries {
                let covered = entry == last ? StoredOutput.hash(of: outputs) : ""
                previous = JournalHash.of(entry, with: covered, after: previous)
                state.entries.append((entry, environment, previous))
            }
            state.outputs += outputs.map { (last.rollout, $0) }
            let head = JournalHead(
                rollout: last.rollout,
                sequence: last.sequence,
                hash: previous,
                journal: state.entries.first?.hash
            )
            state.heads[environment] = head
            return head
        }
        guard let head else { throw .write(reason: "a record has that number already") }
        return head
    }

    private static func environment(of entry: JournalEntry, in entries: [JournalEntry]) -> String {
        var rollout = entry.rollout
        if let environment = entry.environment { return environment }
        if case .askedToStop(let request) = entry.body { rollout = request.rollout }
        return entries.first { $0.rollout == rollout && $0.sequence == 1 }?.environment
            ?? JournalHash.nowhere
    }

    // MARK: Reading

    private var all: [JournalEntry] { state.withLock { $0.entries.map(\.entry) } }

    /// As ``JournalWriter`` promises.
    public func holds(_ head: JournalHead) async throws(JournalError) -> Bool? {
        state.withLock { state in
            let records = state.entries.filter { $0.entry.rollout == head.rollout }
            if let record = records.first(where: { $0.entry.sequence == head.sequence }) {
                return record.hash == head.hash
            }
            if !records.isEmpty { return false }
            return head.journal != nil && head.journal == state.entries.first?.hash ? false : nil
        }
    }

    /// As ``JournalWriter`` promises.
    public func requests(to rollout: RolloutID, after number: Int) async throws(JournalError)
        -> [(number: Int, request: StopRequest)]
    {
        all.enumerated().compactMap { index, entry in
            guard index + 1 > number, case .askedToStop(let request) = entry.body,
                request.rollout == rollout
            else { return nil }
            return (index + 1, request)
        }
    }

    /// As ``JournalReader`` promises.
    public func rollouts(_ query: RolloutQuery) async throws(JournalError) -> [RolloutRecord] {
        let entries = all
        var records: [RolloutRecord] = []
        for case (let entry, .planned(let plan, let origin)) in entries.map({ ($0, $0.body) }) {
            let own = entries.filter { $0.rollout == entry.rollout }
            records.append(Self.record(entry, plan, origin, own, query))
        }
        var found = Array(records.reversed())
        if let before = query.before {
            let place = found.firstIndex { $0.id == before }
            found = place.map { Array(found[($0 + 1)...]) } ?? []
        }
        found = found.filter { record in
            (query.environment == nil || record.environment == query.environment)
                && !(query.changesOnly && record.kind == .exec)
        }
        return query.limit.map { Array(found.prefix($0)) } ?? found
    }

    private static func record(
        _ entry: JournalEntry,
        _ plan: Plan,
        _ origin: RolloutOrigin,
        _ own: [JournalEntry],
        _ query: RolloutQuery
    ) -> RolloutRecord {
        let aims = query.aims
        var ended: Int?
        var outcome: RolloutOutcome?
        var wasAskedBack = false
        for entry in own {
            switch entry.body {
            case .effect(.finish(let last)): (ended, outcome) = (entry.unixMilliseconds, last)
            case .effect(.decide(_, Rollout.askedBack)): wasAskedBack = true
            default: break
            }
        }
        let aim = plan.kind == .exec ? nil : RolloutAim(plan, origin)
        return RolloutRecord(
            id: entry.rollout,
            environment: plan.environment,
            kind: plan.kind,
            title: plan.title,
            release: plan.release?.label ?? "",
            hostCount: plan.hosts.count,
            user: origin.user,
            startedUnixMilliseconds: entry.unixMilliseconds,
            endedUnixMilliseconds: ended,
            elapsedMilliseconds: query.withTimes ? own.last?.elapsedMilliseconds : nil,
            outcome: outcome,
            aim: aims == .none ? nil : aims == .hosts ? aim : aim?.with(groups: [], otherHosts: []),
            wasAskedBack: wasAskedBack
        )
    }

    /// As ``JournalReader`` promises.
    public func entries(of rollout: RolloutID, after sequence: Int, limit: Int?)
        async throws(JournalError) -> [JournalEntry]
    {
        let found = all.filter { $0.rollout == rollout && $0.sequence > sequence }
            .sorted { $0.sequence < $1.sequence }
        return limit.map { Array(found.prefix($0)) } ?? found
    }

    /// As ``JournalReader`` promises.
    public func outputs(of rollout: RolloutID) async throws(JournalError) -> [StoredOutput] {
        let kept = state.withLock { $0.outputs }.filter { $0.rollout == rollout }.map(\.output)
        var newest: [[String]: Int] = [:]
        for (index, output) in kept.enumerated() {
            newest[[output.host.text, output.key.description]] = index
        }
        return newest.values.sorted().map { kept[$0] }
    }

    /// As ``JournalReader`` promises.
    public func clients(of rollout: RolloutID, limit: Int) async throws(JournalError)
        -> [HostName: String]
    {
        var found: [HostName: String] = [:]
        for entry in all where entry.rollout == rollout && found.count < limit {
            guard case .event(.hostChecked(let host, .ready(let snapshot))) = entry.body else {
                continue
            }
            found[host] = found[host] ?? snapshot.client
        }
        return found
    }

    /// As ``JournalReader`` promises.
    public func beginnings(limit: Int) async throws(JournalError) -> [JournalEntry] {
        let found = all.reversed().filter { entry in
            if case .planned(let plan, _) = entry.body, plan.kind == .exec { return false }
            return entry.sequence == 1
        }
        return Array(found.prefix(limit))
    }

    /// As ``JournalReader`` promises.
    public func approvals(for environment: String) async throws(JournalError) -> [Approval] {
        all.reversed().compactMap { entry in
            guard case .approved(let approval) = entry.body, approval.environment == environment
            else { return nil }
            return approval
        }
    }

    /// As ``JournalReader`` promises.
    public func environments() async throws(JournalError) -> [String] {
        Set(
            all.compactMap { entry in
                if case .planned(let plan, _) = entry.body { plan.environment } else { nil }
            }
        ).sorted()
    }

    /// As ``JournalReader`` promises.
    public func heads() async throws(JournalError) -> [String: JournalHead] {
        state.withLock { $0.heads }
    }

    /// As ``JournalReader`` promises.
    public func verify() async throws(JournalError) -> Int {
        var previous: [String: String] = [:]
        let records = state.withLock { $0.entries }
        let heads = state.withLock { $0.heads }
        for record in records { previous[record.environment] = record.hash }
        for (environment, hash) in previous where heads[environment]?.hash != hash {
            throw .corrupt(sequence: 0, reason: "the last record of \(environment) is missing")
        }
        return records.count
    }
}

/// Leases that hold in one process: for simulations and tests, by the same contract.
public final class MemoryLeases: EnvironmentLeases {
    private let owners = Mutex<[String: (number: Int, owner: String)]>([:])
    private let last = Mutex(0)

    /// Creates leases of which none is held.
    public init() {}

    /// As ``EnvironmentLeases`` promises.
    public func acquire(_ environment: String, for owner: String) async throws(JournalError)
        -> any EnvironmentLease
    {
        let number = last.withLock { last in
            last += 1
            return last
        }
        let other = owners.withLock { owners -> String? in
            if let held = owners[environment] { return held.owner }
            owners[environment] = (number, owner)
            return nil
        }
        if let other { throw .locked(environment: environment, owner: other) }
        return Lease { [weak self] in
            self?.owners.withLock { owners in
                if owners[environment]?.number == number { owners[environment] = nil }
            }
        }
    }

    /// As ``EnvironmentLeases`` promises.
    public func holder(of environment: String) throws(JournalError) -> String? {
        owners.withLock { $0[environment]?.owner }
    }

    private final class Lease: EnvironmentLease {
        private let giveBack: @Sendable () -> Void

        init(_ giveBack: @escaping @Sendable () -> Void) { self.giveBack = giveBack }

        func release() { giveBack() }

        deinit { giveBack() }
    }
}
