internal import FleetJournal
public import FleetRollout
internal import Synchronization

/// An asynchronous sequence of a rollout's records, each delivered once it is durable.
public struct RolloutEvents: AsyncSequence, Sendable {
    let rollout: RolloutID
    let last: Int
    let journal: any JournalReader
    let progress: RolloutProgress

    /// Begins to follow.
    public func makeAsyncIterator() -> Iterator {
        Iterator(rollout: rollout, last: last, journal: journal, progress: progress)
    }

    /// The position of one reader in the sequence.
    public struct Iterator: AsyncIteratorProtocol {
        /// How many records are read at a time.
        private static let page = 200

        let rollout: RolloutID
        var last: Int
        let journal: any JournalReader
        let progress: RolloutProgress
        var read: ArraySlice<JournalEntry> = []

        init(rollout: RolloutID, last: Int, journal: any JournalReader, progress: RolloutProgress) {
            self.rollout = rollout
            self.last = last
            self.journal = journal
            self.progress = progress
        }

        /// Returns the next record; nil after the last record, or if the task was cancelled.
        ///
        /// - Throws: ``OperationFailure`` if the journal cannot be read.
        public mutating func next() async throws(OperationFailure) -> JournalEntry? {
            while true {
                if let entry = read.popFirst() {
                    last = entry.sequence
                    return entry
                }
                // Looked at before the journal is: what moves in between is not missed.
                let seen = progress.state
                do {
                    read = try await journal.entries(
                        of: rollout,
                        after: last,
                        limit: Self.page
                    )[...]
                } catch {
                    throw OperationFailure(error)
                }
                guard read.isEmpty else { continue }
                guard !seen.isOver, !Task.isCancelled else { return nil }
                await progress.wait(beyond: seen.count)
            }
        }
    }
}

/// How far a rollout has come, for those who follow it.
final class RolloutProgress: Sendable {
    struct State {
        /// Rises with every record.
        var count = 0
        var isOver = false
        fileprivate var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
        fileprivate var lastWaiter = 0
    }

    private let mutex = Mutex(State())

    var state: State { mutex.withLock { $0 } }

    /// Something was recorded.
    func moved() { wake { $0.count += 1 } }

    /// Nothing more will be.
    func ended() { wake { $0.isOver = true } }

    private func wake(_ change: @Sendable (inout State) -> Void) {
        let waiting = mutex.withLock { state in
            change(&state)
            defer { state.waiting = [:] }
            return state.waiting
        }
        for continuation in waiting.values { continuation.resume() }
    }

    /// Returns once there is more than was seen, at the end, and for a task that is cancelled.
    func wait(beyond seen: Int) async {
        let waiter = mutex.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isReady = mutex.withLock { state in
                    guard state.count == seen, !state.isOver, !Task.isCancelled else { return true }
                    state.waiting[waiter] = continuation
                    return false
                }
                if isReady { continuation.resume() }
            }
        } onCancel: {
            mutex.withLock { $0.waiting.removeValue(forKey: waiter) }?.resume()
        }
    }
}
