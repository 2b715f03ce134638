import FleetTestSupport
import Foundation
import Testing

/// Two controllers, each with a journal of its own, as on two machines.
@Suite(.serialized) struct LockTests {
    private let fleet: HoldingFleet
    private var fixture: FleetFixture { fleet.fixture }

    init() throws { fleet = try HoldingFleet() }

    @Test("O17: of two controllers one goes on, and the other touches nothing and says who it is")
    func twoControllers() async throws {
        let first = try fleet.start("a", "deploy", "production", "--tag", "v1.0.0")
        try await eventually("the first one is at it") {
            fleet.file("holding", 0) != nil && fleet.file("holding", 1) != nil
        }
        let second = try fleet.run(
            "b",
            "deploy",
            "production",
            "--tag",
            "v1.1.0",
            "--limit",
            "web2"
        )
        #expect(second.status == 75, "\(second.output)\(second.errors)")
        let id = try fleet.id("a")
        #expect(second.errors.contains("E_LOCKED production is locked by rollout \(id)"))
        let status = try fleet.run("b", "lock", "status", "production")
        #expect(status.status == 1)
        #expect(status.output.hasPrefix("web[1-2]  \(id) ("), "\(status.output)")
        try fleet.letGo()
        #expect(first.wait() == 0, "\(fleet.said("a"))")
        #expect(fleet.file("held", 1) == "v1.0.0\n")
        let free = try fleet.run("b", "lock", "status", "production")
        #expect(free.output == "web[1-2]  free\n")
        #expect(free.status == 0)
    }

