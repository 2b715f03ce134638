public import FleetRunner
public import FleetTransport
internal import Synchronization

/// One thread, and a time that passes only when nothing is left to do: what runs on it runs the same way
/// every time.
public final class SimulatedMachine: HostExecutor, RolloutClock {
    private struct Timer {
        let at: Int
        let number: Int
        let body: @Sendable () -> Void
    }

    private struct State {
        var jobs: [UnownedJob] = []
        /// The newest first.
        var timers: [Timer] = []
        var now = 0
        var count = 0
    }

    private let state = Mutex(State())

    /// A machine on which nothing runs yet.
    public init() {}

    // MARK: Executor

    /// Takes work; it is done in order.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        state.withLock { $0.jobs.append(job) }
    }

    // MARK: RolloutClock

    /// Simulated milliseconds since the beginning.
    public var milliseconds: Int { state.withLock { $0.now } }

    /// The same as a date.
    public var unixMilliseconds: Int { 1_700_000_000_000 + milliseconds }

    /// Calls `body` when that much simulated time has passed.
    public func after(milliseconds: Int, _ body: @escaping @Sendable () -> Void)
        -> @Sendable () -> Void
    {
        let number = state.withLock { state in
            state.count += 1
            let at = state.now + max(0, milliseconds)
            let place = state.timers.firstIndex { $0.at <= at } ?? state.timers.count
            state.timers.insert(Timer(at: at, number: state.count, body: body), at: place)
            return state.count
        }
        return { [self] in
            state.withLock { state in state.timers.removeAll { $0.number == number } }
        }
    }

    /// Waits for simulated time.
    public func sleep(milliseconds: Int) async {
        await withCheckedContinuation { continuation in
            _ = after(milliseconds: milliseconds) { continuation.resume() }
        }
    }

    // MARK: Running

    /// Works, and lets time pass, until something is so; false if nothing is left that could make it so.
    public func run(until isOver: () -> Bool) -> Bool {
        while true {
            let jobs = state.withLock { state in
                defer { state.jobs = [] }
                return state.jobs
            }
            for job in jobs {
                job.runSynchronously(
                    isolatedTo: asUnownedSerialExecutor(),
                    taskExecutor: asUnownedTaskExecutor()
                )
            }
            guard jobs.isEmpty else { continue }
            if isOver() { return true }
            guard let timer = nextTimer() else { return false }
            timer.body()
        }
    }

    private func nextTimer() -> Timer? {
        state.withLock { state in
            let timer = state.timers.popLast()
            state.now = max(state.now, timer?.at ?? 0)
            return timer
        }
    }
}
