public import FleetRollout
public import FleetTransport

/// A mistake made on purpose, to see that the simulation catches it.
public struct Mutant: Sendable {
    /// Whether there is none.
    public var isNone = true
    /// What is made of an event before the machine sees it.
    public var event: @Sendable (RolloutEvent) -> RolloutEvent = { $0 }
    /// What is done to the machine and its effects after an event.
    public var after:
        @Sendable (inout Rollout, RolloutEvent, inout [RolloutEffect], _ now: Int) -> Void = {
            _,
            _,
            _,
            _ in
        }
    /// What is done to the machine before it is taken up again; the function gives a host's commit.
    public var beforeResume: @Sendable (inout Rollout, (HostName) -> String) -> Void = { _, _ in }
    /// Steps are started whoever holds the lock.
    public var ignoresFence = false
    /// A lost step counts as ended without being ended.
    public var adoptsWithoutKilling = false

    /// A checkout is verified by HEAD alone.
    public var skipsFiles = false

    /// No mistake.
    public init() {}
}
