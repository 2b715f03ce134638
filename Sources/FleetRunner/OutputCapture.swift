public import FleetTransport
internal import Synchronization

/// Keeps the first and the last bytes of an output, and counts exactly what lies between.
public final class OutputCapture: OutputSink {
    /// How many first bytes are kept.
    public static let headLimitBytes = 256 << 10
    /// How many last bytes are kept.
    public static let tailLimitBytes = 256 << 10

    private struct State {
        var head: [UInt8] = []
        /// The last bytes, at most twice the limit so that trimming is rare.
        var tail: [UInt8] = []
        var total = 0
    }

    private let state = Mutex(State())

    /// An empty output.
    public init() {}

    /// Takes the next bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) {
        state.withLock { state in
            state.total += bytes.count
            let first = bytes.prefix(Self.headLimitBytes - state.head.count)
            state.head += first
            let rest = bytes.dropFirst(first.count)
            guard !rest.isEmpty else { return }
            state.tail += rest.suffix(Self.tailLimitBytes)
            if state.tail.count > 2 * Self.tailLimitBytes {
                state.tail = Array(state.tail.suffix(Self.tailLimitBytes))
            }
        }
    }

    /// The kept bytes, how many there were, and how many were dropped in between.
    public var contents: (bytes: [UInt8], totalBytes: Int, droppedBytes: Int) {
        state.withLock { state in
            let tail = state.tail.suffix(Self.tailLimitBytes)
            let kept = state.head + tail
            return (kept, state.total, state.total - kept.count)
        }
    }

    /// The end of the output as text.
    public func tail(lines: Int, bytes limit: Int = 4000) -> String {
        let kept = contents.bytes.suffix(limit)
        let text = String(decoding: kept, as: UTF8.self)
        return text.split(separator: "\n").suffix(lines).joined(separator: "\n")
    }
}
