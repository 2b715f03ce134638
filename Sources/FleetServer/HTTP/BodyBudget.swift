internal import Synchronization

/// How much all requests together may hold in memory before they are answered: thousands of senders of long bodies must
/// not use up the machine.
final class BodyBudget: Sendable {
    /// What each request may hold without being counted, in bytes: forms, and asking to stop, are never refused for others.
    private static let free = 64 << 10
    /// The most bytes.
    private static let limit = 256 << 20
    private let taken = Mutex(0)

    /// What one request has taken; given back when nobody refers to it any more.
    final class Share: Sendable {
        private let budget: BodyBudget
        private let mine = Mutex(0)
        private let read = Mutex(0)

        fileprivate init(_ budget: BodyBudget) { self.budget = budget }

        deinit {
            let count = mine.withLock { $0 }
            budget.taken.withLock { $0 -= count }
        }

        /// Takes some more.
        ///
        /// - Returns: Whether there was so much left.
        func take(_ count: Int) -> Bool {
            let all = read.withLock { read in
                read += count
                return read
            }
            guard all > BodyBudget.free else { return true }
            let isLeft = budget.taken.withLock { taken in
                guard taken + count <= BodyBudget.limit else { return false }
                taken += count
                return true
            }
            if isLeft { mine.withLock { $0 += count } }
            return isLeft
        }
    }

    /// A share for one request.
    func share() -> Share { Share(self) }
}
