internal import CLibSSH2
internal import FleetReactor
internal import FleetTransport

/// The connection to one jump host that everything behind it shares.
///
/// One session carries all tunnels. Opening a tunnel takes a round trip and the jump host's own
/// connect, and libssh2 opens one at a time, so a second session is made when hosts have waited for
/// a turn too long: a dead host behind a jump host must not hold up the living ones.
///
/// On the reactor of everything behind it: a child's bytes move without a thread switch.
actor JumpHost {
    /// The most sessions to one jump host.
    static let laneLimit = 8
    /// How long hosts wait for a turn before there is another session, in milliseconds.
    static let patienceMilliseconds = 1_000

    nonisolated let reactor: Reactor
    nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

    /// A session, and whether it is opening a tunnel.
    ///
    /// `@unchecked Sendable`: read and written on the jump host's own actor only.
    private final class Lane: @unchecked Sendable {
        var session: SSHSession?
        var isBusy = true
    }

    private let name: String
    private let connect: @Sendable () async throws(TransportError) -> SSHSession
    private var lanes: [Lane] = []
    private var queue: [(id: UInt64, continuation: CheckedContinuation<Bool, Never>)] = []
    private var nextWaiter: UInt64 = 0

    init(
        name: String,
        reactor: Reactor,
        connect: @escaping @Sendable () async throws(TransportError) -> SSHSession
    ) {
        self.name = name
        self.reactor = reactor
        self.connect = connect
    }

    /// Opens a channel that leads from the jump host to an address.
    ///
    /// - Throws: ``FleetTransport/TransportError``; `jump` where the jump host itself is at fault.
    func tunnel(to host: String, port: Int, within milliseconds: Int)
        async throws(TransportError) -> (SSHSession, Channel)
    {
        let deadline = Reactor.now() + UInt64(milliseconds) * 1_000_000
        var hasMetDeadSession = false
        while true {
            let lane = try await lane(before: deadline, milliseconds)
            guard let session = lane.session else {
                throw .connectionLost(.connecting, reason: "the jump host \(name) is gone")
            }
            let left = Int(clamping: (Int64(deadline) - Int64(Reactor.now())) / 1_000_000)
            guard left > 0 else {
                free(lane)
                throw .timedOut(.connecting, milliseconds: milliseconds)
            }
            do throws(TransportError) {
                let channel = try await session.openTunnel(
                    host: host,
                    port: port,
                    within: left,
                    whenLate: { [weak self] in
                        // The answer that nobody waited for has come: the session is free again.
                        guard let self else { return }
                        self.assumeIsolated { $0.free(lane) }
                    }
                )
                free(lane)
                return (session, channel)
            } catch {
                if case .timedOut = error {
                    // The jump host itself may take minutes to give up, and its session opens
                    // nothing else until then: one that carries nobody is not waited for.
                    if await session.tunnels.isEmpty {
                        lanes.removeAll { $0 === lane }
                        await session.disconnect()
                    }
                    throw .timedOut(.connecting, milliseconds: milliseconds)
                }
                let isLost = await session.failure != nil
                guard isLost else {
                    free(lane)
                    guard case .refusedByHost(let reason) = error else { throw error }
                    // sshd says so before it tries (RFC 4254, section 5.1).
                    if reason.contains("prohibited") {
                        throw .jump(
                            host: name,
                            .refusedByHost(
                                reason:
                                    "it lets no connection through to \(host):\(port) (\(reason))"
                            )
                        )
                    }
                    throw .unreachable(address: "\(host):\(port) through \(name)", reason: reason)
                }
                lanes.removeAll { $0 === lane }
                wakeNext()
                // A session that died while nobody looked says nothing about the jump host now.
                guard !hasMetDeadSession else { throw .jump(host: name, error) }
                hasMetDeadSession = true
            }
        }
    }

    /// A lane that is ours until ``free(_:)``.
    private func lane(before deadline: UInt64, _ milliseconds: Int)
        async throws(TransportError) -> Lane
    {
        var hasWaited = false
        while true {
            guard Reactor.now() < deadline else {
                throw .timedOut(.connecting, milliseconds: milliseconds)
            }
            for lane in lanes where !lane.isBusy {
                lane.isBusy = true
                if let session = lane.session, await session.failure == nil { return lane }
                lanes.removeAll { $0 === lane }
            }
            // The first session is worth waiting for: it is what all share.
            let isOpeningFirst = lanes.count == 1 && lanes[0].session == nil
            if lanes.isEmpty || hasWaited && !isOpeningFirst && lanes.count < Self.laneLimit {
                // Reserved before anything is waited for: the next host must see it.
                let lane = Lane()
                lanes.append(lane)
                return try await open(lane)
            }
            hasWaited = await !turn(before: deadline)
        }
    }

    private func open(_ lane: Lane) async throws(TransportError) -> Lane {
        do throws(TransportError) {
            lane.session = try await connect()
            return lane
        } catch {
            lanes.removeAll { $0 === lane }
            wakeNext()
            throw .jump(host: name, error)
        }
    }

    /// Waits for a lane to become free; false when patience ran out.
    private func turn(before deadline: UInt64) async -> Bool {
        nextWaiter += 1
        let id = nextWaiter
        let patience = Reactor.now() + UInt64(Self.patienceMilliseconds) * 1_000_000
        let due = min(patience, deadline)
        let timer = reactor.schedule(at: due) { [weak self] in
            self?.assumeIsolated { $0.wake(id, isTurn: false) }
        }
        let isTurn = await withCheckedContinuation { continuation in
            // A lane that came free between the look outside and this one has woken nobody.
            guard lanes.allSatisfy(\.isBusy), !lanes.isEmpty, Reactor.now() < due else {
                return continuation.resume(returning: !lanes.allSatisfy(\.isBusy))
            }
            queue.append((id, continuation))
        }
        reactor.unschedule(timer)
        return isTurn
    }

    private func wake(_ id: UInt64, isTurn: Bool) {
        guard let index = queue.firstIndex(where: { $0.id == id }) else { return }
        queue.remove(at: index).continuation.resume(returning: isTurn)
    }

    private func wakeNext() {
        if let first = queue.first { wake(first.id, isTurn: true) }
    }

    private func free(_ lane: Lane) {
        lane.isBusy = false
        wakeNext()
    }
}
