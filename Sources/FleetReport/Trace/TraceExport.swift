internal import FleetDigest
internal import FleetPlan
internal import FleetRollout
internal import FleetTransport

/// A rollout as a trace: rollout → batch → host → step, in OTLP's JSON (opentelemetry.io/docs/specs/otlp).
///
/// Names of attributes are those of the semantic conventions for CI/CD, which are still being developed.
public struct TraceExport {
    private let report: RolloutReport
    private let context: TraceContext
    private let service: String
    private let resource: [(String, String)]
    /// How many spans are sent at once.
    private static let batch = 512

    /// A trace of a rollout.
    ///
    /// - Parameters:
    ///   - report: The rollout.
    ///   - context: Where it stands.
    ///   - service: The name of the service; `OTEL_SERVICE_NAME`.
    ///   - resource: More about it; `OTEL_RESOURCE_ATTRIBUTES`.
    public init(
        _ report: RolloutReport,
        context: TraceContext,
        service: String,
        resource: [(String, String)] = []
    ) {
        self.report = report
        self.context = context
        self.service = service
        self.resource = resource
    }

    // MARK: OTLP

    private struct Request: Encodable { let resourceSpans: [ResourceSpans] }

    private struct ResourceSpans: Encodable {
        let resource: Resource
        let scopeSpans: [ScopeSpans]
    }

    private struct Resource: Encodable { let attributes: [Attribute] }

    private struct ScopeSpans: Encodable {
        let scope: Scope
        let spans: [Span]
    }

    private struct Scope: Encodable {
        let name = "fleet"
        let version: String
    }

    private struct Attribute: Encodable {
        let key: String
        let value: Value

        init(_ key: String, _ text: String) {
            self.key = key
            value = Value(stringValue: text)
        }
    }

    private struct Value: Encodable { let stringValue: String }

    private struct Status: Encodable {
        let code: Int
        let message: String
    }

    private struct Span: Encodable {
        let traceId: String
        let spanId: String
        let parentSpanId: String?
        let name: String
        let kind: Int
        let startTimeUnixNano: String
        let endTimeUnixNano: String
        let attributes: [Attribute]
        let status: Status?
    }

    private enum Kind {
        static let `internal` = 1
        static let server = 2
    }

    /// The bodies of the requests that send it.
    ///
    /// - Returns: JSON objects, each a line without its end.
    public func bodies() -> [[UInt8]] {
        let spans = spans()
        return stride(from: 0, to: spans.count, by: Self.batch).map { start in
            let part = Array(spans[start..<min(spans.count, start + Self.batch)])
            return CanonicalJSON.encode(
                Request(resourceSpans: [
                    ResourceSpans(
                        resource: Resource(
                            attributes: [Attribute("service.name", service)]
                                + resource.map { Attribute($0, $1) }
                        ),
                        scopeSpans: [
                            ScopeSpans(scope: Scope(version: report.origin.version), spans: part)
                        ]
                    )
                ])
            )
        }
    }

    private func nanoseconds(_ elapsed: Int) -> String {
        let time = report.timeline.unixMilliseconds(
            at: elapsed,
            from: report.startedUnixMilliseconds
        )
        return "\(time)000000"
    }

    private func span(
        _ id: String,
        in parent: String?,
        _ name: String,
        kind: Int = Kind.internal,
        from start: Int,
        to end: Int,
        _ attributes: [Attribute],
        error: String? = nil
    ) -> Span {
        Span(
            traceId: context.trace,
            spanId: id,
            parentSpanId: parent,
            name: Sanitizer.line(name),
            kind: kind,
            startTimeUnixNano: nanoseconds(start),
            endTimeUnixNano: nanoseconds(max(start, end)),
            attributes: attributes,
            status: error.map { Status(code: 2, message: $0) }
        )
    }

