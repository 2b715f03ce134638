internal import Glibc
internal import Synchronization

/// How the terminal treats what is typed: not shown while a secret is asked for, and given to the program key by key,
/// with no cursor, while a live view draws there.
///
/// Whatever ends or stops the program in the meantime, the terminal is as it was, as readpassphrase(3) does it: a
/// shell on which nobody sees what they type is no way to leave somebody.
package enum TerminalMode {
    /// What somebody needs the terminal for.
    enum Need {
        /// A line that is not shown.
        case secret
        /// Keys, as they are pressed; nothing is shown.
        case keys
    }

    private struct Needs {
        var secrets = 0
        var keys = 0
    }

    private static let needs = Mutex(Needs())
    // Written under the lock only; handlers read what was whole before they were set.
    private nonisolated(unsafe) static var terminal: Int32 = -1
    // Behind pointers: a handler may come while they are passed to the system.
    private nonisolated(unsafe) static let usual = modes()
    private nonisolated(unsafe) static let wanted = modes()
    private nonisolated(unsafe) static var isChanged = false
    /// Whether the terminal is as it was wanted last; not after a stop, until it was changed again.
    private nonisolated(unsafe) static var isApplied = false
    private nonisolated(unsafe) static var hidesCursor = false
    /// Rises whenever the program goes on after a stop: what was drawn is not where it was.
    private static let continued = Atomic(0)

    private static func modes() -> UnsafeMutablePointer<termios> {
        let modes = UnsafeMutablePointer<termios>.allocate(capacity: 1)
        modes.initialize(to: termios())
        return modes
    }

    /// How often the program went on after a stop.
    static var timesContinued: Int { continued.load(ordering: .relaxed) }

    /// Whether somebody is asked for a secret: nothing may be drawn meanwhile, and no key read.
    static var isAsking: Bool { needs.withLock { $0.secrets > 0 } }

    /// Changes the terminal for a need; for its foreground only, because another job would be stopped for it.
    ///
    /// Every call needs one of ``leave(_:)``.
    static func enter(_ need: Need) { change(need, by: 1) }

    /// The need is over.
    static func leave(_ need: Need) { change(need, by: -1) }

    private static func change(_ need: Need, by count: Int) {
        needs.withLock { needs in
            switch need {
            case .secret: needs.secrets += count
            case .keys: needs.keys += count
            }
            guard needs.secrets + needs.keys > 0 else {
                restore()
                isChanged = false
                return
            }
            if terminal < 0 {
                terminal = open("/dev/tty", O_RDWR | O_CLOEXEC)
                atexit { TerminalMode.restore() }
            }
            guard terminal >= 0, isForeground else { return }
            adapt(needs)
        }
    }

    /// Changes the terminal to what is needed, in the foreground.
    private static func adapt(_ needs: Needs) {
        if !isChanged {
            guard tcgetattr(terminal, usual) == 0 else { return }
        }
        var mode = usual.pointee
        mode.c_lflag &= ~tcflag_t(ECHO)
        // A line can be corrected as it is typed; keys come one by one.
        if needs.secrets == 0 { mode.c_lflag &= ~tcflag_t(ICANON) }
        wanted.pointee = mode
        hidesCursor = needs.secrets == 0
        isChanged = true
        apply()
        for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT] { handle(number) }
    }

    /// Makes a terminal usable that a killed program has left without echo or cursor.
    package static func mend() {
        let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC)
        guard terminal >= 0 else { return }
        defer { close(terminal) }
        var mode = termios()
        guard tcgetpgrp(terminal) == getpgrp(), tcgetattr(terminal, &mode) == 0 else { return }
        mode.c_lflag |= tcflag_t(ECHO | ICANON | ISIG)
        tcsetattr(terminal, TCSANOW, &mode)
        write("\u{1B}[?25h\u{1B}[?2026l", to: terminal)
    }

    /// Whether this program is in the terminal's foreground; takes what it needs of the terminal again once it is.
    static func ownsTerminal() -> Bool {
        needs.withLock { needs in
            guard terminal >= 0 else { return true }
            guard isForeground else { return false }
            if !isApplied, needs.keys + needs.secrets > 0 { adapt(needs) }
            return true
        }
    }

    private static var isForeground: Bool { tcgetpgrp(terminal) == getpgrp() }

    // MARK: What handlers call: async-signal-safe (signal-safety(7))

    private static func apply() {
        tcsetattr(terminal, TCSANOW, wanted)
        isApplied = true
        write(hidesCursor ? "\u{1B}[?25l" : "\u{1B}[?25h", to: terminal)
    }

    private static func restore() {
        guard isChanged, isForeground else { return }
        tcsetattr(terminal, TCSANOW, usual)
        isApplied = false
        write("\u{1B}[?25h\u{1B}[?2026l", to: terminal)
    }

    private static func write(_ text: StaticString, to terminal: Int32) {
        _ = Glibc.write(terminal, text.utf8Start, text.utf8CodeUnitCount)
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
                guard TerminalMode.isChanged, TerminalMode.isForeground else { return }
                TerminalMode.apply()
                TerminalMode.continued.add(1, ordering: .relaxed)
                TerminalMode.handle(SIGTSTP)
                return
            }
            TerminalMode.restore()
            signal(number, SIG_DFL)
            // It is held until this handler has returned, and then does what it does.
            kill(getpid(), number)
        }
        sigaction(number, &action, nil)
    }
}
