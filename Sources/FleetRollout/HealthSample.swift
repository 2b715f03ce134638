public import FleetTransport

/// The answer of one host to one smoke test, asked outside of any rollout.
public struct HealthSample: Sendable, Hashable, Codable {
    /// The kind of answer that a host gave.
    public enum State: String, Sendable, Hashable, Codable {
        /// The answer was as expected and in time.
        case healthy
        /// The answer was wrong or too late.
        case unhealthy
        /// The question could not be asked; this does not count as healthy.
        case unknown
    }

    /// The host.
    public let host: HostName
    /// The smoke test.
    public let check: String
    /// When it was asked, in milliseconds since 1970.
    public let unixMilliseconds: Int
    /// How long the answer took, in milliseconds; for an unknown one, how long fleet waited.
    public let latencyMilliseconds: Int
    /// What it was.
    public let state: State
    /// What was observed; empty for a healthy answer.
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
