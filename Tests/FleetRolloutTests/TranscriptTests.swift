import FleetPlan
import FleetTestSupport
import FleetTransport
import Foundation
import Testing

@testable import FleetRollout

/// Plays the stories in `Transcripts/`: events in, effects out, as lines that read as a story.
///
/// A line `> event` is an event; the lines after it are the effects that it must cause.
/// `FLEET_UPDATE_TRANSCRIPTS=1` writes what really happens; the difference is then reviewed.
struct TranscriptTests {
    static let folder = Package.root + "/Tests/FleetRolloutTests/Transcripts"

    static var stories: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
    }

    @Test func thereAreStories() { #expect(Self.stories.count >= 8) }

    @Test(arguments: stories)
    func tells(_ story: String) throws {
        let path = Self.folder + "/" + story
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let told = try Storyteller(text).tell()
        if ProcessInfo.processInfo.environment["FLEET_UPDATE_TRANSCRIPTS"] != nil {
            try told.write(toFile: path, atomically: true, encoding: .utf8)
        }
        #expect(told == text, "\(story)")
    }
}

/// Reads the events of a story and writes it anew with what the machine does.
private struct Storyteller {
    let lines: [String]

    init(_ text: String) { lines = text.components(separatedBy: "\n") }

    func tell() throws -> String {
        var told: [String] = []
        var rollout = Rollout(plan: try plan())
        var now = 0
        for line in lines {
            if line.hasPrefix("#") || line.hasPrefix("plan ") || line.isEmpty {
                told.append(line)
            } else if line.hasPrefix("> ") {
                told.append(line)
                let words = line.dropFirst(2).split(separator: " ").map(String.init)
                now += words.first.flatMap { Int($0.dropFirst()) } ?? 0
                let event = try event(Array(words.dropFirst()), in: rollout)
                told += rollout.handle(event, at: now).map { "    " + Self.text($0) }
            }
        }
        return told.joined(separator: "\n")
    }

    /// Reads the line that describes the plan.
    ///
    /// `plan batches=1,2 fanout=2 max_failures=0 policy=revert steps=pull,run checks=1x3`
    private func plan() throws -> Plan {
        let words = try #require(lines.first { $0.hasPrefix("plan ") }).split(separator: " ")
        var values: [String: String] = [:]
        for word in words.dropFirst() {
            let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
            values[parts[0]] = parts[1]
        }
        let sizes = (values["batches"] ?? "1").split(separator: ",").compactMap { Int($0) }
        var names = (1...sizes.reduce(0, +)).map { HostName("web\($0)") }
        let commit = String(repeating: "b", count: 40)
        let steps = (values["steps"] ?? "pull").split(separator: ",").map { word in
            let name = word.prefix { $0 != "!" && $0 != "?" && $0 != "*" }
            return PlannedStep(
                name: String(name),
                kind: "run",
                action: .script(Script(String(name))),
                retries: word.contains("*") ? 1 : 0,
                isIdempotent: word.contains("?"),
                isIrreversible: word.contains("!")
            )
        }
        let passes = Int(values["passes"] ?? "") ?? 0
        let checks =
            passes == 0
            ? []
            : [
                PlannedCheck(
                    name: "health",
                    action: .script(Script("check")),
                    passes: passes,
                    deadlineMilliseconds: 5000
                )
            ]
        let hosts = names.map { name in
            PlannedHost(
                endpoint: HostEndpoint(name: name),
                release: Release(tag: "v2", commit: commit),
                steps: steps,
                checks: values["unchecked"] == name.text ? [] : checks,
                revertSteps: values["teardown"] == nil
                    ? [steps[0]] : Self.back(steps[0]),
                revertChecks: [
                    PlannedCheck(
                        name: "health",
                        action: .script(Script("check")),
                        passes: max(1, passes),
                        deadlineMilliseconds: 5000,
                        condition: values["teardown"] == nil ? nil : .present
                    )
                ]
                    + (values["teardown"] == nil
                        ? []
                        : [
                            PlannedCheck(
                                name: "gone",
                                action: .script(Script("gone")),
                                deadlineMilliseconds: 0,
                                condition: .absent
                            )
                        ])
            )
        }
        var batches: [[HostName]] = []
        for size in sizes {
            batches.append(Array(names.prefix(size)))
            names.removeFirst(size)
        }
        return Plan(
            kind: values["kind"].flatMap(Plan.Kind.init) ?? .deploy,
            environment: "e",
            title: "t",
            release: Release(tag: "v2", commit: commit),
            releaseStep: "pull",
            fanout: Int(values["fanout"] ?? "") ?? 10,
            maxFailures: Int(values["max_failures"] ?? "") ?? 0,
            onFailure: values["policy"].flatMap(Plan.FailurePolicy.init) ?? .revert,
            batches: batches,
            hosts: hosts,
            takesLocks: values["locks"] != nil,
            leastReachable: values["reachable"].flatMap { Int($0) },
            asksHealthFirst: values["health_first"] != nil,
            rehearses: values["rehearse"] != nil,
            soakMilliseconds: values["soak"].flatMap { Int($0) }
        )
    }

