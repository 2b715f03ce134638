import FleetJournal
import FleetPlan
import FleetRollout
import FleetRunner
import FleetTestSupport
import FleetTransport
import Foundation
import GRDB
import Synchronization
import Testing

struct RolloutRunnerTests {
    private let directory: TemporaryDirectory
    private let journal: Journal
    private let id: RolloutID

    init() throws {
        directory = try TemporaryDirectory()
        journal = try Journal(in: StateDirectory(path: directory.path + "/state"))
        id = try #require(RolloutID("r1"))
    }

    private static let ok = CommandResult(status: .exited(0), outputBytes: 0)
    private static let no = CommandResult(status: .exited(1), outputBytes: 0)

    private static func plan(_ names: [HostName] = ["web1", "web2"]) -> Plan {
        let check = PlannedCheck(
            name: "health",
            action: .http(HTTPProbe(host: "h", port: 1, target: "/")),
            intervalMilliseconds: 1,
            deadlineMilliseconds: 0
        )
        return Plan(
            kind: .deploy,
            environment: "e",
            title: "t",
            release: Release(tag: "v2", commit: String(repeating: "b", count: 40)),
            releaseStep: "pull",
            fanout: 4,
            maxFailures: 0,
            onFailure: .revert,
            batches: names.map { [$0] },
            hosts: names.map { name in
                PlannedHost(
                    endpoint: HostEndpoint(name: name),
                    release: Release(tag: "v2", commit: String(repeating: "b", count: 40)),
                    preflight: [PlannedPreflight(step: "pull", script: Script("facts"))],
                    steps: [
                        PlannedStep(name: "pull", kind: "checkout", action: .script(Script("go")))
                    ],
                    checks: [check],
                    revertSteps: [
                        PlannedStep(name: "pull", kind: "checkout", action: .script(Script("back")))
                    ],
                    revertChecks: [check]
                )
            }
        )
    }

    /// A plan for one host.
    private static func plan(releaseStep: String, _ host: PlannedHost) -> Plan {
        Plan(
            kind: .deploy,
            environment: "e",
            title: "t",
            release: Release(tag: "v2", commit: String(repeating: "b", count: 40)),
            releaseStep: releaseStep,
            fanout: 1,
            maxFailures: 0,
            onFailure: .revert,
            batches: [[host.name]],
            hosts: [host]
        )
    }

    private func run(_ transport: ScriptedTransport, plan: Plan = plan()) async throws -> Rollout {
        try await RolloutRunner(
            id: id,
            plan: plan,
            origin: RolloutOrigin(user: "u", machine: "m", command: "c", version: "0"),
            transport: transport,
            journal: journal,
            watch: { _ in }
        ).run()
    }

    @Test("A rollout runs where its hosts' work runs, and whoever waits for it does not")
    func placeOfWork() async throws {
        let transport = PlacedTransport(
            inner: ScriptedTransport { _, _ in Self.ok },
            queue: QueueExecutor()
        )
        let places = Mutex<[Bool]>([])
        let rollout = try await RolloutRunner(
            id: id,
            plan: Self.plan(),
            origin: RolloutOrigin(user: "u", machine: "m", command: "c", version: "0"),
            transport: transport,
            journal: journal,
            watch: { _ in places.withLock { $0.append(QueueExecutor.isCurrent) } }
        ).run()
        #expect(!QueueExecutor.isCurrent)
        #expect(rollout.outcome == .succeeded)
        #expect(places.withLock { $0.count > 5 && $0.allSatisfy { $0 } })
    }

