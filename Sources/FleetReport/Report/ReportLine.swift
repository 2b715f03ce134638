internal import FleetPlan
internal import FleetRollout
internal import FleetTransport

/// What became of a rollout, for other programs.
public struct ReportLine: Sendable, Encodable {
    /// Hosts to which the same happened.
    public struct Hosts: Sendable, Encodable {
        let hosts: [HostName]
        let before: String
        let runs: String
        let state: String
        let cause: String
    }

    /// Hosts on which the same failed for the same reason.
    public struct Failure: Sendable, Encodable {
        let what: String
        let isBack: Bool
        let isLost: Bool
        let cause: String
        let hosts: [HostName]
    }

    /// Something that holds from one moment on.
    public struct Moment: Sendable, Encodable {
        let atMilliseconds: Int
        let text: String
    }

    let rollout: String
    let environment: String
    let title: String
    let outcome: String
    let sentence: String
    let startedUnixMilliseconds: Int
    let milliseconds: Int
    let user: String
    let machine: String
    let planDigest: String
    let hosts: [Hosts]
    let failures: [Failure]
    let course: [Moment]
    let next: [String]

    /// The same as a report, in a form that docs/json.md describes.
    public init(_ report: RolloutReport) {
        rollout = report.id.description
        environment = report.plan.environment
        title = report.title
        outcome = report.verdict
        sentence = report.sentence
        startedUnixMilliseconds = report.startedUnixMilliseconds
        milliseconds = report.milliseconds
        user = report.origin.user
        machine = report.origin.machine
        planDigest = report.plan.digest
        hosts = RolloutText.rows(report.rollout).map {
            Hosts(
                hosts: $0.hosts,
                before: $0.before,
                runs: $0.runs,
                state: $0.state,
                cause: $0.seen
            )
        }
        failures = report.failures.map {
            Failure(
                what: $0.what,
                isBack: $0.isBack,
                isLost: $0.isLost,
                cause: $0.cause,
                hosts: $0.hosts
            )
        }
        course = report.timeline.marks.map {
            Moment(atMilliseconds: $0.at, text: CourseText.line($0, plan: report.plan))
        }
        next = RolloutText.nextSteps(report.rollout, id: report.id)
    }
}
