import FleetDigest
import FleetPlan
import FleetRollout
import FleetTransport
import Foundation
import Testing

@testable import FleetJournal

/// How a plan stands in the journal: each script once, and not once a host.
struct PlanFormTests {
    private static func plan(hosts: Int, steps: Int) -> Plan {
        let names = (1...hosts).map { HostName("web\($0)") }
        func script(_ step: Int) -> Script {
            Script(
                String(repeating: "echo step \(step) of a script that is not short\n", count: 12),
                environment: [EnvironmentVariable("A", "it's\n\"x\"")],
                directory: "~/app",
                becomeUser: step % 2 == 0 ? "root" : nil,
                library: step % 3 == 0 ? "git" : nil
            )
        }
        return Plan(
            kind: .deploy,
            environment: "production",
            title: "deploy",
            release: Release(tag: "v1", commit: String(repeating: "a", count: 40)),
            releaseStep: "s0",
            fanout: 10,
            maxFailures: 0,
            onFailure: .revert,
            batches: [names],
            hosts: names.map { name in
                PlannedHost(
                    endpoint: HostEndpoint(name: name),
                    preflight: [PlannedPreflight(step: "s0", script: script(100))],
                    steps: (0..<steps).map { number in
                        PlannedStep(
                            name: "s\(number)",
                            kind: "run",
                            action: .script(script(number))
                        )
                    },
                    checks: [
                        PlannedCheck(name: "up", action: .script(Script("true"))),
                        PlannedCheck(
                            name: "arm",
                            action: .deadman(
                                .arm(
                                    milliseconds: 5,
                                    back: [
                                        DeadMan.Step(
                                            name: "b",
                                            script: script(7),
                                            factsOf: "s0",
                                            timeoutMilliseconds: 9
                                        )
                                    ]
                                )
                            )
                        ),
                    ],
                    revertSteps: [
                        PlannedStep(
                            name: "up",
                            kind: "upload",
                            action: .upload(
                                Upload(
                                    source: "f",
                                    sizeBytes: 1,
                                    sha256: "0",
                                    handOver: script(8),
                                    prepare: script(9),
                                    finish: script(10)
                                )
                            )
                        )
                    ]
                )
            }
        )
    }

    private static func entry(_ plan: Plan) throws -> JournalEntry {
        JournalEntry(
            rollout: try #require(RolloutID("r1")),
            sequence: 1,
            elapsedMilliseconds: 0,
            unixMilliseconds: 0,
            body: .planned(
                plan: plan,
                origin: RolloutOrigin(user: "u", machine: "m", command: "c", version: "0")
            )
        )
    }

    @Test("What is read is what was written, in either form, and its digest is the same")
    func bothForms() throws {
        let entry = try Self.entry(Self.plan(hosts: 3, steps: 4))
        let first = CanonicalJSON.encode(entry)
        let second = JournalHash.bytes(of: entry)
        #expect(first != second && second.count < first.count)
        #expect(try JournalHash.entry(from: first) == entry)
        let read = try JournalHash.entry(from: second)
        #expect(read == entry)
        guard case .planned(let plan, _) = read.body, case .planned(let old, _) = entry.body else {
            return #expect(Bool(false), "no plan")
        }
        #expect(plan.digest == old.digest)
        // Whoever reads plain JSON elsewhere gets plain JSON: nothing is shared unless somebody says so.
        #expect(try CanonicalJSON.decode(JournalEntry.self, from: first) == entry)
        #expect(JournalHash.bytes(of: entry) == second, "the same bytes every time")
    }

    @Test("A number that stands for no text is an error, and no other script")
    func broken() throws {
        let bytes = JournalHash.bytes(of: try Self.entry(Self.plan(hosts: 1, steps: 2)))
        let text = String(decoding: bytes, as: UTF8.self)
        let from = try #require(text.range(of: "\"texts\":["))
        let end = try #require(text.range(of: "\"]", range: from.upperBound..<text.endIndex))
        let cut = text.replacingCharacters(in: from.upperBound..<end.lowerBound, with: "\"x")
        #expect(throws: DecodingError.self) { try JournalHash.entry(from: Array(cut.utf8)) }
        // Without the texts nothing can be made of it, and it says so.
        #expect(throws: DecodingError.self) {
            try CanonicalJSON.decode(JournalEntry.self, from: bytes)
        }
    }

    @Test("A thousand hosts of twenty-five steps take a fraction of the room that they took")
    func thousandHosts() throws {
        let entry = try Self.entry(Self.plan(hosts: 1_000, steps: 25))
        let first = CanonicalJSON.encode(entry).count
        let second = JournalHash.bytes(of: entry).count
        // 23.8 MB and 8.1 MB when this was written; what is left are the steps' own settings.
        #expect(second * 2 < first, "\(first) and \(second) bytes")
        print("plan of 1,000 hosts x 25 steps: \(first) bytes before, \(second) bytes now")
    }
}
