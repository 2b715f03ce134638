public import FleetInventory
public import FleetPlaybook
public import FleetTransport
public import FleetYAML

/// What a plan is made from.
public struct PlanRequest: Sendable {
    /// What the rollout is for.
    public var kind: Plan.Kind
    /// The environment.
    public var inventory: Inventory
    /// The hosts, in the order of the inventory.
    public var hosts: [Host]
    /// What to do.
    public var playbook: Playbook
    /// The release for all hosts, if there is one.
    public var release: Release?
    /// A release of its own for each host; for going back.
    public var releases: [HostName: Release] = [:]
    /// Variables from the command line; they win over all others.
    public var variables: [String: String] = [:]
    /// The local files that the playbook uploads, by their path as written.
    public var files: [String: LocalFile] = [:]
    /// What the controller sends to each host of the release.
    public var bundles: [HostName: ReleaseBundle] = [:]
    /// The most hosts in flight, if it is not the playbook's.
    public var fanout: Int?
    /// Whether to deploy even if smoke tests of hosts fail before anything is changed.
    public var evenIfUnhealthy = false
    /// Whether the first batch deploys, goes back and deploys again before the second one begins.
    public var rehearses = false

    /// Gathers what a plan is made from.
    public init(
        kind: Plan.Kind,
        inventory: Inventory,
        hosts: [Host],
        playbook: Playbook,
        release: Release? = nil
    ) {
        self.kind = kind
        self.inventory = inventory
        self.hosts = hosts
        self.playbook = playbook
        self.release = release
    }
}

/// Turns an inventory and a playbook into a plan.
public enum Planner {
    /// Resolves every step for every host.
    ///
    /// - Throws: ``FleetYAML/Diagnostics`` with everything in the playbook that does not fit the
    ///   hosts; each problem once, however many hosts it concerns.
    public static func plan(_ request: PlanRequest) throws(Diagnostics) -> Plan {
        var plan = try planned(request)
        let policy = request.inventory.policy
        guard request.release != nil,
            policy.requirements.contains(.approved) || policy.hotfixRequirements.contains(.approved)
        else { return plan }
        // Approved is what is done, whatever the release is called: by its tag here, by its commit elsewhere.
        var unnamed = request
        unnamed.release = Release(tag: "v0.0.0", commit: String(repeating: "0", count: 40))
        unnamed.bundles = [:]
        plan.work = try planned(unnamed).hosts.reduce(into: [:]) {
            $0[$1.name.text] = Plan.work(on: $1)
        }
        return plan
    }

