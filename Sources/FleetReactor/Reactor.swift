internal import CLinux
internal import Dispatch
package import FleetTransport
internal import Glibc
internal import Synchronization

/// One event loop: it waits for sockets, and it is the executor of every session assigned to it.
///
/// The loop is the only work item of a serial Dispatch queue of its own, so a host's whole flow
/// stays on one queue. It waits on one epoll descriptor; `DispatchSource` is not used, because on
/// Linux it loses read events and crashes under churn (measured). With nothing left to wait for
/// the loop ends, and begins anew with the next job: Dispatch has 255 threads, and whoever opens
/// transport after transport would use them up.
///
/// `@unchecked Sendable`: everything but `pending` and `threadID` is touched only by the loop.
package final class Reactor: SerialExecutor, TaskExecutor, @unchecked Sendable {
    private struct Pending {
        var jobs: [UnownedJob] = []
        var blocks: [@Sendable () -> Void] = []
        /// Whether the loop knows, or has been woken to learn, that there is something to do.
        var isAwake = false
        /// Whether the loop has a thread.
        var isRunning = false
    }

    private struct Timer {
        let at: UInt64
        let fire: () -> Void
    }

    private let queue: DispatchQueue
    private let pending = Mutex(Pending())
    private let threadID = Atomic<UInt>(0)
    private let epoll: Int32
    private let wakeup: Int32
    private var handlers: [(generation: UInt32, handle: (UInt32) -> Void)?] = []
    private var watched = 0
    private var generation: UInt32 = 0
    private var events = [epoll_event](repeating: epoll_event(), count: 256)
    private var timers: [UInt64: Timer] = [:]
    private var nextTimer: UInt64 = 0
    /// When the first timer is due; the timers are looked through then only.
    private var soonest = UInt64.max

    /// Scratch space for reads; used between two suspension points only.
    package let scratch: UnsafeMutableRawBufferPointer = .allocate(byteCount: 65_536, alignment: 64)

    /// Timers that are due within this time fire together, in nanoseconds.
    private static let slack: UInt64 = 5_000_000

    /// Why this loop can watch no sockets; nil if it can.
    private let obstacle: String?

    /// Starts a loop.
    ///
    /// A process that may open no more descriptors gets one that still runs jobs, but watches no sockets; see
    /// ``requireSockets(to:)``.
    package init(index: Int) {
        queue = DispatchQueue(label: "fleet.reactor.\(index)")
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        wakeup = epoll < 0 ? -1 : eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        obstacle = wakeup < 0 ? String(cString: strerror(errno)) : nil
        guard obstacle == nil else { return }
        var event = epoll_event()
        event.events = EPOLLIN.rawValue
        event.data.u64 = .max
        epoll_ctl(epoll, EPOLL_CTL_ADD, wakeup, &event)
    }

    deinit {
        if wakeup >= 0 { Glibc.close(wakeup) }
        if epoll >= 0 { Glibc.close(epoll) }
        scratch.deallocate()
    }

    // MARK: Executor

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        wake { $0.jobs.append(job) }
    }

    /// Runs a block on the loop.
    package func post(_ block: @escaping @Sendable () -> Void) {
        wake { $0.blocks.append(block) }
    }

    private func wake(_ add: (inout Pending) -> Void) {
        let (mustStart, mustWake) = pending.withLock { state in
            add(&state)
            defer { (state.isRunning, state.isAwake) = (true, true) }
            return (!state.isRunning, !state.isAwake)
        }
        if mustStart { return queue.async { self.loop() } }
        // The loop itself looks before it sleeps: no system call from our own thread.
        if mustWake, !isCurrent { eventfd_write(wakeup, 1) }
    }

    package var isCurrent: Bool { threadID.load(ordering: .relaxed) == UInt(pthread_self()) }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        UnownedSerialExecutor(ordinary: self)
    }
    package func asUnownedTaskExecutor() -> UnownedTaskExecutor {
        UnownedTaskExecutor(ordinary: self)
    }
    package func checkIsolated() { precondition(isCurrent, "not on this reactor") }
    package func isIsolatingCurrentContext() -> Bool? { isCurrent }

    // MARK: Sockets

    /// Refuses to connect to a host if this loop cannot watch the connection; to be asked before each one.
    ///
    /// - Throws: ``FleetTransport/TransportError/unreachable(address:reason:)`` if the process had no descriptors left for
    ///   the loop.
    package func requireSockets(to host: HostName) throws(TransportError) {
        guard let obstacle else { return }
        throw .unreachable(address: host.text, reason: obstacle)
    }

    /// Watches a descriptor, once for its whole life, edge-triggered in both directions.
    package func register(_ descriptor: Int32, _ handle: @escaping (UInt32) -> Void) {
        generation &+= 1
        while handlers.count <= Int(descriptor) { handlers.append(nil) }
        handlers[Int(descriptor)] = (generation, handle)
        var event = epoll_event()
        event.events =
            EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue
        // A descriptor's number is used again; the generation tells old events from new ones.
        event.data.u64 = UInt64(generation) << 32 | UInt64(UInt32(bitPattern: descriptor))
        epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event)
        watched += 1
    }

    /// Gives a watched descriptor's events to somebody else.
    package func handle(_ descriptor: Int32, _ handle: @escaping (UInt32) -> Void) {
        guard let known = handlers[Int(descriptor)] else { return }
        handlers[Int(descriptor)] = (known.generation, handle)
    }

    /// Forgets a descriptor and closes it.
    package func close(_ descriptor: Int32) {
        handlers[Int(descriptor)] = nil
        watched -= 1
        Glibc.close(descriptor)
    }

    // MARK: Time

    /// Nanoseconds on the clock that never jumps.
    package static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Runs a block at a time; the loop only.
    package func schedule(at nanoseconds: UInt64, _ fire: @escaping () -> Void) -> UInt64 {
        nextTimer += 1
        timers[nextTimer] = Timer(at: nanoseconds, fire: fire)
        soonest = min(soonest, nanoseconds)
        return nextTimer
    }

    /// Forgets a timer.
    package func unschedule(_ id: UInt64) { timers[id] = nil }

    // MARK: Loop

    /// How many rounds of jobs may follow each other before the sockets are looked at.
    ///
    /// Most jobs leave one more behind; looking each time took a hundredth of a rollout's CPU (measured).
    private static let roundsBetweenLooks = 8

    private func loop() {
        threadID.store(UInt(pthread_self()), ordering: .relaxed)
        defer { threadID.store(0, ordering: .relaxed) }
        var rounds = 0
        while true {
            let isLast = watched == 0 && timers.isEmpty
            let taken: (jobs: [UnownedJob], blocks: [@Sendable () -> Void])? = pending.withLock {
                state in
                let taken = (state.jobs, state.blocks)
                if isLast, taken.0.isEmpty, taken.1.isEmpty {
                    state.isRunning = false
                    return nil
                }
                state.jobs.removeAll(keepingCapacity: true)
                state.blocks.removeAll(keepingCapacity: true)
                return taken
            }
            guard let (jobs, blocks) = taken else { return }
            for block in blocks { block() }
            for job in jobs {
                job.runSynchronously(
                    isolatedTo: asUnownedSerialExecutor(),
                    taskExecutor: asUnownedTaskExecutor()
                )
            }
            // What has just run may have left more to do; if not, there is no need to look twice.
            let isIdle = pending.withLock { state in
                let isIdle = state.jobs.isEmpty && state.blocks.isEmpty
                if isIdle { state.isAwake = false }
                return isIdle
            }
            if isIdle, watched == 0, timers.isEmpty { continue }
            rounds += 1
            guard isIdle || rounds >= Self.roundsBetweenLooks else { continue }
            rounds = 0
            poll(timeout: isIdle ? waitMilliseconds : 0)
            guard soonest != .max else { continue }
            let now = Reactor.now()
            if soonest <= now { fireTimers(dueAt: now + Self.slack) }
        }
    }

    /// How long there is nothing to do, as epoll wants it: rounded up, -1 for ever.
    private var waitMilliseconds: Int32 {
        guard soonest != .max else { return -1 }
        let now = Reactor.now()
        return soonest <= now ? 0 : Int32(min((soonest - now) / 1_000_000 + 1, 3_600_000))
    }

    private func fireTimers(dueAt now: UInt64) {
        let due = timers.filter { $0.value.at <= now }.sorted { $0.key < $1.key }
        soonest = .max
        for (id, timer) in due where timers.removeValue(forKey: id) != nil { timer.fire() }
        soonest = min(soonest, timers.values.map(\.at).min() ?? .max)
    }

    private func poll(timeout: Int32) {
        var wait = timeout
        while true {
            let count = Int(epoll_wait(epoll, &events, Int32(events.count), wait))
            guard count > 0 else { return }
            for event in events[..<count] {
                let data = event.data.u64
                if data == .max {
                    var value: eventfd_t = 0
                    eventfd_read(wakeup, &value)
                    continue
                }
                let descriptor = Int(UInt32(truncatingIfNeeded: data))
                if let entry = handlers[descriptor], entry.generation == UInt32(data >> 32) {
                    entry.handle(event.events)
                }
            }
            guard count == events.count else { return }
            wait = 0
        }
    }
}

