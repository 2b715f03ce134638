internal import FleetDigest
public import FleetTransport

/// Everything that a rollout will do, fully resolved.
///
/// `fleet plan` prints this value, and `fleet deploy` reads nothing else.
public struct Plan: Sendable, Hashable, Codable {
    /// What the rollout is for.
    public enum Kind: String, Sendable, Hashable, Codable {
        /// Put a release on every host.
        case deploy
        /// Run a playbook that deploys no release.
        case run
        /// Run one command.
        case exec
        /// Put hosts back on what they ran before an earlier rollout.
        case revert
    }

    /// What happens when too many hosts failed.
    public enum FailurePolicy: String, Sendable, Hashable, Codable {
        /// Put every touched host back on its snapshot.
        case revert
        /// Stop and leave the hosts as they are.
        case hold
        /// Go on with the other hosts and report the failed ones.
        case report
    }

    /// What the rollout is for.
    public let kind: Kind
    /// The environment.
    public let environment: String
    /// The playbook's name, or the command for ``Kind/exec``.
    public let title: String
    /// The release, if one release goes to all hosts.
    public let release: Release?
    /// The name of the step that deploys the release; its snapshot says what a host ran before.
    public let releaseStep: String?
    /// The most hosts in flight at once.
    public let fanout: Int
    /// How many hosts may fail before the rollout halts.
    public let maxFailures: Int
    /// What happens when the rollout halts because too many hosts failed.
    public let onFailure: FailurePolicy
    /// The hosts, batch by batch.
    public let batches: [[HostName]]
    /// What each host will do, in the order of the batches.
    public let hosts: [PlannedHost]

    /// Whether every host is asked before the first is touched.
    public var checksFirst: Bool { kind != .exec }

    /// SHA-256 over the plan's canonical form, in hexadecimal: two plans with the same digest do
    /// the same.
    public var digest: String { SHA256Digest(of: CanonicalJSON.encode(self)).description }

    /// Whether every host has a smoke test that passes only if the new release answers.
    ///
    /// Without one, an old process that survived, or another service, may answer as well.
    public var provesRelease: Bool {
        guard let release else { return true }
        return hosts.allSatisfy { host in host.checks.contains { $0.proves(release) } }
    }

    /// The plan's canonical form: what the digest is taken over.
    public var json: String { String(decoding: CanonicalJSON.encode(self), as: UTF8.self) }
    /// Whether every host is locked before the first step.
    public var takesLocks: Bool { locks ?? false }
    /// Absent from plans of before there were locks, which journals still hold.
    private let locks: Bool?
    /// Whether a host that runs a step on behalf of all others must not be left out; false in older plans.
    public var keepsHostsOfOneRun: Bool { oneRun ?? false }
    private let oneRun: Bool?
    /// The number of hosts that preflight must reach; the others are left out and reported.
    public var leastReachable: Int { reachable ?? hosts.count }
    private let reachable: Int?
    /// Whether preflight also runs the smoke tests, against what the hosts run at that time.
    public var asksHealthFirst: Bool { healthFirst ?? false }
    private let healthFirst: Bool?
    /// Whether the first batch deploys, goes back and deploys again before the second one begins.
    public var rehearses: Bool { rehearsal ?? false }
    private let rehearsal: Bool?
    /// The number of hosts that the environment had when the plan was made; nil in older plans.
    public let environmentHostCount: Int?
    /// Whether the plan is for every host of its environment, as far as that is known.
    public var isForEveryHost: Bool { environmentHostCount.map { $0 == hosts.count } ?? true }
    /// The names of the smoke tests, each of which the hosts that it is for have to pass.
    ///
    /// Each by its name and what it asks, as far as that does not differ from host to host.
    public var smokeTests: Set<String> {
        Set(hosts.flatMap(\.checks).filter { $0.step == nil && !$0.isAskedAfresh }.map(\.question))
    }
    /// The functions that the scripts of the plan name as their library, by name.
    public var libraries: [String: String] { scriptLibraries ?? [:] }
    private let scriptLibraries: [String: String]?
    /// The time, in milliseconds, after which a revert is reported as too slow; nil for no limit.
    public let revertWithinMilliseconds: Int?
    /// How long the checks of every host are repeated at the end, in milliseconds; nil if they are asked once.
    public let soakMilliseconds: Int?
    /// The rollout that this plan reverts, whose locks may be taken over; nil for none.
    public let adoptsLocksOf: String?

