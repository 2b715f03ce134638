public import FleetRollout

/// Who asks for something, from where, by which words: what the journal keeps of it.
public struct Initiator: Sendable, Hashable {
    /// The person, or the account.
    public let user: String
    /// The machine that it is asked on.
    public let machine: String
    /// What was typed, without anything that could be secret.
    public let command: String
    /// The version of fleet.
    public let version: String

    /// Names who asks.
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

    /// The same without any rule left out.
    public var origin: RolloutOrigin { origin() }
}

/// Why a rollout may go on where a rule says no; all of it is recorded.
public struct RuleException: Sendable, Hashable, Codable {
    /// Why a release is deployed that was taken back before.
    public var quarantine: String?
    /// Why the environment's policy does not hold.
    public var override: String?
    /// Why it is an emergency; nil if it is none.
    public var hotfix: String?
    /// Why a release is taken back.
    public var revert: String?
    /// Why it goes on without records that hosts were told of.
    public var records: String?

    /// Says why for each rule; nil where the rule holds.
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