    @Test func carriesARolloutOut() async throws {
        let transport = ScriptedTransport { _, _ in Self.ok }
        let rollout = try await run(transport)
        #expect(rollout.outcome == .succeeded)
        let steps = transport.calls.filter { $0.contains("f0-1") || $0.contains("http") }
        #expect(
            steps.prefix(4) == [
                "web1 f0-1 go v1", "web1 http", "web2 f0-1 go v1", "web2 http",
            ]
        )
        #expect(Set(steps.dropFirst(4)) == ["web1 http", "web2 http"], "the last gate asks both")
        #expect(transport.calls.contains("web1 close and clean"))
        #expect(transport.calls.count { $0.hasSuffix("open") } == 2, "one session a host")
        #expect(
            try await journal.outputs(of: id).map { String(decoding: $0.bytes, as: UTF8.self) } == [
                "said by web1\n", "said by web2\n",
            ]
        )
    }

    @Test func recordsBeforeItActs() async throws {
        let missing = Mutex<[String]>([])
        let journal = journal
        let id = id
        let transport = ScriptedTransport { host, call in
            guard call.hasPrefix("f") || call.hasPrefix("r0") else { return Self.ok }
            let direction: StepReference.Direction = call.hasPrefix("f") ? .forward : .revert
            let intent = RolloutEffect.perform(
                host: host,
                step: StepReference(direction, 0),
                attempt: 1
            )
            let entries = (try? await journal.entries(of: id)) ?? []
            let snapshot = entries.contains { entry in
                if case .event(.hostChecked(host, .ready)) = entry.body { true } else { false }
            }
            if !entries.contains(where: { $0.body == .effect(intent) }) || !snapshot {
                missing.withLock { $0.append("\(host) \(call)") }
            }
            return host == "web2" && call.hasPrefix("f") ? Self.no : Self.ok
        }
        let rollout = try await run(transport)
        #expect(rollout.outcome == .reverted)
        #expect(missing.withLock { $0 } == [])
    }

    @Test func aFailedHostGoesBackAndSoDoThoseBeforeIt() async throws {
        let transport = ScriptedTransport { host, call in
            host == "web2" && call.hasPrefix("f") ? Self.no : Self.ok
        }
        let rollout = try await run(transport, plan: Self.plan(["web1", "web2", "web3"]))
        #expect(rollout.hosts.map(\.outcome) == [.reverted, .reverted, .untouched])
        #expect(!transport.calls.contains { $0.hasPrefix("web3 f") || $0.hasPrefix("web3 r0") })
        #expect(transport.calls.contains("web1 r0-1 back v1"))
    }

    @Test(
        "What a check saw before a step ran is no measure behind it, and is told to later steps only"
    )
    func memoryOfChecks() async throws {
        func look(_ step: String) -> PlannedCheck {
            PlannedCheck(
                name: "verify \(step)",
                step: step,
                action: .script(Script("look \(step)")),
                deadlineMilliseconds: 0
            )
        }
        func step(_ name: String) -> PlannedStep {
            PlannedStep(name: name, kind: "run", action: .script(Script("go")))
        }
        let health = PlannedCheck(
            name: "health",
            action: .http(HTTPProbe(host: "h", port: 1, target: "/")),
            intervalMilliseconds: 1,
            deadlineMilliseconds: 0
        )
        let checks = ["before", "pull", "app"].map(look) + [health] + ["before", "app"].map(look)
        let plan = Self.plan(
            releaseStep: "pull",
            PlannedHost(
                endpoint: HostEndpoint(name: "web1"),
                preflight: [PlannedPreflight(step: "pull", script: Script("facts"))],
                steps: [step("before"), step("pull"), step("app")],
                checks: checks,
                revertSteps: [step("pull"), step("app")],
                revertChecks: checks
            )
        )
        let asked = Mutex(0)
        let transport = ScriptedTransport { _, call in
            // The first smoke test fails, and the one on the way back passes.
            call == "http"
                && asked.withLock {
                    $0 += 1
                    return $0
                } == 1 ? Self.no : Self.ok
        }
        let rollout = try await run(transport, plan: plan)
        #expect(rollout.hosts.map(\.outcome) == [.reverted])
        let looks = transport.calls.filter { $0.contains("run look") }.map {
            $0.split(separator: " ").dropFirst(3).joined(separator: " ")
        }
        let begun = looks.prefix(3)
        #expect(
            begun == ["before KEPT=", "pull KEPT=", "app TOLD_TREE=b 1 KEPT="]
        )
        // On the way back everything is looked at afresh, and after that compared with that look.
        #expect(looks.filter { $0 == "app TOLD_TREE=b 1 KEPT=" }.count >= 2, "\(looks)")
        #expect(looks.contains { $0 == "app TOLD_TREE=b 1 KEPT=1/0" }, "\(looks)")
        #expect(!looks.contains { $0.hasPrefix("before TOLD") }, "\(looks)")
    }

    @Test func aLostAnswerIsAskedForAndNotRepeated() async throws {
        let transport = ScriptedTransport { host, call throws(TransportError) in
            if call.hasPrefix("f0") { throw .connectionLost(.command, reason: "cut") }
            return Self.ok
        }
        let rollout = try await run(transport, plan: Self.plan(["web1"]))
        #expect(rollout.outcome == .succeeded)
        #expect(transport.calls.count { $0.hasPrefix("web1 f0") } == 1)
        #expect(transport.calls.contains("web1 recover f0-1"))
        #expect(
            transport.calls.count { $0 == "web1 open" } == 2,
            "a lost session is not used again"
        )
    }

    @Test func aPreflightThatSaysNoTouchesNothing() async throws {
        let transport = ScriptedTransport { host, call in
            host == "web2" && call == "run facts" ? Self.no : Self.ok
        }
        let rollout = try await run(transport)
        #expect(rollout.outcome == .refused)
        #expect(!transport.calls.contains { $0.contains("f0") })
    }

    @Test("Where sudo says no, that is what is said, and not that a step's own question failed")
    func sudoComesFirst() async throws {
        let plan = Self.plan(
            releaseStep: "restart",
            PlannedHost(
                endpoint: HostEndpoint(name: "web1"),
                preflight: [
                    PlannedPreflight(step: "restart", script: Script("ask", becomeUser: "root"))
                ],
                steps: [
                    PlannedStep(
                        name: "restart",
                        kind: "service",
                        action: .script(Script("go", becomeUser: "root"))
                    )
                ]
            )
        )
        let transport = ScriptedTransport { _, call in
            call == "run :" || call == "run ask" ? Self.no : Self.ok
        }
        let rollout = try await run(transport, plan: plan)
        #expect(rollout.outcome == .refused)
        let failure = try #require(rollout.hosts[0].failure)
        #expect(failure.summary.hasPrefix("E_SUDO cannot become root"))
    }

    @Test func withoutAJournalNothingIsDone() async throws {
        let path = directory.path + "/state/journal.sqlite"
        let transport = ScriptedTransport { host, call in
            // The journal breaks while the last host is asked.
            if host == "web2", call == "run facts" {
                do {
                    try DatabaseQueue(path: path).write { try $0.execute(sql: "DROP TABLE entry") }
                } catch {
                    Issue.record("the journal does not break: \(error)")
                }
            }
            return Self.ok
        }
        await #expect(throws: JournalError.self) { try await run(transport) }
        #expect(transport.calls.contains("web2 run facts"))
        #expect(!transport.calls.contains { $0.contains("f0") })
    }

    @Test func theJournalReplaysToTheSameEnd() async throws {
        let transport = ScriptedTransport { host, call in
            host == "web2" && call == "http" ? Self.no : Self.ok
        }
        let rollout = try await run(transport)
        var replayed = Rollout(plan: rollout.plan)
        for entry in try await journal.entries(of: id) {
            if case .event(let event) = entry.body {
                _ = replayed.handle(event, at: entry.elapsedMilliseconds)
            }
        }
        #expect(replayed == rollout)
        #expect(try await journal.rollouts(RolloutQuery()).first?.outcome == rollout.outcome)
    }

    @Test("A rollout that is taken up again wants the host keys that it saw at its beginning")
    func keysAreRemembered() async throws {
        let runner = Mutex<RolloutRunner?>(nil)
        func made(_ transport: ScriptedTransport) async throws -> RolloutRunner {
            let entries = try await journal.entries(of: id)
            return RolloutRunner(
                id: id,
                plan: Self.plan(),
                origin: RolloutOrigin(user: "u", machine: "m", command: "c", version: "0"),
                transport: transport,
                journal: journal,
                clock: HurriedClock(),
                resuming: entries.isEmpty
                    ? nil : RolloutRunner.Earlier(entries: entries, direction: .onward, mark: "m"),
                watch: { _ in }
            )
        }
        let first = ScriptedTransport(key: "ssh-ed25519 SHA256:one") { _, call in
            if call.hasPrefix("f0") { runner.withLock { $0?.interrupt(signal: 2) } }
            return Self.ok
        }
        let one = try await made(first)
        runner.withLock { $0 = one }
        let begun = try await one.run()
        #expect(begun.outcome == .interrupted)
        #expect(begun.hosts.allSatisfy { $0.snapshot?.hostKey == "ssh-ed25519 SHA256:one" })

        let stranger = ScriptedTransport(key: "ssh-ed25519 SHA256:two") { _, _ in Self.ok }
        let ended = try await made(stranger).run()
        #expect(ended.outcome == .unknown, "\(String(describing: ended.outcome))")
        #expect(stranger.calls.allSatisfy { $0.hasSuffix("open") || $0.hasSuffix("close") })
        runner.withLock { $0 = nil }
    }

    @Test func anInterruptFinishesWhatIsInFlight() async throws {
        let runner = Mutex<RolloutRunner?>(nil)
        let transport = ScriptedTransport { _, call in
            if call.hasPrefix("f0") { runner.withLock { $0?.interrupt(signal: 2) } }
            return Self.ok
        }
        let made = RolloutRunner(
            id: id,
            plan: Self.plan(),
            origin: RolloutOrigin(user: "u", machine: "m", command: "c", version: "0"),
            transport: transport,
            journal: journal,
            watch: { _ in }
        )
        runner.withLock { $0 = made }
        let rollout = try await made.run()
        #expect(rollout.outcome == .interrupted)
        #expect(!transport.calls.contains { $0.hasPrefix("web2 f0") })
        runner.withLock { $0 = nil }
    }
}