    /// What a release of any name would do to each host, as a digest; nil where nobody has to approve it.
    ///
    /// It counts where the host is, its steps and checks, there and back. Plans of before that was kept have none.
    /// How many hosts are advanced together does not matter for it, nor where secrets come from.
    public internal(set) var work: [String: String]?

    /// The digest of what is done to a host, for ``work``.
    static func work(on host: PlannedHost) -> String {
        var ssh = host.endpoint.ssh
        (ssh.password, ssh.becomePassword, ssh.passphrase) = (nil, nil, nil)
        ssh.openSSHSessions = nil
        let bytes =
            CanonicalJSON.encode(HostEndpoint(name: host.name, ssh: ssh))
            + CanonicalJSON.encode(host.steps) + CanonicalJSON.encode(host.checks)
            + CanonicalJSON.encode(host.revertSteps) + CanonicalJSON.encode(host.revertChecks)
        return SHA256Digest(of: bytes).description
    }

    /// Returns the same plan for other hosts.
    ///
    /// - Parameter batches: The hosts, batch by batch.
    /// - Returns: A plan that does the same to these hosts.
    public func with(batches: [[PlannedHost]]) -> Plan {
        Plan(
            kind: kind,
            environment: environment,
            title: title,
            release: release,
            releaseStep: releaseStep,
            fanout: fanout,
            maxFailures: maxFailures,
            onFailure: onFailure,
            batches: batches.map { $0.map(\.name) },
            hosts: batches.flatMap { $0 },
            takesLocks: takesLocks,
            adoptsLocksOf: adoptsLocksOf,
            leastReachable: nil,
            keepsHostsOfOneRun: keepsHostsOfOneRun,
            asksHealthFirst: asksHealthFirst,
            rehearses: rehearses,
            revertWithinMilliseconds: revertWithinMilliseconds,
            soakMilliseconds: soakMilliseconds,
            libraries: libraries,
            environmentHostCount: environmentHostCount
        )
    }

    /// Gathers a plan.
    public init(
        kind: Kind,
        environment: String,
        title: String,
        release: Release?,
        releaseStep: String?,
        fanout: Int,
        maxFailures: Int,
        onFailure: FailurePolicy,
        batches: [[HostName]],
        hosts: [PlannedHost],
        takesLocks: Bool = false,
        adoptsLocksOf: String? = nil,
        leastReachable: Int? = nil,
        keepsHostsOfOneRun: Bool = false,
        asksHealthFirst: Bool = false,
        rehearses: Bool = false,
        revertWithinMilliseconds: Int? = nil,
        soakMilliseconds: Int? = nil,
        libraries: [String: String] = [:],
        environmentHostCount: Int? = nil
    ) {
        self.environmentHostCount = environmentHostCount
        scriptLibraries = libraries.isEmpty ? nil : libraries
        rehearsal = rehearses ? true : nil
        healthFirst = asksHealthFirst ? true : nil
        self.revertWithinMilliseconds = revertWithinMilliseconds
        self.soakMilliseconds = soakMilliseconds
        reachable = leastReachable
        oneRun = keepsHostsOfOneRun ? true : nil
        locks = takesLocks
        self.adoptsLocksOf = adoptsLocksOf
        precondition(batches.flatMap { $0 } == hosts.map(\.name), "batches hold each host once")
        self.kind = kind
        self.environment = environment
        self.title = title
        self.release = release
        self.releaseStep = releaseStep
        self.fanout = fanout
        self.maxFailures = maxFailures
        self.onFailure = onFailure
        self.batches = batches
        self.hosts = hosts
    }
}