    private static func planned(_ request: PlanRequest) throws(Diagnostics) -> Plan {
        var problems = Problems()
        let playbook = request.playbook
        let allSteps = playbook.steps + (playbook.revert ?? []) + (playbook.teardown ?? [])
        for (groups, location) in allSteps.map({ ($0.whenGroups, $0.location) })
            + playbook.smoke.map({ ($0.whenGroups, $0.location) })
        {
            for group in groups ?? [] where !request.inventory.groups.contains(group) {
                problems.report(
                    Diagnostic(
                        "`when: \(group)` names no group of \(request.inventory.environment)",
                        at: location,
                        hints: Suggestion.hint(for: group, in: request.inventory.groups)
                    )
                )
            }
        }
        if request.rehearses {
            for step in playbook.steps where step.isIrreversible {
                problems.report(
                    Diagnostic(
                        "`\(step.name)` is irreversible, so the way back cannot be rehearsed",
                        at: step.location,
                        hints: ["deploy without --rehearse"]
                    )
                )
            }
        }
        var taken: Set<String> = []
        var planned: [PlannedHost] = []
        for host in request.hosts {
            var builder = HostBuilder(request: request, host: host)
            planned.append(builder.build(taken: &taken, problems: &problems))
        }
        // Nothing to do is not the same as done.
        if problems.all.isEmpty, !planned.contains(where: \.hasWork) {
            problems.report(
                Diagnostic(
                    "`when` leaves out every chosen host: no step of `\(playbook.name)` is for "
                        + HostRange.fold(planned.map(\.name)),
                    at: playbook.steps.first?.location,
                    hints: ["choose other hosts with --limit, or look at `when` of the steps"]
                )
            )
        } else if problems.all.isEmpty, request.release != nil, let step = playbook.releaseStep,
            !planned.contains(where: { $0.release != nil })
        {
            problems.report(
                Diagnostic(
                    "`\(step.name)` deploys the release, and `when` leaves out every chosen host",
                    at: step.location,
                    hints: ["choose other hosts with --limit, or look at its `when`"]
                )
            )
        }
        guard problems.all.isEmpty else { throw Diagnostics(problems.all) }
        return Plan(
            kind: request.kind,
            environment: request.inventory.environment,
            title: playbook.name,
            release: request.release,
            releaseStep: playbook.releaseStep?.name,
            fanout: request.fanout ?? playbook.strategy.fanout,
            maxFailures: playbook.strategy.maxFailures,
            onFailure: onFailure(request),
            batches: playbook.strategy.batches(of: request.hosts.map(\.name)),
            hosts: planned,
            takesLocks: true,
            leastReachable: playbook.strategy.unreachable.leastReachable(of: planned.count),
            keepsHostsOfOneRun: planned.flatMap(\.steps).contains(where: \.runsOnce),
            asksHealthFirst: request.kind == .deploy && !request.evenIfUnhealthy,
            rehearses: request.rehearses,
            revertWithinMilliseconds: playbook.strategy.revertWithinMilliseconds,
            soakMilliseconds: playbook.strategy.soakMilliseconds,
            libraries: libraries(of: planned),
            environmentHostCount: request.inventory.hosts.count
        )
    }

    /// A plan that runs one command on every host and reports how it ended.
    public static func exec(
        command: String,
        inventory: Inventory,
        hosts: [Host],
        fanout: Int,
        timeoutMilliseconds: Int,
        becomeUser: String? = nil
    ) -> Plan {
        let step = PlannedStep(
            name: "exec",
            kind: "run",
            action: .script(Script(command, becomeUser: becomeUser)),
            timeoutMilliseconds: timeoutMilliseconds
        )
        return Plan(
            kind: .exec,
            environment: inventory.environment,
            title: command,
            release: nil,
            releaseStep: nil,
            fanout: fanout,
            maxFailures: hosts.count,
            onFailure: .report,
            batches: [hosts.map(\.name)],
            hosts: hosts.map { PlannedHost(endpoint: $0.endpoint, steps: [step]) }
        )
    }

    /// A question about releases.
    public enum ReleaseQuestion: Sendable {
        /// Which releases the repository holds.
        case listing
        /// Which release is deployed.
        case reading
        /// Which parts of the release the host already has.
        case holding
    }

    /// The script that asks a host about releases; nil if the playbook deploys none.
    ///
    /// - Throws: ``FleetYAML/Diagnostics`` if the playbook's release step does not fit the host.
    public static func script(_ question: ReleaseQuestion, on host: Host, for request: PlanRequest)
        throws(Diagnostics) -> Script?
    {
        guard let step = request.playbook.releaseStep,
            let kind = step.kind as? any ReleaseStepKind
        else { return nil }
        var scope = HostBuilder(request: request, host: host).forward
        do {
            scope.becomeUser = try scope.user(of: step)
            let script =
                switch question {
                case .listing: try kind.listing(in: scope)
                case .reading: try kind.reading(in: scope)
                case .holding: try kind.holding(in: scope)
                }
            return script.completed(by: ScriptLibrary.texts)
        } catch {
            throw Diagnostics([
                Diagnostic(
                    error.message,
                    at: error.location,
                    hints: error.hint.map { [$0] } ?? []
                )
            ])
        }
    }

