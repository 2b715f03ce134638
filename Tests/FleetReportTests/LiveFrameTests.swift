import FleetPlan
import FleetReport
import FleetRollout
import FleetTransport
import Testing

struct LiveFrameTests {
    /// A rollout in its middle: some are done, one failed, others are under way.
    private func middle(_ count: Int, cause: String = "exited 1: fatal: no such ref") -> Rollout {
        let hosts = (1...count).map { HostName("web\($0)") }
        let batches = [Array(hosts.prefix(1)), Array(hosts.dropFirst())]
        let plan = Play.plan(batches, maxFailures: count)
        return Play(plan, stopAfter: count * 2 + 2) { host, what in
            host.text.hasSuffix("7") && what == "pull" ? Failure(cause) : nil
        }.rollout
    }

    private func plain(_ line: String) -> String { line.replacing(/\u{1B}\[[0-9]*m/, with: "") }

    @Test func aFrameNeverTakesMoreRoomThanTheTerminalHas() {
        for count in [2, 8, 1000] {
            let rollout = middle(count)
            for height in [1, 2, 3, 5, 12, 40] {
                for width in [20, 60, 100, 200] {
                    var extras = LiveFrame.Extras()
                    extras.showsKeys = height > 5
                    extras.note = "asked to stop after this batch"
                    let lines = LiveFrame.lines(
                        rollout,
                        at: 65_000,
                        width: width,
                        height: height,
                        extras: extras,
                        style: Style(isColored: true)
                    )
                    #expect(lines.count <= height && !lines.isEmpty)
                    for line in lines {
                        #expect(Style.width(line) <= width, "\(plain(line))")
                        #expect(!line.contains("\n"))
                    }
                }
            }
        }
    }

    @Test func failuresStandOnTopWithTheirCauseAndSlowestHostsFirst() throws {
        let lines = LiveFrame.lines(
            middle(100),
            at: 65_000,
            width: 160,
            height: 20,
            style: .plain
        )
        #expect(lines[0].contains("batch 2 of 2"))
        let failed = try #require(lines.firstIndex { $0.contains("✗ web") })
        #expect(failed == 1)
        #expect(lines[1].contains("exited 1: fatal: no such ref"))
        let times = lines.compactMap { line in
            line.firstMatch(of: /web\d+ +(?:(\d+)m)?(\d+(?:\.\d)?)s/).map {
                (Double($0.1 ?? "0") ?? 0) * 60 + (Double($0.2) ?? 0)
            }
        }
        #expect(times.count > 3 && times == times.sorted(by: >), "\(lines)")
    }

    @Test func onlyFailuresAreShownWhenAskedFor() {
        var extras = LiveFrame.Extras()
        extras.showsFailuresOnly = true
        let lines = LiveFrame.lines(
            middle(100),
            at: 65_000,
            width: 100,
            height: 20,
            extras: extras,
            style: .plain
        )
        #expect(lines.contains { $0.contains("✗") })
        #expect(!lines.contains { $0.contains("⠋") || $0.contains("pull 1/2") })
    }

    @Test func whatAHostPrintsLastIsShownHarmless() {
        let rollout = middle(8)
        var extras = LiveFrame.Extras()
        for host in rollout.hosts {
            extras.lastLines[host.name] = "\u{1B}[2Jdownloading 漢字\u{202E}"
        }
        extras.usualMilliseconds = 125_000
        let lines = LiveFrame.lines(
            rollout,
            at: 1000,
            width: 120,
            height: 20,
            extras: extras,
            style: .plain
        )
        #expect(lines[0].contains("usually 2m05s"))
        #expect(lines.contains { $0.contains("␛[2Jdownloading 漢字") })
        #expect(!lines.joined().unicodeScalars.contains { $0 == "\u{1B}" || $0 == "\u{202E}" })
    }

    @Test(arguments: [
        ("abc", 3), ("漢字", 4), ("한글", 4), ("é", 1), ("e\u{301}", 1), ("🚀", 2), ("👩\u{200D}💻", 4),
        ("ﾊﾝｶｸ", 4), ("\u{1B}[31mred\u{1B}[0m", 3), ("", 0), ("…", 1),
    ])
    func widthIsThatOfTheCells(text: String, cells: Int) {
        #expect(Style.width(text) == cells)
    }

    @Test func aLongSilenceIsBroken() {
        var text = ProgressText(plan: Play.plan([["web1"]]), style: .plain)
        for entry in Play(Play.plan([["web1"]]), stopAfter: 1).entries {
            _ = text.lines(for: entry)
        }
        let line = text.heartbeat(at: 95_000)
        #expect(line.contains("1m35s  still under way on 1 host; longest: web1 pull 1/2"))
    }
}

struct CISystemTests {
    /// What GitHub's runner takes for a command: a line that begins with `::`, or `##[` anywhere.
    private func obeys(_ bytes: [UInt8]) -> Bool {
        String(decoding: bytes, as: UTF8.self)
            .split(whereSeparator: { $0 == "\n" || $0 == "\r" || $0 == "\r\n" }).contains { line in
                line.drop(while: \.isWhitespace).hasPrefix("::") || line.contains("##[")
            }
    }

