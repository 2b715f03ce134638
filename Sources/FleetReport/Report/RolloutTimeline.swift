public import FleetPlan
public import FleetRollout
public import FleetTransport

/// What every host did when, and what was decided when: worked out from a rollout's records.
///
/// The report's chart, the traces, the test reports and the statistics are made from it.
public struct RolloutTimeline: Sendable, Hashable {
    /// What a host is at for some time.
    public enum Activity: Sendable, Hashable {
        /// Preflight, with the smoke tests that are asked before anything is touched.
        case preflight
        /// Its lock is taken.
        case lock
        /// A step of the way forward, by its place in the plan.
        case step(Int)
        /// A check after the steps, by its place in the plan.
        case check(Int)
        /// A check of the last gate.
        case gate(Int)
        /// Finding out what became of a lost step.
        case settle
        /// A step of the way back.
        case revertStep(Int)
        /// A check after going back.
        case revertCheck(Int)

        /// Whether it belongs to the way back.
        public var isBack: Bool {
            switch self {
            case .revertStep, .revertCheck, .settle: true
            default: false
            }
        }
    }

    /// How an activity ended.
    public enum Ending: Sendable, Hashable {
        /// As it should.
        case ok
        /// Not as it should; the reason.
        case failed(Failure)
        /// Not known; the reason.
        case lost(Failure)
        /// It had not ended when the last record was written, or the rollout stopped in between.
        case open
    }

    /// One activity of one host.
    public struct Span: Sendable, Hashable {
        /// The host's place in the plan.
        public let host: Int
        /// What it was at.
        public let activity: Activity
        /// When it began, in milliseconds since the rollout began.
        public let start: Int
        /// When it ended, in milliseconds since the rollout began.
        public internal(set) var end: Int
        /// How often it was tried; 1 for what is tried once.
        public internal(set) var attempts = 1
        /// How it ended.
        public internal(set) var ending = Ending.open

        /// How long it took, in milliseconds.
        public var milliseconds: Int { max(0, end - start) }
    }

    /// Something that holds for the whole rollout from one moment on.
    public struct Mark: Sendable, Hashable {
        /// What it is.
        public enum Kind: Sendable, Hashable {
            /// A batch begins; its number from 0.
            case batch(Int)
            /// Every host is asked once more.
            case gate
            /// Nothing new starts; the host that it began with.
            case halt(HostName)
            /// What becomes of the rollout is decided.
            case decision(Decision)
            /// Somebody, or a signal, asked it to stop.
            case stop
            /// Another process took it up again.
            case takenUp
            /// It came to its end.
            case end(RolloutOutcome)
        }

        /// When, in milliseconds since the rollout began.
        public let at: Int
        /// What.
        public let kind: Kind
        /// Why, in one sentence; empty if there is nothing to say.
        public let reason: String
    }

    private struct Resumption: Sendable, Hashable {
        let elapsed: Int
        let start: Int
    }

    /// The state that the rollout has reached.
    public private(set) var rollout: Rollout
    /// Every activity, in the order of their ends.
    public private(set) var spans: [Span] = []
    /// What holds for the whole rollout, in order.
    public private(set) var marks: [Mark] = []
    /// The time from the first to the last record, in milliseconds.
    public private(set) var milliseconds = 0
    /// The activities that have not ended, by the host's place in the plan.
    private var open: [Int: Span] = [:]
    /// When it was taken up again: the elapsed time, and the time of day less that.
    private var resumptions: [Resumption] = []
    /// Where the spans of the last gate are; hosts are asked round after round there.
    private var gates: [Int: [Int: Int]] = [:]
    private var places: [HostName: Int] = [:]
    private var batch = -1
    private var isAtGate = false

    /// Works it out.
    ///
    /// - Parameters:
    ///   - plan: The rollout's plan.
    ///   - entries: Its records, in order. They must fit the plan; see `RolloutLookup.replay`.
    public init(plan: Plan, entries: [JournalEntry]) {
        rollout = Rollout(plan: plan)
        for (index, host) in plan.hosts.enumerated() { places[host.name] = index }
        for entry in entries { take(entry) }
        close()
    }

