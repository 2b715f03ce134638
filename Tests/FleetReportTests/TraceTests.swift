import FleetPlan
import FleetReport
import FleetRollout
import FleetTransport
import Foundation
import Testing

struct TraceTests {
    private let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    private func spans(_ play: Play, parent: String? = nil) throws -> [[String: Any]] {
        let export = TraceExport(
            play.report(),
            context: TraceContext(rollout: "20261122-190512-k3f9", parent: parent),
            service: "deploys",
            resource: [("team", "web")]
        )
        return try export.bodies().flatMap { body -> [[String: Any]] in
            let object = try JSONSerialization.jsonObject(with: Data(body)) as? [String: Any]
            let resource = try #require((object?["resourceSpans"] as? [[String: Any]])?.first)
            let scope = try #require((resource["scopeSpans"] as? [[String: Any]])?.first)
            return try #require(scope["spans"] as? [[String: Any]])
        }
    }

    private func attributes(_ span: [String: Any]) -> [String: String] {
        var found: [String: String] = [:]
        for attribute in span["attributes"] as? [[String: Any]] ?? [] {
            let value = attribute["value"] as? [String: String]
            found[attribute["key"] as? String ?? ""] = value?["stringValue"]
        }
        return found
    }

    @Test func aRolloutIsATreeOfBatchesHostsAndSteps() throws {
        let play = Play(Play.plan([["web1"], ["web2"]])) { host, what in
            host == "web2" && what == "install" ? Failure("E_DIRTY it is dirty") : nil
        }
        let spans = try spans(play, parent: parent)
        let names = Dictionary(
            uniqueKeysWithValues: spans.map { ($0["spanId"] as? String ?? "", $0) }
        )
        #expect(names.count == spans.count, "a span's name is its own")
        func path(_ span: [String: Any]) -> [String] {
            let above = (span["parentSpanId"] as? String).flatMap { names[$0] }
            return (above.map(path) ?? []) + [span["name"] as? String ?? ""]
        }
        let paths = Set(spans.map { path($0).joined(separator: " / ") })
        #expect(paths.contains("RUN Deploy app"))
        #expect(paths.contains("RUN Deploy app / batch 2 / web2 / install"))
        #expect(paths.contains("RUN Deploy app / batch 1 / web1 / revert pull"))
        for span in spans {
            #expect(span["traceId"] as? String == "0af7651916cd43dd8448eb211c80319c")
            let times = ["startTimeUnixNano", "endTimeUnixNano"].compactMap {
                (span[$0] as? String).flatMap { Int($0) }
            }
            #expect(times.count == 2 && times[0] <= times[1])
        }
        let root = try #require(spans.first)
        #expect(root["parentSpanId"] as? String == "b7ad6b7169203331")
        #expect(root["kind"] as? Int == 2)
        #expect(attributes(root)["cicd.pipeline.result"] == "failure")
        #expect(attributes(root)["deployment.environment.name"] == "production")
        #expect(attributes(root)["vcs.ref.head.name"] == "v2.0.0")
        let failed = try #require(
            spans.first { attributes($0)["cicd.pipeline.task.run.result"] == "failure" }
        )
        #expect(attributes(failed)["error.type"] == "E_DIRTY")
        #expect((failed["status"] as? [String: Any])?["code"] as? Int == 2)
    }

    @Test func whatAStepIsToldIsTheNameOfItsSpan() throws {
        let context = TraceContext(rollout: "20261122-190512-k3f9", parent: parent)
        let header = context.header(ofStep: 1, isBack: false, on: "web1")
        let install = try #require(
            try spans(Play(Play.plan([["web1"]])), parent: parent).first {
                $0["name"] as? String == "install"
            }
        )
        #expect(
            header == "00-0af7651916cd43dd8448eb211c80319c-\(install["spanId"] as? String ?? "")-01"
        )
    }

    @Test(arguments: [
        nil, "", "00-0-0-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
    ])
    func whatIsNoTraceParentBeginsATrace(value: String?) {
        let context = TraceContext(rollout: "r1", parent: value)
        #expect(context.parent == nil)
        #expect(context.trace.count == 32)
        #expect(context.trace == TraceContext(rollout: "r1", parent: nil).trace)
        #expect(context.trace != TraceContext(rollout: "r2", parent: nil).trace)
    }

    @Test func manyHostsAreSentInParts() throws {
        let hosts = (1...300).map { HostName("web\($0)") }
        let play = Play(Play.plan([hosts]))
        let export = TraceExport(
            play.report(),
            context: TraceContext(rollout: "r1", parent: nil),
            service: "fleet"
        )
        #expect(export.bodies().count > 2)
        #expect(try spans(play).count == 2 + 300 * (1 + play.report().timeline.spans.count / 300))
    }

    // MARK: Settings

    private func settings(_ variables: [String: String]) -> TraceSettings? {
        TraceSettings { variables[$0] }
    }

    @Test func nothingIsSentUnlessAPlaceIsNamed() {
        #expect(settings([:]) == nil)
        #expect(settings(["OTEL_SERVICE_NAME": "x"]) == nil)
        let on = ["OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"]
        #expect(settings(on)?.endpoint == "http://c:4318/v1/traces")
        #expect(settings(on.merging(["OTEL_SDK_DISABLED": "TRUE"]) { $1 }) == nil)
        #expect(settings(on.merging(["OTEL_TRACES_EXPORTER": "none"]) { $1 }) == nil)
    }

    @Test func theMoreSpecialVariableCounts() {
        let found = settings([
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/x",
            "OTEL_EXPORTER_OTLP_HEADERS": "a=1",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "api-key=s%2Ccret, b = two ,broken",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2500",
            "OTEL_RESOURCE_ATTRIBUTES": "service.name=shop,team=web",
        ])
        #expect(found?.endpoint == "http://t/x")
        #expect(found?.headers == ["api-key": "s,cret", "b": "two "])
        #expect(found?.timeoutMilliseconds == 2500)
        #expect(found?.service == "shop")
        #expect(found?.resource == ["team": "web"])
        #expect(
            settings(["OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"])?.timeoutMilliseconds == 10_000
        )
        // What may be secret in an address is not shown.
        let place = settings(["OTEL_EXPORTER_OTLP_ENDPOINT": "https://u:pass@c:4318/k?api_key=x"])?
            .place
        #expect(place == "https://c:4318")
    }
}
