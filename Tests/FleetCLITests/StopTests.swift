import FleetTestSupport
import Foundation
import Testing

/// A rollout in one terminal, and somebody in another one who wants it to stop.
@Suite(.serialized) struct StopTests {
    private let fleet: HoldingFleet

    init() throws { fleet = try HoldingFleet() }

    private func startHolding(_ machine: String = "a") async throws -> ChildProcess {
        let process = try fleet.start(machine, "deploy", "production", "--tag", "v1.0.0")
        try await eventually("both hosts are at it") {
            fleet.file("holding", 0) != nil && fleet.file("holding", 1) != nil
        }
        return process
    }

    /// Every step has run once, to its end.
    private func isWhole() {
        for host in 0..<2 {
            #expect(fleet.file("holding", host) == "v1.0.0\n")
            #expect(fleet.file("held", host) == "v1.0.0\n")
        }
    }

    /// Row O28.
    @Test("What runs on a host ends, nothing new starts, and it goes on where it was told to stop")
    func stops() async throws {
        let process = try await startHolding()
        let stop = try fleet.run("a", "stop", "--reason", "the database is slow")
        #expect(stop.status == 0, "\(stop.errors)")
        #expect(
            stop.output.contains("has heard it: what is under way ends, and nothing new starts"),
            "\(stop.output)"
        )
        #expect(process.isRunning)
        try fleet.letGo()
        #expect(process.wait() == 30, "\(fleet.said("a"))")
        #expect(fleet.said("a").contains("(“the database is slow”)"), "\(fleet.said("a"))")
        #expect(fleet.said("a").contains("stopped by "), "\(fleet.said("a"))")
        let audit = try fleet.run("a", "audit", "production")
        #expect(audit.output.contains("to stop after step"), "\(audit.output)")
        let resumed = try fleet.run("a", "resume")
        #expect(resumed.status == 0, "\(resumed.output)\(resumed.errors)")
        isWhole()
        #expect(try fleet.run("a", "journal", "verify", "production").status == 0)
    }

    /// Row O28.
    @Test("At once: the program ends although hosts are at it, and nothing of what they do is lost")
    func atOnce() async throws {
        let process = try await startHolding()
        let stop = try fleet.run("a", "stop", "--now")
        #expect(
            stop.status == 0 && stop.output.contains("runs on there"),
            "\(stop.output)\(stop.errors)"
        )
        #expect(process.wait() == 30, "\(fleet.said("a"))")
        for host in 0..<2 { #expect(fleet.file("held", host) == nil) }
        try fleet.letGo()
        let resumed = try fleet.run("a", "resume")
        #expect(resumed.status == 0, "\(resumed.output)\(resumed.errors)")
        isWhole()
    }

    @Test("Where there is nothing to stop, that is said, and what to type instead")
    func nothingToStop() async throws {
        let never = try fleet.run("a", "stop")
        #expect(
            never.status == 64 && never.errors.contains("has come to its end"),
            "\(never.errors)"
        )
        let unknown = try fleet.run("a", "stop", "20260101-000000-abcd")
        #expect(unknown.status == 64 && unknown.errors.contains("knows no rollout"))
        let both = try fleet.run("a", "stop", "--now", "--after", "step")
        #expect(both.status == 64 && both.errors.contains("not both"), "\(both.errors)")
        let wrong = try fleet.run("a", "stop", "--after", "lunch")
        #expect(wrong.status == 64 && wrong.errors.contains("neither `batch` nor `step`"))
        let process = try await startHolding()
        kill(process.pid, SIGKILL)
        process.wait()
        let dead = try fleet.run("a", "stop")
        #expect(
            dead.status == 11 && dead.errors.contains("nobody carries rollout"),
            "\(dead.errors)"
        )
        #expect(dead.errors.contains("fleet resume "), "\(dead.errors)")
        try fleet.letGo()
        #expect(try fleet.run("a", "resume").status == 0)
        let over = try fleet.run("a", "stop", fleet.id("a"))
        #expect(over.status == 11 && over.errors.contains("has come to its end: succeeded"))
    }

    /// Row O27.
    @Test(
        "A controller that was thought dead stops as soon as it starts something, and says who has taken over"
    )
    func twoControllers() async throws {
        let playbook = fleet.fixture.directory.path + "/project/playbooks/deploy.yml"
        let text = try String(contentsOfFile: playbook, encoding: .utf8)
        let second = """

              - name: second
                run: |
                  echo "$FLEET_TAG" >>"$HOME/second"
                  until [ -e "$HOME/go2" ]; do sleep 0.02; done

            """
        try (text + second).write(toFile: playbook, atomically: true, encoding: .utf8)
        let process = try await startHolding()
        kill(process.pid, SIGSTOP)
        // Its journal is copied to another machine, where somebody takes the rollout up.
        try Command.shell(
            "cp -r a b; cp -r a c; rm -f [bc]/*.lock",
            in: fleet.fixture.directory.path
        )
        let other = try fleet.start("b", "resume")
        try await eventually("the hosts know") {
            try (0..<2).allSatisfy { host in
                let owner = fleet.fixture.servers[host].home + "/.fleet/locks/production/owner"
                return try String(contentsOfFile: owner, encoding: .utf8).contains(" 2.")
            }
        }
        try fleet.letGo()
        try await eventually("it has gone on") {
            fleet.file("second", 0) != nil && fleet.file("second", 1) != nil
        }
        // A third one is told who has it, and takes it only when it is asked a second time.
        let third = try fleet.run("c", "resume")
        #expect(third.status == 30 && third.errors.contains("E_SUPERSEDED"), "\(third.errors)")
        kill(process.pid, SIGCONT)
        #expect(process.wait() == 30, "\(fleet.said("a"))")
        #expect(fleet.said("a").contains("E_SUPERSEDED"), "\(fleet.said("a"))")
        #expect(fleet.said("a").contains("another controller carries this rollout out"))
        for server in fleet.fixture.servers { try Command.shell("touch go2", in: server.home) }
        #expect(other.wait() == 0, "\(fleet.said("b"))")
        isWhole()
        for host in 0..<2 { #expect(fleet.file("second", host) == "v1.0.0\n") }
        #expect(try [0, 1].map(fleet.fixture.tag) == ["v1.0.0", "v1.0.0"])
        #expect(try fleet.run("b", "journal", "verify", "production").status == 0)
    }
}
