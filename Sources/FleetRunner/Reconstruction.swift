internal import FleetDigest
public import FleetJournal
internal import FleetPlan
public import FleetRollout
public import FleetTransport

/// Rewrites the journal of rollouts from what hosts keep of them.
public struct Reconstruction: Sendable {
    /// One rollout, as the hosts remember it.
    public struct Found: Sendable {
        /// The rollout.
        public let id: RolloutID
        /// The records of the hosts that remember the rollout.
        public internal(set) var records: [HostName: HostRecord] = [:]
        /// The highest number of a controller that a host obeys.
        var epoch = ControllerEpoch.first.number
        var traces: [HostName: [ActionKey: Rollout.Trace]] = [:]
    }

    /// What was found, by rollout.
    public private(set) var found: [RolloutID: Found] = [:]

    /// Creates a reconstruction in which nothing is found yet.
    public init() {}

    /// Adds what a host printed for ``HostLock/records``.
    ///
    /// - Parameters:
    ///   - text: The printed text; it is trusted no further than the host itself.
    ///   - endpoint: The host.
    ///   - environment: The environment; records of other environments are ignored.
    /// - Returns: The number of lines that could not be understood.
    public mutating func add(_ text: String, from endpoint: HostEndpoint, environment: String)
        -> Int
    {
        let host = endpoint.name
        var strange = 0
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split(separator: " ", maxSplits: 2).map(String.init)
            guard words.count >= 3, let id = RolloutID(words[1]) else {
                strange += 1
                continue
            }
            if words[0] == "record" {
                do {
                    let record = try CanonicalJSON.decode(
                        HostRecord.self,
                        from: Array(words[2].utf8)
                    )
                    guard record.plan.environment == environment,
                        let trusted = record.trusted(for: endpoint)
                    else { continue }
                    found[id, default: Found(id: id)].records[host] = trusted
                } catch {
                    strange += 1
                }
            } else if words[0] == "epoch" {
                let number =
                    ControllerEpoch.number(told: words[2]) ?? ControllerEpoch.first.number
                if let known = found[id]?.epoch, number > known { found[id]?.epoch = number }
            } else {
                let step = words[2].split(separator: " ").map(String.init)
                guard found[id]?.records[host] != nil, let first = step.first,
                    let key = ActionKey(told: first)
                else { continue }
                let status = step.count > 1 ? Int(step[1]) : nil
                found[id]?.traces[host, default: [:]][key] =
                    status.map { .exited($0) } ?? .open
            }
        }
        return strange
    }

    /// Writes a rollout's journal records, as far as the hosts remember the rollout.
    ///
    /// - Parameters:
    ///   - id: The rollout.
    ///   - origin: Who requested the reconstruction.
    ///   - journal: The journal, which must not know the rollout yet.
    /// - Returns: The restored rollout; nil if no host remembers it.
    /// - Throws: ``FleetJournal/JournalError``.
    public func write(_ id: RolloutID, by origin: RolloutOrigin, to journal: any JournalWriter)
        async throws(JournalError) -> Rollout?
    {
        guard let found = found[id],
            let (plan, events) = Rollout.reconstructed(from: found.records, found.traces)
        else { return nil }
        try journal.requireReserve()
        let scribe = Scribe(
            rollout: id,
            plan: plan,
            journal: journal,
            clock: SystemClock(),
            count: 0
        ) { _ in }
        try await scribe.begin(origin)
        // Whoever takes it up has to be above the one that hosts obey.
        if found.epoch > ControllerEpoch.first.number {
            try await scribe.takeUp(
                TakingUp(epoch: ControllerEpoch(number: found.epoch, mark: "-"), origin: origin),
                at: 0
            )
        }
        var rollout = Rollout(plan: plan)
        var known: Set<String> = []
        for event in events {
            let effects = rollout.handle(event, at: 0)
            scribe.note(Inbox.Letter(event), causing: effects, at: 0)
            for case .perform(let host, let step, let attempt) in effects {
                known.insert("\(host) \(step.key(attempt: attempt))")
            }
        }
        // What hosts know beyond that is asked about when the rollout is taken up, and is no news then.
        for (host, traces) in found.traces.sorted(by: { $0.key < $1.key }) {
            for key in traces.keys.map(\.description).sorted() {
                guard !known.contains("\(host) \(key)"),
                    let (step, attempt) = StepReference.reading(ActionKey(key))
                else { continue }
                scribe.note(.recover(host: host, step: step, attempt: attempt))
            }
        }
        try await scribe.commit(isOver: true)
        return rollout
    }
}
