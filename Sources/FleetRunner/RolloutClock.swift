internal import Synchronization

/// Time as a runner sees it: the system's, or a simulation's.
public protocol RolloutClock: Sendable {
    /// Milliseconds since some moment; never goes back, and does not stop while the machine sleeps.
    var milliseconds: Int { get }
    /// Milliseconds since 1970, for people; nothing is decided by it.
    var unixMilliseconds: Int { get }

    /// Calls `body` once after a time, from anywhere.
    ///
    /// - Returns: Ends the wait; `body` may have been called by then, or may still be.
    func after(milliseconds: Int, _ body: @escaping @Sendable () -> Void) -> @Sendable () -> Void
}

/// The system's time.
public struct SystemClock: RolloutClock {
    private let start = ContinuousClock.now

    /// Begins to count.
    public init() {}

    /// Milliseconds since the clock was made.
    public var milliseconds: Int { Int((ContinuousClock.now - start) / .milliseconds(1)) }

    /// Milliseconds since 1970.
    public var unixMilliseconds: Int { WallClock.unixMilliseconds() }

    /// Waits in a task of its own.
    public func after(milliseconds: Int, _ body: @escaping @Sendable () -> Void)
        -> @Sendable () -> Void
    {
        let task = Task {
            // The only error is that the wait was ended, by whoever does not want to be called any more.
            guard (try? await Task.sleep(for: .milliseconds(milliseconds))) != nil else { return }
            body()
        }
        return { task.cancel() }
    }
}
