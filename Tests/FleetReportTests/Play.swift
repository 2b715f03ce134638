import FleetPlan
import FleetReport
import FleetRollout
import FleetTransport

/// Plays a rollout with the real machine that decides, and keeps the records of it.
struct Play {
    /// What an attempt at a step, or a check, leads to; nil for success.
    typealias Answer = (_ host: HostName, _ what: String) -> Failure?

    private(set) var rollout: Rollout
    private(set) var entries: [JournalEntry] = []
    private let id: RolloutID
    private let start: Int
    private var now = 0
    private let hosts: [HostName: PlannedHost]

    static let commit = String(repeating: "b", count: 40)

    /// A plan with a step `pull`, a step `install` and a smoke test `health`.
    static func plan(
        _ batches: [[HostName]],
        environment: String = "production",
        title: String = "Deploy app",
        maxFailures: Int = 0,
        soak: Int? = nil
    ) -> Plan {
        func step(_ name: String, _ kind: String) -> PlannedStep {
            PlannedStep(name: name, kind: kind, action: .script(Script("true")))
        }
        return Plan(
            kind: .deploy,
            environment: environment,
            title: title,
            release: Release(tag: "v2.0.0", commit: commit),
            releaseStep: "pull",
            fanout: 1000,
            maxFailures: maxFailures,
            onFailure: .revert,
            batches: batches,
            hosts: batches.flatMap { $0 }.map { name in
                PlannedHost(
                    endpoint: HostEndpoint(name: name),
                    release: Release(tag: "v2.0.0", commit: commit),
                    steps: [step("pull", "checkout"), step("install", "run")],
                    checks: [
                        PlannedCheck(
                            name: "health",
                            action: .http(HTTPProbe(host: "127.0.0.1", port: 80, target: "/health"))
                        )
                    ],
                    revertSteps: [step("pull", "checkout")],
                    revertChecks: [
                        PlannedCheck(name: "verify pull", action: .script(Script("check")))
                    ]
                )
            },
            soakMilliseconds: soak
        )
    }

    /// Plays it to its end.
    init(
        _ plan: Plan,
        id: String = "20261122-190512-k3f9",
        start: Int = 1_763_838_312_000,
        stopAfter events: Int = .max,
        interruptAfter interruption: Int = .max,
        answer: Answer = { _, _ in nil }
    ) {
        rollout = Rollout(plan: plan)
        hosts = Dictionary(uniqueKeysWithValues: plan.hosts.map { ($0.name, $0) })
        self.id = RolloutID(id) ?? { preconditionFailure("a name") }()
        self.start = start
        record(
            .planned(
                plan: plan,
                origin: RolloutOrigin(
                    user: "ann",
                    machine: "laptop",
                    command: "deploy production",
                    version: "1.0.0"
                )
            )
        )
        var waiting = handle(.started)
        var taken = 0
        var next = 0
        while next < waiting.count, taken < events {
            let effect = waiting[next]
            next += 1
            guard let event = event(for: effect, answer) else { continue }
            taken += 1
            waiting += handle(event)
            if taken == interruption { waiting += handle(.interrupted(signal: 2)) }
        }
        guard interruption < .max else { return }
        // Somebody takes it up again three hours later.
        gap = 3 * 3_600_000
        waiting = handle(.resumed(.onward))
        while !waiting.isEmpty {
            guard let event = event(for: waiting.removeFirst(), answer) else { continue }
            waiting += handle(event)
        }
    }

    private var gap = 0

    private mutating func record(_ body: JournalEntry.Body) {
        entries.append(
            JournalEntry(
                rollout: id,
                sequence: entries.count + 1,
                elapsedMilliseconds: now,
                unixMilliseconds: start + now + gap,
                body: body
            )
        )
    }

    private mutating func handle(_ event: RolloutEvent) -> [RolloutEffect] {
        now += 100
        record(.event(event))
        let effects = rollout.handle(event, at: now)
        for effect in effects where effect.isRecorded { record(.effect(effect)) }
        return effects
    }

    private func event(for effect: RolloutEffect, _ answer: Answer) -> RolloutEvent? {
        func planned(_ host: HostName) -> PlannedHost {
            hosts[host] ?? { preconditionFailure("a host of the plan") }()
        }
        switch effect {
        case .check(let host):
            if let failure = answer(host, "preflight") {
                return .hostChecked(host: host, outcome: .refused(failure))
            }
            let old = ["commit": String(repeating: "a", count: 40), "tag": "v1.0.0"]
            return .hostChecked(host: host, outcome: .ready(Snapshot(facts: ["pull": old])))
        case .lock(let host): return .locked(host: host, outcome: .done)
        case .unlock(let host): return .unlocked(host: host, outcome: .done)
        case .perform(let host, let step, let attempt):
            let steps =
                step.direction == .forward ? planned(host).steps : planned(host).revertSteps
            let name = (step.direction == .revert ? "revert " : "") + steps[step.index].name
            return .stepEnded(
                host: host,
                step: step,
                attempt: attempt,
                outcome: answer(host, name).map { .failed($0) } ?? .succeeded,
                outputBytes: 0
            )
        case .probe(let host, let direction, let check):
            let checks =
                direction == .forward ? planned(host).checks : planned(host).revertChecks
            return .probed(
                host: host,
                check: check,
                verdict: answer(host, checks[check].name).map { .fail($0) } ?? .pass
            )
        case .startTimer(let host, let number, _):
            return .timerFired(host: host, number: number)
        case .recover, .stop, .release, .halt, .decide, .conclude, .finish: return nil
        }
    }

    /// A report on it.
    func report(
        outputs: [RolloutReport.Output] = [],
        earlier: [RolloutReport.Earlier] = [],
        zone: Zone = .utc
    ) -> RolloutReport {
        guard case .planned(let plan, let origin) = entries[0].body else {
            preconditionFailure("a plan comes first")
        }
        return RolloutReport(
            id: id,
            origin: origin,
            startedUnixMilliseconds: start,
            timeline: RolloutTimeline(plan: plan, entries: entries),
            outputs: outputs,
            earlier: earlier,
            zone: zone
        )
    }
}
