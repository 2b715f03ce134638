public import FleetPlan
public import FleetTransport

/// How far one host has come.
public struct HostProgress: Sendable, Hashable {
    /// Where in its rollout a host is.
    public enum Stage: Sendable, Hashable {
        /// Not contacted.
        case planned
        /// In preflight.
        case checking
        /// On a check of what it runs before the rollout.
        case probingBefore(Int)
        /// Refused by preflight.
        case refused(Failure)
        /// Its lock is being taken.
        case locking
        /// Waiting for its batch.
        case ready
        /// On a forward step.
        case stepping(Int)
        /// On a check after the forward steps.
        case probing(Int)
        /// The host passed the checks on the new release; other hosts may still cause it to be reverted.
        case verified
        /// On a check of the last gate, when all hosts are asked once more.
        case gating(Int)
        /// Stopped between two steps because the rollout halted.
        case stopped
        /// The host is known to have failed.
        case failed
        /// Finding out what became of a lost step before going back.
        case settling
        /// On a step back.
        case reverting(Int)
        /// On a check after going back.
        case revertProbing(Int)
        /// At its final state.
        case concluded(HostOutcome)
    }

    /// Whether something is under way for the host.
    public enum Activity: Sendable, Hashable {
        /// Nothing is.
        case idle
        /// An effect has not answered yet.
        case busy(with: RolloutEffect)
        /// A timer is running; when it fires, the effect is carried out.
        case waiting(then: RolloutEffect)
    }

    /// The host's place in the plan.
    let index: Int
    /// The host's name.
    public let name: HostName
    /// Where it is.
    public internal(set) var stage = Stage.planned
    /// Whether something is under way.
    public internal(set) var activity = Activity.idle
    /// What it ran before the rollout touched it.
    public internal(set) var snapshot: Snapshot?
    /// Whether any forward step was started; if so, a revert includes the host, whatever became of the step.
    public internal(set) var isTouched = false
    /// Whether the host worked correctly on the new release when it began to go back.
    public internal(set) var wasVerified = false
    /// Whether a step was started that cannot be undone.
    public internal(set) var isPastReturn = false
    /// Why it failed, if it did.
    public internal(set) var failure: Failure?
    /// The latest answer to the current check, if it was not a pass.
    public internal(set) var lastAnswer: Failure?
    /// The remarks on checks that passed, by the name of the check.
    public internal(set) var caveats: [String: [Caveat]] = [:]

    /// A step whose outcome is not known.
    public internal(set) var unresolved: (step: StepReference, attempt: Int)? {
        get { unresolvedStep.map { ($0, unresolvedAttempt) } }
        set {
            unresolvedStep = newValue?.step
            unresolvedAttempt = newValue?.attempt ?? 0
        }
    }
    private var unresolvedStep: StepReference?
    private var unresolvedAttempt = 0

    /// Whether preflight could not reach it.
    var isUnreachable = false
    /// Where it was when it stopped; from there a resumed rollout goes on.
    var stoppedAt: Stage?
    /// Whether the rollout holds the host's lock or may hold it; set before the lock is requested.
    public internal(set) var mayHoldLock = false
    /// Why the lock could not be released.
    public internal(set) var lockFailure: Failure?
    /// How often the lock could not be taken or given back.
    var lockFailures = 0

    /// Which time it goes: 0 forward at first, 1 back for practice, 2 forward again.
    var round = 0
    /// Attempts at the current step so far; each has a key of its own on the host.
    ///
    /// Counted from ``firstAttempt``: a step that is taken again in another round has new keys.
    var attempt = 0
    var firstAttempt: Int { round * Self.attemptsPerRound }
    /// The distance between the attempt numbers of two consecutive rounds.
    public static let attemptsPerRound = 1000
    /// How many of them failed by themselves.
    var failedAttempts = 0
    /// When the connection was lost, on the rollout's clock.
    var lostAtMilliseconds: Int?
    /// How often the connection was lost during the current step.
    var losses = 0
    /// Questions of the current check that could not be asked.
    var inconclusive = 0
    /// Timers started so far; only the newest one counts.
    var timerCount = 0
    /// How often it was tried again since.
    var reconnects = 0
    /// Passes in a row of the current check.
    var passes = 0
    /// When the current check began, on the rollout's clock.
    var probingSinceMilliseconds = 0
    /// When the host's current stage began, on the rollout's clock.
    public internal(set) var stageSinceMilliseconds = 0

    init(index: Int, name: HostName) {
        self.index = index
        self.name = name
    }

    /// The final state, once there is one.
    public var outcome: HostOutcome? {
        if case .concluded(let outcome) = stage { outcome } else { nil }
    }

    /// Whether preflight has refused it.
    public var isRefused: Bool { if case .refused = stage { true } else { false } }

    /// Whether the host counts against the fanout.
    var isActive: Bool { activity != .idle }

    /// Stops between two things, and remembers where.
    mutating func stop(at now: Int) {
        guard stage != .stopped else { return }
        stoppedAt = stage
        stage = .stopped
        stageSinceMilliseconds = now
    }

    /// Is again where it stopped, if that was on the way back.
    mutating func standUpOnTheWayBack(at now: Int) {
        switch stoppedAt {
        case .settling?, .reverting?, .revertProbing?: break
        default: return
        }
        stage = stoppedAt ?? stage
        stoppedAt = nil
        stageSinceMilliseconds = now
    }

    mutating func enter(_ stage: Stage, at now: Int) {
        self.stage = stage
        stoppedAt = nil
        stageSinceMilliseconds = now
        attempt = firstAttempt
        failedAttempts = 0
        passes = 0
        lastAnswer = nil
        lostAtMilliseconds = nil
        losses = 0
        reconnects = 0
    }
}
