import FleetTestSupport
import Foundation
import Testing

/// `fleet health` against real services.
@Suite(.serialized) struct HealthTests {
    private let fixture: FleetFixture

    init() throws {
        fixture = try FleetFixture(hosts: 2)
        #expect(try fixture.fleet("deploy", "production", "--tag", "v1.0.0").status == 0)
    }

    private func health(_ more: String...) throws -> Command {
        try fixture.fleet(["health", "production"] + more, environment: [:])
    }

    private func stopService(_ index: Int) throws {
        try Command.shell(
            "kill $(cat app.pid); while kill -0 $(cat app.pid) 2>/dev/null; do sleep 0.02; done",
            in: fixture.servers[index].home
        )
    }

    @Test(
        "Healthy, then one service stops, then it is back: exit codes, changes told once, figures"
    )
    func fallsIllAndRecovers() throws {
        let alert = "echo \"$FLEET_HEALTH $FLEET_ENVIRONMENT $FLEET_SUMMARY\" >>alerts"
        let metrics = fixture.directory.path + "/fleet.prom"
        let first = try health("--on-change", alert, "--prometheus", metrics)
        #expect(first.status == 0, "\(first.output)\(first.errors)")
        #expect(first.output.contains("healthy") && first.output.contains("100%"))

        try stopService(1)
        for _ in 0..<2 {
            let ill = try health("--on-change", alert, "--prometheus", metrics)
            #expect(ill.status == 1, "\(ill.output)\(ill.errors)")
            #expect(ill.output.contains("unhealthy") && ill.output.contains("nobody answers"))
        }
        let text = fixture.directory.read("fleet.prom") ?? ""
        #expect(
            text.contains(#"fleet_healthy{environment="production",host="web1",check="health"} 1"#)
        )
        #expect(
            text.contains(#"fleet_healthy{environment="production",host="web2",check="health"} 0"#)
        )
        // Deployed anew, which waits until the service answers.
        let again = try fixture.fleet(
            ["deploy", "production", "--tag", "v1.0.0", "--even-if-unhealthy"],
            environment: [:]
        )
        #expect(again.status == 0, "\(again.output)\(again.errors)")
        let back = try health("--on-change", alert)
        #expect(back.status == 0, "\(back.output)\(back.errors)")
        #expect(back.output.contains("×"), "the sparkline shows when it was ill: \(back.output)")
        let alerts = (fixture.directory.read("project/alerts") ?? "").split(separator: "\n")
        #expect(alerts.count == 2 && alerts.last?.hasPrefix("healthy") ?? false, "\(alerts)")
        #expect(alerts.first?.hasPrefix("unhealthy production production unhealthy: web2") ?? false)
    }

    @Test("A playbook that only asks changes nothing, asks everybody, and says so")
    func onlyAsking() throws {
        try fixture.directory.write(
            """
            serial: 1
            smoke:
              - name: page
                http: { url: "http://${{ vars.address }}:${{ vars.port }}/health" }
                passes: 1
                deadline: 1s
            """,
            to: "project/playbooks/look.yml"
        )
        let good = try fixture.fleet("run", "look", "production")
        #expect(good.status == 0, "\(good.output)\(good.errors)")
        try stopService(0)
        let bad = try fixture.fleet("run", "look", "production")
        #expect(bad.status == 1, "\(bad.output)\(bad.errors)")
        #expect(bad.output.contains("nothing was changed on production; 1 of 2 hosts say no"))
        #expect(bad.errors.contains("web2  page ok"), "the second batch was asked all the same")
    }

    @Test("A host that cannot be asked is not healthy; a slow answer is not; JSON says both")
    func unknownAndSlow() throws {
        let slow = try health("--slow", "1ms", "-o", "json")
        #expect(slow.status == 1, "\(slow.output)\(slow.errors)")
        #expect(slow.output.contains("answered after"), "\(slow.output)")
        fixture.servers[0].stop()
        let unknown = try health("-o", "json")
        #expect(unknown.status == 1)
        let lines = try unknown.output.split(separator: "\n").map {
            try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
        }
        #expect(lines.count == 2)
        #expect(lines[0]?["state"] as? String == "unknown", "\(unknown.output)")
        #expect(lines[1]?["state"] as? String == "healthy", "\(unknown.output)")
    }

    @Test("Watching in a pipe prints a line a round, until it is interrupted")
    func watching() async throws {
        let watcher = try fixture.start(["health", "production", "--watch", "--every", "200ms"])
        try await eventually("three rounds") {
            fixture.said().split(separator: "\n").count { $0.contains("production healthy") } >= 3
        }
        kill(watcher.pid, SIGINT)
        #expect(watcher.wait() != 0)
    }
}