    /// Makes a plan that changes nothing, for running the smoke tests of what each host runs now.
    ///
    /// - Throws: `Diagnostics` if a reference cannot be resolved.
    public static func health(_ request: PlanRequest) throws(Diagnostics) -> Plan {
        var problems = Problems()
        let step = request.playbook.releaseStep
        var planned: [PlannedHost] = []
        for host in request.hosts {
            let reading = try script(.reading, on: host, for: request)
            let builder = HostBuilder(request: request, host: host)
            planned.append(
                PlannedHost(
                    endpoint: host.endpoint,
                    preflight: reading.map {
                        [PlannedPreflight(step: step?.name ?? "", script: $0)]
                    } ?? [],
                    steps: [],
                    revertChecks: builder.smokeTests(problems: &problems)
                )
            )
        }
        guard problems.all.isEmpty else { throw Diagnostics(problems.all) }
        return Plan(
            kind: .exec,
            environment: request.inventory.environment,
            title: "health",
            release: nil,
            releaseStep: step?.name,
            fanout: request.fanout ?? request.playbook.strategy.fanout,
            maxFailures: planned.count,
            onFailure: .report,
            batches: [request.hosts.map(\.name)],
            hosts: planned,
            libraries: libraries(of: planned)
        )
    }

    /// The libraries that the scripts of hosts need.
    private static func libraries(of hosts: [PlannedHost]) -> [String: String] {
        let names = Set(hosts.flatMap(\.scripts).compactMap(\.library))
        return ScriptLibrary.texts.filter { names.contains($0.key) }
    }

    /// A revert is never itself reverted, and without a release there is nothing to go back to.
    private static func onFailure(_ request: PlanRequest) -> Plan.FailurePolicy {
        if request.kind == .revert { return .hold }
        // Every host answers for itself, and there is nothing to stop.
        if request.playbook.steps.isEmpty { return .report }
        let isRevertible =
            request.playbook.releaseStep != nil || request.playbook.revert != nil
            || request.playbook.steps.contains { $0.kind.isUndoable }
        return isRevertible ? .revert : .hold
    }
}

/// Problems met while planning, each once.
private struct Problems {
    var all: [Diagnostic] = []

    mutating func report(_ diagnostic: Diagnostic) {
        // The same reference is undefined on many hosts; the first says enough.
        guard !all.contains(where: { $0.location == diagnostic.location }) else { return }
        all.append(diagnostic)
    }

    mutating func catching<T>(_ body: () throws(UndefinedReference) -> T?) -> T? {
        do {
            return try body()
        } catch {
            report(
                Diagnostic(
                    error.message,
                    at: error.location,
                    hints: error.hint.map { [$0] } ?? []
                )
            )
            return nil
        }
    }
}

/// Builds what one host will do.
private struct HostBuilder {
    let request: PlanRequest
    let host: Host
    let release: Release?
    let forward: StepScope
    let back: StepScope

    init(request: PlanRequest, host: Host) {
        self.request = request
        self.host = host
        release = request.releases[host.name] ?? request.release
        var variables = request.playbook.variables
        variables.merge(host.variables) { _, new in new }
        variables.merge(request.variables) { _, new in new }
        var forward = StepScope(
            environment: request.inventory.environment,
            endpoint: host.endpoint,
            variables: variables,
            release: release.map { ($0.tag ?? "", $0.commit) },
            files: request.files
        )
        forward.bundle = request.bundles[host.name]
        self.forward = forward
        var back = forward
        back.direction = .revert
        self.back = back
    }

