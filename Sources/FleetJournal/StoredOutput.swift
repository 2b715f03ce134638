internal import FleetDigest
public import FleetTransport

/// What a step on a host printed, as far as it is kept.
public struct StoredOutput: Sendable, Hashable {
    /// The host.
    public let host: HostName
    /// The attempt.
    public let key: ActionKey
    /// The kept bytes: all, or the first and last ones.
    public let bytes: [UInt8]
    /// How many bytes were printed in all.
    public let totalBytes: Int
    /// How many bytes in the middle were not kept.
    public let droppedBytes: Int

    /// Describes what was printed.
    public init(
        host: HostName,
        key: ActionKey,
        bytes: [UInt8],
        totalBytes: Int,
        droppedBytes: Int
    ) {
        self.host = host
        self.key = key
        self.bytes = bytes
        self.totalBytes = totalBytes
        self.droppedBytes = droppedBytes
    }

    /// What outputs are known by in the chain, in hexadecimal: everything that is kept of them, in order.
    static func hash(of outputs: [StoredOutput]) -> String {
        guard !outputs.isEmpty else { return "" }
        let lines = outputs.map { output in
            "\(output.totalBytes) \(output.droppedBytes) \(SHA256Digest(of: output.bytes)) "
                + "\(output.key) \(output.host.text)\n"
        }
        return SHA256Digest(of: Array(lines.joined().utf8)).description
    }
}
