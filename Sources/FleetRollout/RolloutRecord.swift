public import FleetPlan
public import FleetTransport

/// One rollout in the history of an environment.
public struct RolloutRecord: Sendable, Hashable {
    /// The rollout.
    public let id: RolloutID
    /// The environment.
    public let environment: String
    /// What it was for.
    public let kind: Plan.Kind
    /// The playbook or command.
    public let title: String
    /// The release, as people know it; empty if there was none.
    public let release: String
    /// How many hosts it was for.
    public let hostCount: Int
    /// Who started it.
    public let user: String
    /// When it was planned, in milliseconds since 1970.
    public let startedUnixMilliseconds: Int
    /// When it ended, in milliseconds since 1970.
    public let endedUnixMilliseconds: Int?
    /// How long it took on a clock that never jumps, in milliseconds; nil if the query did not request it.
    public let elapsedMilliseconds: Int?
    /// How the rollout ended; nil if it has not ended, because it still runs or its controller was killed.
    public let outcome: RolloutOutcome?
    /// What the rollout was to change; nil for a command, or if the query did not request it.
    public let aim: RolloutAim?
    /// Whether the rollout was reverted because somebody requested it, not because of a failure.
    public let wasAskedBack: Bool

    /// How long it took, in milliseconds: by the clock that never jumps if that was requested, and else by the time of
    /// day; nil if it has not ended.
    public var milliseconds: Int? {
        endedUnixMilliseconds.map { elapsedMilliseconds ?? max(0, $0 - startedUnixMilliseconds) }
    }

    /// Describes a rollout.
    public init(
        id: RolloutID,
        environment: String,
        kind: Plan.Kind,
        title: String,
        release: String,
        hostCount: Int,
        user: String,
        startedUnixMilliseconds: Int,
        endedUnixMilliseconds: Int? = nil,
        elapsedMilliseconds: Int? = nil,
        outcome: RolloutOutcome? = nil,
        aim: RolloutAim? = nil,
        wasAskedBack: Bool = false
    ) {
        self.id = id
        self.environment = environment
        self.kind = kind
        self.title = title
        self.release = release
        self.hostCount = hostCount
        self.user = user
        self.startedUnixMilliseconds = startedUnixMilliseconds
        self.endedUnixMilliseconds = endedUnixMilliseconds
        self.elapsedMilliseconds = elapsedMilliseconds
        self.outcome = outcome
        self.aim = aim
        self.wasAskedBack = wasAskedBack
    }
}

/// A summary of what a rollout was to change, stored beside its much longer plan.
///
/// It holds only what later rollouts need to know.
public struct RolloutAim: Sendable, Hashable, Codable {
    /// The release; nil if it deployed none.
    public let release: Release?
    /// The rollout that it takes back; nil for any other.
    public let undoes: RolloutID?
    /// Whether it was for every host of the environment.
    public let isForEveryHost: Bool
    /// How many hosts the environment had; nil if that was not recorded.
    public let environmentHostCount: Int?
    /// The smoke tests that had to be passed, sorted.
    public let smokeTests: [String]
    /// Whether the release that the rollout reverts may be deployed again without an override.
    public let sparesRelease: Bool
    /// Whether it was an emergency.
    public let isHotfix: Bool
    /// Why it was begun, in the words of who did.
    public let reason: String?
    /// The hosts grouped by the release that they get; hosts that get no release are in no group.
    public let groups: [Group]
    /// The rollout's hosts that do not get its release.
    public let otherHosts: [HostName]

    /// Hosts that get the same release.
    public struct Group: Sendable, Hashable, Codable {
        /// The release; nil if it is not known which.
        public let release: Release?
        /// The hosts.
        public let hosts: [HostName]

        /// Describes a group.
        public init(release: Release?, hosts: [HostName]) {
            self.release = release
            self.hosts = hosts
        }
    }

    /// Summarizes a plan.
    ///
    /// - Parameters:
    ///   - plan: The plan.
    ///   - origin: Who began the rollout, and why.
    public init(_ plan: Plan, _ origin: RolloutOrigin) {
        release = plan.release
        undoes = plan.adoptsLocksOf.flatMap(RolloutID.init)
        isForEveryHost = plan.isForEveryHost
        environmentHostCount = plan.environmentHostCount
        smokeTests = plan.smokeTests.sorted()
        sparesRelease = origin.overridden?.contains(RolloutOrigin.quarantineRule) ?? false
        isHotfix = origin.isHotfix
        reason = origin.reason
        // A release step that is for some hosts leaves the others as they are.
        let isPartly =
            plan.kind == .deploy && plan.hosts.contains { $0.release != nil }
        var places: [Release?: Int] = [:]
        var groups: [(release: Release?, hosts: [HostName])] = []
        var others: [HostName] = []
        for host in plan.hosts {
            if isPartly, host.release == nil {
                others.append(host.name)
                continue
            }
            let release = host.release ?? plan.release
            if let place = places[release] {
                groups[place].hosts.append(host.name)
            } else {
                places[release] = groups.count
                groups.append((release, [host.name]))
            }
        }
        self.groups = groups.map { Group(release: $0.release, hosts: $0.hosts) }
        otherHosts = others
    }

    /// Returns the same aim with other hosts.
    public func with(groups: [Group], otherHosts: [HostName]) -> RolloutAim {
        RolloutAim(self, groups, otherHosts)
    }

    private init(_ aim: RolloutAim, _ groups: [Group], _ otherHosts: [HostName]) {
        release = aim.release
        undoes = aim.undoes
        isForEveryHost = aim.isForEveryHost
        environmentHostCount = aim.environmentHostCount
        smokeTests = aim.smokeTests
        sparesRelease = aim.sparesRelease
        isHotfix = aim.isHotfix
        reason = aim.reason
        self.groups = groups
        self.otherHosts = otherHosts
    }
}