    private func spans() -> [Span] {
        let plan = report.plan
        var found = [root()]
        var byHost: [Int: [RolloutTimeline.Span]] = [:]
        for span in report.timeline.spans { byHost[span.host, default: []].append(span) }
        var first = 0
        for (number, hosts) in plan.batches.enumerated() {
            let places = first..<min(plan.hosts.count, first + hosts.count)
            first += hosts.count
            let inside = places.flatMap { byHost[$0] ?? [] }
            guard let start = inside.map(\.start).min(), let end = inside.map(\.end).max() else {
                continue
            }
            let batch = context.span("batch \(number)")
            found.append(
                span(batch, in: context.root, "batch \(number + 1)", from: start, to: end, [])
            )
            for place in places { found += spans(of: place, byHost[place] ?? [], in: batch) }
        }
        return found
    }

    private func root() -> Span {
        let plan = report.plan
        let outcome = report.rollout.outcome
        var attributes = [
            Attribute("cicd.pipeline.name", Sanitizer.line(plan.title)),
            Attribute("cicd.pipeline.run.id", report.id.description),
            Attribute("cicd.pipeline.action.name", "RUN"),
            Attribute("cicd.pipeline.result", Self.result(of: outcome)),
            Attribute("deployment.environment.name", plan.environment),
            Attribute("fleet.outcome", report.verdict),
        ]
        if let release = plan.release {
            attributes.append(Attribute("vcs.ref.head.revision", release.commit))
            if let tag = release.tag {
                attributes.append(Attribute("vcs.ref.head.name", tag))
                attributes.append(Attribute("vcs.ref.head.type", "tag"))
            }
        }
        return span(
            context.root,
            in: context.parent,
            "RUN \(plan.title)",
            kind: Kind.server,
            from: 0,
            to: report.milliseconds,
            attributes,
            error: outcome == .succeeded ? nil : report.sentence
        )
    }

    private static func result(of outcome: RolloutOutcome?) -> String {
        switch outcome {
        case .succeeded: "success"
        case .reverted, .held: "failure"
        case .refused: "skip"
        case .interrupted: "cancellation"
        case .revertFailed, .unknown, nil: "error"
        }
    }

    private func spans(of place: Int, _ activities: [RolloutTimeline.Span], in batch: String)
        -> [Span]
    {
        guard let start = activities.map(\.start).min(), let end = activities.map(\.end).max()
        else { return [] }
        let host = report.plan.hosts[place].name.text
        let own = context.span("host \(host)")
        let progress = report.rollout.hosts[place]
        var found = [
            span(
                own,
                in: batch,
                host,
                from: start,
                to: end,
                [
                    Attribute("server.address", host),
                    Attribute("fleet.outcome", progress.outcome?.rawValue ?? "no end"),
                ],
                error: progress.failure.map(FailureCause.summary)
            )
        ]
        var used: Set<String> = []
        for (number, activity) in activities.enumerated() {
            let name = report.timeline.name(of: activity)
            var id = context.span("\(host) \(number)")
            switch activity.activity {
            case .step(let index):
                id = context.span(ofStep: index, isBack: false, on: host)
            case .revertStep(let index):
                id = context.span(ofStep: index, isBack: true, on: host)
            default: break
            }
            // A step that is taken again, for example behind a rehearsal, is another span.
            if !used.insert(id).inserted { id = context.span("\(host) \(number)") }
            let failure: Failure? =
                switch activity.ending {
                case .failed(let failure), .lost(let failure): failure
                case .ok, .open: nil
                }
            var attributes = [
                Attribute("cicd.pipeline.task.name", Sanitizer.line(name)),
                Attribute("cicd.pipeline.task.type", "deploy"),
                Attribute("cicd.pipeline.task.run.id", "\(report.id)/\(host)/\(id)"),
                Attribute(
                    "cicd.pipeline.task.run.result",
                    failure != nil ? "failure" : activity.ending == .ok ? "success" : "cancellation"
                ),
            ]
            if let failure {
                attributes.append(
                    Attribute("error.type", ErrorCatalog.code(in: failure.summary) ?? "failed")
                )
            }
            found.append(
                span(
                    id,
                    in: own,
                    name,
                    from: activity.start,
                    to: activity.end,
                    attributes,
                    error: failure.map(FailureCause.summary)
                )
            )
        }
        return found
    }
}