/// Every wait is over at once, and its time has passed.
private final class HurriedClock: RolloutClock {
    private let now = Atomic<Int>(0)

    var milliseconds: Int { now.load(ordering: .relaxed) }
    var unixMilliseconds: Int { milliseconds }

    func after(milliseconds: Int, _ body: @escaping @Sendable () -> Void) -> @Sendable () -> Void {
        now.add(milliseconds, ordering: .relaxed)
        Task { body() }
        return {}
    }
}

struct OutputCaptureTests {
    private func write(_ text: String, to capture: OutputCapture) {
        Array(text.utf8).withUnsafeBytes { capture.write($0) }
    }

    @Test func keepsASmallOutputWhole() {
        let capture = OutputCapture()
        write("one\ntwo\n", to: capture)
        #expect(capture.contents().bytes == Array("one\ntwo\n".utf8))
        #expect(capture.contents().droppedBytes == 0)
        #expect(capture.tail(lines: 1) == "two")
    }

    /// Row H20.
    @Test func keepsTheEndsOfALargeOneAndCountsTheRest() {
        let capture = OutputCapture()
        let piece = [UInt8](repeating: 65, count: 100_000)
        write("first", to: capture)
        for _ in 0..<50 { piece.withUnsafeBytes { capture.write($0) } }
        write("last", to: capture)
        let (bytes, total, dropped) = capture.contents()
        #expect(total == 5_000_009)
        #expect(bytes.count == 256 << 10)
        #expect(dropped == total - bytes.count)
        #expect(bytes.starts(with: Array("firstA".utf8)))
        #expect(bytes.suffix(5) == Array("Alast".utf8))
    }

