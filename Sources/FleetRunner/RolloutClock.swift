internal import Synchronization

/// The clock of a runner: the system's, or that of a simulation.
public protocol RolloutClock: Sendable {
    /// Milliseconds since an arbitrary moment; never goes back, and keeps counting while the machine sleeps.
    var milliseconds: Int { get }
    /// Milliseconds since 1970, for display only; no decision depends on it.
    var unixMilliseconds: Int { get }

    /// Calls `body` once, on any thread, after a number of milliseconds.
    ///
    /// - Returns: A function that cancels the wait; `body` may already have been called, or may still be called.
    func after(milliseconds: Int, _ body: @escaping @Sendable () -> Void) -> @Sendable () -> Void
}

/// The system's time.
public struct SystemClock: RolloutClock {
    private let start = ContinuousClock.now

    /// Creates a clock that counts from now.
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