    /// Resolves every step; `taken` holds the `run_once` steps that an earlier host has taken.
    mutating func build(taken: inout Set<String>, problems: inout Problems) -> PlannedHost {
        let playbook = request.playbook
        let steps = playbook.steps.filter { step in
            guard applies(step.whenGroups) else { return false }
            return !step.runsOnce || taken.insert(step.name).inserted
        }
        let wayBack = playbook.revert?.filter { applies($0.whenGroups) }
        var preflight = [
            PlannedPreflight(step: "earlier rollouts", script: RunDirectory.stillRunning)
        ]
        var forwardSteps: [PlannedStep] = []
        var revertSteps: [PlannedStep] = []
        var checks: [PlannedCheck] = []
        var revertChecks: [PlannedCheck] = []
        let smoke = smokeTests(isForward: true, problems: &problems)
        let smokeBefore = smokeTests(problems: &problems)
        var watched: [PlannedCheck] = []
        var watchedBack: [PlannedCheck] = []
        var forward = forward
        forward.listens = Self.listens(smoke)
        var back = back
        back.listens = Self.listens(smokeBefore)
        let looksAtProcess =
            steps.contains { $0.kind.isWatched }
            || release.map { release in smoke.contains { $0.proves(release) } } ?? true
        forward.answersUnseen = !looksAtProcess && !forward.listens.isEmpty
        back.answersUnseen = !looksAtProcess && !back.listens.isEmpty
        let restartsEvery = !playbook.steps.contains { $0.kind.leavesProcesses }
        (forward.restartsEveryService, back.restartsEveryService) = (restartsEvery, restartsEvery)
        walk(steps, from: forward, problems: &problems) { step, scope, problems in
            if let script = problems.catching({ () throws(UndefinedReference) in
                // What an earlier step makes is not there yet.
                var asking = scope
                asking.laterDirectory = scope.directory
                asking.directory = nil
                asking.forwardDirectory = nil
                return try step.kind.preflight(in: asking)
            }) {
                preflight.append(PlannedPreflight(step: step.name, script: script))
            }
            if let action = problems.catching({ () throws(UndefinedReference) in
                try step.kind.action(in: scope)
            }) {
                forwardSteps.append(planned(step, action))
            }
            if let script = problems.catching({ () throws(UndefinedReference) in
                try step.kind.verification(in: scope)
            }) {
                checks.append(Self.verification(of: step, script))
                if step.kind.isWatched { watched.append(Self.watch(step, script, behind: smoke)) }
            }
        }
        let teardown = playbook.teardown?.filter { applies($0.whenGroups) }
        walk(teardown ?? [], from: back, problems: &problems) { step, scope, problems in
            if let action = problems.catching({ () throws(UndefinedReference) in
                try step.kind.action(in: scope)
            }) {
                revertSteps.append(planned(step, action, condition: .absent))
            }
        }
        walk(wayBack ?? steps, from: back, problems: &problems) { step, scope, problems in
            if let action = problems.catching({ () throws(UndefinedReference) in
                // Steps of `revert:` are run as written; others know their own way back.
                let isOwn = wayBack != nil && !(step.kind is any ReleaseStepKind)
                return isOwn
                    ? try step.kind.action(in: scope)
                    : try step.kind.revertAction(in: scope, isIdempotent: step.isIdempotent)
            }) {
                let isRelease = step.kind is any ReleaseStepKind
                revertSteps.append(
                    planned(
                        step,
                        action,
                        factsOf: isRelease ? playbook.releaseStep?.name : nil,
                        // Uploads know what to do where there was nothing.
                        condition: !step.kind.isUpload ? .present : nil
                    )
                )
            }
        }
        walk(wayBack == nil ? steps : [], from: back, problems: &problems) {
            step,
            scope,
            problems in
            if let action = problems.catching({ () throws(UndefinedReference) in
                try step.kind.lastRevertAction(in: scope)
            }) {
                revertSteps.append(planned(step, action, named: "\(step.name), undone"))
            }
        }
        // What the forward steps changed is verified on the way back, whoever wrote that way.
        walk(steps, from: back, problems: &problems) { step, scope, problems in
            if let script = problems.catching({ () throws(UndefinedReference) in
                try step.kind.verification(in: scope)
            }) {
                let condition = !step.kind.isUpload ? SnapshotCondition.present : nil
                revertChecks.append(Self.verification(of: step, script, condition))
                if step.kind.isWatched {
                    watchedBack.append(Self.watch(step, script, behind: smokeBefore, condition))
                }
            }
            guard playbook.teardown != nil, let kind = step.kind as? any ReleaseStepKind else {
                return
            }
            if let action = problems.catching({ () throws(UndefinedReference) in
                try kind.removal(in: scope)
            }) {
                revertSteps.append(planned(step, action, condition: .absent))
            }
            if let script = problems.catching({ () throws(UndefinedReference) in
                try kind.absence(in: scope)
            }) {
                revertChecks.append(Self.verification(of: step, script, .absent))
            }
        }
        checks += smoke + watched
        revertChecks += smokeBefore + watchedBack
        if let time = playbook.strategy.deadmanMilliseconds, request.kind == .deploy {
            let back = Self.back(revertSteps, playbook, problems: &problems)
            // Nobody is there to type it when the switch fires.
            if host.ssh.becomePassword != nil,
                let step = back.first(where: { $0.script.becomeUser != nil })
            {
                problems.report(
                    Diagnostic(
                        "`deadman` lets \(host.name) go back by itself, and sudo wants a password there for `\(step.name)`",
                        at: playbook.steps.first?.location,
                        hints: [
                            "allow it in sudoers without one (NOPASSWD), or leave out `deadman`"
                        ]
                    )
                )
            }
            let arm = Action.deadman(.arm(milliseconds: time, back: back))
            forwardSteps.insert(Self.deadman("arm", arm), at: 0)
            revertSteps.insert(Self.deadman("disarm", .deadman(.disarm(rollout: nil))), at: 0)
            checks.append(
                PlannedCheck(
                    name: "confirm",
                    action: .deadman(.confirm),
                    deadlineMilliseconds: 0,
                    isAskedAfresh: true
                )
            )
        }
        return PlannedHost(
            endpoint: host.endpoint,
            release: steps.contains { $0.kind is any ReleaseStepKind } ? release : nil,
            preflight: preflight,
            steps: forwardSteps,
            checks: checks,
            revertSteps: revertSteps,
            revertChecks: revertChecks
        )
    }