    private mutating func take(_ entry: JournalEntry) {
        let now = entry.elapsedMilliseconds
        milliseconds = max(milliseconds, now)
        switch entry.body {
        case .planned, .approved, .remarked, .askedToStop: break
        case .takenUp(let taking) where taking.epoch.number > 1:
            mark(now, .takenUp, taking.origin.phrase)
        case .takenUp: break
        case .effect(let effect): take(effect, at: now)
        case .event(let event):
            if case .resumed = event {
                resumptions.append(Resumption(elapsed: now, start: entry.unixMilliseconds - now))
            }
            take(event, at: now)
        }
    }

    /// The time of day at some time of the rollout; what passed before it was taken up again counts.
    ///
    /// - Parameters:
    ///   - elapsed: The time since the rollout began, in milliseconds.
    ///   - start: When it began, in milliseconds since 1970.
    /// - Returns: Milliseconds since 1970.
    func unixMilliseconds(at elapsed: Int, from start: Int) -> Int {
        (resumptions.last { $0.elapsed <= elapsed }?.start ?? start) + elapsed
    }

    private mutating func take(_ effect: RolloutEffect, at now: Int) {
        switch effect {
        case .perform(let host, _, let attempt):
            guard let place = places[host] else { return }
            open[place]?.attempts = max(1, attempt % HostProgress.attemptsPerRound)
        case .halt(let host, let failure):
            mark(now, .halt(host), FailureCause.summary(of: failure))
        case .decide(let decision, let reason): mark(now, .decision(decision), reason)
        case .finish(let outcome): mark(now, .end(outcome), "")
        default: break
        }
    }

