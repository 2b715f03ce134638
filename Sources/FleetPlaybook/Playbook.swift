internal import FleetTransport
public import FleetYAML

/// What to do on every host, and how carefully to go about it.
public struct Playbook: Sendable {
    /// The playbook's name, for people.
    public let name: String
    /// Defaults for variables that the inventory does not set.
    public let variables: [String: String]
    /// How hosts are taken.
    public private(set) var strategy: Strategy
    /// How hosts are taken in an emergency; nil means as always.
    public let hotfixStrategy: Strategy?
    /// The steps, in order.
    public let steps: [Step]
    /// The gate after every batch.
    public let smoke: [SmokeTest]
    /// Steps that undo the others, in order; nil means each step's own way back.
    public let revert: [Step]?
    /// Steps that take down a first deploy, where nothing ran before; nil leaves it as it is.
    public let teardown: [Step]?

    /// Gathers a playbook.
    public init(
        name: String,
        variables: [String: String] = [:],
        strategy: Strategy = Strategy(),
        hotfixStrategy: Strategy? = nil,
        steps: [Step],
        smoke: [SmokeTest] = [],
        revert: [Step]? = nil,
        teardown: [Step]? = nil
    ) {
        self.teardown = teardown
        self.name = name
        self.variables = variables
        self.strategy = strategy
        self.hotfixStrategy = hotfixStrategy
        self.steps = steps
        self.smoke = smoke
        self.revert = revert
    }

    /// The same, gone about as in an emergency.
    public var asHotfix: Playbook {
        var copy = self
        copy.strategy = hotfixStrategy ?? strategy
        return copy
    }

    /// The step that puts a release on the host, if the playbook deploys one.
    public var releaseStep: Step? { steps.first { $0.kind is any ReleaseStepKind } }

    /// Where hosts get releases from.
    public var releaseSource: ReleaseSource {
        (releaseStep?.kind as? any ReleaseStepKind)?.source ?? .remote
    }
}

/// One step of a playbook: its kind and what every kind shares.
public struct Step: Sendable {
    /// The step's name, unique in its playbook.
    public let name: String
    /// What it does.
    public let kind: any StepKind
    /// Its deadline, in milliseconds; never infinite.
    public let timeoutMilliseconds: Int
    /// How often it is tried again after failing.
    public let retries: Int
    /// Variables for its scripts.
    public let environment: [(name: String, value: Template)]
    /// The directory it runs in, if it names one.
    public let directory: Template?
    /// The account it runs as, through sudo; nil is the login account.
    public let becomeUser: Template?
    /// The groups whose hosts take the step; nil is all hosts.
    public let whenGroups: [String]?
    /// Whether only the first host of the rollout takes it.
    public let runsOnce: Bool
    /// Whether it may be run again when its outcome is unknown.
    public let isIdempotent: Bool
    /// Whether going back is impossible once it has started.
    public let isIrreversible: Bool
    /// Whether a backup must have been made in the same rollout before.
    public let needsBackup: Bool
    /// Where it stands.
    public let location: SourceLocation
}

/// How many hosts a batch takes.
public enum BatchSize: Sendable, Hashable {
    /// So many.
    case hosts(Int)
    /// So many of a hundred, rounded down, at least one: Ansible's rule.
    case percent(Int)

    /// The number of hosts, out of all hosts of the rollout.
    public func count(of total: Int) -> Int {
        switch self {
        case .hosts(let count): max(1, count)
        case .percent(let percent): max(1, total * percent / 100)
        }
    }
}

/// What is done about hosts that cannot be reached in preflight.
public enum UnreachablePolicy: Sendable, Hashable {
    /// Nothing is touched anywhere.
    case abort
    /// They are left out, as long as there is one that can be reached.
    case exclude
    /// They are left out, as long as so many of a hundred hosts can be reached.
    case quorum(percent: Int)

    /// How many hosts must be reachable, out of all hosts of the rollout.
    public func leastReachable(of total: Int) -> Int {
        switch self {
        case .abort: total
        case .exclude: 1
        case .quorum(let percent): max(1, (total * percent + 99) / 100)
        }
    }
}

/// How hosts are taken.
public struct Strategy: Sendable, Hashable {
    /// The size of each batch; the last one repeats until no host is left.
    public var serial: [BatchSize]
    /// The most hosts in flight at once.
    public var fanout: Int
    /// How many hosts may fail, over the whole rollout, before it halts.
    public var maxFailures: Int
    /// What is done about hosts that cannot be reached in preflight.
    public var unreachable = UnreachablePolicy.abort
    /// After what time a host goes back by itself, in milliseconds, unless it is told that all is
    /// well; nil for never.
    public var deadmanMilliseconds: Int?
    /// How long going back may take, in milliseconds, before that is reported; nil for no limit.
    public var revertWithinMilliseconds: Int?
    /// How long the hosts are asked again and again after the last batch, in milliseconds, before the
    /// release stays; nil for once.
    public var soakMilliseconds: Int?

    /// The default: everything at once, 32 hosts in flight, no failure allowed.
    public init(serial: [BatchSize] = [.percent(100)], fanout: Int = 32, maxFailures: Int = 0) {
        self.serial = serial
        self.fanout = fanout
        self.maxFailures = maxFailures
    }

    /// Divides hosts into batches.
    public func batches<T>(of hosts: [T]) -> [[T]] {
        var batches: [[T]] = []
        var rest = hosts[...]
        var sizes = serial[...]
        var size = sizes.first ?? .percent(100)
        while !rest.isEmpty {
            if let next = sizes.popFirst() { size = next }
            let count = size.count(of: hosts.count)
            batches.append(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        return batches
    }
}

/// A gate: what is asked, how often it must pass in a row, and for how long it may be tried.
public struct SmokeTest: Sendable {
    /// The test's name.
    public let name: String
    /// What is asked.
    public let kind: any SmokeKind
    /// How many passes in a row count as healthy.
    public let passes: Int
    /// The time between two questions, in milliseconds.
    public let intervalMilliseconds: Int
    /// The longest time to reach the passes, in milliseconds.
    public let deadlineMilliseconds: Int
    /// The time to let the service settle before the first question, in milliseconds.
    public let settleMilliseconds: Int
    /// The groups whose hosts are asked; nil is all hosts.
    public let whenGroups: [String]?
    /// Where it stands.
    public let location: SourceLocation
}