    /// Bytes whose place can be told from their value.
    private func pattern(_ range: Range<Int>) -> [UInt8] {
        range.map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    }

    @Test(arguments: [1_000, 65_536, 65_537, 300_000, 1_000_000, 1_500_000, 4_000_001])
    func aLongOutputIsOnTheDiskWithItsEnds(_ size: Int) async throws {
        let directory = try TemporaryDirectory()
        let limits = OutputCapture.Limits(head: 1 << 20, tail: 100_000)
        let capture = OutputCapture(keeping: limits, in: directory.path)
        var random = SeededRandom(seed: UInt64(size))
        var start = 0
        while start < size {
            let count = min(size - start, Int.random(in: 1...90_000, using: &random))
            pattern(start..<start + count).withUnsafeBytes { capture.write($0) }
            start += count
        }
        await capture.settle()
        let dropped = max(0, size - limits.head - limits.tail)
        #expect(capture.totalBytes == size)
        #expect(capture.droppedBytes == dropped)
        let kept = capture.read(0..<size - dropped)
        let expected =
            dropped == 0
            ? pattern(0..<size)
            : pattern(0..<limits.head) + pattern(size - limits.tail..<size)
        #expect(kept == expected)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
        let journal = capture.contents()
        #expect(journal.bytes.count + journal.droppedBytes == size)
        #expect(journal.bytes.suffix(1_000) == expected.suffix(1_000))
    }

