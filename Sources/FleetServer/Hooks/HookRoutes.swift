internal import FleetJournal
internal import FleetOperations
internal import FleetServing
internal import HTTPTypes
internal import Synchronization

/// Takes deliveries: verified, stored, answered, and only then acted upon.
struct HookRoutes: Sendable {
    let engine: ServerEngine
    let counters: Counters
    /// The secrets of each hook, which were read when the server began.
    let secrets: [String: [String]]

    /// The longest body, in bytes; GitHub sends up to 25 MB, and what we look at is in the first kilobytes of 5.
    static let bodyLimit = 5 << 20

    var routes: [Route] {
        var route = Route(.post, "/hooks/{hook}", .nothing, .hook, bodyLimit: Self.bodyLimit) {
            try await receive($0)
        }
        // Megabytes of somebody who has not even tried to sign them are not read.
        route.precheck = { call in
            guard Self.signatures.contains(where: { call.headers[.known($0)]?.isEmpty == false }),
                engine.file.hook(named: call.parameters["hook"] ?? "") != nil
            else {
                counters.refusedDelivery()
                throw Self.refusal
            }
        }
        return [route]
    }

    private static let refusal = Refusal(.unauthorized, "the signature does not match")

    /// The headers that signatures come in.
    private static let signatures = [
        "X-Hub-Signature-256", "X-Gitea-Signature", "X-Forgejo-Signature", "X-Gitlab-Token",
        "webhook-signature",
    ]

    private func receive(_ call: Call) async throws -> Reply {
        let name = call.parameters["hook"] ?? ""
        // A hook that there is not answers as a wrong signature does: names are not to be guessed.
        guard let hook = engine.file.hook(named: name), let secrets = secrets[name],
            let verified = Signature(hook: hook, secrets: secrets).verify(
                call.body,
                call.headers,
                at: call.now
            )
        else {
            counters.refusedDelivery()
            throw Self.refusal
        }
        let body = Self.json(call)
        let stored = try await engine.store.accept(
            Delivery.Arrival(
                hook: name,
                name: verified.name,
                event: verified.event,
                body: body,
                address: call.address,
                unixMilliseconds: call.now
            )
        )
        counters.acceptedDelivery(isNew: stored.isNew)
        engine.bell.ring()
        return .text(
            stored.isNew ? "accepted as \(stored.number)\n" : "known as \(stored.number)\n",
            .accepted
        )
    }

    /// The JSON of a body; GitHub can put it into a form.
    private static func json(_ call: Call) -> [UInt8] {
        let type = call.headers[.contentType] ?? ""
        guard type.hasPrefix("application/x-www-form-urlencoded") else { return call.body }
        return call.form.exact("payload").map { Array($0.utf8) } ?? call.body
    }
}

/// What is counted for Prometheus.
final class Counters: Sendable {
    private struct Counts {
        var requests: [Int: Int] = [:]
        var deliveries = (new: 0, known: 0, refused: 0)
        var streams = 0
    }

    private let counts = Mutex(Counts())

    func count(_ status: Int) { counts.withLock { $0.requests[status, default: 0] += 1 } }
    func acceptedDelivery(isNew: Bool) {
        counts.withLock { if isNew { $0.deliveries.new += 1 } else { $0.deliveries.known += 1 } }
    }
    func refusedDelivery() { counts.withLock { $0.deliveries.refused += 1 } }
    func streamBegan() { counts.withLock { $0.streams += 1 } }
    func streamEnded() { counts.withLock { $0.streams -= 1 } }
    /// The most streams that are open at a time.
    private static let mostStreams = 3_000

    /// Refuses a stream when there are too many.
    func requireRoomForStream() throws {
        guard streams < Self.mostStreams else {
            throw Refusal(.serviceUnavailable, "too many people watch; load the page again later")
        }
    }

    /// How many streams are open.
    var streams: Int { counts.withLock { $0.streams } }

    /// Lines for Prometheus (text format 0.0.4).
    var lines: [String] {
        let now = counts.withLock { $0 }
        return ["# TYPE fleet_http_requests_total counter"]
            + now.requests.sorted { $0.key < $1.key }.map {
                "fleet_http_requests_total{status=\"\($0.key)\"} \($0.value)"
            } + [
                "# TYPE fleet_deliveries_total counter",
                "fleet_deliveries_total{result=\"accepted\"} \(now.deliveries.new)",
                "fleet_deliveries_total{result=\"known\"} \(now.deliveries.known)",
                "fleet_deliveries_total{result=\"refused\"} \(now.deliveries.refused)",
                "# TYPE fleet_streams gauge", "fleet_streams \(now.streams)",
            ]
    }
}