    /// The smoke tests, of what is deployed or of what a host runs already.
    func smokeTests(isForward: Bool = false, problems: inout Problems) -> [PlannedCheck] {
        let scope = isForward ? forward : back
        return request.playbook.smoke.filter { applies($0.whenGroups) }.compactMap { test in
            problems.catching({ () throws(UndefinedReference) in
                try test.kind.action(in: scope)
            }).map { action in
                PlannedCheck(
                    name: test.name,
                    action: action,
                    passes: test.passes,
                    intervalMilliseconds: test.intervalMilliseconds,
                    deadlineMilliseconds: test.deadlineMilliseconds,
                    settleMilliseconds: test.settleMilliseconds,
                    condition: isForward ? nil : .present
                )
            }
        }
    }

    /// The way back as scripts that the host can run by itself.
    private static func back(
        _ steps: [PlannedStep],
        _ playbook: Playbook,
        problems: inout Problems
    ) -> [DeadMan.Step] {
        steps.filter { $0.condition != .absent }.compactMap { step in
            guard case .script(let script) = step.action else {
                problems.report(
                    Diagnostic(
                        "`deadman` needs a way back that the host can go by itself, and "
                            + "`\(step.name)` is no script",
                        at: playbook.revert?.first { $0.name == step.name }?.location,
                        hints: ["leave out `deadman`, or that step of `revert`"]
                    )
                )
                return nil
            }
            return DeadMan.Step(
                name: step.name,
                script: script,
                factsOf: step.factsOf,
                timeoutMilliseconds: step.timeoutMilliseconds
            )
        }
    }

    private static func deadman(_ name: String, _ action: Action) -> PlannedStep {
        PlannedStep(
            name: "\(name) the dead-man switch",
            kind: "deadman",
            action: action,
            isIdempotent: true
        )
    }

    private func applies(_ groups: [String]?) -> Bool {
        groups?.contains { host.groups.contains($0) } ?? true
    }

