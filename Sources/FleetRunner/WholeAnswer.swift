public import FleetTransport
internal import Synchronization

/// Keeps a whole answer that is going to be read by a program: all of it, or an error.
///
/// ``OutputCapture`` keeps the beginning and the end of what people read; a list whose middle is missing
/// would be taken for a shorter list.
public final class WholeAnswer: OutputSink {
    /// The longest answer that is taken, in bytes: a million refs of 60 bytes each.
    public static let limitBytes = 64 << 20

    private struct State {
        var bytes: [UInt8] = []
        var total = 0
    }

    private let state = Mutex(State())
    private let limitBytes: Int

    /// An answer that has yet to come.
    public init(limitBytes: Int = WholeAnswer.limitBytes) { self.limitBytes = limitBytes }

    /// Takes the next bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) {
        state.withLock { state in
            state.total += bytes.count
            guard state.total <= limitBytes else {
                state.bytes = []
                return
            }
            state.bytes += bytes
        }
    }

    /// What came, bytes that are no UTF-8 replaced.
    ///
    /// - Throws: ``FleetTransport/TransportError/answerTooLong(bytes:limit:)``.
    public func text() throws(TransportError) -> String {
        try state.withLock { state throws(TransportError) in
            guard state.total <= limitBytes else {
                throw .answerTooLong(bytes: state.total, limit: limitBytes)
            }
            return String(decoding: state.bytes, as: UTF8.self)
        }
    }

    /// The last lines of what came, for people; a note where it was too long to be kept.
    public func tail(lines count: Int) -> String {
        state.withLock { state in
            guard state.total <= limitBytes else { return "(\(state.total) bytes)" }
            let text = String(decoding: state.bytes, as: UTF8.self)
            return text.split(whereSeparator: \.isNewline).suffix(count).joined(separator: "\n")
        }
    }
}
