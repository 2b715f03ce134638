/// How a command on a host ended.
///
/// A non-zero status is a result, not an error.
public enum CommandStatus: Sendable, Hashable, Codable {
    /// It ended by itself; a shell reports death by signal as 128 + the signal's number.
    case exited(Int)
    /// The host refused to start the command, because the claimant no longer holds the lock.
    case fenced
    /// Its deadline passed; `confirmedDead` says whether its process group is known to be gone.
    case timedOut(confirmedDead: Bool)
}

/// A command's end and how much it printed; the output itself went to an ``OutputSink``.
public struct CommandResult: Sendable, Hashable, Codable {
    /// How it ended.
    public let status: CommandStatus
    /// How many bytes it printed.
    public let outputBytes: Int

    /// Describes how a command ended.
    public init(status: CommandStatus, outputBytes: Int) {
        self.status = status
        self.outputBytes = outputBytes
    }
}

/// What a host knows about a step whose answer was lost.
public enum Recovery: Sendable, Hashable {
    /// It ended; this is its result, and its complete output was delivered.
    case ended(CommandResult)
    /// It never started and will never start.
    case neverStarted
    /// It started, its processes are gone, and it left no result.
    case vanished
}

/// Receives what a command prints, as it arrives.
///
/// It is called on a reactor: it must copy the bytes and return without blocking.
public protocol OutputSink: Sendable {
    /// Takes the next bytes.
    func write(_ bytes: UnsafeRawBufferPointer)

    /// Whether the reader of the host's output must wait.
    ///
    /// If so, `resume` is called once, on any thread, when there is room again.
    func isFull(_ resume: @escaping @Sendable () -> Void) -> Bool

    /// Receives the progress of a transfer: the bytes transferred so far, and the total.
    func transferred(_ bytes: Int, of total: Int)
}

extension OutputSink {
    /// There is always room.
    public func isFull(_ resume: @escaping @Sendable () -> Void) -> Bool { false }

    /// Nobody is told.
    public func transferred(_ bytes: Int, of total: Int) {}
}

/// Names one attempt at one step on one host; the host refuses to start the same key twice.
public struct ActionKey: Sendable, Hashable, Codable, CustomStringConvertible {
    /// The key: letters, digits and `-`, safe as a file name.
    public let description: String

    /// Makes a key.
    public init(_ text: String) {
        precondition(Self.isKey(text), "an action key is a file name on the host")
        description = text
    }

    /// Reads a key that a host reported; nil if the text is not a valid key.
    public init?(told text: String) {
        guard Self.isKey(text), text.utf8.count <= 64 else { return nil }
        description = text
    }

    private static func isKey(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy {
                $0 == 0x2D || (0x30...0x39).contains($0) || (0x61...0x7A).contains($0)
            }
    }
}
