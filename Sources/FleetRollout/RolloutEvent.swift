public import FleetPlan
public import FleetTransport

/// Names one rollout, as in `20261122-190512-k3f9`.
///
/// Names sort by time and are safe as file names on every host.
public struct RolloutID: Sendable, Hashable, Codable, CustomStringConvertible {
    /// The name.
    public let description: String

    /// Names a rollout; nil unless the text is made of letters, digits and `-` only.
    public init?(_ text: String) {
        let isSafe = text.utf8.allSatisfy {
            $0 == 0x2D || (0x30...0x39).contains($0) || (0x61...0x7A).contains($0)
        }
        guard isSafe, (1...64).contains(text.utf8.count) else { return nil }
        description = text
    }

    /// Reads the name as a plain string.
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let id = RolloutID(text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "not a rollout id")
            )
        }
        self = id
    }

    /// Writes the name as a plain string.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// One step of one host's plan.
public struct StepReference: Sendable, Hashable, Codable {
    /// Which of the host's two lists the step is in.
    public enum Direction: String, Sendable, Hashable, Codable {
        /// The steps to the new release.
        case forward
        /// The steps back.
        case revert
    }

    /// Which list.
    public let direction: Direction
    /// The place in it, from 0.
    public let index: Int

    /// Points at a step.
    public init(_ direction: Direction, _ index: Int) {
        self.direction = direction
        self.index = index
    }

    /// Reads what ``key(attempt:)`` has written; nil for any other key.
    public static func reading(_ key: ActionKey) -> (step: StepReference, attempt: Int)? {
        let text = key.description
        let parts = text.dropFirst().split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let index = Int(parts[0]), let attempt = Int(parts[1]), index >= 0,
            attempt > 0
        else { return nil }
        switch text.first {
        case "f": return (StepReference(.forward, index), attempt)
        case "r": return (StepReference(.revert, index), attempt)
        default: return nil
        }
    }

    /// The key under which one attempt is known to the host.
    public func key(attempt: Int) -> ActionKey {
        ActionKey("\(direction == .forward ? "f" : "r")\(index)-\(attempt)")
    }
}

/// Why something did not succeed, for people.
public struct Failure: Sendable, Hashable, Codable {
    /// One sentence.
    public let summary: String
    /// The end of what the host printed, if it printed anything.
    public let excerpt: String
    /// The next command to type, or the next thing to check; nil if there is none.
    public let hint: String?

    /// Describes a failure.
    public init(_ summary: String, excerpt: String = "", hint: String? = nil) {
        self.summary = summary
        self.excerpt = excerpt
        self.hint = hint
    }
}

/// What preflight found on a host.
public enum CheckOutcome: Sendable, Hashable, Codable {
    /// The host meets all requirements; the snapshot says what it runs.
    case ready(Snapshot)
    /// The host does not meet a requirement.
    case refused(Failure)
    /// The host could not be asked.
    case unreachable(Failure)
    /// The connection ended during a question, which may be repeated.
    case lost(Failure)
}

/// What became of one attempt at a step.
public enum StepOutcome: Sendable, Hashable, Codable {
    /// It exited 0.
    case succeeded
    /// The step did not succeed, or its deadline passed and its processes are gone.
    case failed(Failure)
    /// The deadline passed, and the step's processes may still be running.
    case stuck(Failure)
    /// The connection ended before the answer; it may have run.
    case lost(Failure)
    /// No connection could be made; nothing was asked.
    case unreachable(Failure)
    /// The host is not asked again, because it offers another key than before.
    case barred(Failure)
    /// The host knows that the attempt never started and will never start.
    case neverStarted
    /// The host knows that the attempt started, but its processes are gone and left no result.
    case vanished
    /// The host refused to start it: another rollout has taken the host over.
    case fenced(Failure)
}

/// What became of asking for a host's lock, or of giving it back.
public enum LockOutcome: Sendable, Hashable, Codable {
    /// The lock is taken or released, now or by an earlier request.
    case done
    /// Somebody else holds it, or the host has changed since preflight.
    case refused(Failure)
    /// The host did not answer; the request may have taken effect.
    case unreachable(Failure)
}

/// The direction in which a resumed rollout continues.
public enum ResumeDirection: String, Sendable, Hashable, Codable {
    /// The rollout continues to its end, following its decision if one was made.
    case onward
    /// The rollout goes back, unless something else was already decided.
    case back
}

/// The answer to one question of a check.
public enum Verdict: Sendable, Hashable, Codable {
    /// The host is as the check requires.
    case pass
    /// The host is as the check requires, with remarks.
    case passWith([Caveat])
    /// The host is not as the check requires.
    case fail(Failure)
    /// The question could not be asked.
    case inconclusive(Failure)
}

