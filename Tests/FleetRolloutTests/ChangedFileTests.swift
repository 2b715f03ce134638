import FleetPlan
import FleetRollout
import FleetTransport
import Testing

/// Files that are not what the commit holds: whose work they are, and what that means.
struct ChangedFileTests {
    private let steps = ["pull", "install", "restart"].map {
        PlannedStep(name: $0, kind: "run", action: .script(Script(":")))
    }

    private func verdict(_ files: [String], _ times: [String]) -> Verdict {
        ChangedFile.verdict(
            on: files.compactMap { ChangedFile(line: $0) },
            times: times.compactMap { StepTime(line: $0) },
            steps: steps,
            after: "pull",
            .forward
        )
    }

    @Test("Steps that a host has gone back by itself are known by their names")
    func stepsOfTheHostItself() {
        let names = ["disarm", "pull", "install it", "pull"]
        let time = StepTime(line: "back 100 102 install it", of: names)
        #expect(time?.index == 2 && time?.direction == .revert)
        #expect(time?.beganSeconds == 100 && time?.endedSeconds == 102)
        #expect(StepTime(line: "back 100 102 pull", of: names)?.index == 3)
        for line in ["back 100 102 other", "back x 102 pull", "ran r0-0 1 2", "back 100 102"] {
            #expect(StepTime(line: line, of: names) == nil)
        }
    }

    @Test("A file that a later step wrote is named with the step")
    func later() {
        let verdict = verdict(
            ["changed content 105 package-lock.json", "changed mode 105 bin/run it"],
            ["ran f0-1 90 100", "ran f1-1 101 110", "ran f2-1 111 112"]
        )
        #expect(
            verdict
                == .passWith([
                    .written(step: "install", files: ["package-lock.json", "bin/run it"])
                ])
        )
    }

    @Test("What nobody of this rollout wrote fails: before, after, or the checkout itself")
    func foreign() {
        let times = ["ran f0-1 90 100", "ran f1-1 101 110"]
        for file in [
            "changed content 50 a", "changed content 200 a", "changed content 95 a",
            "changed missing 0 a",
        ] {
            guard case .fail(let failure) = verdict([file], times) else {
                return #expect(Bool(false), "\(file)")
            }
            #expect(failure.summary.hasPrefix("E_TREE") && failure.excerpt.contains("a ("))
        }
        // One foreign file is enough, whatever else was written.
        guard case .fail = verdict(["changed content 105 a", "changed content 50 b"], times) else {
            return #expect(Bool(false))
        }
    }

    @Test("Steps of the other way, and lines that are none, say nothing")
    func otherLines() {
        #expect(ChangedFile(line: "unchanged content 1 a") == nil)
        #expect(ChangedFile(line: "changed content x a") == nil)
        #expect(StepTime(line: "ran x1-1 1 2") == nil && StepTime(line: "run f1-1 1 2") == nil)
        guard case .fail = verdict(["changed content 105 a"], ["ran r1-1 101 110"]) else {
            return #expect(Bool(false))
        }
        // A step that has no end yet may have written everything since its beginning.
        #expect(verdict(["changed content 500 a"], ["ran f1-1 101"]) != .pass)
    }
}
