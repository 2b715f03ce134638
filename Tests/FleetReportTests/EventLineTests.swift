import FleetReport
import FleetRollout
import FleetTransport
import Foundation
import Testing

struct EventLineTests {
    private func events(_ play: Play) throws -> [[String: Any]] {
        var lines = EventLines(plan: play.rollout.plan)
        return try play.entries.flatMap { lines.lines(for: $0) }.map { line in
            let bytes = JSONLine.bytes(of: line)
            #expect(bytes.last == 0x0A && bytes.count { $0 == 0x0A } == 1)
            return try #require(
                try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
            )
        }
    }

    @Test func aRolloutIsToldFromItsPlanToItsEnd() throws {
        let events = try events(
            Play(Play.plan([["web1"], ["web2"]])) { host, what in
                host == "web2" && what == "install"
                    ? Failure("exited 1", excerpt: "fatal: no such ref", hint: "look") : nil
            }
        )
        let types = events.compactMap { $0["type"] as? String }
        #expect(types.first == "rollout.planned")
        #expect(types.last == "rollout.ended")
        #expect(types.filter { $0 == "batch.started" }.count == 2)
        #expect(events.last?["outcome"] as? String == "reverted")
        #expect(events.allSatisfy { $0["v"] as? Int == 1 })
        let failed = events.filter { $0["outcome"] as? String == "failed" }
        #expect(failed.count == 1)
        #expect(failed[0]["step"] as? String == "install")
        #expect(failed[0]["host"] as? String == "web2")
        #expect(failed[0]["cause"] as? String == "exited 1: fatal: no such ref")
        #expect(failed[0]["next"] as? String == "look")
        // A check is named by the list that it is of.
        let back = events.filter {
            $0["type"] as? String == "check.asked" && $0["direction"] as? String == "revert"
        }
        #expect(back.compactMap { $0["check"] as? String } == ["verify pull", "verify pull"])
        let sequences = events.compactMap { $0["sequence"] as? Int }
        #expect(sequences == sequences.sorted())
    }

    @Test func theMarkThatGitHubObeysIsEscapedAndMeansTheSame() throws {
        let mark = "##[add-mask]x ::error::y"
        let play = Play(Play.plan([["web1"]])) { _, what in
            what == "install" ? Failure(mark, excerpt: mark) : nil
        }
        var lines = EventLines(plan: play.rollout.plan)
        for entry in play.entries {
            for line in lines.lines(for: entry) {
                #expect(!String(decoding: JSONLine.bytes(of: line), as: UTF8.self).contains("##["))
            }
        }
        #expect(try events(play).contains { $0["excerpt"] as? String == mark })
    }

    @Test func aFailureIsALineWithItsCode() throws {
        let line = FailureLine(
            status: 11,
            message: "E_FROZEN production is frozen",
            hints: ["wait"],
            problems: nil
        )
        #expect(
            String(decoding: JSONLine.bytes(of: line), as: UTF8.self)
                == #"{"v":1,"code":"E_FROZEN","hints":["wait"],"message":"E_FROZEN production is frozen","#
                + #""status":11,"type":"error"}"# + "\n"
        )
    }
}
