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
        undoing: Int? = nil
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
            batches: [["web1"]],
            hosts: [PlannedHost(endpoint: HostEndpoint(name: "web1"), steps: [])],
            adoptsLocksOf: undoing.map { "r\(10_000 + $0)" }
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
                    unixMilliseconds: 1_700_000_000_000 + number * 1000 + index,
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
