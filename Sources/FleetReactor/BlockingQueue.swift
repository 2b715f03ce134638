internal import Dispatch
internal import Synchronization

/// The one place for calls that block: name lookups, local files, the agent.
///
/// A bounded number of serial Dispatch queues: `DispatchQueue.global()` creeps up thread by thread
/// and a blocked Swift task stops a whole core's worth of others (both measured).
package final class BlockingQueue: Sendable {
    /// Calls that may block at the same time.
    package static let width = 8

    package static let shared = BlockingQueue()

    private let queues = (0..<width).map { DispatchQueue(label: "fleet.blocking.\($0)") }
    private let next = Atomic<Int>(0)

    /// Runs a blocking call off the reactors.
    package func run<T: Sendable>(_ body: @escaping @Sendable () -> T) async -> T {
        await withCheckedContinuation { continuation in
            perform { continuation.resume(returning: body()) }
        }
    }

    /// Runs a blocking call off the reactors, for callers that are not tasks.
    package func perform(_ body: @escaping @Sendable () -> Void) {
        let turn = next.wrappingAdd(1, ordering: .relaxed).oldValue
        queues[turn % Self.width].async(execute: body)
    }
}
