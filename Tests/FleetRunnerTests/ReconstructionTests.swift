import FleetDigest
import FleetJournal
import FleetPlan
import FleetRollout
import FleetTransport
import Testing

@testable import FleetRunner

/// What hosts remember, put together; and what they must not be believed.
@Suite struct ReconstructionTests {
    private static let release = Release(tag: "v2", commit: String(repeating: "b", count: 40))
    private static let snapshot = Snapshot(
        facts: ["pull": ["commit": String(repeating: "a", count: 40)]]
    )

    private func plan(_ names: [[HostName]], _ action: Action? = nil) -> Plan {
        let step = PlannedStep(
            name: "pull",
            kind: "checkout",
            action: action ?? .script(Script("pull")),
            isIdempotent: true
        )
        let check = PlannedCheck(name: "health", action: .script(Script("check")))
        return Plan(
            kind: .deploy,
            environment: "production",
            title: "t",
            release: Self.release,
            releaseStep: "pull",
            fanout: 10,
            maxFailures: 0,
            onFailure: .revert,
            batches: names,
            hosts: names.joined().map {
                PlannedHost(
                    endpoint: HostEndpoint(name: $0),
                    release: Self.release,
                    steps: [step],
                    checks: [check],
                    revertSteps: [step],
                    revertChecks: [check]
                )
            },
            takesLocks: true
        )
    }

    private func record(_ plan: Plan, _ index: Int) -> HostRecord {
        HostRecord(plan: plan, host: plan.hosts[index], snapshot: Self.snapshot)
    }

    @Test func aLaterBatchTellsThatTheEarlierOneWasWell() throws {
        let plan = plan([["web1"], ["web2"]])
        let (whole, events) = try #require(
            Rollout.reconstructed(
                from: ["web1": record(plan, 0), "web2": record(plan, 1)],
                ["web1": [ActionKey("f0-1"): .exited(0)], "web2": [ActionKey("f0-1"): .open]]
            )
        )
        #expect(whole.batches == [["web1"], ["web2"]])
        var rollout = Rollout(plan: whole)
        for event in events { _ = rollout.handle(event, at: 0) }
        #expect(rollout.phase == .rolling(batch: 1))
        #expect(rollout.progress(of: "web1")?.stage == .verified)
        // Its step is open: whoever takes it up asks, and starts nothing twice.
        var effects = rollout.handle(.resumed(.onward), at: 0)
        #expect(
            effects == [.recover(host: "web2", step: StepReference(.forward, 0), attempt: 1)]
        )
        effects = rollout.handle(
            .stepEnded(
                host: "web2",
                step: StepReference(.forward, 0),
                attempt: 1,
                outcome: .succeeded,
                outputBytes: 0
            ),
            at: 0
        )
        #expect(effects == [.probe(host: "web2", direction: .forward, check: 0)])
    }

    @Test func whereSomethingWentBackNothingGoesForward() throws {
        let plan = plan([["web1"]])
        let (whole, events) = try #require(
            Rollout.reconstructed(
                from: ["web1": record(plan, 0)],
                ["web1": [ActionKey("f0-1"): .exited(0), ActionKey("r0-1"): .open]]
            )
        )
        var rollout = Rollout(plan: whole)
        for event in events { _ = rollout.handle(event, at: 0) }
        #expect(rollout.halted != nil)
        let effects = rollout.handle(.resumed(.onward), at: 0)
        #expect(
            !effects.contains {
                if case .perform(_, let step, _) = $0 { step.direction == .forward } else { false }
            }
        )
    }

    /// Row O27.
    @Test(
        "What recover found out is no news to whoever takes the rollout up, however far the host had gone"
    )
    func whatWasFoundIsKnown() async throws {
        let plan = plan([["web1"]])
        let json = String(decoding: CanonicalJSON.encode(record(plan, 0)), as: UTF8.self)
        var reconstruction = Reconstruction()
        _ = reconstruction.add(
            """
            record r1 \(json)
            step r1 f0-1 0
            step r1 f0-2
            step r1 r0-1 0
            step r1 r0-1001
            epoch r1 4
            epoch r1 9223372036854775807

            """,
            from: HostEndpoint(name: "web1"),
            environment: "production"
        )
        let id = try #require(RolloutID("r1"))
        let journal = MemoryJournal()
        let origin = RolloutOrigin(user: "u", machine: "m", command: "c", version: "0")
        let rollout = try #require(
            try await reconstruction.write(id, by: origin, to: journal)
        )
        let entries = try await journal.entries(of: id)
        #expect(entries.map(\.sequence) == Array(1...entries.count))
        let earlier = RolloutRunner.Earlier(entries: entries, direction: .back, mark: "m")
        #expect(
            earlier.keys["web1"]
                == Set(["f0-1", "f0-2", "r0-1", "r0-1001"].map { ActionKey($0) })
        )
        #expect(earlier.epoch.number == 5, "above the one that the host obeys, if that can be one")
        #expect(try Rollout.replay(rollout.plan, entries).outcome == rollout.outcome)
        for key in ["f0", "x0-1", "f-1-1", "f0-0", "r0-", "switch"] {
            #expect(StepReference.reading(ActionKey(key)) == nil, "\(key)")
        }
    }

    @Test func aHostHasNoSayOverTheController() throws {
        let upload = Upload(
            source: "/root/.ssh/id_ed25519",
            sizeBytes: 1,
            sha256: "",
            prepare: Script(""),
            finish: Script("")
        )
        let plan = plan([["web1"]], .upload(upload))
        let json = String(decoding: CanonicalJSON.encode(record(plan, 0)), as: UTF8.self)
        var reconstruction = Reconstruction()
        var ssh = SSHSettings()
        ssh.hostname = "10.0.0.1"
        let endpoint = HostEndpoint(name: "web1", ssh: ssh)
        let strange = reconstruction.add(
            "record r1 \(json)\nstep r1 ../../x 0\nstep r1 f0-1 0\nrecord r1 {}\nnonsense\n",
            from: endpoint,
            environment: "production"
        )
        #expect(strange == 2)
        let id = try #require(RolloutID("r1"))
        let found = try #require(reconstruction.found[id])
        let host = try #require(found.records["web1"]?.plan.hosts.first)
        #expect(host.endpoint == endpoint, "how it is reached is the inventory's")
        guard case .upload(let kept) = host.steps[0].action else {
            return #expect(Bool(false), "still an upload")
        }
        #expect(kept.source.isEmpty, "no file of ours is opened for it")

        // Nor over other hosts, or other environments.
        var other = Reconstruction()
        _ = other.add(
            "record r1 \(json)",
            from: HostEndpoint(name: "web2"),
            environment: "production"
        )
        _ = other.add("record r1 \(json)", from: endpoint, environment: "staging")
        #expect(other.found.isEmpty)
    }
}
