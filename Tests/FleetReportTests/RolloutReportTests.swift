import FleetPlan
import FleetReport
import FleetRollout
import FleetTransport
import Foundation
import FoundationXML
import Testing

/// Text that means something to a browser, a terminal, Markdown, XML or a CI system.
private let nasty =
    "<script>alert(1)</script> ]]> `tick` | @ann *bold* [x](y) &amp; \u{1B}[2J\u{202E}\u{0}\u{FFFF} ::error::x"

struct RolloutReportTests {
    private func failed(_ text: String = "exited 1", excerpt: String = "fatal: no such ref") -> Play
    {
        Play(Play.plan([["web1"], ["web2"], ["web3"]])) { host, what in
            host == "web2" && what == "install" ? Failure(text, excerpt: excerpt) : nil
        }
    }

    // MARK: The timeline

    @Test func eachHostsActivitiesFollowOneAnother() {
        let timeline = failed().report().timeline
        let mine = timeline.spans.filter { $0.host == 1 }
        #expect(
            mine.map(timeline.name) == [
                "preflight", "pull", "install", "revert pull", "verify pull",
            ]
        )
        for (one, next) in zip(mine, mine.dropFirst()) { #expect(one.end <= next.start) }
        #expect(mine.allSatisfy { $0.start <= $0.end && $0.end <= timeline.milliseconds })
        #expect(mine[2].ending == .failed(Failure("exited 1", excerpt: "fatal: no such ref")))
        #expect(mine[3].ending == .ok)
        #expect(mine[3].activity.isBack && !mine[2].activity.isBack)
    }

