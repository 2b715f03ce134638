public import FleetPlan

/// The exit statuses of the `fleet` program, which are a stable interface documented in `docs/exit-codes.md`.
public enum ExitStatus: Int32, Sendable, Hashable, CaseIterable {
    /// Succeeded.
    case succeeded = 0
    /// A command or a check failed.
    case saidNo = 1
    /// The rollout failed, and every touched host is verified on what it ran before.
    case reverted = 10
    /// Refused before any change.
    case refused = 11
    /// The rollout stopped, as its policy demands, with hosts in different states.
    case held = 12
    /// Going back failed.
    case revertFailed = 20
    /// The state of at least one host is not known.
    case unknown = 21
    /// Interrupted.
    case interrupted = 30
    /// The command line is wrong.
    case usage = 64
    /// A project file is invalid.
    case invalidFiles = 65
    /// Something that fleet needs is missing or unsafe.
    case missingDependency = 69
    /// A bug in fleet.
    case internalError = 70
    /// The state directory cannot be used.
    case stateDirectory = 73
    /// The journal could not be written or read.
    case journal = 74
    /// Another rollout is under way.
    case locked = 75

    /// What the status means, in one line.
    public var meaning: String {
        switch self {
        case .succeeded: "succeeded"
        case .saidNo: "a command or a check said no: `exec` on some host, unhealthy, drift"
        case .reverted: "reverted: it failed, and every touched host is verified back"
        case .refused: "refused before any change"
        case .held: "held: stopped with hosts in different states, by policy"
        case .revertFailed: "revert failed on at least one host"
        case .unknown: "the state of at least one host is not known"
        case .interrupted: "interrupted before its end"
        case .usage: "the command line is wrong"
        case .invalidFiles: "a project file is invalid"
        case .missingDependency: "something fleet needs is missing or unsafe"
        case .internalError: "a bug in fleet"
        case .stateDirectory: "the state directory cannot be used"
        case .journal: "the journal could not be written or read, or the output not be written"
        case .locked: "another rollout is under way"
        }
    }

    /// The status for a rollout's outcome.
    public init(_ outcome: RolloutOutcome, of kind: Plan.Kind) {
        switch outcome {
        case .succeeded: self = .succeeded
        case .reverted: self = .reverted
        case .refused: self = .refused
        // A command that some host said no to left nothing half done.
        case .held: self = kind == .exec ? .saidNo : .held
        case .revertFailed: self = .revertFailed
        case .unknown: self = .unknown
        case .interrupted: self = .interrupted
        }
    }
}
