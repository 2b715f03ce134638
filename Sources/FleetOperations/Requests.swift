public import FleetPlan
public import FleetRollout

/// What is said about a release and about how hosts are gone about, as plain values.
public struct RolloutChoice: Sendable, Hashable, Codable {
    /// The release; nil if none is named.
    public var release: ReleaseSelection?
    /// Variables that win over all others.
    public var variables: [String: String] = [:]
    /// The most hosts in flight; nil means the playbook's.
    public var fanout: Int?
    /// Whether hosts are deployed to that are not healthy now.
    public var evenIfUnhealthy = false
    /// Whether the way back is rehearsed.
    public var rehearses = false
    /// Whether it is an emergency.
    var isHotfix = false
    /// The commit that the release must be, whatever its name stands for by now; nil for any.
    var mustBe: String?

    /// Names nothing but a release.
    public init(release: ReleaseSelection? = nil) { self.release = release }
}

/// Under which terms a rollout begins.
public struct RolloutTerms: Sendable, Hashable, Codable {
    /// When it begins, on the policy's clock, as in `22:00`; nil for at once.
    public var begins: String?
    /// Why it may where a rule says no.
    public var exception = RuleException()
    /// Whether nobody need be asked.
    public var isConfirmed = false
    /// How long hosts that somebody else has locked are waited for, in milliseconds; nil for not at all.
    public var lockWaitMilliseconds: Int?

    /// At once, by every rule, after a question.
    public init() {}
}

/// A release is to be deployed; with ``RuleException/hotfix`` as an emergency.
public struct DeployRequest: Sendable, Hashable, Codable {
    /// The playbook: `playbooks/NAME.yml`, or a path.
    public var playbook = "deploy"
    /// Where.
    public var hosts: HostSelection
    /// Which release, and how.
    public var choice: RolloutChoice
    /// Under which terms.
    public var terms: RolloutTerms

    /// Asks for a deploy.
    public init(
        to hosts: HostSelection,
        choice: RolloutChoice,
        terms: RolloutTerms = RolloutTerms()
    ) {
        self.hosts = hosts
        self.choice = choice
        self.terms = terms
    }
}

/// What succeeded last on one environment is to be deployed to another one.
public struct PromoteRequest: Sendable, Hashable, Codable {
    /// Where it succeeded.
    public var source: String
    /// The deploy; its release is chosen here.
    public var deploy: DeployRequest

    /// Asks for a promotion.
    public init(from source: String, deploy: DeployRequest) {
        self.source = source
        self.deploy = deploy
    }
}

/// A playbook is to be run.
public struct RunRequest: Sendable, Hashable, Codable {
    /// The playbook: `playbooks/NAME.yml`, or a path.
    public var playbook: String
    /// Where.
    public var hosts: HostSelection
    /// With which variables, and how.
    public var choice: RolloutChoice
    /// Under which terms.
    public var terms: RolloutTerms
    /// Whether it puts something in the place of people's data, which is always asked.
    public var replacesData = false

    /// Asks for a run.
    public init(
        _ playbook: String,
        on hosts: HostSelection,
        choice: RolloutChoice,
        terms: RolloutTerms = RolloutTerms()
    ) {
        self.playbook = playbook
        self.hosts = hosts
        self.choice = choice
        self.terms = terms
    }
}

/// Hosts are to go back.
public struct RevertRequest: Sendable, Hashable, Codable {
    /// Where to.
    public enum Target: Sendable, Hashable, Codable {
        /// What each host ran before the newest rollout that changed it.
        case newest
        /// What each host ran before this one.
        case rollout(String)
        /// A tag.
        case tag(String)
    }

    /// Which hosts.
    public var hosts: HostSelection
    /// Where to.
    public var target: Target
    /// The playbook that deployed what is taken back, or that deploys the tag; nil for whatever was deployed last.
    public var playbook: String?
    /// Whether the release may be deployed again without being forced.
    public var sparesRelease = false
    /// Under which terms.
    public var terms: RolloutTerms

    /// Asks for a way back.
    public init(_ hosts: HostSelection, to target: Target, terms: RolloutTerms = RolloutTerms()) {
        self.hosts = hosts
        self.target = target
        self.terms = terms
    }
}

/// A rollout that has not come to its end is to be taken up.
public struct ResumeRequest: Sendable, Hashable {
    /// The rollout; nil for the only one.
    public var rollout: RolloutID?
    /// Which way.
    public var direction: ResumeDirection
    /// Under which terms.
    public var terms: RolloutTerms

    /// Asks for a rollout to be taken up.
    public init(
        _ rollout: RolloutID?,
        _ direction: ResumeDirection,
        terms: RolloutTerms = RolloutTerms()
    ) {
        self.rollout = rollout
        self.direction = direction
        self.terms = terms
    }
}

/// One command is to be run on every host.
public struct ExecRequest: Sendable, Hashable {
    /// Where.
    public var hosts: HostSelection
    /// A shell script.
    public var command: String
    /// The most hosts in flight.
    public var fanout = 32
    /// The longest it may take, in milliseconds.
    public var timeoutMilliseconds = 600_000
    /// The account that it runs as, through sudo; nil for the login account.
    public var becomeUser: String?

    /// Asks for a command.
    public init(_ command: String, on hosts: HostSelection) {
        self.command = command
        self.hosts = hosts
    }
}
