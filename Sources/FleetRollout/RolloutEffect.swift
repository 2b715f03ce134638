public import FleetTransport

/// An action to carry out or a decision to remember; it is recorded before it is acted upon.
public enum RolloutEffect: Sendable, Hashable, Codable {
    /// Connect to a host and run its preflight.
    case check(host: HostName)
    /// Take a host's lock.
    case lock(host: HostName)
    /// Give a host's lock back.
    case unlock(host: HostName)
    /// Run a step.
    case perform(host: HostName, step: StepReference, attempt: Int)
    /// Learn what became of a step whose answer was lost; wait for it if it still runs.
    case recover(host: HostName, step: StepReference, attempt: Int)
    /// Make sure that no process of a step is still running.
    case stop(host: HostName, step: StepReference, attempt: Int)
    /// Ask one check once.
    case probe(host: HostName, direction: StepReference.Direction, check: Int)
    /// Report back after a number of milliseconds; `number` distinguishes the timers of one host.
    case startTimer(host: HostName, number: Int, milliseconds: Int)
    /// The host's session is not needed any more.
    case release(host: HostName)
    /// Decision: nothing new starts anywhere.
    case halt(host: HostName, failure: Failure)
    /// Decision, made once: what becomes of the rollout.
    case decide(Decision, reason: String)
    /// Decision: the host's final state.
    case conclude(host: HostName, outcome: HostOutcome)
    /// Decision: the rollout's final state.
    case finish(RolloutOutcome)

    /// Whether the effect is recorded in the journal.
    ///
    /// All other effects follow from the recorded events.
    public var isRecorded: Bool {
        switch self {
        case .check, .lock, .unlock, .perform, .recover, .stop, .halt, .decide, .conclude, .finish:
            true
        case .probe, .startTimer, .release: false
        }
    }
}

/// What becomes of a rollout, decided once.
public enum Decision: String, Sendable, Hashable, Codable {
    /// Every host is verified: the release stays.
    case commit
    /// Every touched host goes back to its snapshot.
    case revert
    /// The release stays where it is verified; the few failed hosts go back.
    case keep
    /// Every host stays as it is.
    case hold
}

/// A host's final state.
public enum HostOutcome: String, Sendable, Hashable, Codable, CaseIterable {
    /// No step was started on it.
    case untouched
    /// It is verified on the new release.
    case succeeded
    /// It is verified on its snapshot.
    case reverted
    /// A first deploy was torn down.
    case removed
    /// Going back failed.
    case revertFailed = "revert-failed"
    /// It was left as it was when the rollout stopped.
    case held
    /// Another rollout has taken it over.
    case fenced
    /// Nobody knows what it runs.
    case unknown
}

/// A rollout's final state.
public enum RolloutOutcome: String, Sendable, Hashable, Codable, CaseIterable {
    /// Every host is verified on the new release.
    case succeeded
    /// It failed, and every touched host is verified on its snapshot.
    case reverted
    /// Nothing was touched.
    case refused
    /// It stopped with hosts in different states, by policy.
    case held
    /// Going back failed on at least one host.
    case revertFailed = "revert-failed"
    /// The state of at least one host is not known.
    case unknown
    /// It was stopped before its end.
    case interrupted
}

extension RolloutEffect {
    /// Encodes the same JSON as the synthesized implementation at lower cost; see ``FleetTransport/CaseRecord``.
    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .check(let host):
            var record = CaseRecord("check", to: encoder)
            try record.add(host, as: "host")
        case .lock(let host):
            var record = CaseRecord("lock", to: encoder)
            try record.add(host, as: "host")
        case .unlock(let host):
            var record = CaseRecord("unlock", to: encoder)
            try record.add(host, as: "host")
        case .perform(let host, let step, let attempt):
            var record = CaseRecord("perform", to: encoder)
            try record.add(host, as: "host")
            try record.add(step, as: "step")
            try record.add(attempt, as: "attempt")
        case .recover(let host, let step, let attempt):
            var record = CaseRecord("recover", to: encoder)
            try record.add(host, as: "host")
            try record.add(step, as: "step")
            try record.add(attempt, as: "attempt")
        case .stop(let host, let step, let attempt):
            var record = CaseRecord("stop", to: encoder)
            try record.add(host, as: "host")
            try record.add(step, as: "step")
            try record.add(attempt, as: "attempt")
        case .probe(let host, let direction, let check):
            var record = CaseRecord("probe", to: encoder)
            try record.add(host, as: "host")
            try record.add(direction, as: "direction")
            try record.add(check, as: "check")
        case .startTimer(let host, let number, let milliseconds):
            var record = CaseRecord("startTimer", to: encoder)
            try record.add(host, as: "host")
            try record.add(number, as: "number")
            try record.add(milliseconds, as: "milliseconds")
        case .release(let host):
            var record = CaseRecord("release", to: encoder)
            try record.add(host, as: "host")
        case .halt(let host, let failure):
            var record = CaseRecord("halt", to: encoder)
            try record.add(host, as: "host")
            try record.add(failure, as: "failure")
        case .decide(let value, let reason):
            var record = CaseRecord("decide", to: encoder)
            try record.add(value)
            try record.add(reason, as: "reason")
        case .conclude(let host, let outcome):
            var record = CaseRecord("conclude", to: encoder)
            try record.add(host, as: "host")
            try record.add(outcome, as: "outcome")
        case .finish(let value):
            var record = CaseRecord("finish", to: encoder)
            try record.add(value)
        }
    }
}
