package import FleetTransport

/// Something on a reactor that waits for bytes: every call that has to wait is an operation, a closure that is
/// tried again whenever something has arrived.
///
/// A deadline or a cancellation ends the whole session, because a half-done call cannot be abandoned; the first
/// transport error poisons it.
package protocol ReactorSession: Actor {
    /// Where the session lives.
    nonisolated var reactor: Reactor { get }
    /// What it waits for.
    var operations: Operations { get }
    /// Why the session is of no use any more.
    var failure: TransportError? { get }
    /// When something besides the operations is due, in nanoseconds; `.max` for never.
    var heartbeatDue: UInt64 { get }
    /// That time has come.
    func beat(_ now: UInt64)
    /// Sends what waits to be sent.
    func flush()
    /// Tries every waiting operation, oldest first, after input, an end, or a new operation.
    func pump()
    /// Ends the session at once, and everything that waits on it.
    func tearDown(_ reason: TransportError)
}

/// What a session waits for; confined to its reactor.
package final class Operations {
    fileprivate struct Operation {
        let id: UInt64
        let phase: ConnectionPhase
        let deadline: UInt64
        let milliseconds: Int
        /// Tries once more; true when it is over.
        let step: () -> Bool
        /// Ends it with an error.
        let fail: (TransportError) -> Void
        /// Ends it without one when its deadline passes; nil if that ends the session.
        let expire: (() -> Void)?
    }

    fileprivate var waiting: [Operation] = []
    fileprivate var last: UInt64 = 0
    fileprivate var timer: UInt64?
    fileprivate var timerAt = UInt64.max

    package init() {}

    /// Whether nobody waits.
    package var isEmpty: Bool { waiting.isEmpty }

    /// What is waited for longest.
    package var phase: ConnectionPhase? { waiting.first?.phase }
}

/// How a wait ended.
package enum WaitEnd: Sendable {
    case over
    /// Its deadline passed, and that does not end the session.
    case expired
    case failed(TransportError)
}

// Little of this is generic: looking up the metadata of generic types took some 2 % of a step's CPU.
extension ReactorSession {
    /// Runs `body` until it yields a value; nil means that bytes have to arrive first.
    ///
    /// One suspension for a whole operation, however many packets it takes.
    package func perform<T: Sendable>(
        _ phase: ConnectionPhase,
        within milliseconds: Int,
        _ body: @escaping () throws(TransportError) -> T?
    ) async throws(TransportError) -> T {
        if let failure { throw failure }
        if operations.isEmpty, let value = try body() {
            flush()
            return value
        }
        var result: T?
        let end = await wait(phase, within: milliseconds, endsSession: true) {
            () throws(TransportError) -> Bool in
            result = try body()
            return result != nil
        }
        if case .failed(let error) = end { throw error }
        guard let result else {
            preconditionFailure("only an operation that may expire ends without a value")
        }
        return result
    }

    /// As above, but a passed deadline gives nil and leaves the session alone.
    ///
    /// Only for bodies that wait for input: nothing may be half done.
    package func performOrExpire<T: Sendable>(
        _ phase: ConnectionPhase,
        within milliseconds: Int,
        _ body: @escaping () throws(TransportError) -> T?
    ) async throws(TransportError) -> T? {
        if let failure { throw failure }
        if operations.isEmpty, let value = try body() {
            flush()
            return value
        }
        var result: T?
        let end = await wait(phase, within: milliseconds, endsSession: false) {
            () throws(TransportError) -> Bool in
            result = try body()
            return result != nil
        }
        if case .failed(let error) = end { throw error }
        return result
    }

    /// Waits until `step` says that it is over.
    package func wait(
        _ phase: ConnectionPhase,
        within milliseconds: Int,
        endsSession: Bool,
        _ step: @escaping () throws(TransportError) -> Bool
    ) async -> WaitEnd {
        let operations = operations
        operations.last += 1
        let id = operations.last
        let deadline = Reactor.now() + UInt64(max(1, milliseconds)) * 1_000_000
        return await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                operations.waiting.append(
                    Operations.Operation(
                        id: id,
                        phase: phase,
                        deadline: deadline,
                        milliseconds: milliseconds,
                        step: {
                            do throws(TransportError) {
                                guard try step() else { return false }
                                continuation.resume(returning: WaitEnd.over)
                            } catch {
                                continuation.resume(returning: .failed(error))
                            }
                            return true
                        },
                        fail: { continuation.resume(returning: .failed($0)) },
                        expire: endsSession ? nil : { continuation.resume(returning: .expired) }
                    )
                )
                // The end of the session, or a cancellation, that came before the operation found nothing to end.
                if let failure {
                    operations.waiting.removeAll { $0.id == id }
                    continuation.resume(returning: .failed(failure))
                } else if Task.isCancelled {
                    cancel(id)
                } else {
                    arm(min(deadline, heartbeatDue))
                    pump()
                }
            }
        } onCancel: {
            reactor.post { self.assumeIsolated { $0.cancel(id) } }
        }
    }

    /// Goes on with something that nobody waits for any more, because it cannot be left half done; without
    /// a deadline, until it is over or the session is, which `fail` is told.
    package func finishLater(
        _ phase: ConnectionPhase,
        _ step: @escaping () -> Bool,
        fail: @escaping () -> Void
    ) {
        let operations = operations
        operations.last += 1
        operations.waiting.append(
            Operations.Operation(
                id: operations.last,
                phase: phase,
                deadline: .max,
                milliseconds: 0,
                step: step,
                fail: { _ in fail() },
                expire: nil
            )
        )
    }

    private func cancel(_ id: UInt64) {
        guard let operation = operations.waiting.first(where: { $0.id == id }) else { return }
        tearDown(.connectionLost(operation.phase, reason: "cancelled"))
    }

    private func arm(_ deadline: UInt64) {
        let operations = operations
        guard deadline < operations.timerAt else { return }
        if let timer = operations.timer { reactor.unschedule(timer) }
        operations.timerAt = deadline
        operations.timer = reactor.schedule(at: deadline) { [weak self] in
            self?.assumeIsolated { $0.deadlinePassed() }
        }
    }

    private func deadlinePassed() {
        let operations = operations
        operations.timer = nil
        operations.timerAt = .max
        let now = Reactor.now()
        for operation in operations.waiting where operation.deadline <= now {
            guard let expire = operation.expire else {
                tearDown(.timedOut(operation.phase, milliseconds: operation.milliseconds))
                return
            }
            operations.waiting.removeAll { $0.id == operation.id }
            expire()
        }
        if heartbeatDue <= now { beat(now) }
        guard failure == nil, let next = operations.waiting.map(\.deadline).min() else { return }
        arm(min(next, heartbeatDue))
    }

    /// Tries every waiting operation once, oldest first, and from the first one again when one is over.
    package func stepOperations() {
        let operations = operations
        var index = 0
        while index < operations.waiting.count {
            let operation = operations.waiting[index]
            if operation.step() {
                operations.waiting.removeAll { $0.id == operation.id }
                index = 0
            } else {
                index += 1
            }
        }
    }

    /// Forgets the timer.
    package func disarm() {
        let operations = operations
        if let timer = operations.timer { reactor.unschedule(timer) }
        operations.timer = nil
        operations.timerAt = .max
    }

    /// Gives up all operations; what is returned tells them why.
    package func abandonOperations() -> (TransportError) -> Void {
        let waiting = operations.waiting
        operations.waiting = []
        disarm()
        return { reason in for operation in waiting { operation.fail(reason) } }
    }
}
