public import FleetTransport
internal import Synchronization

/// Keeps the complete output of a command for a program to read; an output that is too long is an error.
///
/// ``OutputCapture`` keeps the beginning and the end for people; a list whose middle is missing
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

    /// Returns the output as text, with bytes that are not UTF-8 replaced.
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

    /// Returns the last lines of the output, for people; a note if the output was too long to be kept.
    public func tail(lines count: Int) -> String {
        state.withLock { state in
            guard state.total <= limitBytes else { return "(\(state.total) bytes)" }
            let text = String(decoding: state.bytes, as: UTF8.self)
            return text.split(whereSeparator: \.isNewline).suffix(count).joined(separator: "\n")
        }
    }
}