    @Test("O16: of many controllers at once exactly one touches the hosts")
    func manyControllers() throws {
        try fleet.letGo()
        for round in 0..<4 {
            let tag = round % 2 == 0 ? "v1.0.0" : "v1.1.0"
            let before = fleet.file("held", 0) ?? ""
            // Half of them share a machine.
            let racers = try (0..<6).map { number in
                try fleet.start("r\(number / 2)", "deploy", "production", "--tag", tag)
            }
            let statuses = racers.map { $0.wait() }
            let winners = statuses.count { $0 == 0 }
            #expect(
                Set(statuses).isSubset(of: [0, 75, 11]),
                "\(statuses) \((0..<3).map { fleet.said("r\($0)") })"
            )
            // They may also come one after the other.
            let runs = (fleet.file("held", 0) ?? "").dropFirst(before.count).split(separator: "\n")
                .count
            #expect(runs == winners, "\(statuses)")
            #expect(try fixture.tag(0) == (winners > 0 ? tag : try fixture.tag(0)))
        }
        #expect(try fleet.run("z", "lock", "status", "production").status == 0)
    }

    @Test("O18: the lock of a killed controller is nobody else's, and its own when it is taken up")
    func staleLock() async throws {
        let first = try fleet.start("a", "deploy", "production", "--tag", "v1.0.0")
        try await eventually("the first one is at it") { fleet.file("holding", 1) != nil }
        kill(first.pid, SIGKILL)
        first.wait()
        let other = try fleet.run("b", "deploy", "production", "--tag", "v1.1.0")
        #expect(other.status == 75, "\(other.output)\(other.errors)")
        try fleet.letGo()
        let resumed = try fleet.run("a", "resume")
        #expect(resumed.status == 0, "\(resumed.output)\(resumed.errors)")
        #expect(fleet.file("held", 0) == "v1.0.0\n", "the step ran once")
        #expect(try fleet.run("b", "deploy", "production", "--tag", "v1.1.0").status == 0)
    }

    @Test("O19: a broken lock ends what runs, and the host refuses its old owner")
    func brokenLock() async throws {
        let first = try fleet.start("a", "deploy", "production", "--tag", "v1.0.0")
        try await eventually("the first one is at it") {
            fleet.file("holding", 0) != nil && fleet.file("holding", 1) != nil
        }
        let id = try fleet.id("a")
        let wrong = try fleet.run(
            "b",
            "lock",
            "break",
            "production",
            "--owner",
            "x",
            "--reason",
            "r"
        )
        #expect(wrong.status == 11)
        let broken = try fleet.run(
            "b",
            "lock",
            "break",
            "production",
            "--owner",
            id,
            "--reason",
            "it hangs"
        )
        #expect(broken.status == 0, "\(broken.output)\(broken.errors)")
        #expect(broken.output.contains("broken on web[1-2]"))
        #expect(first.wait() == 21, "\(fleet.said("a"))")
        #expect(fleet.said("a").contains("E_FENCED"))
        #expect(fleet.file("held", 0) == nil, "what ran was ended")
        try fleet.letGo()
        let second = try fleet.run("b", "deploy", "production", "--tag", "v1.1.0")
        #expect(second.status == 0, "\(second.output)\(second.errors)")
        #expect(try fixture.tag(0) == "v1.1.0")
        // The old owner has come to its end: there is nothing to take up.
        #expect(try fleet.run("a", "resume").status == 64)
    }

    @Test func aPersonMayHoldTheLocks() throws {
        try fleet.letGo()
        #expect(
            try fleet.run("a", "lock", "acquire", "production", "--reason", "kernel update").status
                == 0
        )
        let refused = try fleet.run(
            "b",
            "deploy",
            "production",
            "--tag",
            "v1.0.0",
            "--lock-wait",
            "1s"
        )
        #expect(refused.status == 75, "\(refused.output)\(refused.errors)")
        #expect(refused.errors.contains("kernel update"), "\(refused.errors)")
        // Anybody else neither takes it nor gives it back.
        let other = try fixture.fleet(
            ["lock", "acquire", "production", "--reason", "mine"],
            environment: ["GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "bob"]
        )
        #expect(other.status == 75, "\(other.output)\(other.errors)")
        #expect(
            try fixture.fleet(
                ["lock", "release", "production"],
                environment: ["GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "bob"]
            )
            .status == 1
        )
        // A variable that was left over is nobody.
        #expect(
            try fixture.fleet(
                ["lock", "release", "production"],
                environment: ["GITHUB_ACTIONS": "", "GITHUB_ACTOR": "bob"]
            )
            .status == 0
        )
        #expect(try fleet.run("b", "deploy", "production", "--tag", "v1.0.0").status == 0)
    }

    @Test("O24: one machine under two names is refused")
    func duplicates() throws {
        try fleet.letGo()
        let inventory = try #require(fixture.directory.read("project/inventory/production.yml"))
        let alias = inventory.split(separator: "\n", omittingEmptySubsequences: false)
            .map(String.init)
        let first = try #require(alias.firstIndex { $0.contains("web1:") })
        let copy = alias[first..<first + 3].map {
            $0.replacingOccurrences(of: "web1:", with: "same:")
        }
        try fixture.directory.write(
            (alias[..<first] + copy + alias[first...]).joined(separator: "\n"),
            to: "project/inventory/production.yml"
        )
        let result = try fleet.run("a", "deploy", "production", "--tag", "v1.0.0")
        #expect(result.status == 11, "\(result.output)\(result.errors)")
        #expect(result.output.contains("E_DUPLICATE_HOST"), "\(result.output)")
    }

    @Test("O23: a rollout is taken up as it was planned, whatever the files say by now")
    func changedFiles() async throws {
        let first = try fleet.start("a", "deploy", "production", "--tag", "v1.0.0")
        try await eventually("the first one is at it") { fleet.file("holding", 0) != nil }
        kill(first.pid, SIGKILL)
        first.wait()
        try fixture.directory.write(
            "name: other\nsteps:\n  - run: exit 1\n",
            to: "project/playbooks/deploy.yml"
        )
        try fleet.letGo()
        let resumed = try fleet.run("a", "resume")
        #expect(resumed.status == 0, "\(resumed.output)\(resumed.errors)")
        #expect(fleet.file("held", 1) == "v1.0.0\n")
    }
}