    /// Visits steps in order, each with the scope it runs in.
    private func walk(
        _ steps: [Step],
        from start: StepScope,
        problems: inout Problems,
        _ visit: (Step, StepScope, inout Problems) -> Void
    ) {
        var directory: String?
        var before: String?
        var ahead: String?
        for step in steps {
            var scope = start
            var there = start
            there.direction = .forward
            scope.stepEnvironment = step.environment
            scope.becomeUser = problems.catching { () throws(UndefinedReference) in
                try start.user(of: step)
            }
            scope.directory = directory
            scope.directoryBefore = before
            scope.forwardDirectory = ahead
            if let own = step.directory {
                scope.directory = problems.catching { () throws(UndefinedReference) in
                    try own.value(in: scope)
                }
                scope.directoryBefore = scope.directory
                scope.forwardDirectory = Self.known { () throws(UndefinedReference) in
                    try own.value(in: there)
                }
            }
            visit(step, scope, &problems)
            before =
                Self.known { () throws(UndefinedReference) in
                    try step.kind.directoryBefore(in: there)
                } ?? before
            ahead =
                Self.known { () throws(UndefinedReference) in
                    try step.kind.directoryForLaterSteps(in: there)
                } ?? ahead
            let next = problems.catching { () throws(UndefinedReference) in
                try step.kind.directoryForLaterSteps(in: scope)
            }
            directory = next ?? directory
        }
    }

    /// A value that is worked out once more; nil without one, which has been reported where it is first needed.
    private static func known(_ body: () throws(UndefinedReference) -> String?) -> String? {
        do throws(UndefinedReference) { return try body() } catch { return nil }
    }

    /// What is checked out does not change by waiting: it is asked once.
    private static func verification(
        of step: Step,
        _ script: Script,
        _ condition: SnapshotCondition? = nil
    ) -> PlannedCheck {
        PlannedCheck(
            name: "verify \(step.name)",
            step: step.name,
            action: .script(script),
            deadlineMilliseconds: 0,
            condition: condition
        )
    }

    /// How long a service is watched at the least, in milliseconds: one that dies at once is started again
    /// by systemd after 100 ms (systemd.service(5), RestartSec), and looks well in between.
    private static let watchMilliseconds = 1_000

    /// The same question once more, when some time has passed: by itself, or because smoke tests took it.
    private static func watch(
        _ step: Step,
        _ script: Script,
        behind smoke: [PlannedCheck],
        _ condition: SnapshotCondition? = nil
    ) -> PlannedCheck {
        let waited = smoke.map { $0.settleMilliseconds + ($0.passes - 1) * $0.intervalMilliseconds }
            .reduce(0, +)
        return PlannedCheck(
            name: "watch \(step.name)",
            step: step.name,
            action: .script(script),
            passes: waited >= watchMilliseconds ? 1 : 2,
            intervalMilliseconds: watchMilliseconds,
            deadlineMilliseconds: 0,
            condition: condition
        )
    }

    /// Where smoke tests connect to.
    private static func listens(_ smoke: [PlannedCheck]) -> [String] {
        var places: [String] = []
        for check in smoke {
            let place: String
            switch check.action {
            case .http(let probe): place = "\(probe.host):\(probe.port)"
            case .tcp(let probe): place = "\(probe.host):\(probe.port)"
            case .script, .upload, .deadman: continue
            }
            if !places.contains(place) { places.append(place) }
        }
        return places
    }

    private func planned(
        _ step: Step,
        _ action: Action,
        named name: String? = nil,
        factsOf: String? = nil,
        condition: SnapshotCondition? = nil
    ) -> PlannedStep {
        PlannedStep(
            name: name ?? step.name,
            kind: type(of: step.kind).key,
            action: action,
            timeoutMilliseconds: step.timeoutMilliseconds,
            retries: step.retries,
            isIdempotent: step.isIdempotent,
            isIrreversible: step.isIrreversible,
            runsOnce: step.runsOnce,
            factsOf: factsOf ?? step.name,
            condition: condition
        )
    }
}
