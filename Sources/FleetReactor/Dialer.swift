internal import CLinux
package import FleetTransport
internal import Glibc

/// Connects to the first of several addresses that answers ("happy eyeballs", RFC 8305).
///
/// A new attempt starts every 250 ms while the earlier ones go on, and at once when one fails; the
/// first connection wins and the others are closed. Confined to a reactor.
package final class Dialer {
    /// The wait before the next address is tried beside the last one (RFC 8305, section 8).
    package static let staggerMilliseconds: UInt64 = 250

    private let reactor: Reactor
    private var waiting: ArraySlice<HostAddress>
    private var attempts: [Int32: HostAddress] = [:]
    private var failures: [String] = []
    private var timer: UInt64?
    /// Called once, when there is an outcome.
    private let done: () -> Void
    package private(set) var outcome: Result<(socket: Int32, address: HostAddress), TransportError>?

    /// Our own addresses to connect from, whichever is of the other side's family; none for the system's choice.
    private let sources: [HostAddress]

    package init(
        reactor: Reactor,
        addresses: [HostAddress],
        from sources: [HostAddress] = [],
        done: @escaping () -> Void
    ) {
        self.reactor = reactor
        self.sources = sources
        waiting = addresses[...]
        self.done = done
    }

    /// Starts the first attempt.
    package func start() { startNext() }

    /// Gives every attempt up.
    package func cancel() {
        if let timer { reactor.unschedule(timer) }
        timer = nil
        for socket in attempts.keys { reactor.close(socket) }
        attempts = [:]
        waiting = []
    }

    private func startNext() {
        if let timer { reactor.unschedule(timer) }
        timer = nil
        guard outcome == nil else { return }
        guard let address = waiting.popFirst() else {
            if attempts.isEmpty { finish(.failure(failure)) }
            return
        }
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let socket = Glibc.socket(address.family, type, 0)
        guard socket >= 0 else { return failed(address, errno) }
        SocketOptions.set(on: socket)
        if !sources.isEmpty, let code = bind(socket, address.family) {
            Glibc.close(socket)
            return failed(address, code)
        }
        let status = address.bytes.withUnsafeBytes { bytes in
            Glibc.connect(
                socket,
                bytes.assumingMemoryBound(to: sockaddr.self).baseAddress,
                socklen_t(bytes.count)
            )
        }
        let code = errno
        guard status == 0 || code == EINPROGRESS else {
            Glibc.close(socket)
            return failed(address, code)
        }
        attempts[socket] = address
        reactor.register(socket) { [weak self] events in self?.arrived(socket, events) }
        if status == 0 { return settle(socket) }
        guard !waiting.isEmpty else { return }
        timer = reactor.schedule(at: Reactor.now() + Self.staggerMilliseconds * 1_000_000) {
            [weak self] in
            self?.timer = nil
            self?.startNext()
        }
    }

    /// Connects from an address of ours; the error number if that cannot be.
    private func bind(_ socket: Int32, _ family: Int32) -> Int32? {
        guard let source = sources.first(where: { $0.family == family }) else {
            return EADDRNOTAVAIL
        }
        let status = source.bytes.withUnsafeBytes { bytes in
            Glibc.bind(
                socket,
                bytes.assumingMemoryBound(to: sockaddr.self).baseAddress,
                socklen_t(bytes.count)
            )
        }
        return status == 0 ? nil : errno
    }

    private func arrived(_ socket: Int32, _ events: UInt32) {
        let ended = EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue
        guard attempts[socket] != nil, events & (EPOLLOUT.rawValue | ended) != 0 else { return }
        settle(socket)
    }

    private func settle(_ socket: Int32) {
        guard let address = attempts.removeValue(forKey: socket) else { return }
        // Before any recv(), which would eat the error and report a mere end instead.
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &size)
        guard code == 0 else {
            reactor.close(socket)
            return failed(address, code)
        }
        cancel()
        finish(.success((socket, address)))
    }

    private func failed(_ address: HostAddress, _ code: Int32) {
        let reason = strerror(code).map { String(cString: $0) } ?? "error \(code)"
        failures.append("\(address.text) \(reason)")
        startNext()
    }

    private var failure: TransportError {
        let parts = failures.map { $0.split(separator: " ", maxSplits: 1).map(String.init) }
        guard parts.count != 1 else {
            return .unreachable(address: parts[0][0], reason: parts[0].last ?? "")
        }
        return .unreachable(
            address: parts.map { $0[0] }.joined(separator: ", "),
            reason: parts.map { $0.last ?? "" }.joined(separator: "; ")
        )
    }

    private func finish(_ result: Result<(socket: Int32, address: HostAddress), TransportError>) {
        guard outcome == nil else { return }
        outcome = result
        done()
    }
}

/// What every TCP connection of ours is set to.
package enum SocketOptions {
    /// Data that nobody acknowledges for this long ends the connection, in milliseconds.
    package static let userTimeoutMilliseconds: Int32 = 20_000

    package static func set(on socket: Int32) {
        for (level, option, value) in [
            (Int32(IPPROTO_TCP), TCP_NODELAY, Int32(1)),
            (Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, userTimeoutMilliseconds),
            (SOL_SOCKET, SO_KEEPALIVE, 1), (Int32(IPPROTO_TCP), TCP_KEEPIDLE, 10),
            (Int32(IPPROTO_TCP), TCP_KEEPINTVL, 5), (Int32(IPPROTO_TCP), TCP_KEEPCNT, 2),
        ] {
            var value = value
            setsockopt(socket, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
        }
    }

    /// Acknowledges what was read at once.
    ///
    /// sshd keeps Nagle on until a command runs and would wait for our delayed ACK: 40 ms per
    /// connection without this (measured). The kernel forgets it, so it is set after each read.
    package static func acknowledgeAtOnce(on socket: Int32) {
        var one: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        setsockopt(socket, Int32(IPPROTO_TCP), TCP_QUICKACK, &one, size)
    }
}
