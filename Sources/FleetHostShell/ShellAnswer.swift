/// What the host's shell said about a request: the line that ended it (docs/host-protocol.md).
package enum ShellAnswer: Sendable, Hashable {
    /// How something ended.
    package enum End: Sendable, Hashable {
        /// With this status.
        case exited(Int)
        /// It left no status, and does not run.
        case gone
        /// It was not started, because the host's lock is somebody else's.
        case fenced
    }

    /// It is over. Behind the status stands a number: the size of the whole output in bytes; for sudo's question, 1 if
    /// a line is still waited for.
    case ended(End, number: Int, outputBytes: Int)
    /// How much a detached script has printed so far, in bytes.
    case size(Int)
    /// sudo asks for the password.
    case asksPassword
    /// It never started, and never will.
    case neverStarted
    /// It was started before.
    case duplicate
    /// Nothing can be written below this home directory.
    case noSpool(home: String)
    /// Nothing there can start a step in a session of its own.
    case noSetsid
    /// Processes do not end.
    case stuck
    /// Something else, which proves nothing.
    case unclear(String)

    /// Reads the words of a line, of which the first two are there: what it says, and of what.
    package init(_ words: [String], outputBytes: Int) {
        switch (words[0], words.count) {
        case ("END", 4):
            let end: End? =
                switch words[2] {
                case "gone": .gone
                case "fenced": .fenced
                default: Int(words[2]).map { .exited($0) }
                }
            if let end, let number = Int(words[3]) {
                self = .ended(end, number: number, outputBytes: outputBytes)
            } else {
                self = .unclear(words.joined(separator: " "))
            }
        case ("SIZE", 3):
            self = Int(words[2]).map { .size($0) } ?? .unclear(words.joined(separator: " "))
        case ("SUDO", _): self = .asksPassword
        case ("NEVER", 2): self = .neverStarted
        case ("DUPLICATE", 2): self = .duplicate
        case ("NOSPOOL", _): self = .noSpool(home: words.dropFirst(2).joined(separator: " "))
        case ("NOSETSID", 2): self = .noSetsid
        case ("STUCK", 2): self = .stuck
        default: self = .unclear(words.joined(separator: " "))
        }
    }
}
