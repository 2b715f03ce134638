/// How much a step may print: a host keeps it in a file, and an endless one would fill its disk.
public struct HostOutputLimit: Sendable, Hashable {
    /// The most bytes; a step that prints more is stopped, and has failed.
    public var bytes = 1 << 30
    /// How often a step that takes long is looked at, in milliseconds: a disk that takes 100 MB a second
    /// gets 3 GB more than the limit at most.
    public var lookMilliseconds = 30_000

    /// The usual limit.
    public init() {}
}