    @Test func aSourceThatIsFasterThanTheDiskIsAskedToWait() async throws {
        let directory = try TemporaryDirectory()
        let capture = OutputCapture(keeping: .spool, in: directory.path)
        let piece = [UInt8](repeating: 65, count: 1 << 20)
        let resumed = Mutex(0)
        var waits = 0
        for _ in 0..<40 {
            piece.withUnsafeBytes { capture.write($0) }
            if capture.isFull({ resumed.withLock { $0 += 1 } }) {
                waits += 1
                let due = waits
                try await eventually("there is room again") { resumed.withLock { $0 } == due }
            }
        }
        await capture.settle()
        #expect(waits > 0)
        #expect(capture.totalBytes == 40 << 20)
        #expect(capture.droppedBytes == 0)
    }

    @Test func withoutAPlaceForAFileTheEndOfAShortOutputIsKept() async {
        let capture = OutputCapture(keeping: .spool, in: "/nonexistent")
        // More than stays in memory, and less than the disk is asked for at once.
        [UInt8](repeating: 65, count: 150_000).withUnsafeBytes { capture.write($0) }
        write("why it failed", to: capture)
        await capture.settle()
        #expect(capture.tail(lines: 1).hasSuffix("why it failed"))
        let (bytes, total, dropped) = capture.contents()
        #expect(total == 150_013 && bytes.count + dropped == total)
    }

    @Test func withoutAPlaceForAFileTheEndsAreKeptAllTheSame() async {
        let capture = OutputCapture(keeping: .spool, in: "/nonexistent")
        let piece = [UInt8](repeating: 65, count: 100_000)
        for _ in 0..<10 { piece.withUnsafeBytes { capture.write($0) } }
        write("end", to: capture)
        await capture.settle()
        #expect(capture.contents().bytes.suffix(3) == Array("end".utf8))
        write("last", to: capture)
        #expect(capture.totalBytes == 1_000_007)
        let (bytes, _, dropped) = capture.contents()
        #expect(bytes.suffix(4) == Array("last".utf8))
        #expect(bytes.count + dropped == 1_000_007)
    }

    @Test func outputsAreComparedByTheirBytes() async throws {
        let directory = try TemporaryDirectory()
        func capture(_ bytes: [UInt8]) async -> OutputCapture {
            let capture = OutputCapture(keeping: .spool, in: directory.path)
            bytes.withUnsafeBytes { capture.write($0) }
            await capture.settle()
            return capture
        }
        var bytes = pattern(0..<400_000)
        let one = await capture(bytes)
        let same = await capture(bytes)
        bytes[399_999] ^= 1
        let other = await capture(bytes)
        #expect(one.isSame(as: same))
        #expect(!one.isSame(as: other))
    }
}

/// An executor that tells whether it is running us.
private final class QueueExecutor: HostExecutor {
    private static let key = DispatchSpecificKey<Bool>()
    private let queue = DispatchQueue(label: "placed")

    static var isCurrent: Bool { DispatchQueue.getSpecific(key: key) ?? false }

    init() { queue.setSpecific(key: Self.key, value: true) }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { [self] in
            job.runSynchronously(
                isolatedTo: asUnownedSerialExecutor(),
                taskExecutor: asUnownedTaskExecutor()
            )
        }
    }
}

private struct PlacedTransport: Transport {
    let inner: ScriptedTransport
    let queue: QueueExecutor

    func executor(for endpoint: HostEndpoint) -> (any HostExecutor)? { queue }

    func open(_ endpoint: HostEndpoint, rollout: String) async throws(TransportError)
        -> any HostSession
    {
        try await inner.open(endpoint, rollout: rollout)
    }
}
