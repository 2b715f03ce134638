public import FleetRollout

/// Who started an operation, on which machine and with which command, as the journal records it.
public struct Initiator: Sendable, Hashable {
    /// The person, or the account.
    public let user: String
    /// The machine on which the operation was started.
    public let machine: String
    /// The command line, without anything that could be secret.
    public let command: String
    /// The version of fleet.
    public let version: String

    /// Creates an initiator.
    public init(user: String, machine: String, command: String, version: String) {
        self.user = user
        self.machine = machine
        self.command = command
        self.version = version
    }

    /// The beginning of a rollout, as it is recorded.
    func origin(_ exception: RuleException = RuleException(), overridden: [String] = [])
        -> RolloutOrigin
    {
        RolloutOrigin(
            user: user,
            machine: machine,
            command: command,
            version: version,
            reason: exception.reason,
            overridden: overridden,
            isHotfix: exception.hotfix != nil
        )
    }

    /// The origin of a rollout that overrides no rule.
    public var origin: RolloutOrigin { origin() }
}

/// The reasons why a rollout may proceed although a rule forbids it; all of them are recorded.
public struct RuleException: Sendable, Hashable, Codable {
    /// Why a release is deployed again although it was reverted before; nil if the rule applies.
    public var quarantine: String?
    /// Why the environment's policy is overridden; nil if the policy applies.
    public var override: String?
    /// Why the rollout is an emergency; nil if it is not one.
    public var hotfix: String?
    /// Why a release is reverted; nil if no reason is given.
    public var revert: String?
    /// Why the rollout proceeds although hosts know of records that the journal lacks; nil if the rule applies.
    public var records: String?

    /// Creates the reasons, one for each rule; nil where the rule applies.
    public init(
        quarantine: String? = nil,
        override: String? = nil,
        hotfix: String? = nil,
        revert: String? = nil,
        records: String? = nil
    ) {
        self.quarantine = quarantine
        self.override = override
        self.hotfix = hotfix
        self.revert = revert
        self.records = records
    }

    /// The reasons, as they are recorded; nil if there is none.
    var reason: String? {
        let reasons = [hotfix, override, quarantine, revert, records].compactMap { $0 }
        return reasons.isEmpty ? nil : reasons.joined(separator: "; ")
    }
}
