import FleetReport
import FleetRollout
import FleetTransport
import Testing

struct HealthTextTests {
    private func sample(
        _ time: Int,
        _ latency: Int,
        _ state: HealthSample.State = .healthy,
        host: HostName = "web1",
        reason: String = ""
    ) -> HealthSample {
        HealthSample(
            host: host,
            check: "health",
            unixMilliseconds: time,
            latencyMilliseconds: latency,
            state: state,
            reason: reason
        )
    }

    @Test("Percentiles are measured values, by nearest rank; what is not healthy has no latency")
    func percentiles() {
        let summary = HealthText.Summary((1...100).map { sample($0, $0) })
        #expect(summary.percentiles?.p50 == 50 && summary.percentiles?.p95 == 95)
        #expect(summary.percentiles?.p99 == 99 && summary.uptimePercent == 100)
        let one = HealthText.Summary([
            sample(1, 7), sample(2, 9000, .unhealthy), sample(3, 1, .unknown),
        ])
        #expect(one.percentiles?.p50 == 7 && one.percentiles?.p99 == 7)
        #expect(one.uptimePercent.map { Int($0) } == 33)
        #expect(HealthText.Summary([]).uptimePercent == nil)
        #expect(HealthText.Summary([sample(1, 1, .unknown)]).percentiles == nil)
    }

    @Test func aSparklineShowsLatenciesGapsAndTrouble() {
        let width = HealthText.sparklineWidth
        let samples = [
            sample(0, 1), sample(1000 * 12 / 24, 8), sample(1000 * 23 / 24 + 1, 4, .unhealthy),
        ]
        let line = Array(HealthText.sparkline(samples, from: 0, to: 1000))
        #expect(line.count == width)
        #expect(line[0] == "▁" && line[12] == "█" && line[width - 1] == "×")
        #expect(line[1] == " ")
        #expect(HealthText.sparkline([], from: 5, to: 5).allSatisfy { $0 == " " })
    }

    @Test func aTableShowsEachHostWithWhatWasSeen() {
        let bad = sample(900, 12, .unhealthy, host: "web2", reason: "status 500\u{1B}[2J")
        let table = HealthText.table(
            [sample(900, 5), bad],
            history: [sample(100, 3), sample(900, 5), bad],
            from: 0,
            to: 1000,
            style: .plain
        )
        let lines = table.split(separator: "\n")
        #expect(lines.count == 3)
        #expect(
            lines[1].contains("web1") && lines[1].contains("100%") && lines[1].contains("3/5/5")
        )
        #expect(lines[2].contains("unhealthy") && lines[2].contains("0%"))
        #expect(!table.contains("\u{1B}"))
    }

    @Test func prometheusReadsTheMetrics() {
        let text = HealthText.prometheus(
            [sample(1_500, 1_005), sample(2_000, 1, .unknown, host: "a\"b")],
            environment: "production"
        )
        #expect(text.contains("# TYPE fleet_healthy gauge\n"))
        #expect(
            text.contains(
                #"fleet_latency_seconds{environment="production",host="web1",check="health"} 1.005"#
            )
        )
        #expect(text.contains(#"host="a\"b",check="health"} 0"#))
        #expect(text.contains("fleet_asked_timestamp_seconds"))
        #expect(text.hasSuffix("\n"))
    }
}
