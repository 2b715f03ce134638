internal import FleetDigest

/// Where a rollout stands among other traces: W3C's trace context (www.w3.org/TR/trace-context).
public struct TraceContext: Sendable, Hashable {
    /// The trace, 32 digits.
    public let trace: String
    /// The span that the rollout's own one is in, 16 digits; nil if it begins the trace.
    public let parent: String?

    /// Names of spans are made of what they stand for: whoever exports a rollout again gives them the same names.
    private let seed: String

    /// The context of a rollout.
    ///
    /// - Parameters:
    ///   - rollout: The rollout's name.
    ///   - parent: What `TRACEPARENT` says; anything that is no such value is as good as none.
    public init(rollout: String, parent: String?) {
        seed = rollout
        let parts = parent?.split(separator: "-", omittingEmptySubsequences: false) ?? []
        let isValid =
            parts.count >= 4 && parts[0].utf8.count == 2 && parts[0] != "ff"
            && Self.isID(parts[1], digits: 32) && Self.isID(parts[2], digits: 16)
            && (parts[0] != "00" || parts.count == 4)
        trace = isValid ? String(parts[1]) : Self.digits(32, of: "trace \(rollout)")
        self.parent = isValid ? String(parts[2]) : nil
    }

    private static func isID(_ text: Substring, digits: Int) -> Bool {
        text.utf8.count == digits && text.contains { $0 != "0" }
            && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    private static func digits(_ count: Int, of text: String) -> String {
        String(SHA256Digest(of: Array(text.utf8)).description.prefix(count))
    }

    /// A span's name, 16 digits.
    func span(_ what: String) -> String { Self.digits(16, of: "span \(seed) \(what)") }

    /// The rollout's own span.
    var root: String { span("rollout") }

    /// The span of what a host does.
    func span(ofStep index: Int, isBack: Bool, on host: String) -> String {
        span("\(host) \(isBack ? "r" : "f")\(index)")
    }

    /// What a step on a host is told, so that its own spans are below the step's: the value of `TRACEPARENT`.
    ///
    /// - Parameters:
    ///   - index: The step's place in its list.
    ///   - isBack: Whether it is a step of the way back.
    ///   - host: The host.
    /// - Returns: The value.
    public func header(ofStep index: Int, isBack: Bool, on host: String) -> String {
        "00-\(trace)-\(span(ofStep: index, isBack: isBack, on: host))-01"
    }
}
