internal import Dispatch
internal import Synchronization

/// Where output goes to the disk: a few serial queues, because a disk may make a writer wait.
final class SpoolQueue: Sendable {
    static let shared = SpoolQueue()

    private let queues = (0..<2).map { DispatchQueue(label: "fleet.spool.\($0)") }
    private let next = Atomic<Int>(0)

    func perform(_ body: @escaping @Sendable () -> Void) {
        let turn = next.wrappingAdd(1, ordering: .relaxed).oldValue
        queues[turn % queues.count].async(execute: body)
    }
}
