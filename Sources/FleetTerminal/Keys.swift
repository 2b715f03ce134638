internal import Glibc

/// Keys that a person presses while a live view draws.
///
/// They are read from the terminal itself, so that a pipe at standard input keeps what is in it, and only while this
/// program is in the terminal's foreground. Whoever draws asks for them with each frame.
final class Keys: Sendable {
    private let terminal: Int32

    /// Has keys given to this program one by one.
    init() {
        terminal = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        TerminalMode.enter(.keys)
    }

    /// The keys that were pressed since.
    func pressed() -> [UInt8] {
        // While somebody types a secret, or another job has the terminal, none of it is for us.
        guard terminal >= 0, !TerminalMode.isAsking, tcgetpgrp(terminal) == getpgrp() else {
            return []
        }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(terminal, &bytes, bytes.count)
        return Array(bytes.prefix(max(0, count)))
    }

    /// Gives the terminal back; to be called once.
    func stop() { TerminalMode.leave(.keys) }

    deinit { close(terminal) }
}