    @Test func nothingThatIsPrintedIsACommandWhereverItIsCut() {
        let text = Array(
            "a\n::error::x\n \t\u{A0}::add-mask::y\rb ##[set-env]z ###[w]\n\u{3000}:::q\n:\n::".utf8
        )
        #expect(obeys(text))
        for cut in 0...text.count {
            var guarding = CommandGuard()
            let bytes =
                guarding.harmless(text.prefix(cut)) + guarding.harmless(text.dropFirst(cut))
            #expect(!obeys(bytes), "\(String(decoding: bytes, as: UTF8.self))")
            // Only blanks are put in.
            #expect(bytes.filter { $0 != 0x20 } == text.filter { $0 != 0x20 })
        }
    }

    @Test func anyBytesAreHarmless() {
        var random = SystemRandomNumberGenerator()
        let alphabet = Array("::##[[ \t\n\ra".utf8)
        for _ in 0..<2000 {
            var guarding = CommandGuard()
            var result: [UInt8] = []
            for _ in 0..<4 {
                let piece = (0..<6).map { _ in alphabet.randomElement(using: &random) ?? 0 }
                result += guarding.harmless(piece)
            }
            #expect(!obeys(result), "\(String(decoding: result, as: UTF8.self))")
        }
    }

    @Test func annotationsAreByCauseTenAtTheMostAndEscaped() {
        let hosts = (1...60).map { HostName("web\($0)") }
        let play = Play(Play.plan([hosts], maxFailures: 60)) { host, what in
            guard what == "install" else { return nil }
            return Failure("50% of ::error:: \(host.text.count == 4 ? "x" : host.text)\nmore")
        }
        let lines = CISystem.github.annotations(of: play.report())
        let errors = lines.filter { $0.hasPrefix("::error") }
        #expect(errors.count <= 11)
        #expect(lines.allSatisfy { $0.hasSuffix("\n") && $0.count { $0 == "\n" } == 1 })
        #expect(errors[0].contains("install failed on 9 hosts::"))
        #expect(errors[0].contains("50%25 of"))
        #expect(CISystem.gitlab.annotations(of: play.report()).isEmpty)
    }

    @Test func theSystemIsTheOneThatSaysItIsThere() {
        #expect(CISystem.named { $0 == "GITHUB_ACTIONS" ? "true" : nil } == .github)
        #expect(CISystem.named { $0 == "GITLAB_CI" ? "true" : nil } == .gitlab)
        #expect(CISystem.named { _ in nil } == nil)
        #expect(CISystem.named { _ in "" } == nil)
    }
}