/// What one host will do.
public struct PlannedHost: Sendable, Hashable, Codable {
    /// Whether the playbook does or asks anything on the host.
    public var hasWork: Bool { !steps.isEmpty || !checks.isEmpty }
    /// The host and how to reach it.
    public let endpoint: HostEndpoint
    /// The release for this host, if there is one.
    public let release: Release?
    /// Read-only scripts that may refuse the rollout before anything is touched.
    public let preflight: [PlannedPreflight]
    /// The steps, in order.
    public let steps: [PlannedStep]
    /// What must hold after the steps: what is checked out, then the smoke tests.
    public let checks: [PlannedCheck]
    /// The steps back, in order.
    public let revertSteps: [PlannedStep]
    /// What must hold after going back.
    public let revertChecks: [PlannedCheck]

    /// The host's name.
    public var name: HostName { endpoint.name }

    /// Determines which steps and checks of the host's way back apply.
    ///
    /// A host that deploys no release always goes back. A host that deploys one but ran none before can only be torn
    /// down.
    ///
    /// - Parameters:
    ///   - snapshot: What preflight found.
    ///   - releaseStep: The step that deploys the release.
    /// - Returns: The condition that a step or check must have, unless it has none, in order to apply.
    public func wayBack(to snapshot: Snapshot?, releaseStep: String?) -> SnapshotCondition {
        guard let releaseStep, steps.contains(where: { $0.name == releaseStep }) else {
            return .present
        }
        return snapshot?.commit(of: releaseStep) == nil ? .absent : .present
    }

    /// Every script of the host's plan.
    public var scripts: [Script] {
        let actions =
            (steps + revertSteps).map(\.action) + (checks + revertChecks).map(\.action)
        return preflight.map(\.script)
            + actions.flatMap { action -> [Script] in
                switch action {
                case .script(let script): [script]
                case .upload(let upload):
                    [upload.prepare, upload.finish] + (upload.handOver.map { [$0] } ?? [])
                case .deadman(.arm(_, let back)): back.map(\.script)
                case .http, .tcp, .deadman: []
                }
            }
    }

    /// The accounts, other than the login account, that anything is run as; sorted.
    public var becomeUsers: [String] {
        let actions =
            (steps + revertSteps).map(\.action) + (checks + revertChecks).map(\.action)
        return Set(actions.compactMap(\.becomeUser)).sorted()
    }

    /// Gathers what one host will do.
    public init(
        endpoint: HostEndpoint,
        release: Release? = nil,
        preflight: [PlannedPreflight] = [],
        steps: [PlannedStep],
        checks: [PlannedCheck] = [],
        revertSteps: [PlannedStep] = [],
        revertChecks: [PlannedCheck] = []
    ) {
        self.endpoint = endpoint
        self.release = release
        self.preflight = preflight
        self.steps = steps
        self.checks = checks
        self.revertSteps = revertSteps
        self.revertChecks = revertChecks
    }
}

/// The condition under which a step or check of a host's way back applies.
public enum SnapshotCondition: String, Sendable, Hashable, Codable {
    /// The host ran an earlier release, to which it is reverted.
    case present
    /// The host ran no release, and the first deploy is torn down.
    case absent
}

/// A read-only question to a host before anything is touched.
public struct PlannedPreflight: Sendable, Hashable, Codable {
    /// The step that asks.
    public let step: String
    /// The question.
    public let script: Script

    /// Gathers a question.
    public init(step: String, script: Script) {
        self.step = step
        self.script = script
    }
}