    @Test func decisionsStandInTheirOrder() {
        let marks = failed().report().timeline.marks.map(\.kind)
        #expect(
            marks == [
                .batch(0), .batch(1), .halt("web2"), .decision(.revert), .end(.reverted),
            ]
        )
    }

    @Test func whatWasTriedAgainIsOneActivityWithItsAttempts() {
        var plan = Play.plan([["web1"]])
        let host = plan.hosts[0]
        plan = plan.with(batches: [
            [
                PlannedHost(
                    endpoint: host.endpoint,
                    release: host.release,
                    steps: [
                        host.steps[0],
                        PlannedStep(
                            name: "install",
                            kind: "run",
                            action: .script(Script("true")),
                            retries: 2
                        ),
                    ],
                    checks: host.checks,
                    revertSteps: host.revertSteps,
                    revertChecks: host.revertChecks
                )
            ]
        ])
        var tries = 0
        let play = Play(plan) { _, what in
            guard what == "install" else { return nil }
            tries += 1
            return tries < 3 ? Failure("exited 1") : nil
        }
        let timeline = play.report().timeline
        let install = timeline.spans.filter { timeline.name(of: $0) == "install" }
        #expect(install.count == 1)
        #expect(install.first?.attempts == 3)
        #expect(install.first?.ending == .ok)
        #expect(play.report().failures.isEmpty)
    }

    @Test func aCheckThatPassedInTheEndIsNoFailure() {
        var asked = 0
        let play = Play(Play.plan([["web1"]])) { _, what in
            guard what == "health" else { return nil }
            asked += 1
            return asked < 3 ? Failure("status 503") : nil
        }
        #expect(play.rollout.outcome == .succeeded)
        #expect(play.report().failures.isEmpty)
    }

    @Test func aRolloutThatHasNoEndIsShownAsFarAsItCame() {
        for count in 1..<10 {
            let play = Play(Play.plan([["web1"], ["web2"]]), stopAfter: count)
            let report = play.report()
            let page = ReportPage(report).html()
            #expect(page.contains("unfinished"))
            #expect(MarkdownReport(report).text().contains("unfinished"))
            #expect(JUnitReport(report).xml().contains("</testsuites>"))
            #expect(ExplanationText.text(report, style: .plain).hasPrefix("unfinished"))
        }
    }

    @Test func aSoakIsOneActivityHoweverOftenHostsAreAsked() {
        let play = Play(Play.plan([["web1"]], soak: 3_000))
        let asked = play.entries.count { entry in
            if case .event(.probed) = entry.body { true } else { false }
        }
        #expect(asked > 5 && play.rollout.outcome == .succeeded)
        let gates = play.report().timeline.spans.filter {
            if case .gate = $0.activity { true } else { false }
        }
        #expect(gates.count == 1 && gates[0].milliseconds > 2_000)
    }

    @Test func whatWentWellOnceItWasTakenUpHasNotFailed() {
        var isInterrupted = false
        // The smoke test fails until somebody presses Ctrl-C, and passes when the rollout is taken up again.
        let play = Play(Play.plan([["web1"]]), interruptAfter: 4) { _, what in
            guard what == "health" else { return nil }
            defer { isInterrupted = true }
            return isInterrupted ? nil : Failure("status 503")
        }
        #expect(play.rollout.outcome == .succeeded)
        let report = play.report()
        #expect(report.failures.isEmpty)
        #expect(JUnitReport(report).xml().contains("failures=\"0\" errors=\"0\""))
        // What passed before it was taken up is on the clock, and not in how long it took.
        let page = ReportPage(report).html()
        #expect(page.contains("2025-11-22 19:05:12 UTC"))
        let last = report.timeline.marks.last?.at ?? 0
        #expect(last < 60_000)
        let spans = TraceExport(
            report,
            context: TraceContext(rollout: "r1", parent: nil),
            service: "fleet"
        ).bodies().map { String(decoding: $0, as: UTF8.self) }.joined()
        #expect(spans.contains("\"startTimeUnixNano\":\"17638491"))
    }

    // MARK: Failures

    @Test func aFailureNamesEachHostOnceInTheOrderOfThePlan() {
        let hosts: [HostName] = ["web3", "web1", "web2"]
        let play = Play(Play.plan([hosts], maxFailures: 3)) { _, what in
            what == "health" || what == "install" ? Failure("no answer") : nil
        }
        for group in play.report().failures { #expect(group.hosts == hosts) }
    }

    @Test(arguments: [
        ("E_DIRTY /srv", "E_DIRTY"), ("web1: E_DIRTY x", "E_DIRTY"),
        ("verify pull: E_DIRTY x", "E_DIRTY"), ("exited 1: E_DIRTY of the application", nil),
        ("NODE_ENV is unset", nil), ("E_NOTHING_LIKE_THAT x", nil), ("see E_DIRTY", nil),
    ])
    func aCodeIsWhatFleetPutInFront(text: String, code: String?) {
        let line = FailureLine(status: 1, message: text, hints: [], problems: nil)
        #expect(line.code == code)
    }

    @Test func sameCausesAreOneFailureWithAllTheirHosts() throws {
        let hosts = (1...40).map { HostName("web\($0)") }
        let play = Play(Play.plan([hosts], maxFailures: 40)) { host, what in
            guard what == "install" else { return nil }
            return host == "web7" ? Failure("no disk") : Failure("exited 1", excerpt: "fatal: x")
        }
        let groups = play.report().failures
        #expect(groups.map(\.hosts.count) == [39, 1])
        #expect(groups[0].cause == "exited 1: fatal: x")
        #expect(groups[1].hosts == ["web7"])
        #expect(groups.allSatisfy { $0.what == "install" && !$0.isBack && !$0.isLost })
    }

    @Test func whatFailedOnTheWayBackComesFirst() {
        let play = Play(Play.plan([["web1", "web2"]])) { host, what in
            what == "install" || what == "revert pull" && host == "web1" ? Failure("exited 1") : nil
        }
        #expect(play.rollout.outcome == .revertFailed)
        #expect(play.report().failures.map(\.what) == ["revert pull", "install"])
    }

    // MARK: Text of others

    @Test func nothingThatAHostPrintedIsMarkup() {
        let play = failed(nasty, excerpt: nasty)
        let report = play.report(outputs: [
            RolloutReport.Output(host: "web2", step: "install", text: nasty, droppedBytes: 0)
        ])
        let page = ReportPage(report).html()
        #expect(!page.contains("<script"))
        #expect(page.contains("&lt;script&gt;alert(1)"))
        let xml = JUnitReport(report).xml()
        for text in [page, xml, MarkdownReport(report).text()] {
            for scalar in text.unicodeScalars {
                #expect(scalar == "\n" || scalar.value >= 0x20)
                #expect(scalar.value != 0x202E)
            }
        }
        #expect(!xml.unicodeScalars.contains("\u{FFFF}"))
        let markdown = MarkdownReport(report).text()
        // In the tag of the summary there is no code.
        #expect(!markdown.contains("<summary>what <"))
    }

    @Test func aFenceIsLongerThanAnyInTheOutput() {
        let text = "```\n<b>out</b>\n`````"
        let report = failed().report(outputs: [
            RolloutReport.Output(host: "web2", step: "install", text: text, droppedBytes: 0)
        ])
        #expect(
            MarkdownReport(report).text().contains("``````text\n```\n<b>out</b>\n`````\n``````")
        )
    }

    @Test func xmlIsReadByAnotherParser() throws {
        let report = failed(nasty, excerpt: nasty).report()
        let parser = XMLParser(data: Data(JUnitReport(report).xml().utf8))
        #expect(parser.parse(), "\(parser.parserError.map { "\($0)" } ?? "")")
    }

    // MARK: JUnit

    /// What a reader of JUnit's XML takes from it.
    private final class Reader: NSObject, XMLParserDelegate {
        var cases: [(suite: String, name: String, result: String)] = []
        var totals: [String: String] = [:]

        func parser(
            _ parser: XMLParser,
            didStartElement name: String,
            namespaceURI: String?,
            qualifiedName: String?,
            attributes: [String: String]
        ) {
            switch name {
            case "testsuites": totals = attributes
            case "testcase":
                cases.append((attributes["classname"] ?? "", attributes["name"] ?? "", "passed"))
            case "failure", "error", "skipped": cases[cases.count - 1].result = name
            default: break
            }
        }
    }

    @Test func eachStepOfEachHostIsACase() {
        let reader = Reader()
        let parser = XMLParser(data: Data(JUnitReport(failed().report()).xml().utf8))
        parser.delegate = reader
        #expect(parser.parse())
        let names = reader.cases.map { "\($0.suite) \($0.name) \($0.result)" }
        #expect(names.contains("fleet.production.web2 install failure"))
        #expect(names.contains("fleet.production.web2 health skipped"))
        #expect(names.contains("fleet.production.web2 revert pull passed"))
        #expect(names.contains("fleet.production.web1 health passed"))
        // GitLab counts two cases of one name as one.
        #expect(Set(reader.cases.map { "\($0.suite) \($0.name)" }).count == reader.cases.count)
        #expect(reader.totals["tests"] == "\(reader.cases.count)")
        #expect(reader.totals["failures"] == "1")
        #expect(
            reader.totals["skipped"]
                == "\(reader.cases.count { $0.result == "skipped" })"
        )
    }

    @Test func dotsOfAHostNameAreNoLevels() {
        let play = Play(Play.plan([["web1.example.org"]]))
        #expect(
            JUnitReport(play.report()).xml()
                .contains("classname=\"fleet.production.web1_example_org\"")
        )
    }

    @Test func whatFleetCouldNotDoIsAnError() {
        let play = Play(Play.plan([["web1"]])) { _, what in
            what == "preflight" ? Failure("E_DIRTY /srv/app has local changes") : nil
        }
        let xml = JUnitReport(play.report()).xml()
        #expect(
            xml.contains("<error message=\"E_DIRTY /srv/app has local changes\" type=\"E_DIRTY\">")
        )
    }

    // MARK: The page

    @Test func thePageNeedsNothingElse() {
        let page = ReportPage(failed().report()).html()
        for part in [
            "http-equiv=Content-Security-Policy", "<title>reverted: deploy v2.0.0 to production",
        ] {
            #expect(page.contains(part))
        }
        for part in ["src=", "href=", "@import", "url(http"] {
            #expect(!page.contains(part), "\(part) is in the page")
        }
    }

    @Test func aThousandHostsFitInThreeMegabytesAndASecond() {
        let batches = stride(from: 0, to: 1000, by: 100).map { start in
            (start..<start + 100).map { HostName("web\($0)") }
        }
        let play = Play(Play.plan(batches, maxFailures: 1000)) { host, what in
            host.text.hasSuffix("7") && what == "install"
                ? Failure("exited 1", excerpt: String(repeating: "a line of output\n", count: 20))
                : nil
        }
        let outputs = play.rollout.hosts.filter { $0.failure != nil }.map {
            RolloutReport.Output(
                host: $0.name,
                step: "install",
                text: String(repeating: "\($0.name) says something\n", count: 4000),
                droppedBytes: 0
            )
        }
        let page = ReportPage(play.report(outputs: outputs)).html()
        #expect(page.utf8.count < 3_000_000)
        #expect(page.contains("web997"))
        // Failed hosts and the slowest have a row of the chart, and the others of a batch share one.
        #expect(page.contains("batch 1: "))
    }

    @Test func oneFailureCannotFillThePage() {
        let report = failed().report(outputs: [
            RolloutReport.Output(
                host: "web2",
                step: "install",
                text: "first\n" + String(repeating: "x", count: 10_000_000) + "\nlast",
                droppedBytes: 5
            )
        ])
        let page = ReportPage(report).html()
        #expect(page.utf8.count < 200_000)
        for part in ["first", "last", "are left out here", "5 bytes in the middle"] {
            #expect(page.contains(part))
        }
        #expect(MarkdownReport(report).text().utf8.count < 10_000)
    }

    @Test func markdownKeepsToALimitAndSaysSo() {
        let hosts = (1...500).map { HostName("host-with-a-long-name-\($0 * 3)-x") }
        let play = Play(Play.plan([hosts], maxFailures: 500)) { host, what in
            what == "install"
                ? Failure("\(host) is special: " + String(repeating: "y", count: 300)) : nil
        }
        let text = MarkdownReport(play.report()).text(limit: 20_000)
        #expect(text.utf8.count < 20_100)
        #expect(text.contains("fleet show 20261122-190512-k3f9"))
    }

    // MARK: Words

    @Test func anExplanationNamesTheRuleTheEvidenceAndTheNextCommand() {
        let text = ExplanationText.text(failed("E_DIRTY it is dirty").report(), style: .plain)
        for part in [
            "decision: revert, because: E_DIRTY it is dirty",
            "rule: the playbook allows 0 failed hosts (`max_failures`); when more fail, every touched host goes back",
            "install failed on 1 host (web2): E_DIRTY it is dirty",
            "`fleet explain E_DIRTY` says what that means",
            "2 reverted", "1 untouched (web3)", "fleet show 20261122-190512-k3f9",
        ] {
            #expect(text.contains(part), "\(part) is missing in\n\(text)")
        }
    }

    @Test func timesAreThoseOfTheReadersClock() {
        let zone = Zone { _ in (5 * 3600 + 1800, "IST") }
        let report = failed().report(zone: zone)
        #expect(ReportPage(report).html().contains("2025-11-23 00:35:12 IST"))
        #expect(Zone.rfc3339(unixMilliseconds: 1_763_838_312_007) == "2025-11-22T19:05:12.007Z")
    }
}
