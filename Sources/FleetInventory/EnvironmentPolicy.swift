public import FleetYAML

/// What may be done to an environment, and what must have happened before.
public struct EnvironmentPolicy: Sendable, Hashable {
    /// What a release must have, to be deployed.
    public enum Requirement: String, Sendable, Hashable, CaseIterable {
        /// It succeeded on the staging environment.
        case staged
        /// Somebody has signed it off.
        case approved
        /// Its tag is signed, by somebody whom the policy names.
        case signed
    }

    /// Whether changing commands ask for the environment's name first.
    public var isProtected = false
    /// What a release must have.
    public var requirements: Set<Requirement> = []
    /// The environment on which a release must have succeeded.
    public var stagingEnvironment = "staging"
    /// How long an approval holds, in milliseconds.
    public var approvalMilliseconds = 7 * 86_400_000
    /// Whether the approver must be somebody else than the release's author.
    public var needsAnotherApprover = false
    /// Whether that means everybody who wrote what is new since the release that runs, and not only who made
    /// the release's own tag and commit.
    public var countsAllAuthors = false
    /// Who may sign tags, as git names them: an address, or a key's fingerprint; empty for whoever git
    /// trusts.
    public var signers: [String] = []
    /// When nothing may be deployed.
    public var freezes: [ChangeWindow] = []
    /// When something may be deployed; empty means always.
    public var windows: [ChangeWindow] = []
    /// The time zone of both, a name of the tz database.
    public var timeZone = "UTC"
    /// Where it stands in the inventory; nil if it does not.
    public var timeZoneLocation: SourceLocation?
    /// What a hotfix must have all the same; the smoke tests and the way back it always has.
    public var hotfixRequirements: Set<Requirement> = []

    /// A policy that allows everything.
    public init() {}

    /// Why nothing may be deployed at a time.
    public enum Closed: Sendable, Hashable {
        /// A freeze.
        case frozen(ChangeWindow)
        /// It is outside of every window.
        case outside
    }

    /// Whether something may be deployed at a local time; nil if it may.
    public func closure(at time: LocalTime) -> Closed? {
        if let freeze = freezes.first(where: { $0.contains(time) }) { return .frozen(freeze) }
        return windows.isEmpty || windows.contains { $0.contains(time) } ? nil : .outside
    }

    /// How far ahead the next opening is looked for, in days.
    public static let horizonDays = 400

    /// The first minute from a time on at which something may be deployed, in seconds since 1970.
    ///
    /// - Parameters:
    ///   - seconds: The time to begin at, since 1970.
    ///   - offset: What the time zone adds to UTC at a time, in seconds: summer time is its business.
    /// - Returns: Nil if there is none within ``horizonDays``.
    public func nextOpening(from seconds: Int, offset: (Int) -> Int) -> Int? {
        let first = seconds - seconds % 60
        for minute in 0..<Self.horizonDays * 1440 {
            let time = first + minute * 60
            if closure(at: LocalTime(unixSeconds: time, offsetSeconds: offset(time))) == nil {
                return max(time, seconds)
            }
        }
        return nil
    }
}
