import FleetPlan
import FleetReport
import FleetRollout
import FleetTransport
import Testing

struct DeliveryStatisticsTests {
    private let day = 86_400_000

    private func record(
        _ number: Int,
        _ outcome: RolloutOutcome?,
        at start: Int,
        took: Int = 60_000,
        kind: Plan.Kind = .deploy,
        undoes: String? = nil
    ) -> RolloutRecord {
        let plan = Plan(
            kind: kind,
            environment: "production",
            title: "Deploy app",
            release: Release(tag: "v1.0.\(number)", commit: String(repeating: "a", count: 40)),
            releaseStep: "pull",
            fanout: 1,
            maxFailures: 0,
            onFailure: .revert,
            batches: [["web1"]],
            hosts: [PlannedHost(endpoint: HostEndpoint(name: "web1"), steps: [])],
            adoptsLocksOf: undoes
        )
        let origin = RolloutOrigin(user: "ann", machine: "m", command: "deploy", version: "1")
        return RolloutRecord(
            id: RolloutID("r\(number)") ?? { preconditionFailure("a name") }(),
            environment: "production",
            kind: kind,
            title: "Deploy app",
            release: "v1.0.\(number)",
            hostCount: 1,
            user: "ann",
            startedUnixMilliseconds: start,
            endedUnixMilliseconds: outcome == nil ? nil : start + took,
            outcome: outcome,
            aim: RolloutAim(plan, origin)
        )
    }

    private func statistics(_ records: [RolloutRecord], days: Int = 28, leads: [Int] = [])
        -> DeliveryStatistics
    {
        DeliveryStatistics(
            of: "production",
            records.reversed(),
            in: 100 * day..<(100 + days) * day,
            leads: leads,
            timelines: []
        )
    }

    @Test func onlyReleasesThatChangedSomethingCount() {
        let start = 101 * day
        let found = statistics([
            record(1, .succeeded, at: start),
            record(2, .refused, at: start + 1),
            record(3, nil, at: start + 2),
            record(4, .succeeded, at: start + 3, kind: .run),
            record(5, .succeeded, at: start + 4, kind: .exec),
            record(6, .succeeded, at: start + 5, kind: .revert),
            record(7, .succeeded, at: 90 * day),
            record(8, .succeeded, at: start + 6),
        ])
        #expect(found.deploys == 2)
        #expect(found.failed == 0)
        #expect(found.deploysPerWeekHundredths == 50)
        #expect(found.changeFailurePercent == 0)
        #expect(found.restoreMilliseconds == nil)
    }

    @Test func oneThatWentBackByItselfIsRestoredAtItsEnd() {
        let found = statistics([record(1, .reverted, at: 101 * day, took: 90_000)])
        #expect(found.changeFailurePercent == 100)
        #expect(found.restoreMilliseconds == 90_000)
        #expect(found.notRestored == 0)
    }

    @Test func oneThatEndedUnknownIsRestoredByTheNextVerifiedOne() {
        let start = 101 * day
        let found = statistics([
            record(1, .unknown, at: start),
            record(2, .held, at: start + 600_000),
            record(3, .refused, at: start + 700_000),
            record(4, .succeeded, at: start + 1_200_000, took: 60_000),
        ])
        #expect(found.failed == 2)
        // From the beginning of each to the end of the fourth: 1,260 s and 660 s.
        #expect(found.restoreMilliseconds == 960_000)
        let open = statistics([record(1, .unknown, at: start), record(2, .held, at: start + 1)])
        #expect(open.restoreMilliseconds == nil && open.notRestored == 2)
    }

    @Test func oneThatWasTakenBackLaterHasFailed() {
        let start = 101 * day
        let found = statistics([
            record(1, .succeeded, at: start),
            record(2, .succeeded, at: start + 3_600_000, took: 60_000, kind: .revert, undoes: "r1"),
        ])
        #expect(found.failed == 1 && found.deploys == 1)
        #expect(found.restoreMilliseconds == 3_660_000)
        // A revert that was refused has taken nothing back.
        let refused = statistics([
            record(1, .succeeded, at: start),
            record(2, .refused, at: start + 1, kind: .revert, undoes: "r1"),
        ])
        #expect(refused.failed == 0)
    }