/// An event of a rollout; the journal records it and the state machine decides by it.
public enum RolloutEvent: Sendable, Hashable, Codable {
    /// The rollout began.
    case started
    /// Preflight of a host ended.
    case hostChecked(host: HostName, outcome: CheckOutcome)
    /// An attempt at a step ended, or more became known about it.
    case stepEnded(
        host: HostName,
        step: StepReference,
        attempt: Int,
        outcome: StepOutcome,
        outputBytes: Int
    )
    /// An answer about a host's lock.
    case locked(host: HostName, outcome: LockOutcome)
    /// An answer about giving a host's lock back.
    case unlocked(host: HostName, outcome: LockOutcome)
    /// The rollout is taken up again after its controller ended: whatever was under way has lost its
    /// answer, and no timer runs any more.
    case resumed(ResumeDirection)
    /// A check was asked once.
    case probed(host: HostName, check: Int, verdict: Verdict)
    /// The time asked for by a host's ``RolloutEffect/startTimer(host:number:milliseconds:)`` is over.
    case timerFired(host: HostName, number: Int)
    /// The operator or the system asks to stop.
    case interrupted(signal: Int)
    /// Somebody asks to stop, from this process or another one.
    case askedToStop(StopRequest)
    /// The controller will soon be unable to continue, so no further forward step starts.
    case mustHalt(Failure)
    /// A host obeys another controller of the same rollout, with this number; this controller does nothing more.
    case superseded(host: HostName, epoch: Int, failure: Failure)
}

extension StepOutcome {
    /// Writes it as the compiler would, but cheaper; see ``FleetTransport/CaseRecord``.
    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .succeeded: _ = CaseRecord("succeeded", to: encoder)
        case .failed(let value):
            var record = CaseRecord("failed", to: encoder)
            try record.add(value)
        case .stuck(let value):
            var record = CaseRecord("stuck", to: encoder)
            try record.add(value)
        case .lost(let value):
            var record = CaseRecord("lost", to: encoder)
            try record.add(value)
        case .unreachable(let value):
            var record = CaseRecord("unreachable", to: encoder)
            try record.add(value)
        case .barred(let value):
            var record = CaseRecord("barred", to: encoder)
            try record.add(value)
        case .neverStarted: _ = CaseRecord("neverStarted", to: encoder)
        case .vanished: _ = CaseRecord("vanished", to: encoder)
        case .fenced(let value):
            var record = CaseRecord("fenced", to: encoder)
            try record.add(value)
        }
    }
}

extension RolloutEvent {
    /// Writes it as the compiler would, but cheaper; see ``FleetTransport/CaseRecord``.
    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .started: _ = CaseRecord("started", to: encoder)
        case .hostChecked(let host, let outcome):
            var record = CaseRecord("hostChecked", to: encoder)
            try record.add(host, as: "host")
            try record.add(outcome, as: "outcome")
        case .stepEnded(let host, let step, let attempt, let outcome, let outputBytes):
            var record = CaseRecord("stepEnded", to: encoder)
            try record.add(host, as: "host")
            try record.add(step, as: "step")
            try record.add(attempt, as: "attempt")
            try record.add(outcome, as: "outcome")
            try record.add(outputBytes, as: "outputBytes")
        case .locked(let host, let outcome):
            var record = CaseRecord("locked", to: encoder)
            try record.add(host, as: "host")
            try record.add(outcome, as: "outcome")
        case .unlocked(let host, let outcome):
            var record = CaseRecord("unlocked", to: encoder)
            try record.add(host, as: "host")
            try record.add(outcome, as: "outcome")
        case .resumed(let value):
            var record = CaseRecord("resumed", to: encoder)
            try record.add(value)
        case .probed(let host, let check, let verdict):
            var record = CaseRecord("probed", to: encoder)
            try record.add(host, as: "host")
            try record.add(check, as: "check")
            try record.add(verdict, as: "verdict")
        case .timerFired(let host, let number):
            var record = CaseRecord("timerFired", to: encoder)
            try record.add(host, as: "host")
            try record.add(number, as: "number")
        case .interrupted(let signal):
            var record = CaseRecord("interrupted", to: encoder)
            try record.add(signal, as: "signal")
        case .askedToStop(let value):
            var record = CaseRecord("askedToStop", to: encoder)
            try record.add(value)
        case .mustHalt(let value):
            var record = CaseRecord("mustHalt", to: encoder)
            try record.add(value)
        case .superseded(let host, let epoch, let failure):
            var record = CaseRecord("superseded", to: encoder)
            try record.add(host, as: "host")
            try record.add(epoch, as: "epoch")
            try record.add(failure, as: "failure")
        }
    }
}
