internal import Dispatch
package import FleetPlan
package import FleetReport
package import FleetRollout
package import FleetTransport
internal import Glibc
internal import Synchronization

/// Shows a rollout on standard error while it runs: a live view for a person, lines for a pipe.
///
/// Drawing happens on a queue of its own: a terminal that stopped reading stops only that queue.
package final class LiveView: Sendable {
    private struct State {
        var text: ProgressText
        var rollout: Rollout { text.rollout }
        var drawnLines = 0
        var isOver = false
    }

    private let terminal = Terminal.standardError
    private let style: Style
    private let isLive: Bool
    private let queue = DispatchQueue(label: "fleet.live-view")
    private let state: Mutex<State>
    /// How far transfers have come, for hosts that are at one.
    ///
    /// Apart from the state, which is held
    /// while a terminal that may have stopped is written to.
    private let transfers = Mutex<[HostName: LiveFrame.Transfer]>([:])
    private let start: ContinuousClock.Instant
    private let ticking: Mutex<Task<Void, Never>?> = Mutex(nil)

    /// Begins to show a rollout.
    ///
    /// - Parameters:
    ///   - plan: What is carried out.
    ///   - entries: What was recorded of it before, if it is taken up again.
    ///   - style: How text is marked.
    package init(plan: Plan, replaying entries: [JournalEntry] = [], style: Style) {
        self.style = style
        isLive = Terminal.standardError.isInteractive
        var text = ProgressText(plan: plan, style: style)
        // What was said then is not said again.
        for entry in entries { _ = text.lines(for: entry) }
        state = Mutex(State(text: text))
        let begun = entries.last?.elapsedMilliseconds ?? 0
        start = ContinuousClock.now - .milliseconds(begun)
        guard isLive else { return }
        TerminalEcho.hide()
        let ticker = Task { [weak self] in
            while !Task.isCancelled {
                self?.queue.async { [weak self] in self?.redraw() }
                do { try await Task.sleep(for: .milliseconds(100)) } catch { return }
            }
        }
        ticking.withLock { $0 = ticker }
    }

    /// Takes records that have become durable.
    package func show(_ entries: [JournalEntry]) {
        queue.async { self.take(entries) }
    }

    /// Takes how far a transfer has come; the next frame shows it.
    package func transferred(_ host: HostName, _ bytes: Int, of total: Int) {
        guard isLive else { return }
        transfers.withLock { $0[host] = LiveFrame.Transfer(bytes: bytes, total: total) }
    }

    /// Draws a last time and waits until everything is on the screen, but not for ever.
    package func finish() {
        ticking.withLock { $0?.cancel() }
        let done = DispatchSemaphore(value: 0)
        queue.async {
            self.state.withLock { state in
                self.erase(&state)
                state.isOver = true
            }
            done.signal()
        }
        _ = done.wait(timeout: .now() + 2)
        if isLive { TerminalEcho.show() }
    }

    private func take(_ entries: [JournalEntry]) {
        state.withLock { state in
            var kept: [String] = []
            for entry in entries {
                let lines = state.text.lines(for: entry)
                kept += lines.filter { !isLive || $0.weight == .notable }.map(\.text)
                if case .event(.stepEnded(let host, _, _, _, _)) = entry.body {
                    transfers.withLock { $0[host] = nil }
                }
            }
            guard !kept.isEmpty else { return }
            erase(&state)
            terminal.write(kept.joined(separator: "\n") + "\n")
            draw(&state)
        }
    }

    private func redraw() {
        state.withLock { state in
            guard !state.isOver else { return }
            erase(&state)
            draw(&state)
        }
    }

    private func erase(_ state: inout State) {
        guard state.drawnLines > 0 else { return }
        terminal.write("\u{1B}[\(state.drawnLines)A\u{1B}[J")
        state.drawnLines = 0
    }

    private func draw(_ state: inout State) {
        guard isLive, !state.isOver, state.rollout.outcome == nil else { return }
        let size = terminal.size
        let now = Int((ContinuousClock.now - start) / .milliseconds(1))
        let lines = LiveFrame.lines(
            state.rollout,
            at: now,
            width: size.width,
            height: min(size.height - 2, 40),
            transfers: transfers.withLock { $0 },
            style: style
        )
        terminal.write(lines.joined(separator: "\n") + "\n")
        state.drawnLines = lines.count
    }
}
