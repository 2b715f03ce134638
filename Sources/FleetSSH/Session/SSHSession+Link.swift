internal import CLibSSH2
internal import CLinux
internal import FleetReactor
internal import FleetTransport
internal import Glibc

/// What carries a session's bytes.
enum Link {
    case none
    /// Addresses are being tried.
    case dialing(Dialer)
    case socket(Int32)
    /// A command's input and output.
    case process(ProxyProcess)
    /// A channel of a session to a jump host, on the same reactor.
    case tunnel(SSHSession, Channel)
}

/// A session whose bytes go through a channel of another one.
struct Tunnel {
    let channel: Channel
    let child: SSHSession
    /// The channel has ended; what it carried is delivered.
    var isAtEnd = false
}

extension SSHSession {
    /// Unsent bytes of a child above which no more is taken from it, in bytes.
    private static let tunnelChunkBytes = 32_000

    // MARK: Linking

    /// Connects to the first address that answers.
    func connect(
        to addresses: [HostAddress],
        from sources: [HostAddress] = [],
        within milliseconds: Int
    ) async throws(TransportError) {
        address = addresses.map(\.text).joined(separator: ", ")
        let dialer = Dialer(reactor: reactor, addresses: addresses, from: sources) {
            [weak self] in
            self?.assumeIsolated { $0.pump() }
        }
        link = .dialing(dialer)
        dialer.start()
        let (socket, winner) = try await perform(.connecting, within: milliseconds) {
            () throws(TransportError) -> (socket: Int32, address: HostAddress)? in
            guard let outcome = dialer.outcome else { return nil }
            if case .success(let found) = outcome {
                // At once: input may arrive before whoever waits here runs again.
                self.address = found.address.text
                self.adopt(found.socket)
            }
            return try outcome.get()
        }
        _ = (socket, winner)
    }

    private func adopt(_ socket: Int32) {
        link = .socket(socket)
        reactor.handle(socket) { [weak self] events in
            self?.assumeIsolated { $0.arrived(events) }
        }
        // The event that told of the connection may have told of bytes and of their end, too, and
        // edge-triggered epoll does not repeat itself: a server that hangs up at once was waited for
        // until the banner's deadline (found by fuzzing).
        receive(untilEnd: true)
    }

    /// Lets a command carry the bytes.
    func connect(through process: ProxyProcess) {
        address = "the proxy command"
        link = .process(process)
        reactor.register(process.socket) { [weak self] events in
            self?.assumeIsolated { $0.arrived(events) }
        }
        guard process.watch >= 0 else { return }
        // Why it has ended is known a moment after its output is over.
        reactor.register(process.watch) { [weak self] _ in
            self?.assumeIsolated { $0.pump() }
        }
    }

    /// Lets a channel of another session carry the bytes; both live on one reactor.
    func connect(through parent: SSHSession, _ channel: Channel, to address: String) {
        self.address = address
        link = .tunnel(parent, channel)
        parent.assumeIsolated { $0.tunnels.append(Tunnel(channel: channel, child: self)) }
    }

    /// Gives the link up.
    func unlink() {
        let old = link
        link = .none
        switch old {
        case .none: break
        case .dialing(let dialer):
            if case .success(let found) = dialer.outcome { reactor.close(found.socket) }
            dialer.cancel()
        case .socket(let socket): reactor.close(socket)
        case .process(let process):
            reactor.close(process.socket)
            if process.watch >= 0 { reactor.close(process.watch) }
            process.end()
        case .tunnel(let parent, let channel):
            parent.assumeIsolated { parent in
                parent.tunnels.removeAll { $0.child === self }
                guard parent.failure == nil else { return }
                parent.closing.append(channel)
                parent.pump()
            }
        }
    }

    /// The command that carries the bytes.
    var proxy: ProxyProcess? { if case .process(let process) = link { process } else { nil } }

    private var descriptor: Int32 {
        switch link {
        case .socket(let socket): socket
        case .process(let process): process.socket
        case .none, .dialing, .tunnel: -1
        }
    }