    /// A way back that tears a first deploy down.
    private static func back(_ step: PlannedStep) -> [PlannedStep] {
        [("stop", SnapshotCondition.absent), (step.name, .present), ("remove", .absent)].map {
            PlannedStep(
                name: $0.0,
                kind: "run",
                action: .script(Script($0.0)),
                isIdempotent: true,
                condition: $0.1
            )
        }
    }

    private func event(_ words: [String], in rollout: Rollout) throws -> RolloutEvent {
        let failure = Failure(words.dropFirst(2).joined(separator: " "))
        let host = HostName(words.count > 1 ? words[1] : "")
        switch words[0] {
        case "started": return .started
        case "must-halt": return .mustHalt(failure)
        case "interrupted": return .interrupted(signal: 2)
        case "stop-batch", "stop-step", "stop-now":
            let point = StopRequest.Point(rawValue: String(words[0].dropFirst(5)))
            let id = try #require(RolloutID("r1"))
            return .askedToStop(
                StopRequest(id, after: try #require(point), user: "ann", machine: "m")
            )
        case "superseded":
            return .superseded(host: host, epoch: 2, failure: Failure("taken up by bob"))
        case "resumed": return .resumed(words.count > 1 ? .back : .onward)
        case "locked": return .locked(host: host, outcome: .done)
        case "lock-refused": return .locked(host: host, outcome: .refused(failure))
        case "lock-unreachable": return .locked(host: host, outcome: .unreachable(failure))
        case "unlocked": return .unlocked(host: host, outcome: .done)
        case "unlock-unreachable": return .unlocked(host: host, outcome: .unreachable(failure))
        case "stale": return .timerFired(host: host, number: Int(words[2]) ?? 0)
        case "timer":
            return .timerFired(
                host: host,
                number: rollout.progress(of: host)?.timerCount ?? 0
            )
        case "ready":
            let commit = String(repeating: "a", count: 40)
            return .hostChecked(
                host: host,
                outcome: .ready(Snapshot(facts: ["pull": ["commit": commit]]))
            )
        case "ready-empty":
            return .hostChecked(
                host: host,
                outcome: .ready(Snapshot(facts: ["pull": ["state": "absent"]]))
            )
        case "skewed":
            return .hostChecked(
                host: host,
                outcome: .ready(Snapshot(facts: [Snapshot.hostFacts: ["skew": words[2]]]))
            )
        case "cut-off": return .hostChecked(host: host, outcome: .lost(failure))
        case "gone": return .probed(host: host, check: 1, verdict: .pass)
        case "refused": return .hostChecked(host: host, outcome: .refused(failure))
        case "away": return .hostChecked(host: host, outcome: .unreachable(failure))
        case "pass": return .probed(host: host, check: 0, verdict: .pass)
        case "fail": return .probed(host: host, check: 0, verdict: .fail(failure))
        case "inconclusive": return .probed(host: host, check: 0, verdict: .inconclusive(failure))
        default:
            let outcomes: [String: StepOutcome] = [
                "ok": .succeeded, "failed": .failed(Failure("exited 1")),
                "lost": .lost(Failure("gone")), "barred": .barred(Failure("another key")),
                "unreachable": .unreachable(Failure("down")),
                "fenced": .fenced(Failure("taken over")), "never": .neverStarted,
                "vanished": .vanished, "stuck": .stuck(Failure("stuck")),
            ]
            let parts = words[2].split(separator: "-").map(String.init)
            let direction: StepReference.Direction = parts[0].hasPrefix("f") ? .forward : .revert
            return .stepEnded(
                host: host,
                step: StepReference(direction, Int(parts[0].dropFirst()) ?? 0),
                attempt: Int(parts[1]) ?? 0,
                outcome: try #require(outcomes[words[0]], "\(words[0])"),
                outputBytes: 0
            )
        }
    }

    private static func text(_ effect: RolloutEffect) -> String {
        switch effect {
        case .check(let host): "check \(host)"
        case .lock(let host): "lock \(host)"
        case .unlock(let host): "unlock \(host)"
        case .perform(let host, let step, let attempt):
            "perform \(host) \(step.key(attempt: attempt))"
        case .recover(let host, let step, let attempt):
            "recover \(host) \(step.key(attempt: attempt))"
        case .stop(let host, let step, let attempt): "stop \(host) \(step.key(attempt: attempt))"
        case .probe(let host, let direction, let check):
            "probe \(host) \(direction.rawValue) \(check)"
        case .startTimer(let host, let number, let milliseconds):
            "timer \(host) \(number) \(milliseconds) ms"
        case .release(let host): "release \(host)"
        case .halt(let host, let failure): "HALT \(host): \(failure.summary)"
        case .decide(let decision, let reason): "DECIDE \(decision.rawValue): \(reason)"
        case .conclude(let host, let outcome): "conclude \(host) \(outcome.rawValue)"
        case .finish(let outcome): "FINISH \(outcome.rawValue)"
        }
    }
}
