public import FleetYAML

/// The rules for changing an environment.
public struct EnvironmentPolicy: Sendable, Hashable {
    /// A condition that a release must meet before it may be deployed.
    public enum Requirement: String, Sendable, Hashable, CaseIterable {
        /// It succeeded on the staging environment.
        case staged
        /// Somebody has approved it.
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
    /// Whether "author" includes everybody who wrote a change since the release that runs now.
    ///
    /// Otherwise it means only those who made the release's own tag and commit. See ``needsAnotherApprover``.
    public var countsAllAuthors = false
    /// Who may sign tags, as git names them: an address, or a key's fingerprint; empty for whoever git
    /// trusts.
    public var signers: [String] = []
    /// When nothing may be deployed.
    public var freezes: [ChangeWindow] = []
    /// When something may be deployed; empty means always.
    public var windows: [ChangeWindow] = []
    /// The time zone of ``freezes`` and ``windows``; a name of the tz database.
    public var timeZone = "UTC"
    /// The location of the time zone in the inventory file; nil if the file does not set it.
    public var timeZoneLocation: SourceLocation?
    /// The requirements that apply even to a hotfix; its smoke tests and its way back always apply.
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

    /// Why nothing may be deployed at a local time; nil if a deploy is allowed.
    public func closure(at time: LocalTime) -> Closed? {
        if let freeze = freezes.first(where: { $0.contains(time) }) { return .frozen(freeze) }
        return windows.isEmpty || windows.contains { $0.contains(time) } ? nil : .outside
    }

    /// The number of days that are searched for the next opening.
    public static let horizonDays = 400

    /// Returns the first minute, from a given time on, at which a deploy is allowed, in seconds since 1970.
    ///
    /// - Parameters:
    ///   - seconds: The time at which the search begins, in seconds since 1970.
    ///   - offset: The offset of the time zone from UTC at a time, in seconds; it accounts for daylight saving time.
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
