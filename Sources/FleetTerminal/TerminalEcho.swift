internal import Glibc
internal import Synchronization

/// Whether the terminal shows what is typed: not while a secret is asked for, and not while a live view draws
/// there.
///
/// Whatever ends or stops the program in the meantime, the terminal shows it again, as readpassphrase(3) does:
/// a shell on which nobody sees what they type is no way to leave somebody.
enum TerminalEcho {
    private static let users = Mutex(0)
    // Written under the lock only; handlers read what was whole before they were set.
    private nonisolated(unsafe) static var terminal: Int32 = -1
    private nonisolated(unsafe) static var shown = termios()
    private nonisolated(unsafe) static var hidden = termios()
    private nonisolated(unsafe) static var isHiding = false

    /// Shows nothing more; for the terminal's foreground only, because another job would be stopped for it.
    ///
    /// Every call needs one of ``show()``.
    static func hide() {
        users.withLock { users in
            users += 1
            guard !isHiding else { return }
            if terminal < 0 {
                terminal = open("/dev/tty", O_RDWR | O_CLOEXEC)
                atexit { TerminalEcho.restore() }
            }
            guard terminal >= 0, isForeground, tcgetattr(terminal, &shown) == 0 else { return }
            hidden = shown
            hidden.c_lflag &= ~tcflag_t(ECHO)
            isHiding = true
            tcsetattr(terminal, TCSANOW, &hidden)
            for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT] { handle(number) }
        }
    }

    /// Shows what is typed, once nobody needs it hidden any more.
    static func show() {
        users.withLock { users in
            users -= 1
            guard users == 0 else { return }
            restore()
            isHiding = false
        }
    }

    private static var isForeground: Bool { tcgetpgrp(terminal) == getpgrp() }

    /// What is called in handlers is async-signal-safe (signal-safety(7)).
    private static func restore() {
        guard isHiding, isForeground else { return }
        tcsetattr(terminal, TCSANOW, &shown)
    }

    /// Takes a signal that would end or stop the program; what somebody else takes or ignores stays theirs.
    private static func handle(_ number: Int32) {
        var current = sigaction()
        sigaction(number, nil, &current)
        let isDefault = current.__sigaction_handler.sa_handler.map { _ in false } ?? true
        guard isDefault else { return }
        var action = sigaction()
        // Reads that wait for the person go on after a stop.
        action.sa_flags = SA_RESTART
        action.__sigaction_handler.sa_handler = { number in
            guard number != SIGCONT else {
                guard TerminalEcho.isHiding, TerminalEcho.isForeground else { return }
                tcsetattr(TerminalEcho.terminal, TCSANOW, &TerminalEcho.hidden)
                TerminalEcho.handle(SIGTSTP)
                return
            }
            TerminalEcho.restore()
            signal(number, SIG_DFL)
            // It is held until this handler has returned, and then does what it does.
            kill(getpid(), number)
        }
        sigaction(number, &action, nil)
    }
}
