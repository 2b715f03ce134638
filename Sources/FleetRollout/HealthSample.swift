public import FleetTransport

/// The answer of one host to one smoke test, asked outside of any rollout.
public struct HealthSample: Sendable, Hashable, Codable {
    /// What the answer was.
    public enum State: String, Sendable, Hashable, Codable {
        /// As it must be, in time.
        case healthy
        /// Not so, or too late.
        case unhealthy
        /// The question could not be asked, which is not health.
        case unknown
    }

    /// The host.
    public let host: HostName
    /// The smoke test.
    public let check: String
    /// When it was asked, in milliseconds since 1970.
    public let unixMilliseconds: Int
    /// How long the answer took, in milliseconds; for an unknown one, how long it was waited for.
    public let latencyMilliseconds: Int
    /// What it was.
    public let state: State
    /// What was seen; empty for a healthy host.
    public let reason: String

    /// Describes an answer.
    public init(
        host: HostName,
        check: String,
        unixMilliseconds: Int,
        latencyMilliseconds: Int,
        state: State,
        reason: String = ""
    ) {
        self.host = host
        self.check = check
        self.unixMilliseconds = unixMilliseconds
        self.latencyMilliseconds = latencyMilliseconds
        self.state = state
        self.reason = reason
    }
}
