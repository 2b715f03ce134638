/// A request to stop a rollout, made from any process.
public struct StopRequest: Sendable, Hashable, Codable {
    /// The point at which the rollout stops.
    public enum Point: String, Sendable, Hashable, Codable, CaseIterable {
        /// The current batch is finished, including its checks.
        ///
        /// A rollout that is going back has no batches and is not stopped. Before the first batch the rollout stops at
        /// once.
        case batch
        /// The steps that are running finish, and no new step starts on any host.
        case step
        /// The rollout does not wait for anything.
        ///
        /// Steps that are running continue on their hosts; whoever resumes the rollout learns their results.
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

/// Identifies one controller of a rollout by a number that increases each time the rollout is resumed.
///
/// Two controllers may resume the same rollout at once, from two journals, and choose the same number; the mark
/// distinguishes them. Each host obeys only one of them.
public struct ControllerEpoch: Sendable, Hashable, Codable {
    /// The number; 1 for the controller that began the rollout.
    public let number: Int
    /// Random letters and digits that no other controller has; empty for the controller that began the rollout.
    public let mark: String

    /// The controller that begins a rollout.
    public static let first = ControllerEpoch(number: 1, mark: "")

    /// The highest number that is believed: nobody takes a rollout up a million times, and a host may say anything.
    public static let limit = 1_000_000

    /// Reads a number that a host tells; nil if it can be none.
    public static func number(told text: some StringProtocol) -> Int? {
        Int(text).flatMap { (1...limit).contains($0) ? $0 : nil }
    }

    /// Names a controller.
    ///
    /// - Parameters:
    ///   - number: Above every number that is known of the rollout.
    ///   - mark: Random letters and digits.
    public init(number: Int, mark: String) {
        self.number = number
        self.mark = mark
    }

    /// The text by which a host identifies a rollout and its controller.
    ///
    /// For the first controller it is the rollout's name alone, as older versions of fleet write it.
    public func claim(of rollout: RolloutID) -> String {
        self == .first ? rollout.description : "\(rollout) \(number).\(mark)"
    }
}

/// The record that somebody resumed a rollout.
public struct TakingUp: Sendable, Hashable, Codable {
    /// The number and mark by which hosts identify the new controller.
    public let epoch: ControllerEpoch
    /// Who resumed the rollout, from where and why.
    public let origin: RolloutOrigin

    /// Describes who took a rollout up.
    public init(epoch: ControllerEpoch, origin: RolloutOrigin) {
        self.epoch = epoch
        self.origin = origin
    }
}
