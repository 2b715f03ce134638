package import FleetTransport
internal import Glibc
internal import Synchronization

/// Finds addresses, each name once per run and off the reactors.
package final class Resolver: Sendable {
    /// Prepares to ask.
    ///
    /// - Parameters:
    ///   - lifetimeMilliseconds: How long an answer counts; after that it is asked for anew.
    ///   - lookUp: What knows addresses: the system's resolver.
    package init(
        lifetimeMilliseconds: Int = Resolver.lifetimeMilliseconds,
        lookUp: @escaping LookUp = { name, port, family throws(TransportError) in
            try HostAddress.lookUp(name, port: port, family: family)
        }
    ) {
        lifetime = UInt64(lifetimeMilliseconds) * 1_000_000
        self.lookUp = lookUp
    }

    /// Looks a name up, which may take long.
    package typealias LookUp =
        @Sendable (_ name: String, _ port: Int, _ family: Int32) throws(TransportError)
        -> [HostAddress]

    private let lookUp: LookUp

    /// How long an answer counts, in milliseconds: a process that lives for months follows a host that moves, and a
    /// thousand hosts that are connected to at once ask for each name once.
    package static let lifetimeMilliseconds = 60_000

    private let lifetime: UInt64

    /// The longest wait for a name server, in milliseconds; its own retries take as long.
    package static let limitMilliseconds = 15_000

    private struct Question: Hashable {
        let name: String
        let port: Int
        let family: Int32
    }

    private typealias Answer = Result<[HostAddress], TransportError>

    private let asked = Mutex<[Question: (task: Task<Answer, Never>, time: UInt64)]>([:])

    /// A host's addresses in the order in which they are tried: families alternate, the resolver's
    /// first one first (RFC 8305, section 4).
    ///
    /// - Throws: ``FleetTransport/TransportError/nameNotFound(name:reason:)``, or `unreachable`
    ///   where the name server did not answer.
    package func addresses(of name: String, port: Int, family: Int32)
        async throws(TransportError) -> [HostAddress]
    {
        if let literal = HostAddress(literal: name, port: port) { return [literal] }
        let question = Question(name: name, port: port, family: family)
        let now = Reactor.now()
        let task = asked.withLock { asked in
            if let known = asked[question], now - known.time < lifetime { return known.task }
            // Nobody asks for what is old any more, so it does not pile up either.
            asked = asked.filter { now - $0.value.time < lifetime }
            let task = Task { await ask(question) }
            asked[question] = (task, now)
            return task
        }
        guard let answer = await Deadline.wait(for: task, milliseconds: Self.limitMilliseconds)
        else { throw .timedOut(.resolving, milliseconds: Self.limitMilliseconds) }
        // A failure is no knowledge: the next attempt asks again.
        if case .failure = answer { asked.withLock { _ = $0.removeValue(forKey: question) } }
        return try answer.get()
    }

    private func ask(_ question: Question) async -> Answer {
        await BlockingQueue.shared.run { [lookUp] in
            do throws(TransportError) {
                let found = try lookUp(question.name, question.port, question.family)
                return .success(HostAddress.alternating(found))
            } catch {
                return .failure(error)
            }
        }
    }
}

/// Waits that end.
package enum Deadline {
    /// A task's value, or nil when the time is over; the task itself goes on.
    package static func wait<T: Sendable>(for task: Task<T, Never>, milliseconds: Int) async -> T? {
        let once = Once<T>()
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                once.arm(continuation)
                Task { once.resume(await task.value) }
                Task {
                    do {
                        try await Task.sleep(for: .milliseconds(milliseconds))
                    } catch {
                        // Cancelled: nothing is waited for after that, so the wait ends, too.
                    }
                    once.resume(nil)
                }
            }
        } onCancel: {
            once.resume(nil)
        }
    }

    private final class Once<T: Sendable>: Sendable {
        private struct State {
            var continuation: CheckedContinuation<T?, Never>?
            var isOver = false
        }
        private let state = Mutex(State())

        func arm(_ continuation: CheckedContinuation<T?, Never>) {
            let isOver = state.withLock { state in
                if !state.isOver { state.continuation = continuation }
                return state.isOver
            }
            if isOver { continuation.resume(returning: nil) }
        }

        func resume(_ value: T?) {
            let waiting = state.withLock { state in
                state.isOver = true
                defer { state.continuation = nil }
                return state.continuation
            }
            waiting?.resume(returning: value)
        }
    }
}