    @Test func aClockThatJumpedChangesNoDuration() {
        let plain = record(1, .succeeded, at: 101 * day, took: -3_600_000)
        let exact = RolloutRecord(
            id: plain.id,
            environment: plain.environment,
            kind: plain.kind,
            title: plain.title,
            release: plain.release,
            hostCount: 1,
            user: "ann",
            startedUnixMilliseconds: plain.startedUnixMilliseconds,
            endedUnixMilliseconds: plain.endedUnixMilliseconds,
            elapsedMilliseconds: 3300,
            outcome: .succeeded,
            aim: plain.aim
        )
        #expect(plain.milliseconds == 0)
        #expect(statistics([exact]).durationMilliseconds == 3300)
    }

    @Test func slowStepsAndFlakyHostsAreNamed() {
        let bad = Play(Play.plan([["web1", "web2"]])) { host, what in
            host == "web2" && what == "install" ? Failure("exited 1") : nil
        }
        let good = Play(Play.plan([["web1", "web2"]]))
        let found = DeliveryStatistics(
            of: "production",
            [],
            in: 0..<day,
            leads: [1000, 3000, 2000],
            timelines: [bad.report().timeline, good.report().timeline]
        )
        #expect(found.flakiestHosts.map(\.host) == ["web2"])
        #expect(found.flakiestHosts[0].failed == 1 && found.flakiestHosts[0].rollouts == 2)
        #expect(Set(found.slowestSteps.map(\.name)) == ["pull", "install", "health"])
        #expect(found.leadMilliseconds == 2000 && found.commits == 3)
        let text = StatisticsText.text(found, zone: .utc, style: .plain)
        #expect(text.contains("web2") && text.contains("in 1 of 2 rollouts"))
        #expect(text.contains("change failure rate   -"))
    }

    @Test(arguments: [
        (59_900, "59.9s"), (3_600_000, "1h00m"), (86_400_000, "1d00h"), (273_600_000, "3d04h"),
    ])
    func longTimesAreInDays(milliseconds: Int, text: String) {
        #expect(DurationText.long(milliseconds) == text)
    }
}

struct ZoneTests {
    /// A clock that goes from two hours ahead to one in the night to 2026-10-25, at 01:00 UTC.
    private let berlin = Zone { seconds in
        seconds < 1_792_890_000 ? (7200, "CEST") : (3600, "CET")
    }

    private func line(_ started: Int, took: Int?) -> HistoryLine {
        HistoryLine(
            rollout: "r1",
            environment: "production",
            kind: .deploy,
            title: "Deploy app",
            release: "v1",
            hosts: 1,
            user: "ann",
            startedUnixMilliseconds: started,
            endedUnixMilliseconds: took.map { started - 3_600_000 + $0 },
            milliseconds: took,
            outcome: took == nil ? nil : .succeeded
        )
    }

    @Test func aColumnNamesTheZoneOnceOrBesideEachTime() {
        let summer = 1_785_000_000_000
        let winter = 1_795_000_000_000
        let one = HistoryText.table([line(winter, took: 1000)], zone: berlin, style: .plain)
        #expect(one.contains("started (CET)"))
        let both = HistoryText.table(
            [line(winter, took: 1000), line(summer, took: nil)],
            zone: berlin,
            style: .plain
        )
        #expect(both.contains("started (local time)"))
        #expect(both.contains(" CET ") && both.contains(" CEST "))
    }

    @Test func howLongItTookIsNotTheDifferenceOfTwoClocks() {
        let text = HistoryText.table([line(0, took: 4200)], style: .plain)
        #expect(text.contains("4.2s"))
    }

    @Test func aDayBeginsOnTheReadersClock() {
        // 2026-10-24 is summer, 2026-10-26 winter.
        #expect(berlin.start(ofDay: 20_750) == 20_750 * 86_400_000 - 7_200_000)
        #expect(berlin.start(ofDay: 20_752) == 20_752 * 86_400_000 - 3_600_000)
        #expect(Zone.utc.start(ofDay: 3) == 3 * 86_400_000)
    }
}
