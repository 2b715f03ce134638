package import FleetReactor

/// What all transports of a process share: the threads that move bytes, the turns of handshakes, and the addresses of
/// names.
///
/// Nothing in it belongs to one rollout: known hosts, keys, passwords and settings are read anew by each transport.
public final class ConnectionResources: Sendable {
    package let reactors = ReactorPool()
    let gates = HandshakeGates()
    let resolver = Resolver()

    /// Prepares them; no thread is started yet.
    public init() {}
}
