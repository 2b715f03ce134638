/// Somebody asks a rollout to stop, from whatever process.
public struct StopRequest: Sendable, Hashable, Codable {
    /// After what it shall stop.
    public enum Point: String, Sendable, Hashable, Codable, CaseIterable {
        /// The hosts that are being changed are brought to the end of their batch, with its checks. On its way back a
        /// rollout has no batches, and goes on; before the first batch it stops at once.
        case batch
        /// What is under way on a host ends; nothing new starts anywhere.
        case step
        /// Nothing is waited for: what runs on a host runs on there, and whoever takes the rollout up learns what
        /// became of it.
        case now
    }

    /// The rollout.
    public let rollout: RolloutID
    /// After what.
    public let point: Point
    /// Who asks.
    public let user: String
    /// From which machine.
    public let machine: String
    /// Why, in their words; nil if they said nothing.
    public let reason: String?

    /// Asks a rollout to stop.
    public init(
        _ rollout: RolloutID,
        after point: Point,
        user: String,
        machine: String,
        reason: String? = nil
    ) {
        self.rollout = rollout
        self.point = point
        self.user = user
        self.machine = machine
        self.reason = reason
    }
}

/// Which controller carries a rollout out: a number that rises each time that it is taken up.
///
/// Two controllers may take the same rollout up at once, from two journals, and choose the same number; the mark tells
/// them apart. Each host obeys one of them.
public struct ControllerEpoch: Sendable, Hashable, Codable {
    /// 1 for the one that began the rollout.
    public let number: Int
    /// Letters and digits that nobody else chooses; empty for the first one, which nobody else can be.
    public let mark: String

    /// The controller that begins a rollout.
    public static let first = ControllerEpoch(number: 1, mark: "")

    /// Names a controller.
    ///
    /// - Parameters:
    ///   - number: Above every number that is known of the rollout.
    ///   - mark: Random letters and digits.
    public init(number: Int, mark: String) {
        self.number = number
        self.mark = mark
    }

    /// How a rollout's name and this stand on a host: as the name alone for the first one, which older fleets write,
    /// too.
    public func claim(of rollout: RolloutID) -> String {
        self == .first ? rollout.description : "\(rollout) \(number).\(mark)"
    }
}

/// Somebody took a rollout up.
public struct TakingUp: Sendable, Hashable, Codable {
    /// What hosts know them by.
    public let epoch: ControllerEpoch
    /// Who, from where and why.
    public let origin: RolloutOrigin

    /// Describes who took a rollout up.
    public init(epoch: ControllerEpoch, origin: RolloutOrigin) {
        self.epoch = epoch
        self.origin = origin
    }
}
