internal import Dispatch

/// Writes on a queue of its own, in order: a reader that is slow, or has stopped, holds up nothing
/// but the end of the program.
package final class QueuedOutput: Sendable {
    private let terminal: Terminal
    private let queue = DispatchQueue(label: "fleet.output")

    package init(_ terminal: Terminal) { self.terminal = terminal }

    package func write(_ bytes: [UInt8]) {
        queue.async { [terminal] in terminal.write(bytes) }
    }

    /// Waits until everything is written: what the rollout did is in the journal long since.
    package func finish() { queue.sync {} }
}
