package import FleetOperations
internal import FleetReport
internal import FleetRollout
package import FleetSSH
internal import Glibc
package import Synchronization

/// One of the program's output streams, and what it is connected to.
package struct Terminal: Sendable {
    package let descriptor: Int32
    /// Whether a person is looking at it.
    package let isInteractive: Bool

    /// Why standard output could not be written, if that was no reader that has gone; 0 if it could.
    package static let outputFailure = Mutex<Int32>(0)

    package static let standardOutput = Terminal(descriptor: STDOUT_FILENO)
    package static let standardError = Terminal(descriptor: STDERR_FILENO)

    package init(descriptor: Int32) {
        self.descriptor = descriptor
        let isCI = getenv("CI").map { String(cString: $0) != "" } ?? false
        let isDumb = getenv("TERM").map { String(cString: $0) == "dumb" } ?? false
        isInteractive = isatty(descriptor) == 1 && !isCI && !isDumb
    }

    /// Writes text; a stream whose reader has gone swallows it, because a rollout goes on headless.
    package func write(_ text: String) { write(Array(text.utf8)) }

    /// Writes bytes, in the same way.
    package func write(_ bytes: [UInt8]) { bytes.withUnsafeBytes { write($0) } }

    /// Guards both streams against commands to the CI system in what is printed; nil where none would obey.
    private static let guards = Mutex<[Int32: CommandGuard]?>(nil)

    /// From now on nothing that is printed is a command to GitHub's runner, but what ``command(_:)`` writes.
    package static func guardCommands() {
        guards.withLock { $0 = $0 ?? [:] }
    }

    /// Writes a command to the CI system: a line with its end.
    package func command(_ line: String) {
        let isInLine = Self.guards.withLock { guards in
            let isInLine = guards?[descriptor]?.isAtLineStart == false
            guards?[descriptor] = CommandGuard()
            return isInLine
        }
        let bytes = Array(((isInLine ? "\n" : "") + line).utf8)
        bytes.withUnsafeBytes { writeAsItIs($0) }
    }

    /// Writes bytes, in the same way.
    package func write(_ bytes: UnsafeRawBufferPointer) {
        let harmless = Self.guards.withLock { guards -> [UInt8]? in
            guard guards != nil else { return nil }
            return guards?[descriptor, default: CommandGuard()].harmless(bytes)
        }
        guard let harmless else { return writeAsItIs(bytes) }
        harmless.withUnsafeBytes { writeAsItIs($0) }
    }

    private func writeAsItIs(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        while !rest.isEmpty {
            let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN {
                // Whoever gave us this stream has set it so that it does not wait; we do.
                var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&ready, 1, -1)
                continue
            }
            guard count > 0 else {
                if descriptor == STDOUT_FILENO, errno != EPIPE {
                    Self.outputFailure.withLock { $0 = errno }
                }
                return
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    /// Columns and rows.
    package var size: (width: Int, height: Int) {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
            return (100, 30)
        }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// Whether the person can be asked: both ends are a terminal, and this is no CI job.
    package static var canAsk: Bool { standardError.isInteractive && isatty(STDIN_FILENO) == 1 }

    /// Asks and reads one line; nil at the end of the input.
    package static func ask(_ question: String) -> String? {
        standardError.write(question)
        return readLine(strippingNewline: true)
    }

    /// Asks whether to go on.
    ///
    /// - Parameters:
    ///   - question: The question.
    ///   - needed: What is said where nobody can be asked.
    ///   - hints: What may be done then.
    ///   - refusal: What a no leads to.
    /// - Throws: ``OperationFailure`` without a yes.
    package static func confirm(
        _ question: String,
        or needed: String,
        hints: [String],
        refusal: OperationFailure
    ) throws(OperationFailure) {
        guard canAsk else { throw OperationFailure(.refused, needed, hints: hints) }
        let answer = ask("\(question) [y/N] ") ?? ""
        guard ["y", "yes"].contains(answer.lowercased()) else { throw refusal }
    }

    /// Asks for a secret at the terminal itself, without showing what is typed.
    package static func askSecret(_ what: String) -> SecretAnswer {
        let isCI = getenv("CI").map { String(cString: $0) != "" } ?? false
        let terminal = isCI ? -1 : open("/dev/tty", O_RDWR | O_CLOEXEC)
        guard terminal >= 0 else {
            return .unavailable(
                reason:
                    "there is no terminal to ask for \(what): use ssh-agent (`ssh-add`), or name "
                    + "its place in the inventory (`ssh: { passphrase: { env: NAME } }`)"
            )
        }
        defer { close(terminal) }
        // What was typed before the question was no answer to it. A job in the background is stopped here, and
        // hides what is typed once it has the terminal.
        tcflush(terminal, TCIFLUSH)
        TerminalMode.enter(.secret)
        defer { TerminalMode.leave(.secret) }
        let question = Array("\(what): ".utf8)
        _ = Glibc.write(terminal, question, question.count)
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while read(terminal, &byte, 1) == 1, byte != 0x0A { line.append(byte) }
        _ = Glibc.write(terminal, [0x0A], 1)
        return .secret(String(decoding: line, as: UTF8.self))
    }
}
