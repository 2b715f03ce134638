import FleetJournal
import FleetPlan
import FleetRollout
import FleetTestSupport
import FleetTransport
import Testing

/// What the journal says of releases: staged, live, taken back.
struct ReleaseRecordTests {
    private let directory: TemporaryDirectory
    private let journal: Journal

    init() throws {
        directory = try TemporaryDirectory()
        journal = try Journal(in: StateDirectory(path: directory.path + "/state/fleet"))
    }

    private static func commit(_ letter: Character) -> String {
        String(repeating: letter, count: 40)
    }

    /// Records a rollout from its plan to its end, each one a second after the one before.
    private func record(
        _ number: Int,
        _ kind: Plan.Kind,
        _ letter: Character?,
        _ outcome: RolloutOutcome?,
        undoing: Int? = nil,
        hosts: [HostName] = ["web1"],
        of hostCount: Int? = nil,
        smokeTests: [String] = [],
        second: Int? = nil
    ) async throws {
        let id = try #require(RolloutID("r\(10_000 + number)"))
        let plan = Plan(
            kind: kind,
            environment: "staging",
            title: "t",
            release: letter.map { Release(tag: "v\($0)", commit: Self.commit($0)) },
            releaseStep: "pull",
            fanout: 1,
            maxFailures: 0,
            onFailure: .revert,
            batches: [hosts],
            hosts: hosts.map { host in
                PlannedHost(
                    endpoint: HostEndpoint(name: host),
                    steps: [],
                    checks: smokeTests.map { name in
                        PlannedCheck(name: name, action: .script(Script("true")))
                    }
                )
            },
            adoptsLocksOf: undoing.map { "r\(10_000 + $0)" },
            environmentHostCount: hostCount
        )
        let origin = RolloutOrigin(user: "u", machine: "m", command: "c", version: "0")
        var bodies: [JournalEntry.Body] = [.planned(plan: plan, origin: origin)]
        if let outcome { bodies.append(.effect(.finish(outcome))) }
        try await journal.append(
            bodies.enumerated().map { index, body in
                JournalEntry(
                    rollout: id,
                    sequence: index + 1,
                    elapsedMilliseconds: index,
                    unixMilliseconds: 1_700_000_000_000 + (second ?? number) * 1000 + index,
                    body: body
                )
            }
        )
    }

    private func live() throws -> String? { try journal.live(in: "staging")?.release.tag }
    private func isStaged(_ letter: Character) throws -> Bool {
        try journal.succeeded(Self.commit(letter), in: "staging") != nil
    }
    private func isTakenBack(_ letter: Character) throws -> Bool {
        try journal.reverted(Self.commit(letter), in: "staging") != nil
    }

    @Test func aGoodDeployIsLiveAndStaged() async throws {
        try await record(1, .deploy, "a", .succeeded)
        try await record(2, .deploy, "b", .reverted)
        try await record(3, .deploy, "c", .refused)
        #expect(try live() == "va")
        #expect(try isStaged("a") && !isStaged("b") && !isStaged("c"))
        #expect(try !isTakenBack("a") && isTakenBack("b") && !isTakenBack("c"))
    }

    @Test("What was taken back by hand is neither live nor staged, wherever its hosts came from")
    func takenBackByHand() async throws {
        try await record(1, .deploy, "a", .succeeded)
        try await record(2, .deploy, "b", .succeeded)
        try await record(3, .revert, nil, .succeeded, undoing: 2)
        #expect(try live() == nil, "the hosts run different ones")
        #expect(try !isStaged("b") && isTakenBack("b") && isStaged("a"))
        try await record(4, .revert, "a", .succeeded, undoing: 2)
        #expect(try live() == "va")
    }

    @Test(
        "A way back that did not come to a good end leaves the release taken back",
        arguments: [RolloutOutcome.revertFailed, .held, .unknown]
    )
    func failedWayBack(_ outcome: RolloutOutcome) async throws {
        try await record(1, .deploy, "b", .succeeded)
        try await record(2, .revert, "a", outcome, undoing: 1)
        #expect(try isTakenBack("b") && !isStaged("b"))
        #expect(try live() == nil, "a mixed state")
    }

