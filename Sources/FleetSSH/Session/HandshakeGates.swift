internal import Synchronization

/// Lets only so many handshakes per endpoint be under way at once.
///
/// sshd drops new connections above its MaxStartups (10:30:100 by default), counting those that are
/// not logged in yet; hosts behind one address or one jump host share that count.
final class HandshakeGates: Sendable {
    /// Handshakes in flight to one endpoint.
    static let width = 8

    private struct Gate {
        var taken = 0
        var queue: [CheckedContinuation<Void, Never>] = []
    }

    private let gates = Mutex<[String: Gate]>([:])

    /// Waits for a turn; every `enter` needs a ``leave(_:)``.
    func enter(_ endpoint: String) async {
        let isFree = gates.withLock { gates in
            guard gates[endpoint, default: Gate()].taken < Self.width else { return false }
            gates[endpoint, default: Gate()].taken += 1
            return true
        }
        guard !isFree else { return }
        await withCheckedContinuation { continuation in
            let isFree = gates.withLock { gates in
                guard gates[endpoint, default: Gate()].taken >= Self.width else {
                    gates[endpoint, default: Gate()].taken += 1
                    return true
                }
                gates[endpoint, default: Gate()].queue.append(continuation)
                return false
            }
            if isFree { continuation.resume() }
        }
    }

    /// Gives the turn to the next one.
    func leave(_ endpoint: String) {
        let next = gates.withLock { gates -> CheckedContinuation<Void, Never>? in
            guard var gate = gates[endpoint] else { return nil }
            if !gate.queue.isEmpty {
                let next = gate.queue.removeFirst()
                gates[endpoint] = gate
                return next
            }
            gate.taken -= 1
            gates[endpoint] = gate.taken == 0 ? nil : gate
            return nil
        }
        next?.resume()
    }
}
