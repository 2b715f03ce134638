package import FleetRollout
internal import Synchronization

/// The live view, and what was recorded before it stood.
package final class Screen: Sendable {
    private let state = Mutex<(view: LiveView?, pending: [JournalEntry])>((nil, []))

    /// Nothing is shown yet.
    package init() {}

    package var view: LiveView? { state.withLock { $0.view } }

    package func show(_ entries: [JournalEntry]) {
        state.withLock { state in
            if let view = state.view { view.show(entries) } else { state.pending += entries }
        }
    }

    package func begin(_ view: LiveView) {
        state.withLock { state in
            view.show(state.pending)
            state = (view, [])
        }
    }
}
