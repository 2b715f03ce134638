public import FleetTransport
import Synchronization

/// Keeps everything that a command printed.
public final class OutputRecorder: OutputSink {
    private let state = Mutex<[UInt8]>([])

    /// An empty record.
    public init() {}

    /// Takes the next bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) { state.withLock { $0 += bytes } }

    /// The bytes so far.
    public var bytes: [UInt8] { state.withLock { $0 } }

    /// The text so far.
    public var text: String { String(decoding: bytes, as: UTF8.self) }
}