/// One step for one host.
public struct PlannedStep: Sendable, Hashable, Codable {
    /// The step's name.
    public let name: String
    /// The kind of step, which is its key in the playbook.
    public let kind: String
    /// What is done.
    public let action: Action
    /// The deadline, in milliseconds.
    public let timeoutMilliseconds: Int
    /// How often it is tried again after failing.
    public let retries: Int
    /// Whether it may run again when its outcome is unknown.
    public let isIdempotent: Bool
    /// Whether going back is impossible once it has started.
    public let isIrreversible: Bool
    /// Whether only this host runs the step, on behalf of all hosts.
    public let runsOnce: Bool
    /// The name of the step whose snapshot facts are visible to this step's scripts.
    public let factsOf: String
    /// The condition under which a step back is taken; nil if it always is.
    public let condition: SnapshotCondition?

    /// Gathers a step.
    public init(
        name: String,
        kind: String,
        action: Action,
        timeoutMilliseconds: Int = 600_000,
        retries: Int = 0,
        isIdempotent: Bool = false,
        isIrreversible: Bool = false,
        runsOnce: Bool = false,
        factsOf: String? = nil,
        condition: SnapshotCondition? = nil
    ) {
        self.condition = condition
        self.name = name
        self.kind = kind
        self.action = action
        self.timeoutMilliseconds = timeoutMilliseconds
        self.retries = retries
        self.isIdempotent = isIdempotent
        self.isIrreversible = isIrreversible
        self.runsOnce = runsOnce
        self.factsOf = factsOf ?? name
    }
}

/// One thing that must hold on one host.
public struct PlannedCheck: Sendable, Hashable, Codable {
    /// The check's name.
    public let name: String
    /// The step whose effect is verified; nil for a smoke test.
    public let step: String?
    /// What is asked.
    public let action: Action
    /// How many passes in a row are needed.
    public let passes: Int
    /// The time between two questions, in milliseconds.
    public let intervalMilliseconds: Int
    /// The longest time to reach the passes, in milliseconds.
    public let deadlineMilliseconds: Int
    /// The time before the first question, in milliseconds.
    public let settleMilliseconds: Int
    /// Whether it can only pass if what answers is this release: it asks for its tag or its commit.
    func proves(_ release: Release) -> Bool {
        guard step == nil else { return false }
        let names = [release.tag, release.commit].compactMap { $0 }
        switch action {
        case .http(let probe): return names.contains { probe.contains?.contains($0) ?? false }
        case .script(let script):
            return ["FLEET_TAG", "FLEET_COMMIT"].contains { script.text.contains($0) }
        case .upload, .tcp, .deadman: return false
        }
    }

    /// Its name and what it asks, without where: two tests of one name may ask different things.
    var question: String {
        switch action {
        case .http(let probe):
            "\(name) http \(probe.target) \(probe.status) \(probe.contains ?? "")"
        case .tcp: "\(name) tcp"
        case .script(let script): "\(name) command \(script.text)"
        case .upload, .deadman: name
        }
    }

    /// The condition under which the check is asked after going back; nil if it always is.
    public let condition: SnapshotCondition?
    /// Whether the check is asked over a new connection of its own.
    public var isAskedAfresh: Bool { afresh ?? false }
    private let afresh: Bool?

    /// Gathers a check.
    public init(
        name: String,
        step: String? = nil,
        action: Action,
        passes: Int = 1,
        intervalMilliseconds: Int = 1000,
        deadlineMilliseconds: Int = 60_000,
        settleMilliseconds: Int = 0,
        condition: SnapshotCondition? = nil,
        isAskedAfresh: Bool = false
    ) {
        afresh = isAskedAfresh ? true : nil
        self.condition = condition
        self.name = name
        self.step = step
        self.action = action
        self.passes = passes
        self.intervalMilliseconds = intervalMilliseconds
        self.deadlineMilliseconds = deadlineMilliseconds
        self.settleMilliseconds = settleMilliseconds
    }
}