    @Test("However many commands there were, what was deployed and what is unfinished is known")
    func commandsInBetween() async throws {
        try await record(1, .deploy, "a", .succeeded)
        try await record(2, .deploy, "b", .reverted)
        try await record(3, .deploy, "c", nil)
        for number in 10..<260 { try await record(number, .exec, nil, .succeeded) }
        #expect(try isStaged("a") && isTakenBack("b"))
        #expect(try journal.unfinished(in: "staging")?.id.description == "r10003")
        #expect(try journal.beginnings(limit: 3).count == 3)
        #expect(
            try journal.history(environment: "staging", limit: 5).allSatisfy { $0.kind == .exec }
        )
    }

    @Test(
        "A deploy to some of the hosts is live where the others have the same, and stages nothing"
    )
    func someOfTheHosts() async throws {
        let both: [HostName] = ["web1", "web2"]
        let tests: Set = ["up command true", "import command true"]
        try await record(1, .deploy, "a", .succeeded, hosts: both, of: 2, smokeTests: ["up"])
        #expect(try live() == "va")
        #expect(
            try journal.succeeded(Self.commit("a"), in: "staging", passing: ["up command true"])
                != nil
        )
        #expect(
            try journal.succeeded(Self.commit("a"), in: "staging", passing: tests) == nil,
            "one of the smoke tests was never asked"
        )
        try await record(2, .deploy, "b", .succeeded, of: 2, smokeTests: ["up", "import"])
        #expect(try live() == nil, "web2 runs another one")
        #expect(
            try journal.succeeded(Self.commit("b"), in: "staging", passing: tests) == nil,
            "web2 never had it"
        )
        #expect(try isStaged("b"), "that it succeeded somewhere is known")
        try await record(3, .deploy, "b", .succeeded, hosts: ["web2"], of: 2)
        #expect(try live() == "vb")
        try await record(
            4,
            .deploy,
            "b",
            .succeeded,
            hosts: both,
            of: 2,
            smokeTests: ["up", "import"]
        )
        #expect(try journal.succeeded(Self.commit("b"), in: "staging", passing: tests) != nil)
    }

    @Test("A smoke test for some of the hosts counts, and so does a playbook that asks for none")
    func smokeTestsOfSome() async throws {
        let plan = Plan(
            kind: .deploy,
            environment: "staging",
            title: "t",
            release: Release(tag: "va", commit: Self.commit("a")),
            releaseStep: "pull",
            fanout: 1,
            maxFailures: 0,
            onFailure: .revert,
            batches: [["web1", "db1"]],
            hosts: ["web1", "db1"].map { (name: HostName) in
                PlannedHost(
                    endpoint: HostEndpoint(name: name),
                    steps: [],
                    checks: name == "db1"
                        ? []
                        : [
                            PlannedCheck(name: "up", action: .script(Script("true"))),
                            PlannedCheck(
                                name: "confirm",
                                action: .deadman(.confirm),
                                isAskedAfresh: true
                            ),
                        ]
                )
            },
            environmentHostCount: 2
        )
        #expect(plan.smokeTests == ["up command true"])
        try await record(1, .deploy, "b", .succeeded)
        #expect(try journal.succeeded(Self.commit("b"), in: "staging", passing: []) != nil)
        #expect(
            try journal.succeeded(Self.commit("b"), in: "staging", passing: ["up command true"])
                == nil
        )
    }

    /// Row K8.
    @Test("What was written last is the newest, whatever the clock said and the name sorts to")
    func clockSetBack() async throws {
        try await record(9, .deploy, "a", .succeeded, second: 900)
        try await record(1, .deploy, "b", .succeeded, second: 100)
        #expect(try live() == "vb")
        #expect(
            try journal.history(environment: "staging", limit: 1).first?.id.description == "r10001"
        )
        try await record(8, .deploy, "c", nil, second: 50)
        try await record(2, .exec, nil, .succeeded, second: 2000)
        #expect(try journal.unfinished(in: "staging")?.id.description == "r10008")
    }

    @Test func approvalsAndRemarksStandAlone() async throws {
        let approval = Approval(
            environment: "production",
            release: Release(tag: "v1", commit: Self.commit("a")),
            planDigest: "d",
            approver: "qa@example.com",
            machine: "m",
            note: "good",
            unixMilliseconds: 1,
            expiresUnixMilliseconds: 2
        )
        let stamp = try #require(RolloutID("20261125-000000-abcd"))
        try await journal.note(.approved(approval), stamp: stamp, at: 1)
        let remark = Remark(
            environment: "production",
            what: "w",
            reason: "r",
            user: "u",
            machine: "m"
        )
        try await journal.note(.remarked(remark), stamp: stamp, at: 2)
        #expect(try journal.approvals(for: "production") == [approval])
        #expect(try journal.approvals(for: "staging").isEmpty)
        #expect(
            try journal.beginnings(limit: 10).map(\.body) == [
                .remarked(remark), .approved(approval),
            ]
        )
        #expect(try journal.verify() == 2)
        await #expect(throws: JournalError.self) {
            try await journal.note(.approved(approval), stamp: stamp, at: 3)
        }
    }
}