/// The reactors of a process: one for every hundred hosts, at most one a core and four in all.
package final class ReactorPool: Sendable {
    /// Two reactors carried 1000 sessions (measured); more would only add threads.
    package static let limit = 4
    /// How many hosts a reactor has before the next one gets any.
    ///
    /// One is enough for a hundred hosts: it opens 1,400 connections a second, or sends 500 MB. A second
    /// one cost a rollout on 100 hosts a tenth more CPU, for waking each other's threads (measured).
    package static let share = 100

    private let reactors: [Reactor]
    private let places = Mutex<(hosts: [String: Int], jumps: [String: Int])>(([:], [:]))

    package init() {
        let cores = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
        reactors = (0..<min(cores, Self.limit)).map { Reactor(index: $0) }
    }

    /// The reactor of a host: new ones fill one reactor after the other, known ones keep theirs.
    package func reactor(for host: String) -> Reactor {
        reactors[
            places.withLock { places in
                let next = places.hosts.count / Self.share % reactors.count
                return places.hosts.place(of: host, or: next)
            }
        ]
    }

    /// The reactor of all hosts behind a jump host: nobody knows how many, so they take turns.
    package func reactor(behind jump: String) -> Reactor {
        reactors[
            places.withLock { places in
                places.jumps.place(of: jump, or: places.jumps.count % reactors.count)
            }
        ]
    }
}

extension [String: Int] {
    fileprivate mutating func place(of name: String, or next: Int) -> Int {
        if let known = self[name] { return known }
        self[name] = next
        return next
    }
}