    private mutating func take(_ event: RolloutEvent, at now: Int) {
        let asked = event.host.flatMap { places[$0] }
        if let asked, let ending = event.ending { open[asked]?.ending = ending }
        let before = asked.map { rollout.hosts[$0].stage }
        let effects = rollout.handle(event, at: now)
        // Who moved: the host that was asked, and whoever something was begun for.
        var moved = Set(effects.compactMap { $0.host.flatMap { places[$0] } })
        if let asked, rollout.hosts[asked].stage != before || moved.contains(asked) {
            moved.insert(asked)
        }
        let movesAll =
            effects.contains { if case .halt = $0 { true } else { false } }
            || event.host == nil
        if movesAll { moved.formUnion(rollout.hosts.indices) }
        for place in moved.sorted() { follow(place, at: now) }
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

    private mutating func mark(_ now: Int, _ kind: Mark.Kind, _ reason: String) {
        marks.append(Mark(at: now, kind: kind, reason: reason))
    }

    /// Ends what a host was at, and begins what it is at now.
    private mutating func follow(_ place: Int, at now: Int) {
        let activity = Activity(rollout.hosts[place].stage)
        if let span = open[place] {
            guard span.activity != activity else { return }
            end(span, at: now)
            open[place] = nil
        }
        guard let activity else { return }
        open[place] = Span(host: place, activity: activity, start: now, end: now)
    }

    private mutating func end(_ span: Span, at now: Int) {
        var span = span
        span.end = max(span.start, now)
        if case .gate(let check) = span.activity {
            // A release that soaks is asked again and again: that is one thing that takes long.
            if let place = gates[span.host]?[check], spans[place].ending == .ok, span.ending == .ok
            {
                spans[place].end = span.end
                return
            }
            gates[span.host, default: [:]][check] = spans.count
        }
        spans.append(span)
    }

    /// What went well when it was taken up again has not failed.
    private mutating func forgive() {
        var good: [Int: Set<Activity>] = [:]
        for place in spans.indices.reversed() {
            let (host, activity) = (spans[place].host, spans[place].activity)
            switch spans[place].ending {
            case .ok: good[host, default: []].insert(activity)
            case .failed, .lost:
                if good[host]?.contains(activity) ?? false { spans[place].ending = .open }
            case .open: break
            }
        }
    }

    /// What has no end yet is shown up to the last record.
    private mutating func close() {
        for (_, span) in open.sorted(by: { $0.key < $1.key }) {
            var span = span
            span.ending = .open
            end(span, at: milliseconds)
        }
        open = [:]
        forgive()
    }

    /// What an activity is called on a host, as in `pull`, `revert pull` or `health`.
    public func name(of span: Span) -> String {
        let host = rollout.plan.hosts[span.host]
        func name(_ checks: [PlannedCheck], _ index: Int) -> String {
            index < checks.count ? checks[index].name : "check"
        }
        switch span.activity {
        case .preflight: return "preflight"
        case .lock: return "lock"
        case .step(let index): return index < host.steps.count ? host.steps[index].name : "step"
        case .check(let index), .gate(let index): return name(host.checks, index)
        case .settle: return "settling"
        case .revertStep(let index):
            return index < host.revertSteps.count
                ? "revert \(host.revertSteps[index].name)" : "revert"
        case .revertCheck(let index): return name(host.revertChecks, index)
        }
    }
}

extension RolloutTimeline.Activity {
    /// What a host is at in a stage; nil if it is at nothing.
    init?(_ stage: HostProgress.Stage) {
        switch stage {
        case .checking, .probingBefore: self = .preflight
        case .locking: self = .lock
        case .stepping(let index): self = .step(index)
        case .probing(let index): self = .check(index)
        case .gating(let index): self = .gate(index)
        case .settling: self = .settle
        case .reverting(let index): self = .revertStep(index)
        case .revertProbing(let index): self = .revertCheck(index)
        case .planned, .refused, .ready, .verified, .stopped, .failed, .concluded: return nil
        }
    }
}

extension RolloutEvent {
    /// The host that the event is about; nil if it is about all.
    fileprivate var host: HostName? {
        switch self {
        case .hostChecked(let host, _), .stepEnded(let host, _, _, _, _), .locked(let host, _),
            .unlocked(let host, _), .probed(let host, _, _), .timerFired(let host, _),
            .superseded(let host, _, _):
            host
        case .started, .resumed, .interrupted, .askedToStop, .mustHalt: nil
        }
    }

    /// How what the host was at ends with this event, if it does.
    fileprivate var ending: RolloutTimeline.Ending? {
        switch self {
        case .hostChecked(_, .ready): .ok
        case .hostChecked(_, .refused(let failure)), .hostChecked(_, .unreachable(let failure)):
            .failed(failure)
        case .hostChecked(_, .lost(let failure)): .lost(failure)
        case .stepEnded(_, _, _, let outcome, _):
            switch outcome {
            case .succeeded: .ok
            case .failed(let failure), .stuck(let failure), .barred(let failure),
                .fenced(let failure):
                .failed(failure)
            case .lost(let failure), .unreachable(let failure): .lost(failure)
            case .neverStarted, .vanished: .open
            }
        case .locked(_, .done): .ok
        case .locked(_, .refused(let failure)), .locked(_, .unreachable(let failure)):
            .failed(failure)
        case .probed(_, _, .pass), .probed(_, _, .passWith): .ok
        case .probed(_, _, .fail(let failure)): .failed(failure)
        case .probed(_, _, .inconclusive(let failure)): .lost(failure)
        case .started, .unlocked, .resumed, .timerFired, .interrupted, .askedToStop, .mustHalt,
            .superseded:
            nil
        }
    }
}

extension RolloutEffect {
    /// The host that the effect is for; nil if it is for none.
    fileprivate var host: HostName? {
        switch self {
        case .check(let host), .lock(let host), .unlock(let host), .perform(let host, _, _),
            .recover(let host, _, _), .stop(let host, _, _), .probe(let host, _, _),
            .startTimer(let host, _, _), .release(let host), .halt(let host, _),
            .conclude(let host, _):
            host
        case .decide, .finish: nil
        }
    }
}
