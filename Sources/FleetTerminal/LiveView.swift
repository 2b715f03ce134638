internal import Dispatch
package import FleetPlan
package import FleetReport
package import FleetRollout
package import FleetRunner
package import FleetTransport
internal import Glibc
internal import Synchronization

/// Shows a rollout on standard error while it runs: a live view for a person, lines for a pipe.
///
/// Drawing happens on a queue of its own: a terminal that stopped reading stops only that queue.
package final class LiveView: Sendable {
    /// What a key asks for that is not about the view itself.
    package enum Wish: Sendable, Hashable {
        /// Stop when this batch is at its end.
        case pause
        /// The view is not wanted any more.
        case leave
    }

    /// How it is shown, and what beside.
    package struct Settings: Sendable {
        /// Whether it is drawn anew again and again; else it is lines.
        package var isLive: Bool
        /// Whether what hosts print last is shown.
        package var isVerbose = false
        /// How long such a rollout usually takes, in milliseconds.
        package var usualMilliseconds: Int?
        /// How long the rollout has been going on, in milliseconds; nil for as long as its last record says.
        package var elapsedMilliseconds: Int?
        /// Called with what a key asks for.
        package var wish: @Sendable (Wish) -> Void = { _ in }

        package init(isLive: Bool) { self.isLive = isLive }
    }

    private struct State {
        var text: ProgressText
        var rollout: Rollout { text.rollout }
        var isLive: Bool
        /// How many cells each line takes that is drawn now.
        var drawn: [Int] = []
        var timesContinued = 0
        var lastTick = ContinuousClock.now
        var showsFailuresOnly = false
        var showsKeys = false
        var note: String?
        var isOver = false
        /// When a line was written last, for pipes.
        var lastSaid: ContinuousClock.Instant
    }

    private let terminal = Terminal.standardError
    private let style: Style
    private let settings: Settings
    private let queue = DispatchQueue(label: "fleet.live-view")
    private let state: Mutex<State>
    /// How far transfers have come, and what prints where.
    ///
    /// Apart from the state, which is held
    /// while a terminal that may have stopped is written to.
    private let transfers = Mutex<[HostName: LiveFrame.Transfer]>([:])
    private let outputs = Mutex<[HostName: OutputCapture]>([:])
    private let start: ContinuousClock.Instant
    private let ticking: Mutex<Task<Void, Never>?> = Mutex(nil)
    private let keys: Mutex<Keys?> = Mutex(nil)
    /// How often a pipe or a CI job hears that something is still under way; many end a job that is silent for ten
    /// minutes.
    private static let heartbeat = Duration.seconds(30)
    /// After how long without a tick the process has stood still: several of the longest interval between two.
    private static let standstill = Duration.milliseconds(1200)

    /// Begins to show a rollout.
    ///
    /// - Parameters:
    ///   - plan: What is carried out.
    ///   - entries: What was recorded of it before, if it is taken up again.
    ///   - settings: How it is shown.
    ///   - style: How text is marked.
    package init(
        plan: Plan,
        replaying entries: [JournalEntry] = [],
        settings: Settings,
        style: Style
    ) {
        self.style = style
        self.settings = settings
        var text = ProgressText(plan: plan, style: style)
        // What was said then is not said again.
        for entry in entries { _ = text.lines(for: entry) }
        let now = ContinuousClock.now
        state = Mutex(State(text: text, isLive: settings.isLive, lastSaid: now))
        let begun = settings.elapsedMilliseconds ?? entries.last?.elapsedMilliseconds ?? 0
        start = now - .milliseconds(begun)
        if settings.isLive {
            keys.withLock { $0 = Keys() }
        }
        // Of many hosts, a frame costs more to make and a change is no easier to see.
        let frame = settings.isLive ? (plan.hosts.count > 100 ? 250 : 100) : 1000
        let ticker = Task { [weak self] in
            while !Task.isCancelled {
                self?.queue.async { [weak self] in self?.tick() }
                do { try await Task.sleep(for: .milliseconds(frame)) } catch { return }
            }
        }
        ticking.withLock { $0 = ticker }
    }

    /// Takes records that have become durable.
    package func show(_ entries: [JournalEntry]) {
        queue.async { self.take(entries) }
    }

    /// Says something at the end of the frame, in place of what was said there before.
    func note(_ text: String) {
        queue.async { self.state.withLock { $0.note = text } }
    }

    /// Takes how far a transfer has come; the next frame shows it.
    package func transferred(_ host: HostName, _ bytes: Int, of total: Int) {
        guard settings.isLive else { return }
        transfers.withLock { $0[host] = LiveFrame.Transfer(bytes: bytes, total: total) }
    }

    /// Takes what a step prints to; the next frames show its last line.
    package func began(_ host: HostName, _ output: OutputCapture) {
        guard settings.isLive, settings.isVerbose else { return }
        outputs.withLock { $0[host] = output }
    }

    /// Draws a last time and waits until everything is on the screen, but not for ever.
    package func finish() {
        ticking.withLock { $0?.cancel() }
        let done = DispatchSemaphore(value: 0)
        queue.async {
            self.state.withLock { state in
                self.write(self.erasing(&state))
                state.isOver = true
            }
            done.signal()
        }
        _ = done.wait(timeout: .now() + 2)
        leaveKeys()
    }

    // MARK: Keys

    private func pressed(_ key: UInt8) {
        state.withLock { state in
            guard state.isLive, !state.isOver else { return }
            switch key {
            case UInt8(ascii: "q"):
                write(
                    erasing(&state) + style.dim("the live view is off; the rollout goes on") + "\n"
                )
                state.isLive = false
                settings.wish(.leave)
            case UInt8(ascii: "p"):
                state.note =
                    "asked to stop after this batch; `fleet resume` goes on from there"
                settings.wish(.pause)
            case UInt8(ascii: "f"): state.showsFailuresOnly.toggle()
            case UInt8(ascii: "?"): state.showsKeys.toggle()
            default: return
            }
            if state.isLive { write(erasing(&state) + frame(&state)) }
        }
        if !state.withLock({ $0.isLive }) { leaveKeys() }
    }

    private func leaveKeys() {
        keys.withLock { keys in
            keys?.stop()
            keys = nil
        }
    }

    // MARK: Drawing

    private func take(_ entries: [JournalEntry]) {
        state.withLock { state in
            var kept: [String] = []
            for entry in entries {
                let isLive = state.isLive
                kept += state.text.lines(for: entry).filter {
                    switch $0.weight {
                    case .notable: true
                    case .detail: !isLive
                    case .live: isLive
                    }
                }.map(\.text)
                if case .event(.stepEnded(let host, _, _, _, _)) = entry.body {
                    transfers.withLock { $0[host] = nil }
                    outputs.withLock { $0[host] = nil }
                }
            }
            guard !kept.isEmpty else { return }
            state.lastSaid = .now
            write(
                erasing(&state) + kept.joined(separator: "\n") + "\n" + frame(&state),
                isFrame: state.isLive
            )
        }
    }

    private func tick() {
        for key in keys.withLock({ $0?.pressed() }) ?? [] { pressed(key) }
        state.withLock { state in
            guard !state.isOver else { return }
            let pause = ContinuousClock.now - state.lastTick
            state.lastTick = .now
            guard state.isLive else { return beat(&state) }
            // This process stood still, most likely stopped: what was drawn is somewhere above.
            if pause > Self.standstill { state.drawn = [] }
            // Another job has the terminal, the shell most likely: what is on the screen is not ours to erase.
            guard TerminalMode.ownsTerminal() else {
                state.drawn = []
                return
            }
            // What somebody types unseen must not be drawn over.
            guard !TerminalMode.isAsking else { return }
            write(erasing(&state) + frame(&state))
        }
    }

    /// Says that it is still under way, where nothing else was said for long.
    private func beat(_ state: inout State) {
        guard state.rollout.outcome == nil, .now - state.lastSaid >= Self.heartbeat else { return }
        state.lastSaid = .now
        write(state.text.heartbeat(at: elapsed) + "\n", isFrame: false)
    }

    private var elapsed: Int { Int((ContinuousClock.now - start) / .milliseconds(1)) }

    /// One write for a frame, which a terminal that knows the sequence shows at once (synchronized output, mode 2026).
    private func write(_ text: String, isFrame: Bool = true) {
        guard !text.isEmpty else { return }
        terminal.write(isFrame ? "\u{1B}[?2026h\(text)\u{1B}[?2026l" : text)
    }

    /// What takes the frame away that is drawn now.
    private func erasing(_ state: inout State) -> String {
        defer { state.drawn = [] }
        let continued = TerminalMode.timesContinued
        guard continued == state.timesContinued else {
            // After a stop the frame is somewhere above, and what is below it is the shell's.
            state.timesContinued = continued
            return ""
        }
        guard !state.drawn.isEmpty else { return "" }
        // A terminal that has become narrower has wrapped the lines.
        let width = max(1, terminal.size.width)
        let rows = state.drawn.reduce(0) { $0 + max(1, ($1 + width - 1) / width) }
        return "\u{1B}[\(rows)A\r\u{1B}[J"
    }

    private func frame(_ state: inout State) -> String {
        guard state.isLive, !state.isOver, state.rollout.outcome == nil,
            TerminalMode.ownsTerminal()
        else { return "" }
        let size = terminal.size
        // The line below the frame needs a row, and one more keeps the first line from scrolling away.
        guard size.height >= 3 else { return "" }
        var extras = LiveFrame.Extras()
        extras.transfers = transfers.withLock { $0 }
        extras.lastLines = outputs.withLock { $0 }.mapValues(\.lastLine).filter {
            !$0.value.isEmpty
        }
        extras.usualMilliseconds = settings.usualMilliseconds
        extras.showsFailuresOnly = state.showsFailuresOnly
        extras.showsKeys = state.showsKeys
        extras.note = state.note
        let lines = LiveFrame.lines(
            state.rollout,
            at: elapsed,
            width: max(1, size.width - 1),
            height: min(size.height - 2, 40),
            extras: extras,
            style: style
        )
        state.drawn = lines.map(Style.width)
        return lines.joined(separator: "\n") + "\n"
    }
}
