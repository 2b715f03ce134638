import FleetTestSupport
import Foundation
import Testing

/// The built program is killed, and taken up again: every rollout ends in the right state, every
/// step that may not run twice has run once, and no lock stays.
///
/// `FLEET_KILLS` says how often, `FLEET_CUTS` how many links are cut at least, and `FLEET_CLIENT` what reaches the hosts;
/// `scripts/crash-test` sets them.
@Suite(.serialized) struct CrashTests {
    private let fixture: FleetFixture
    private static let kills =
        ProcessInfo.processInfo.environment["FLEET_KILLS"].flatMap { Int($0) } ?? 25
    private static let cuts =
        ProcessInfo.processInfo.environment["FLEET_CUTS"].flatMap { Int($0) } ?? 0

    init() throws {
        fixture = try FleetFixture(hosts: 3)
        try fixture.directory.write(
            #"""
            name: Deploy app
            serial: [1, "100%"]
            steps:
              - name: pull
                checkout: { path: ~/app, repository: "${{ vars.repository }}" }
              - name: install
                run: cp VERSION installed
                idempotent: true
              - name: once
                run: echo "$FLEET_COMMIT ${{ vars.number }}" >>"$HOME/once"; sleep 0.05; echo done
              - name: serve
                run: cp HEALTH VERSION "$HOME"
                idempotent: true
            smoke:
              - name: health
                command: cat ~/VERSION; cat ~/HEALTH; grep -q ok ~/HEALTH
                passes: 2
                interval: 20ms
                deadline: 300ms
            """#,
            to: "project/playbooks/deploy.yml"
        )
    }

    private func start(_ arguments: [String]) throws -> ChildProcess {
        try fixture.start(arguments)
    }

    private func deploy(_ tag: String, _ number: Int) -> [String] {
        [
            "deploy", "production", "--tag", tag, "-e", "number=\(number)", "--yes",
            "--force-quarantined", "a test",
        ]
    }

    /// The newest rollout of the journal and how it ended.
    private func newest() throws -> (id: String, outcome: String?)? {
        let text = try fixture.fleet("history", "production", "-n", "1", "-o", "json").output
        guard let line = text.split(separator: "\n").first,
            let value = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
            let id = value["rollout"] as? String
        else { return nil }
        return (id, value["outcome"] as? String)
    }

    private func said() -> String { fixture.said() }

    private func once(_ index: Int, _ number: Int) -> Int {
        let path = fixture.servers[index].home + "/once"
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").count { $0.hasSuffix(" \(number)") }
    }

    @Test("O6: killed at any instant, a rollout is taken up again and ends right")
    func killedAtAnyInstant() throws {
        #expect(try start(deploy("v1.0.0", 0)).wait() == 0, "\(said())")
        var random = SystemRandomNumberGenerator()
        var current = "v1.0.0"
        var kills = 0
        var number = 0
        // About as long as a rollout takes.
        let span = FleetFixture.client == "openssh" ? 1_500_000 : 550_000
        while kills < Self.kills {
            number += 1
            let tag = number % 3 == 0 ? "v1.2.0" : current == "v1.0.0" ? "v1.1.0" : "v1.0.0"
            let before = try newest()?.id
            var process = try start(deploy(tag, number))
            var status: Int32
            while true {
                // No event: the instant of the kill is what is drawn at random, and tested.
                usleep(UInt32(Int.random(in: 0...span, using: &random)))
                kill(process.pid, SIGKILL)
                status = process.wait()
                guard status == -SIGKILL else { break }
                kills += 1
                guard let found = try newest(), found.id != before, found.outcome == nil else {
                    // Before its first record, or after its last one.
                    status = try start(["resume"]).wait()
                    #expect(status == 64, "\(said())")
                    break
                }
                #expect(try start(deploy(tag, number)).wait() == 75, "\(said())")
                #expect(said().contains("fleet resume \(found.id)"))
                if Bool.random(using: &random) {
                    status = try start(["resume"]).wait()
                    break
                }
                process = try start(["resume"])
            }
            let end = try newest()
            if end?.id == before {
                #expect((0..<3).allSatisfy { once($0, number) == 0 }, "nothing was recorded")
            } else if tag == "v1.2.0" {
                #expect(end?.outcome == "reverted", "\(number): \(said())")
            } else {
                #expect(end?.outcome == "succeeded", "\(number): \(said())")
                current = tag
            }
            for index in 0..<3 {
                #expect(try fixture.tag(index) == current, "\(number), web\(index + 1): \(said())")
                let count = once(index, number)
                #expect(count <= 1, "web\(index + 1) ran the step \(count) times: \(said())")
                if end?.id != before, tag != "v1.2.0" { #expect(count == 1) }
                let lock = fixture.servers[index].home + "/.fleet/locks/production/owner"
                #expect(!FileManager.default.fileExists(atPath: lock), "\(number): \(said())")
            }
            let outcome = try #require(end?.outcome, "\(number): no end: \(said())")
            #expect(outcome != "interrupted")
        }
        #expect(try fixture.fleet("status", "production").status == 0)
        let verified = try fixture.fleet("journal", "verify")
        #expect(verified.status == 0, "\(verified.errors)")
        #expect(verified.output.contains("each as it was written"))
    }

    // MARK: The links' trouble

    @Test("N9, N11, N22: over links that are cut again and again, forward and back")
    func cutAgainAndAgain() throws {
        let relays = try fixture.servers.map { try Relay(to: $0.port) }
        var inventory = fixture.inventory()
        for (server, relay) in zip(fixture.servers, relays) {
            inventory = inventory.replacingOccurrences(
                of: "port: \(server.port),",
                with: "port: \(relay.port),"
            )
        }
        try fixture.directory.write(inventory, to: "project/inventory/production.yml")
        let playbook = try #require(fixture.directory.read("project/playbooks/deploy.yml"))
        try fixture.directory.write(
            playbook.replacingOccurrences(
                of: "sleep 0.05; echo done",
                with: "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i + 1)); done"
            ),
            to: "project/playbooks/deploy.yml"
        )
        #expect(try start(deploy("v1.0.0", 0)).wait() == 0, "\(said())")
        // A login takes about 3,000 bytes; most connections get a little further.
        for relay in relays { relay.cutEach(after: 2_500...60_000) }
        var current = "v1.0.0"
        var number = 0
        while number < 3 || relays.map(\.cutCount).reduce(0, +) < Self.cuts {
            number += 1
            let tag = number % 3 == 2 ? "v1.2.0" : current == "v1.0.0" ? "v1.1.0" : "v1.0.0"
            let status = try start(deploy(tag, number)).wait()
            // It may also give up, and then everything is back, or say no before anything is touched.
            #expect([10, 11].contains(status) || status == 0 && tag != "v1.2.0", "\(said())")
            if status == 0 { current = tag }
            #expect(try (0..<3).map(fixture.tag) == [current, current, current], "\(said())")
            for index in 0..<3 { #expect(once(index, number) <= 1) }
            guard status == 0 else { continue }
            let id = try #require(try newest()?.id)
            let outputs = try fixture.fleet("show", id, "--outputs").output
            let lines = outputs.split(separator: "\n").compactMap { line in
                line.range(of: "line ").map { Int(line[$0.upperBound...]) ?? -1 }
            }
            let wanted = (0..<3).flatMap { _ in 0..<3000 }
            #expect(lines == wanted, "every byte is there, once and in order")
        }
    }

    // MARK: The journal's own trouble

    /// What the kernel answers to the journal's k-th call instead of doing it.
    private struct Trouble {
        let call: String
        let answer: String
    }

    /// Runs the program with one of its calls spoiled.
    private func start(_ arguments: [String], _ trouble: Trouble, at number: Int) throws
        -> ChildProcess
    {
        try fixture.start(
            arguments,
            under: [
                "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=\(trouble.call)", "-e",
                "inject=\(trouble.call):\(trouble.answer):when=\(number)",
            ]
        )
    }

    /// Whether this machine lets one process watch another.
    private static let canTrace =
        ((try? Command.run(["strace", "-qq", "-o", "/dev/null", "true"]))?.status ?? 1) == 0

    /// Spoils one call after the other until a rollout is through without meeting the trouble.
    private func spoilEach(_ trouble: Trouble, allowing statuses: Set<Int32>) throws {
        #expect(try start(deploy("v1.0.0", 0)).wait() == 0, "\(said())")
        var current = "v1.0.0"
        var number = 0
        var met = 0
        while number < 60 {
            number += 1
            let before = try newest()?.id
            let tag = current == "v1.0.0" ? "v1.1.0" : "v1.0.0"
            let process = try start(deploy(tag, number), trouble, at: number)
            let status = process.wait()
            if status == 0 {
                current = tag
                // Past the last call of its kind, or one that did not matter.
                if number > 20 { break }
            } else {
                met += 1
                #expect(statuses.contains(status), "\(trouble) at \(number): \(status) \(said())")
                let found = try newest()
                if found?.id != before, found?.outcome == nil {
                    #expect(try start(["resume"]).wait() == 0, "\(trouble) at \(number): \(said())")
                }
                if try newest()?.id != before, try newest()?.outcome == "succeeded" {
                    current = tag
                }
            }
            for index in 0..<3 {
                #expect(try fixture.tag(index) == current, "\(trouble) at \(number): \(said())")
                #expect(once(index, number) <= 1)
                let lock = fixture.servers[index].home + "/.fleet/locks/production/owner"
                #expect(!FileManager.default.fileExists(atPath: lock), "\(number): \(said())")
            }
        }
        #expect(met > 3, "the trouble was met")
    }

    @Test("O10: an error of the disk at any sync of the journal", .enabled(if: canTrace))
    func anErrorAtEachSync() throws {
        try spoilEach(Trouble(call: "fdatasync", answer: "error=EIO"), allowing: [74, 73])
    }

    @Test("O9: a full disk at any write of the journal", .enabled(if: canTrace))
    func aFullDiskAtEachWrite() throws {
        // The reserve is given up then: what has begun is put back, and recorded.
        try spoilEach(
            Trouble(call: "pwrite64", answer: "error=ENOSPC"),
            allowing: [10, 11, 12, 73, 74]
        )
    }

    @Test("O6: killed at every sync of the journal, one after the other", .enabled(if: canTrace))
    func killedAtEachSync() throws {
        try spoilEach(
            Trouble(call: "fdatasync", answer: "signal=KILL"),
            allowing: [-9, 128 + 9]
        )
    }
}
