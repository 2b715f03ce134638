internal import FleetPlan
internal import FleetRollout
internal import FleetTransport

/// A rollout as the test report that CI systems read: each step and check of each host is a test case.
///
/// There is no standard. It keeps to what GitLab (docs.gitlab.com/ci/testing/unit_test_reports) and Jenkins' junit
/// plugin read: a case's suite is its `classname`; two cases of the same class and name would count as one, so names
/// are made distinct; a dot in a class name begins a new level in Jenkins, so dots of host names become `_`.
public struct JUnitReport {
    private let report: RolloutReport
    /// What failed steps printed, by host and step.
    private let outputs: [String: String]
    /// The most lines of an output that are kept.
    private static let outputLines = 200

    /// A report on a rollout.
    public init(_ report: RolloutReport) {
        self.report = report
        outputs = Dictionary(report.outputs.map { ("\($0.host) \($0.step)", $0.text) }) { $1 }
    }

    private struct Case {
        var name: String
        /// The step as the plan names it; nil where that is the name.
        var step: String?
        var milliseconds: Int
        var result = Result.passed
    }

    private enum Result {
        case passed
        case failed(Failure)
        case error(Failure)
        case skipped(String)
    }

    /// The file: XML 1.0 in UTF-8.
    public func xml() -> String {
        var page = HTMLText()
        let suites = suites()
        let all = suites.flatMap { $0.cases.flatMap(\.cases) }
        page.safe("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"")
        page.text(report.title)
        page.safe("\"\(Self.counts(all)) time=\"\(Self.seconds(report.timeline.milliseconds))\">\n")
        for suite in suites {
            page.safe("<testsuite name=\"")
            page.text(suite.name)
            let cases = suite.cases.flatMap(\.cases)
            let time = cases.map(\.milliseconds).reduce(0, +)
            page.safe("\"\(Self.counts(cases)) time=\"\(Self.seconds(time))\" timestamp=\"")
            let start = Zone.rfc3339(unixMilliseconds: report.startedUnixMilliseconds)
            page.safe("\(start.prefix(19))\">\n")
            for (host, cases) in suite.cases {
                for test in cases { write(test, of: host, to: &page) }
            }
            page.safe("</testsuite>\n")
        }
        page.safe("</testsuites>\n")
        return page.html
    }

    private func write(_ test: Case, of host: HostName, to page: inout HTMLText) {
        page.safe("<testcase classname=\"")
        page.text(
            "fleet.\(report.plan.environment).\(host.text)".split(separator: ".").enumerated()
                .map { $0.offset > 2 ? "_\($0.element)" : ($0.offset == 0 ? "" : ".") + $0.element }
                .joined()
        )
        page.safe("\" name=\"")
        page.text(Sanitizer.line(test.name))
        page.safe("\" time=\"\(Self.seconds(test.milliseconds))\"")
        switch test.result {
        case .passed: page.safe("/>\n")
        case .skipped(let why):
            page.safe("><skipped message=\"")
            page.text(Sanitizer.line(why))
            page.safe("\"/></testcase>\n")
        case .failed(let failure): write(failure, "failure", test, host, to: &page)
        case .error(let failure): write(failure, "error", test, host, to: &page)
        }
    }

    private func write(
        _ failure: Failure,
        _ element: String,
        _ test: Case,
        _ host: HostName,
        to page: inout HTMLText
    ) {
        page.safe("><\(element) message=\"")
        page.text(FailureCause.summary(of: failure))
        page.safe("\" type=\"")
        page.text(ErrorCatalog.code(in: failure.summary) ?? element)
        page.safe("\">")
        let printed = outputs["\(host) \(test.step ?? test.name)"] ?? failure.excerpt
        let lines = printed.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        page.text(lines.suffix(Self.outputLines).joined(separator: "\n"))
        page.safe("</\(element)></testcase>\n")
    }

    private static func counts(_ cases: [Case]) -> String {
        var (failures, errors, skipped) = (0, 0, 0)
        for test in cases {
            switch test.result {
            case .passed: break
            case .failed: failures += 1
            case .error: errors += 1
            case .skipped: skipped += 1
            }
        }
        return
            " tests=\"\(cases.count)\" failures=\"\(failures)\" errors=\"\(errors)\" skipped=\"\(skipped)\""
    }

    /// Seconds with three decimals and a dot.
    private static func seconds(_ milliseconds: Int) -> String {
        let rest = String(milliseconds % 1000)
        return "\(milliseconds / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
    }

    private struct Suite {
        let name: String
        var cases: [(host: HostName, cases: [Case])]
    }

    private func suites() -> [Suite] {
        var spans: [Int: [RolloutTimeline.Span]] = [:]
        for span in report.timeline.spans { spans[span.host, default: []].append(span) }
        var first = 0
        return report.plan.batches.enumerated().map { number, batch in
            defer { first += batch.count }
            return Suite(
                name: "\(report.plan.environment), batch \(number + 1)",
                cases: (first..<first + batch.count).map { place in
                    (report.plan.hosts[place].name, cases(spans[place] ?? [], of: place))
                }
            )
        }
    }

    private func cases(_ spans: [RolloutTimeline.Span], of place: Int) -> [Case] {
        var cases: [Case] = []
        var used: Set<String> = []
        func add(_ test: Case) {
            var test = test
            test.step = test.step ?? test.name
            var number = 1
            while !used.insert(test.name).inserted {
                number += 1
                test.name = "\(test.step ?? test.name) (\(number))"
            }
            cases.append(test)
        }
        var reached: Set<RolloutTimeline.Activity> = []
        for span in spans {
            reached.insert(span.activity)
            var test = Case(name: report.timeline.name(of: span), milliseconds: span.milliseconds)
            switch span.activity {
            case .lock, .settle:
                if case .ok = span.ending { continue }
            case .gate: test.name += " (last gate)"
            case .revertCheck: test.name += " (after going back)"
            default: break
            }
            switch span.ending {
            case .ok: break
            case .failed(let failure):
                // What fleet itself could not do is no failed test of the release.
                test.result =
                    ErrorCatalog.code(in: failure.summary) == nil && span.activity != .preflight
                    ? .failed(failure) : .error(failure)
            case .lost(let failure): test.result = .error(failure)
            case .open: test.result = .skipped("no end was recorded")
            }
            add(test)
        }
        // What was planned and not reached is no success.
        let host = report.plan.hosts[place]
        let why =
            report.rollout.halted.map { "not reached: \(FailureCause.summary(of: $0))" }
            ?? "not reached"
        for (index, step) in host.steps.enumerated() where !reached.contains(.step(index)) {
            add(Case(name: step.name, milliseconds: 0, result: .skipped(why)))
        }
        for (index, check) in host.checks.enumerated()
        where !reached.contains(.check(index)) && !reached.contains(.gate(index)) {
            add(Case(name: check.name, milliseconds: 0, result: .skipped(why)))
        }
        return cases
    }
}
