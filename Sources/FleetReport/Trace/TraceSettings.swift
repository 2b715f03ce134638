/// Whether and how traces are exported: the usual variables of OpenTelemetry
/// (opentelemetry.io/docs/specs/otel/protocol/exporter, opentelemetry.io/docs/languages/sdk-configuration).
public struct TraceSettings: Sendable, Hashable {
    /// The address that requests are sent to.
    public let endpoint: String
    /// The endpoint for messages: without a path, a query or a password, in which there may be a secret.
    public var place: String {
        let parts = endpoint.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count > 2, parts[1].isEmpty else { return "the collector" }
        return "\(parts[0])//\(parts[2].split(separator: "@").last ?? "")"
    }

    /// Headers of each request; they may hold secrets.
    public let headers: [String: String]
    /// How long all of it may take, in milliseconds.
    public let timeoutMilliseconds: Int
    /// The name of the service.
    public let service: String
    /// More about it.
    public let resource: [String: String]
    /// A file with certificates to trust, beside the system's; nil for none.
    public let certificates: String?

    /// Reads the variables; nil if traces are not wanted, as it is unless an endpoint is named.
    ///
    /// - Parameter variable: Gives the value of a variable; nil for one that is not set.
    public init?(_ variable: (String) -> String?) {
        guard variable("OTEL_SDK_DISABLED")?.lowercased() != "true",
            variable("OTEL_TRACES_EXPORTER") ?? "otlp" == "otlp"
        else { return nil }
        func own(_ name: String) -> String? {
            variable("OTEL_EXPORTER_OTLP_TRACES_\(name)") ?? variable("OTEL_EXPORTER_OTLP_\(name)")
        }
        if let endpoint = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            self.endpoint = endpoint
        } else if let base = variable("OTEL_EXPORTER_OTLP_ENDPOINT") {
            endpoint = base + (base.hasSuffix("/") ? "" : "/") + "v1/traces"
        } else {
            return nil
        }
        headers = Self.pairs(own("HEADERS") ?? "")
        timeoutMilliseconds =
            own("TIMEOUT").flatMap { Int($0) }.map { min(max($0, 1), 60_000) } ?? 10_000
        let resource = Self.pairs(variable("OTEL_RESOURCE_ATTRIBUTES") ?? "")
        service = variable("OTEL_SERVICE_NAME") ?? resource["service.name"] ?? "fleet"
        self.resource = resource.filter { $0.key != "service.name" }
        certificates = own("CERTIFICATE")
    }

    /// `a=1,b=2`, with `%2C` for a comma in a value.
    private static func pairs(_ text: String) -> [String: String] {
        var pairs: [String: String] = [:]
        for part in text.split(separator: ",") {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard sides.count == 2 else { continue }
            let name = sides[0].drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()
            guard !name.isEmpty else { continue }
            pairs[String(name)] = decoded(sides[1])
        }
        return pairs
    }

    private static func decoded(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"),
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16),
                rest.count >= 2
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        let decoded = String(decoding: bytes, as: UTF8.self)
        return String(decoded.drop { $0 == " " })
    }
}
