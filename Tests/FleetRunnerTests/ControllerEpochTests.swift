import FleetRollout
import FleetTestSupport
import FleetTransport
import Foundation
import Testing

@testable import FleetRunner

/// A host obeys one controller of a rollout: the one that took it up last.
struct ControllerEpochTests {
    private static let shells = [["dash"], ["bash"], ["/bin/busybox", "sh"]]
    private let home: TemporaryDirectory

    init() throws { home = try TemporaryDirectory() }

    private func lock(_ number: Int = 1, _ mark: String = "", owner: String = "r1") -> HostLock {
        HostLock(
            environment: "production",
            owner: owner,
            description: "ann@laptop, fleet 1",
            epoch: number == 1 ? .first : ControllerEpoch(number: number, mark: mark),
            host: "web1"
        )
    }

    private func run(_ script: Script, _ shell: [String] = ["sh"]) throws -> Command {
        try Command.run(shell + ["-s"], environment: ["HOME": home.path], input: script.shellText)
    }

    private func owner() -> String {
        let text = home.read(".fleet/locks/production/owner") ?? ""
        return text.split(separator: "\n").first.map(String.init) ?? ""
    }

    /// Row O27.
    @Test("A higher number follows a lower one, never the other way round", arguments: shells)
    func follows(_ shell: [String]) throws {
        #expect(try run(lock().taking(generation: nil), shell).status == 0)
        #expect(owner() == "r1", "as older fleets write it")
        let taken = try run(lock(2, "a").takingUp, shell)
        #expect(taken.status == 0 && taken.output == "", "\(taken.output)\(taken.errors)")
        #expect(owner() == "r1 2.a")
        #expect(try run(lock(2, "a").takingUp, shell).status == 0, "a second time is once")
        for late in [lock(), lock(2, "b")] {
            for script in [late.taking(generation: nil), late.giving(), late.steps] {
                let refused = try run(script, shell)
                #expect(refused.status == 1, "\(refused.output)")
                #expect(
                    refused.output.hasPrefix(
                        "E_SUPERSEDED 2 rollout r1 was taken up by another controller (ann@laptop, fleet 1, since "
                    ),
                    "\(refused.output)"
                )
            }
            #expect(owner() == "r1 2.a")
        }
        #expect(try run(lock(2, "b").takingUp, shell).output.hasPrefix("E_SUPERSEDED 2 "))
        #expect(try run(lock(3, "c").takingUp, shell).status == 0)
        #expect(owner() == "r1 3.c")
        // Whoever looks sees the rollout.
        #expect(try run(lock(owner: "r2").status, shell).output.hasPrefix("owner=r1\n"))
        #expect(try run(lock(owner: "r2").ledger, shell).output.hasPrefix("owner=r1\n"))
        let other = try run(lock(owner: "r2").question, shell)
        #expect(other.output.hasPrefix("E_LOCKED production is locked by rollout r1 ("))
        // Who has not locked it yet finds that another controller of the rollout has.
        #expect(
            try run(lock(4, "a").question, shell).output.hasPrefix("E_SUPERSEDED 3 rollout r1 ")
        )
        #expect(try run(lock(3, "c").giving(), shell).status == 0)
        #expect(owner() == "")
        #expect(home.read(".fleet/locks/production/generation") == "1\n")
    }

    @Test("Whoever takes a rollout up hears what the host knows of it; a free lock stays free")
    func told() throws {
        try Command.shell(
            """
            mkdir -p .fleet/runs/r1/f0-1 .fleet/runs/r1/r0-2 .fleet/runs/r1/switch .fleet/runs/r2/f5-1
            mkdir -p .fleet/runs/r1/f1-1 .fleet/runs/r1/f2-1/never
            for p in r1/f0-1 r1/r0-2 r1/switch r2/f5-1 r1/f2-1; do echo 1 0 b >.fleet/runs/$p/pid; done
            """,
            in: home.path
        )
        let told = try run(lock(2, "a").steps)
        #expect(told.status == 0 && told.output == "step f0-1\nstep r0-2\n", "\(told.output)")
        #expect(try run(lock(2, "a").takingUp).status == 0)
        #expect(owner() == "")
        #expect(try run(lock(owner: "r9").taking(generation: nil)).status == 0)
        #expect(try run(lock(2, "a").takingUp).status == 0)
        #expect(owner() == "r9", "somebody else's lock stays theirs")
    }

    @Test("A lock can be broken whichever controller has it, and adopted by its rollout's name")
    func brokenAndAdopted() throws {
        #expect(try run(lock(4, "a").taking(generation: nil)).status == 0)
        #expect(owner() == "r1 4.a")
        let next = HostLock(
            environment: "production",
            owner: "r2",
            description: "bob",
            adopts: "r1",
            host: "web1"
        )
        #expect(try run(next.taking(generation: nil)).status == 0)
        #expect(owner() == "r2")
        #expect(try run(lock(2, "b", owner: "r2").takingUp).status == 0)
        let breaker = HostLock(environment: "production", owner: "break-1", description: "bob")
        #expect(try run(breaker.breaking("r2")).status == 0)
        #expect(owner() == "")
    }

    // MARK: Fleets that know no numbers

    private func old(_ name: String, owner: String = "r1", adopts: String = "") throws -> Command {
        let path = Package.root + "/Tests/FleetRunnerTests/Fixtures/old-\(name).sh"
        return try Command.run(
            ["sh", path],
            environment: [
                "HOME": home.path, "FLEET_ENVIRONMENT": "production", "FLEET_OWNER": owner,
                "FLEET_WHO": "an older fleet", "FLEET_LOCK_HOST": "web1", "FLEET_ADOPTS": adopts,
                "FLEET_GENERATION": "", "FLEET_RECORD": "", "FLEET_WITNESS": "",
            ]
        )
    }

    /// Row O27.
    @Test("A lock of an older fleet is followed, and its controller is let in no more")
    func olderFirst() throws {
        #expect(try old("taking").status == 0)
        #expect(owner() == "r1")
        #expect(try run(lock(2, "a").takingUp).status == 0)
        #expect(owner() == "r1 2.a")
        #expect(
            try old("taking").output.hasPrefix("E_LOCKED production is locked by rollout r1 2.a")
        )
        #expect(try old("giving").status == 0)
        #expect(owner() == "r1 2.a", "it gives nothing back that is another controller's")
        #expect(try old("taking", owner: "r2", adopts: "r1").status == 1)
        #expect(try run(lock(2, "a").giving()).status == 0)
        #expect(try old("taking", owner: "r2").status == 0)
    }

    /// Row O27.
    @Test("A rollout that was never taken up is an older fleet's to take up, too")
    func newerFirst() throws {
        #expect(try run(lock().taking(generation: nil)).status == 0)
        #expect(try old("taking").status == 0)
        #expect(try old("giving").status == 0)
        #expect(owner() == "")
    }

    // MARK: What the journal knows

    @Test("A controller is above every one that its journal knows of")
    func numbers() throws {
        let origin = RolloutOrigin(user: "u", machine: "m", command: "c", version: "0")
        func entry(_ number: Int, _ body: JournalEntry.Body) throws -> JournalEntry {
            JournalEntry(
                rollout: try #require(RolloutID("r1")),
                sequence: number,
                elapsedMilliseconds: 0,
                unixMilliseconds: 0,
                body: body
            )
        }
        var entries = [try entry(1, .event(.started))]
        func epoch() -> ControllerEpoch {
            RolloutRunner.Earlier(entries: entries, direction: .onward, mark: "m").epoch
        }
        #expect(epoch() == ControllerEpoch(number: 2, mark: "m"))
        let taken = TakingUp(epoch: ControllerEpoch(number: 2, mark: "x"), origin: origin)
        entries.append(try entry(2, .takenUp(taken)))
        #expect(epoch().number == 3)
        entries.append(
            try entry(3, .event(.superseded(host: "web1", epoch: 7, failure: Failure("bob"))))
        )
        #expect(epoch().number == 8)
        // A host may say any number: one that can be none is not believed, and nothing traps.
        #expect(ControllerEpoch.number(told: "9223372036854775807") == nil)
        #expect(
            ControllerEpoch.number(told: "-1") == nil && ControllerEpoch.number(told: "x") == nil
        )
        #expect(ControllerEpoch.number(told: "17") == 17)
        entries.append(
            try entry(4, .event(.superseded(host: "web1", epoch: .max, failure: Failure("eve"))))
        )
        #expect(epoch().number == ControllerEpoch.limit + 1)
        entries.removeLast()
        let id = try #require(RolloutID("r1"))
        #expect(ControllerEpoch.first.claim(of: id) == "r1")
        #expect(epoch().claim(of: id) == "r1 8.m")
    }
}
