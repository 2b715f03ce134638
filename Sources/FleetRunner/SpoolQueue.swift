internal import Dispatch
internal import Synchronization

/// Where output goes to the disk: a few serial queues, because a disk may make a writer wait.
final class SpoolQueue: Sendable {
    static let shared = SpoolQueue()

    private let queues = (0..<2).map { DispatchQueue(label: "fleet.spool.\($0)") }
    private let next = Atomic<Int>(0)
    /// How many bytes of all outputs wait for the disk.
    let waitingBytes = Atomic<Int>(0)

    /// More than this, and whoever has the least to write already has to wait, too: a hundred hosts must
    /// not cost a hundred times what one does.
    static let budgetBytes = 8 << 20

    func perform(_ body: @escaping @Sendable () -> Void) {
        let turn = next.wrappingAdd(1, ordering: .relaxed).oldValue
        queues[turn % queues.count].async(execute: body)
    }

    /// Runs what may wait for a disk off the reactors.
    func run<T: Sendable>(_ body: @escaping @Sendable () -> T) async -> T {
        await withCheckedContinuation { continuation in
            perform { continuation.resume(returning: body()) }
        }
    }
}
