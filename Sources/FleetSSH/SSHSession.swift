internal import CLibSSH2
internal import FleetTransport
internal import Glibc

/// One SSH connection to one host: the transport below the host shell.
///
/// It owns the socket, the libssh2 session and both buffers, and runs on its reactor only. Every
/// call that has to wait is an operation: a closure that is tried again whenever bytes arrive. A
/// deadline or a cancellation ends the whole session, because a half-done libssh2 call cannot be
/// abandoned; the first transport error poisons it.
actor SSHSession {
    nonisolated let reactor: Reactor
    nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

    /// Something that waits for bytes.
    private struct Operation {
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

    private var descriptor: Int32 = -1
    private(set) var session: OpaquePointer?
    let wire = Wire()
    private var operations: [Operation] = []
    private var nextOperation: UInt64 = 0
    private var isPumping = false
    private var isConnecting = false
    /// Why the session is of no use any more.
    private(set) var failure: TransportError?
    private var timer: UInt64?
    private var timerAt = UInt64.max
    /// Opening a channel is not re-entrant in libssh2; callers take turns.
    private var isOpening = false
    private var openingQueue: [CheckedContinuation<Void, Never>] = []

    /// The connected address, for messages.
    var address = ""
    /// State of the host's shell; see `SSHSession+HostShell`.
    var shell: ShellChannel?
    /// Names the run directory on the host.
    let rollout: String

    /// sshd sends nothing after this long without our packets being acknowledged, in milliseconds.
    private static let userTimeoutMilliseconds: Int32 = 20_000

    init(reactor: Reactor, rollout: String) {
        precondition(LibSSH2.isInitialised, "libssh2 did not initialise")
        self.reactor = reactor
        self.rollout = rollout
    }

    // MARK: Operations

    /// Runs `body` until it yields a value; nil means that bytes have to arrive first.
    ///
    /// One suspension for a whole operation, however many packets it takes.
    func perform<T: Sendable>(
        _ phase: ConnectionPhase,
        within milliseconds: Int,
        _ body: @escaping () throws(TransportError) -> T?
    ) async throws(TransportError) -> T {
        guard let value = try await perform(phase, within: milliseconds, endsSession: true, body)
        else { preconditionFailure("only an operation that may expire ends without a value") }
        return value
    }

    /// As above, but a passed deadline gives nil and leaves the session alone.
    ///
    /// Only for bodies that wait for input: nothing of libssh2's may be half done.
    func performOrExpire<T: Sendable>(
        _ phase: ConnectionPhase,
        within milliseconds: Int,
        _ body: @escaping () throws(TransportError) -> T?
    ) async throws(TransportError) -> T? {
        try await perform(phase, within: milliseconds, endsSession: false, body)
    }

    private func perform<T: Sendable>(
        _ phase: ConnectionPhase,
        within milliseconds: Int,
        endsSession: Bool,
        _ body: @escaping () throws(TransportError) -> T?
    ) async throws(TransportError) -> T? {
        if let failure { throw failure }
        if operations.isEmpty, let value = try body() {
            flush()
            return value
        }
        nextOperation += 1
        let id = nextOperation
        let deadline = Reactor.now() + UInt64(max(1, milliseconds)) * 1_000_000
        let result: Result<T?, TransportError> = await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                operations.append(
                    Operation(
                        id: id,
                        phase: phase,
                        deadline: deadline,
                        milliseconds: milliseconds,
                        step: {
                            do throws(TransportError) {
                                guard let value = try body() else { return false }
                                continuation.resume(returning: .success(value))
                            } catch {
                                continuation.resume(returning: .failure(error))
                            }
                            return true
                        },
                        fail: { continuation.resume(returning: .failure($0)) },
                        expire: endsSession
                            ? nil : { continuation.resume(returning: .success(nil)) }
                    )
                )
                // A cancellation that came before the operation found nothing to cancel.
                if Task.isCancelled {
                    cancel(id)
                } else {
                    arm(deadline)
                    pump()
                }
            }
        } onCancel: {
            reactor.post { self.assumeIsolated { $0.cancel(id) } }
        }
        return try result.get()
    }

    private func cancel(_ id: UInt64) {
        guard let operation = operations.first(where: { $0.id == id }) else { return }
        tearDown(.connectionLost(operation.phase, reason: "cancelled"))
    }

    private func arm(_ deadline: UInt64) {
        guard deadline < timerAt else { return }
        if let timer { reactor.unschedule(timer) }
        timerAt = deadline
        timer = reactor.schedule(at: deadline) { [weak self] in
            self?.assumeIsolated { $0.deadlinePassed() }
        }
    }

    private func deadlinePassed() {
        timer = nil
        timerAt = .max
        let now = Reactor.now()
        for operation in operations where operation.deadline <= now {
            guard let expire = operation.expire else {
                tearDown(.timedOut(operation.phase, milliseconds: operation.milliseconds))
                return
            }
            operations.removeAll { $0.id == operation.id }
            expire()
        }
        if let next = operations.map(\.deadline).min() { arm(next) }
    }

    /// Tries every waiting operation, oldest first, after input, an end, or a new operation.
    func pump() {
        guard !isPumping else { return }
        isPumping = true
        defer { isPumping = false }
        var index = 0
        while index < operations.count {
            let operation = operations[index]
            if operation.step() {
                operations.removeAll { $0.id == operation.id }
                index = 0
            } else {
                index += 1
            }
        }
        flush()
        if operations.isEmpty, let timer {
            reactor.unschedule(timer)
            self.timer = nil
            timerAt = .max
        }
    }

    // MARK: Socket

    /// Connects to the first address that answers.
    func connect(to addresses: [HostAddress], within milliseconds: Int)
        async throws(TransportError)
    {
        var last = TransportError.unreachable(address: "", reason: "no address")
        for address in addresses {
            do throws(TransportError) {
                return try await connect(to: address, within: milliseconds)
            } catch {
                last = error
                // A deadline is for the whole attempt; a refusal leaves time for the next address.
                guard case .unreachable = error else { throw error }
                failure = nil
            }
        }
        throw last
    }

    private func connect(to address: HostAddress, within milliseconds: Int)
        async throws(TransportError)
    {
        self.address = address.text
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let socket = Glibc.socket(address.family, type, 0)
        guard socket >= 0 else {
            throw .unreachable(address: address.text, reason: Self.reason(errno))
        }
        descriptor = socket
        for (level, option, value) in [
            (Int32(IPPROTO_TCP), TCP_NODELAY, Int32(1)),
            (Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, Self.userTimeoutMilliseconds),
            (SOL_SOCKET, SO_KEEPALIVE, 1), (Int32(IPPROTO_TCP), TCP_KEEPIDLE, 10),
            (Int32(IPPROTO_TCP), TCP_KEEPINTVL, 5), (Int32(IPPROTO_TCP), TCP_KEEPCNT, 2),
        ] {
            var value = value
            setsockopt(socket, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
        }
        let status = address.bytes.withUnsafeBytes { bytes in
            Glibc.connect(
                socket,
                bytes.assumingMemoryBound(to: sockaddr.self).baseAddress,
                socklen_t(bytes.count)
            )
        }
        let code = errno
        reactor.register(socket) { [weak self] events in
            self?.assumeIsolated { $0.arrived(events) }
        }
        guard status != 0 else { return }
        guard code == EINPROGRESS else {
            closeSocket()
            throw .unreachable(address: address.text, reason: Self.reason(code))
        }
        isConnecting = true
        do throws(TransportError) {
            _ = try await perform(.connecting, within: milliseconds) {
                () throws(TransportError) -> Bool? in
                guard !self.isConnecting else { return nil }
                // Before any recv(), which would eat the error and report a mere end instead.
                var code: Int32 = 0
                var size = socklen_t(MemoryLayout<Int32>.size)
                getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &size)
                guard code == 0 else {
                    throw .unreachable(address: address.text, reason: Self.reason(code))
                }
                return true
            }
        } catch {
            closeSocket()
            throw error
        }
    }

    private static func reason(_ code: Int32) -> String {
        strerror(code).map { String(cString: $0) } ?? "error \(code)"
    }

    private func arrived(_ events: UInt32) {
        guard descriptor >= 0 else { return }
        let ended = EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue
        if isConnecting {
            guard events & (EPOLLOUT.rawValue | ended) != 0 else { return }
            isConnecting = false
            pump()
            guard descriptor >= 0, events & EPOLLERR.rawValue == 0 else { return }
        }
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
        let size = 65_536
        while !wire.isAtEnd, let room = wire.incoming.room(for: size) {
            let count = recv(descriptor, room, size, 0)
            if count > 0 {
                wire.incoming.grow(count)
                if count < size, !untilEnd { break }
            } else if count < 0, errno == EINTR {
                continue
            } else {
                if count == 0 || errno != EAGAIN { wire.isAtEnd = true }
                break
            }
        }
        // sshd keeps Nagle on until a command runs and would wait for our delayed ACK: 40 ms per
        // connection without this (measured). The kernel forgets it, so it is set after each read.
        var one: Int32 = 1
        setsockopt(
            descriptor,
            Int32(IPPROTO_TCP),
            TCP_QUICKACK,
            &one,
            socklen_t(MemoryLayout<Int32>.size)
        )
    }

    private func flush() {
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

    private func closeSocket() {
        guard descriptor >= 0 else { return }
        reactor.close(descriptor)
        descriptor = -1
        isConnecting = false
    }

    // MARK: Handshake and login

    /// Exchanges banners and keys, and returns the key that the host proved.
    ///
    /// The types of the keys known for the host come first, so that it proves one of them.
    func handshake(hostKeyTypes: [String], within milliseconds: Int)
        async throws(TransportError) -> HostKey
    {
        let wire = Unmanaged.passUnretained(wire).toOpaque()
        guard let session = fleet_session_init(wire, Wire.send, Wire.receive) else {
            throw .connectionLost(.handshake, reason: "libssh2 is out of memory")
        }
        self.session = session
        let known = hostKeyTypes.filter { !$0.isEmpty }
        for (method, names) in [
            (LIBSSH2_METHOD_KEX, Algorithms.keyExchange),
            (LIBSSH2_METHOD_HOSTKEY, Algorithms.hostKeys(preferring: known)),
            (LIBSSH2_METHOD_CRYPT_CS, Algorithms.ciphers),
            (LIBSSH2_METHOD_CRYPT_SC, Algorithms.ciphers),
            (LIBSSH2_METHOD_MAC_CS, Algorithms.macs), (LIBSSH2_METHOD_MAC_SC, Algorithms.macs),
        ] {
            libssh2_session_method_pref(session, method, names.joined(separator: ","))
        }
        // libssh2 only sets flags on the descriptor; our callbacks carry the bytes.
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        defer { Glibc.close(null) }
        _ = try await perform(.handshake, within: milliseconds) {
            () throws(TransportError) -> Bool? in
            let status = libssh2_session_handshake(session, null)
            if status == LIBSSH2_ERROR_EAGAIN { return nil }
            guard status == 0 else { throw self.error(status, .handshake) }
            return true
        }
        var length = 0
        var type: Int32 = 0
        guard let key = libssh2_session_hostkey(session, &length, &type) else {
            throw .connectionLost(.hostKey, reason: "the host proved no key")
        }
        return HostKey(
            blob: Array(UnsafeRawBufferPointer(start: UnsafeRawPointer(key), count: length))
        )
    }

    /// Logs in with the first credential that the host takes.
    func authenticate(user: String, signers: [Signer], within milliseconds: Int)
        async throws(TransportError)
    {
        let deadline = Reactor.now() + UInt64(milliseconds) * 1_000_000
        func left() -> Int { max(1, Int((Int64(deadline) - Int64(Reactor.now())) / 1_000_000)) }
        let banner =
            session.flatMap { libssh2_session_banner_get($0) }
            .map { String(cString: $0) } ?? ""
        var tried: [String] = []
        for signer in signers {
            tried.append("\(signer.type) \(signer.name)")
            let blob = signer.offeredBlob(serverBanner: banner)
            if try await offer(signer, blob: blob, user: user, within: left()) { return }
        }
        let accepts = try await acceptedMethods(user: user, within: left())
        throw .authenticationDenied(user: user, tried: tried, accepts: accepts)
    }

    private func offer(_ signer: Signer, blob: [UInt8], user: String, within milliseconds: Int)
        async throws(TransportError) -> Bool
    {
        let reactor = reactor
        let answer = SigningAnswer()
        let signing = Signing(signer: signer) { [weak self] signature in
            guard let self else { return }
            reactor.post {
                self.assumeIsolated { session in
                    answer.signing?.answer(signature)
                    session.pump()
                }
            }
        }
        answer.signing = signing
        return try await perform(.authentication, within: milliseconds) {
            () throws(TransportError) -> Bool? in
            var abstract: UnsafeMutableRawPointer? = Unmanaged.passUnretained(signing).toOpaque()
            let status = libssh2_userauth_publickey(
                self.session,
                user,
                blob,
                blob.count,
                Signing.callback,
                &abstract
            )
            switch status {
            case Int32(LIBSSH2_ERROR_EAGAIN): return nil
            case 0: return true
            case Int32(LIBSSH2_ERROR_AUTHENTICATION_FAILED),
                Int32(LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED),
                Int32(LIBSSH2_ERROR_PUBLICKEY_UNRECOGNIZED):
                // libssh2 calls it a refusal, too, when the other side has gone.
                if self.wire.isAtEnd, self.wire.incoming.count == 0 {
                    throw self.error(status, .authentication)
                }
                return false
            default: throw self.error(status, .authentication)
            }
        }
    }

    private func acceptedMethods(user: String, within milliseconds: Int)
        async throws(TransportError) -> [String]
    {
        try await perform(.authentication, within: milliseconds) {
            () throws(TransportError) -> [String]? in
            if let list = libssh2_userauth_list(self.session, user, UInt32(user.utf8.count)) {
                return String(cString: list).split(separator: ",").map(String.init)
            }
            let status = libssh2_session_last_errno(self.session)
            if status == LIBSSH2_ERROR_EAGAIN { return nil }
            // The server may close instead of answering; what was refused is known all the same.
            return []
        }
    }

    // MARK: Channels

    /// Runs `body` while no other channel is being opened.
    private func opening<T: Sendable>(
        _ body: () async throws(TransportError) -> T
    ) async throws(TransportError) -> T {
        while isOpening { await withCheckedContinuation { openingQueue.append($0) } }
        isOpening = true
        defer {
            isOpening = false
            if !openingQueue.isEmpty { openingQueue.removeFirst().resume() }
        }
        return try await body()
    }

    /// Opens a channel and starts a command on it.
    func openChannel(command: String, within milliseconds: Int)
        async throws(TransportError) -> Channel
    {
        let channel = try await opening { () async throws(TransportError) in
            try await perform(.channel, within: milliseconds) {
                () throws(TransportError) -> Channel? in
                let window = UInt32(2 << 20)
                if let pointer = libssh2_channel_open_ex(
                    self.session,
                    "session",
                    7,
                    window,
                    32_768,
                    nil,
                    0
                ) {
                    return Channel(pointer: pointer)
                }
                return try self.whyNoChannel()
            }
        }
        _ = try await perform(.channel, within: milliseconds) {
            () throws(TransportError) -> Bool? in
            let status = libssh2_channel_process_startup(
                channel.pointer,
                "exec",
                4,
                command,
                UInt32(command.utf8.count)
            )
            if status == LIBSSH2_ERROR_EAGAIN { return nil }
            guard status == 0 else { throw self.error(status, .channel) }
            return true
        }
        return channel
    }

    /// Opens a channel that the host connects to an address of its own.
    func openTunnel(host: String, port: Int, within milliseconds: Int)
        async throws(TransportError) -> Channel
    {
        try await opening { () async throws(TransportError) in
            try await perform(.channel, within: milliseconds) {
                () throws(TransportError) -> Channel? in
                if let pointer = libssh2_channel_direct_tcpip_ex(
                    self.session,
                    host,
                    Int32(port),
                    "127.0.0.1",
                    22
                ) {
                    return Channel(pointer: pointer)
                }
                return try self.whyNoChannel()
            }
        }
    }

    private func whyNoChannel() throws(TransportError) -> Channel? {
        let status = libssh2_session_last_errno(session)
        if status == LIBSSH2_ERROR_EAGAIN { return nil }
        if status == LIBSSH2_ERROR_CHANNEL_FAILURE { throw .refusedByHost(reason: lastMessage) }
        throw error(status, .channel)
    }

    /// Closes and forgets a channel; the session lives on.
    func free(_ channel: Channel) async {
        guard failure == nil, session != nil else { return }
        do throws(TransportError) {
            _ = try await perform(.channel, within: 5000) { () throws(TransportError) -> Bool? in
                libssh2_channel_free(channel.pointer) == LIBSSH2_ERROR_EAGAIN ? nil : true
            }
        } catch {
            // The session has just ended, and its channels with it: there is nothing left to free.
        }
    }

    // MARK: End

    /// libssh2's message for its last error.
    var lastMessage: String {
        var text: UnsafeMutablePointer<CChar>?
        var length: Int32 = 0
        libssh2_session_last_error(session, &text, &length, 0)
        return text.map { String(cString: $0) } ?? ""
    }

    /// A libssh2 code as an error; the first transport error poisons the session.
    func error(_ status: Int32, _ phase: ConnectionPhase) -> TransportError {
        if let failure { return failure }
        let message = lastMessage
        let found: TransportError
        switch status {
        // Whatever step of the exchange noticed it: the other side has gone.
        case _ where wire.isAtEnd && wire.incoming.count == 0:
            found = .connectionLost(phase, reason: "closed by \(address)")
        case Int32(LIBSSH2_ERROR_KEX_FAILURE), Int32(LIBSSH2_ERROR_METHOD_NOT_SUPPORTED),
            Int32(LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE)
        where phase == .handshake:
            found = .noCommonAlgorithm(
                reason: "\(message); libssh2 \(LibSSH2.version) offers host keys "
                    + Algorithms.hostKeys.joined(separator: ", ")
            )
        case Int32(LIBSSH2_ERROR_SOCKET_DISCONNECT), Int32(LIBSSH2_ERROR_SOCKET_RECV),
            Int32(LIBSSH2_ERROR_SOCKET_SEND), Int32(LIBSSH2_ERROR_BANNER_RECV):
            found = .connectionLost(phase, reason: "closed by \(address)")
        default:
            found = .connectionLost(phase, reason: "\(message) (libssh2 \(status))")
        }
        failure = found
        return found
    }

    /// Ends the session at once, and everything that waits on it.
    func tearDown(_ reason: TransportError) {
        failure = failure ?? reason
        wire.isDead = true
        let waiting = operations
        operations = []
        shell = nil
        if let session {
            // A dead wire never says EAGAIN, so freeing cannot have to wait.
            precondition(libssh2_session_free(session) == 0, "libssh2 kept a session")
            self.session = nil
        }
        closeSocket()
        if let timer { reactor.unschedule(timer) }
        timer = nil
        timerAt = .max
        for operation in waiting { operation.fail(reason) }
        for continuation in openingQueue { continuation.resume() }
        openingQueue = []
    }

    /// Says goodbye and ends the session.
    func disconnect() {
        if let session, failure == nil {
            libssh2_session_disconnect_ex(session, SSH_DISCONNECT_BY_APPLICATION, "done", "")
            flush()
        }
        tearDown(.connectionLost(.command, reason: "the session was closed"))
    }
}

/// A channel of a session; valid until it is freed or the session ends.
///
/// `@unchecked Sendable`: only the session's own reactor looks behind the pointer.
struct Channel: @unchecked Sendable {
    let pointer: OpaquePointer
}

/// Lets the agent's answer find the signature that waits for it.
///
/// `@unchecked Sendable`: set before the callback can run, then read on the reactor only.
private final class SigningAnswer: @unchecked Sendable {
    weak var signing: Signing?
}