    // MARK: Sockets

    private func arrived(_ events: UInt32) {
        guard descriptor >= 0 else { return }
        let ended = EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue
        if events & (EPOLLIN.rawValue | ended) != 0 {
            receive(untilEnd: events & ended != 0)
        }
        flush()
        pump()
    }

    /// Reads what has arrived.
    ///
    /// After a hang-up everything is read: edge-triggered epoll will not say it twice, and a short
    /// read would hide the end.
    private func receive(untilEnd: Bool) {
        let descriptor = descriptor
        let size = 65_536
        while !wire.isAtEnd, let room = wire.incoming.room(for: size) {
            let count = recv(descriptor, room, size, 0)
            if count > 0 {
                wire.arrived(count)
                heard()
                if count < size, !untilEnd { break }
            } else if count < 0, errno == EINTR {
                continue
            } else {
                if count == 0 || errno != EAGAIN { wire.isAtEnd = true }
                break
            }
        }
        SocketOptions.acknowledgeAtOnce(on: descriptor)
    }

    /// Sends what waits to be sent, as far as the link takes it.
    func flush() {
        guard wire.outgoing.count > 0 else { return }
        if case .tunnel(let parent, let channel) = link {
            return parent.assumeIsolated { $0.carry(from: self.wire, to: channel) }
        }
        let descriptor = descriptor
        while descriptor >= 0, wire.outgoing.count > 0 {
            let count = send(
                descriptor,
                wire.outgoing.start,
                wire.outgoing.count,
                Int32(MSG_NOSIGNAL)
            )
            if count > 0 {
                wire.outgoing.drop(count)
            } else if errno != EINTR {
                if errno != EAGAIN { wire.isAtEnd = true }
                return
            }
        }
    }

    // MARK: Tunnels, the jump host's side

    /// Moves a child's bytes into its channel.
    private func carry(from child: Wire, to channel: Channel) {
        guard failure == nil, session != nil else {
            child.isAtEnd = true
            return
        }
        while child.outgoing.count > 0, let start = child.outgoing.start {
            let count = libssh2_channel_write_ex(
                channel.pointer,
                0,
                start.assumingMemoryBound(to: CChar.self),
                min(child.outgoing.count, Self.tunnelChunkBytes)
            )
            guard count > 0 else {
                // A full window opens again when the host reads; anything else is an end.
                if count < 0, count != Int(LIBSSH2_ERROR_EAGAIN) { child.isAtEnd = true }
                break
            }
            child.outgoing.drop(count)
        }
        flush()
    }

    /// Moves bytes between every child and its channel.
    func carryTunnels() {
        for index in tunnels.indices.reversed() where index < tunnels.count {
            let tunnel = tunnels[index]
            guard !tunnel.isAtEnd else { continue }
            let child = tunnel.child
            let wire = child.assumeIsolated { $0.wire }
            var hasNews = false
            while let room = wire.incoming.room(for: 65_536) {
                let count = libssh2_channel_read_ex(
                    tunnel.channel.pointer,
                    0,
                    room.assumingMemoryBound(to: CChar.self),
                    65_536
                )
                if count > 0 {
                    wire.arrived(count)
                    hasNews = true
                    continue
                }
                let isOver =
                    count == 0 && libssh2_channel_eof(tunnel.channel.pointer) != 0
                    || count < 0 && count != Int(LIBSSH2_ERROR_EAGAIN)
                if isOver {
                    wire.isAtEnd = true
                    tunnels[index].isAtEnd = true
                    hasNews = true
                }
                break
            }
            if wire.outgoing.count > 0 { carry(from: wire, to: tunnel.channel) }
            // The child may tear itself down, and its tunnel with it.
            if hasNews {
                child.assumeIsolated { child in
                    child.heard()
                    child.pump()
                }
            }
        }
    }

    /// Frees the channels that the other side has closed by now.
    func freeClosed() {
        closing.removeAll { libssh2_channel_free($0.pointer) != Int32(LIBSSH2_ERROR_EAGAIN) }
    }
}
