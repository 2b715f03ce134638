public import FleetPlan
internal import FleetTransport

/// Who started a rollout, from where and why.
public struct RolloutOrigin: Sendable, Hashable, Codable {
    /// The account that started it, or the user that a CI system names.
    public let user: String
    /// The machine that it was started on.
    public let machine: String
    /// The command line, without anything that could be secret.
    public let command: String
    /// The version of fleet.
    public let version: String
    /// Why it was started against a rule, or as a hotfix, in the words of the person who started it.
    public let reason: String?
    /// The rules that were overridden, as in `staged`, `window`; nil for none.
    public let overridden: [String]?
    /// The name of the rule that quarantines a release after it was reverted by hand.
    public static let quarantineRule = "quarantine"
    /// Whether it is an emergency.
    public var isHotfix: Bool { hotfix ?? false }
    private let hotfix: Bool?

    /// The origin in a few words, as `ann@laptop, fleet 0.1.0`.
    public var phrase: String { "\(user)@\(machine), fleet \(version)" }

    /// Describes an origin.
    public init(
        user: String,
        machine: String,
        command: String,
        version: String,
        reason: String? = nil,
        overridden: [String] = [],
        isHotfix: Bool = false
    ) {
        self.reason = reason
        self.overridden = overridden.isEmpty ? nil : overridden
        hotfix = isHotfix ? true : nil
        self.user = user
        self.machine = machine
        self.command = command
        self.version = version
    }
}

/// Something that was done by hand, outside any rollout.
public struct Remark: Sendable, Hashable, Codable {
    /// The environment.
    public let environment: String
    /// What was done, in words.
    public let what: String
    /// Why, in the words of who did it.
    public let reason: String
    /// Who did it.
    public let user: String
    /// The machine it was done on.
    public let machine: String

    /// Describes what was done.
    public init(
        environment: String,
        what: String,
        reason: String,
        user: String,
        machine: String
    ) {
        self.environment = environment
        self.what = what
        self.reason = reason
        self.user = user
        self.machine = machine
    }
}

/// One record of the journal.
public struct JournalEntry: Sendable, Hashable, Codable {
    /// What a record holds.
    public enum Body: Sendable, Hashable, Codable {
        /// A rollout was planned; always its first record.
        case planned(plan: Plan, origin: RolloutOrigin)
        /// Something happened.
        case event(RolloutEvent)
        /// An effect that is about to be carried out, or a decision.
        case effect(RolloutEffect)
        /// A release was approved; this is the only record under the entry's name.
        case approved(Approval)
        /// Somebody did something by hand; this is the only record under the entry's name.
        case remarked(Remark)
        /// Somebody asked a rollout to stop; this is the only record under the entry's name.
        case askedToStop(StopRequest)
        /// Somebody took the rollout up again, and goes on with it.
        case takenUp(TakingUp)
    }

    /// The rollout.
    public let rollout: RolloutID
    /// The place among the rollout's records, from 1.
    public let sequence: Int
    /// Time since the rollout began, on a clock that never jumps, in milliseconds.
    public let elapsedMilliseconds: Int
    /// The time of day in milliseconds since 1970, for display only; no decision depends on it.
    public let unixMilliseconds: Int
    /// What the record holds.
    public let body: Body

    /// Makes a record.
    public init(
        rollout: RolloutID,
        sequence: Int,
        elapsedMilliseconds: Int,
        unixMilliseconds: Int,
        body: Body
    ) {
        self.rollout = rollout
        self.sequence = sequence
        self.elapsedMilliseconds = elapsedMilliseconds
        self.unixMilliseconds = unixMilliseconds
        self.body = body
    }
}

extension JournalEntry.Body {
    private enum Case: String, CodingKey {
        case planned, event, effect, approved, remarked, askedToStop, takenUp
    }

    private enum PlannedKey: String, CodingKey { case plan, origin, texts }

    private enum ValueKey: String, CodingKey { case value = "_0" }

    /// Reads what ``encode(to:)`` has written, in the plan's first form, too: each script where it stands.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Case.self)
        guard container.allKeys.count == 1, let key = container.allKeys.first else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "no record that is known")
            )
        }
        func value<Value: Decodable>() throws -> Value {
            try container.nestedContainer(keyedBy: ValueKey.self, forKey: key)
                .decode(Value.self, forKey: .value)
        }
        switch key {
        case .planned:
            let fields = try container.nestedContainer(keyedBy: PlannedKey.self, forKey: key)
            if let texts = try fields.decodeIfPresent([String].self, forKey: .texts) {
                SharedTexts.those(in: decoder.userInfo)?.read(texts)
            }
            self = .planned(
                plan: try fields.decode(Plan.self, forKey: .plan),
                origin: try fields.decode(RolloutOrigin.self, forKey: .origin)
            )
        case .event: self = .event(try value())
        case .effect: self = .effect(try value())
        case .approved: self = .approved(try value())
        case .remarked: self = .remarked(try value())
        case .askedToStop: self = .askedToStop(try value())
        case .takenUp: self = .takenUp(try value())
        }
    }

    /// Encodes the same JSON as the synthesized implementation at lower cost; see ``FleetTransport/CaseRecord``.
    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .planned(let plan, let origin):
            var record = CaseRecord("planned", to: encoder)
            try record.add(plan, as: "plan")
            try record.add(origin, as: "origin")
            // Behind the plan, which has numbered them.
            if let shared = SharedTexts.those(in: encoder.userInfo) {
                try record.add(shared.texts, as: "texts")
            }
        case .event(let value):
            var record = CaseRecord("event", to: encoder)
            try record.add(value)
        case .effect(let value):
            var record = CaseRecord("effect", to: encoder)
            try record.add(value)
        case .approved(let value):
            var record = CaseRecord("approved", to: encoder)
            try record.add(value)
        case .remarked(let value):
            var record = CaseRecord("remarked", to: encoder)
            try record.add(value)
        case .askedToStop(let value):
            var record = CaseRecord("askedToStop", to: encoder)
            try record.add(value)
        case .takenUp(let value):
            var record = CaseRecord("takenUp", to: encoder)
            try record.add(value)
        }
    }
}

extension JournalEntry {
    /// The environment that the record names; nil if only the first record of its rollout names it.
    public var environment: String? {
        switch body {
        case .planned(let plan, _): plan.environment
        case .approved(let approval): approval.environment
        case .remarked(let remark): remark.environment
        case .event, .effect, .askedToStop, .takenUp: nil
        }
    }
}
