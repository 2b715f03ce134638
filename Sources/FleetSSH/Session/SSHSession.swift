internal import CLibSSH2
internal import FleetHostShell
internal import FleetReactor
internal import FleetTransport
internal import Glibc
internal import Synchronization

/// One SSH connection to one host: the transport below the host shell.
///
/// It owns its link, the libssh2 session and both buffers, and runs on its reactor only. Every
/// call that has to wait is an operation: a closure that is tried again whenever bytes arrive. A
/// deadline or a cancellation ends the whole session, because a half-done libssh2 call cannot be
/// abandoned; the first transport error poisons it.
actor SSHSession {
    nonisolated let reactor: Reactor
    nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

    var link = Link.none
    /// Sessions of other hosts whose bytes go through this one.
    var tunnels: [Tunnel] = []
    /// Channels that wait for the other side to close them too.
    var closing: [Channel] = []
    private(set) var session: OpaquePointer?
    let wire = Wire()
    let operations = Operations()
    private var isPumping = false
    /// Why the session is of no use any more.
    private(set) var failure: TransportError?
    private var isTornDown = false
    /// Opening a channel is not re-entrant in libssh2; callers take turns.
    var isOpening = false
    var openingQueue: [CheckedContinuation<Void, Never>] = []
    /// What the host was offered.
    var algorithms = AlgorithmChoice.usual
    /// Variables for the host's shell, as `NAME=VALUE`; sshd decides which of them it takes (AcceptEnv).
    var variables: [String] = []
    /// Whether a channel was closed before, which the host may still count.
    var hasClosedChannels = false

    /// The connected address, for messages.
    var address = ""
    /// State of the host's shell.
    var shell: ShellChannel<Channel>?
    /// Names the run directory on the host.
    let rollout: String

    /// What sudo is answered on this host.
    var becomePassword: String?
    /// The accounts for which sudo has been asked, and whether it wanted the password and took it.
    var sudoAnswers: [String: Bool] = [:]

    /// How signs of life are asked for; set once logged in.
    private var heartbeat: Heartbeat?
    /// When the host was last heard.
    private var heardAt: UInt64 = 0

    private struct Heartbeat {
        let interval: UInt64
        let count: Int
        /// Questions that nothing followed.
        var unanswered = 0
        var askedAt: UInt64 = 0
    }

    nonisolated var client: String? { "libssh2 \(LibSSH2.version)" }
    /// The fingerprint of the key that the host has proved.
    var hostKey: String?

    /// How many sessions of this process there are.
    static let liveCount = Atomic<Int>(0)

    /// What is sent to more hosts than this one.
    let sources: SourceFiles
    /// What a step may print.
    let outputLimit: HostOutputLimit

    init(
        reactor: Reactor,
        rollout: String,
        sources: SourceFiles,
        outputLimit: HostOutputLimit = HostOutputLimit()
    ) {
        self.sources = sources
        self.outputLimit = outputLimit
        precondition(LibSSH2.isInitialised, "libssh2 did not initialise")
        self.reactor = reactor
        self.rollout = rollout
        Self.liveCount.add(1, ordering: .relaxed)
    }

    deinit { Self.liveCount.subtract(1, ordering: .relaxed) }

    func setVariables(_ variables: [String]) { self.variables = variables }

    func setBecomePassword(_ password: String) { becomePassword = password }

    // MARK: Operations

    /// Tries every waiting operation, oldest first, after input, an end, or a new operation.
    func pump() {
        guard !isPumping else { return }
        isPumping = true
        defer { isPumping = false }
        var before: (isAtEnd: Bool, waiting: Int)
        repeat {
            before = (wire.isAtEnd, wire.incoming.count)
            stepOperations()
            if !closing.isEmpty { freeClosed() }
            if !tunnels.isEmpty { carryTunnels() }
            if operations.isEmpty { answerWhileIdle() }
            flush()
            // The last bytes may be a piece of a packet: libssh2 takes them and asks for more, and
            // sees the end only when it asks again. Nothing will wake us for that.
        } while wire.isAtEnd && !operations.isEmpty && before != (true, wire.incoming.count)
        if operations.isEmpty { disarm() }
    }

    /// Nobody waits for anything, and the server may still ask for a sign of life (`ClientAliveInterval`,
    /// sshd_config(5)) or talk: libssh2 takes it in, and answers what wants an answer.
    ///
    /// A read of no bytes takes every packet that has arrived, and leaves what belongs to the channel in its queue,
    /// which the window bounds.
    private func answerWhileIdle() {
        guard failure == nil, wire.incoming.count > 0, let channel = shell?.channel else { return }
        var nothing: CChar = 0
        let count = libssh2_channel_read_ex(channel.pointer, 0, &nothing, 0)
        guard count < 0, count != Int(LIBSSH2_ERROR_EAGAIN) else { return }
        // A packet that was changed on its way is gone, and libssh2 says so only once.
        _ = error(Int32(count), .channel)
    }

    // MARK: Signs of life

    /// From now on a silent host is asked for a sign of life, and given up when none comes.
    ///
    /// The kernel does the same for a socket, but not for a tunnel or a command, and not while its
    /// own buffers are still being filled.
    func watch(every milliseconds: Int, count: Int) {
        heartbeat = Heartbeat(interval: UInt64(milliseconds) * 1_000_000, count: count)
        heard()
        if let session { libssh2_keepalive_config(session, 1, 2) }
    }

    func heard() {
        heardAt = Reactor.now()
        heartbeat?.unanswered = 0
    }

    var heartbeatDue: UInt64 {
        guard let heartbeat else { return .max }
        return max(heardAt, heartbeat.askedAt) + heartbeat.interval
    }

    func beat(_ now: UInt64) {
        guard var beat = heartbeat, let session, failure == nil, let phase = operations.phase
        else { return }
        guard beat.unanswered < beat.count else {
            let seconds = (now - heardAt) / 1_000_000_000
            return tearDown(
                .connectionLost(phase, reason: "nothing was heard of \(address) for \(seconds) s")
            )
        }
        beat.unanswered += 1
        beat.askedAt = now
        heartbeat = beat
        var seconds: Int32 = 0
        // What it says is of no concern: the answer, or its absence, is.
        _ = libssh2_keepalive_send(session, &seconds)
        flush()
    }

    // MARK: End

    /// libssh2's message for its last error.
    var lastMessage: String {
        var text: UnsafeMutablePointer<CChar>?
        var length: Int32 = 0
        libssh2_session_last_error(session, &text, &length, 0)
        return text.map { String(cString: $0) } ?? ""
    }

    /// Starts libssh2's side of the session.
    func begin() throws(TransportError) -> OpaquePointer {
        let wire = Unmanaged.passUnretained(wire).toOpaque()
        guard let session = fleet_session_init(wire, Wire.send, Wire.receive) else {
            throw .connectionLost(.handshake, reason: "libssh2 is out of memory")
        }
        self.session = session
        return session
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
                    + algorithms.hostKeys.joined(separator: ", ")
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
        guard !isTornDown else { return }
        isTornDown = true
        failure = failure ?? reason
        wire.isDead = true
        let failOperations = abandonOperations()
        shell = nil
        heartbeat = nil
        closing = []
        if let session {
            // A dead wire never says EAGAIN, so freeing cannot have to wait.
            precondition(libssh2_session_free(session) == 0, "libssh2 kept a session")
            self.session = nil
        }
        unlink()
        failOperations(reason)
        let children = tunnels
        tunnels = []
        let name = address
        for tunnel in children {
            tunnel.child.assumeIsolated { $0.tearDown(.jump(host: name, reason)) }
        }
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
