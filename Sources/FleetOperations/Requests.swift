public import FleetPlan
public import FleetRollout

/// The choice of a release and of how its rollout proceeds.
public struct RolloutChoice: Sendable, Hashable, Codable {
    /// The release; nil if none is named.
    public var release: ReleaseSelection?
    /// Variables from the command line, which take precedence over all others.
    public var variables: [String: String] = [:]
    /// The largest number of hosts that are changed at once; nil for the playbook's value.
    public var fanout: Int?
    /// Whether the rollout proceeds even if hosts are unhealthy before it.
    public var evenIfUnhealthy = false
    /// Whether the first batch deploys, reverts and deploys again before the second batch begins.
    public var rehearses = false
    /// Whether it is an emergency.
    var isHotfix = false
    /// The commit that the release must be, whatever its name stands for by now; nil for any.
    var mustBe: String?

    /// Creates a choice with a release and default values for everything else.
    public init(release: ReleaseSelection? = nil) { self.release = release }
}

/// The conditions under which a rollout begins.
public struct RolloutTerms: Sendable, Hashable, Codable {
    /// The time at which the rollout begins, in the policy's time zone, as in `22:00`; nil for at once.
    public var begins: String?
    /// The reasons why the rollout may proceed although a rule forbids it.
    public var exception = RuleException()
    /// Whether the rollout begins without asking for confirmation.
    public var isConfirmed = false
    /// How long to wait for hosts that somebody else has locked, in milliseconds; nil for not at all.
    public var lockWaitMilliseconds: Int?

    /// Creates conditions under which a rollout begins at once, overrides no rule, and asks for confirmation if needed.
    public init() {}
}

/// A request to deploy a release; an emergency if its terms give a reason in ``RuleException/hotfix``.
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

/// A request to deploy to one environment the release that last succeeded on another one.
public struct PromoteRequest: Sendable, Hashable, Codable {
    /// The environment on which the release succeeded.
    public var source: String
    /// The deploy to make; its release is set by the promotion.
    public var deploy: DeployRequest

    /// Asks for a promotion.
    public init(from source: String, deploy: DeployRequest) {
        self.source = source
        self.deploy = deploy
    }
}

/// A request to run a playbook.
public struct RunRequest: Sendable, Hashable, Codable {
    /// The playbook: `playbooks/NAME.yml`, or a path.
    public var playbook: String
    /// Where.
    public var hosts: HostSelection
    /// With which variables, and how.
    public var choice: RolloutChoice
    /// Under which terms.
    public var terms: RolloutTerms
    /// Whether the playbook replaces users' data, which always requires a confirmation.
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

/// A request to revert hosts.
public struct RevertRequest: Sendable, Hashable, Codable {
    /// The state to which the hosts are reverted.
    public enum Target: Sendable, Hashable, Codable {
        /// What each host ran before the newest rollout that changed the host.
        case newest
        /// What each host ran before the rollout with this name.
        case rollout(String)
        /// The release with this tag.
        case tag(String)
    }

    /// Which hosts.
    public var hosts: HostSelection
    /// Where to.
    public var target: Target
    /// The playbook that deployed what is taken back, or that deploys the tag; nil for whatever was deployed last.
    public var playbook: String?
    /// Whether the reverted release may be deployed again without an override.
    public var sparesRelease = false
    /// Under which terms.
    public var terms: RolloutTerms

    /// Creates a request to revert hosts.
    public init(_ hosts: HostSelection, to target: Target, terms: RolloutTerms = RolloutTerms()) {
        self.hosts = hosts
        self.target = target
        self.terms = terms
    }
}

/// A request to resume an unfinished rollout.
public struct ResumeRequest: Sendable, Hashable {
    /// The rollout; nil for the only unfinished one.
    public var rollout: RolloutID?
    /// The direction in which the rollout continues.
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

/// A request to run one command on every host.
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
