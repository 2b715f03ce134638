internal import FleetHostShell
internal import FleetReactor
internal import FleetTransport
internal import Glibc

/// One login by the system's `ssh`: its first session is the host's shell, and everything beside it goes through its
/// control socket.
///
/// The shell's standard input is ours: when fleet ends, however it does, the shell on the host reads its end, and `ssh` goes
/// with it.
actor OpenSSHSession: FileChannelSession {
    nonisolated let reactor: Reactor
    nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }
    nonisolated let rollout: String
    nonisolated let sources: SourceFiles
    nonisolated let outputLimit: HostOutputLimit
    nonisolated let client: String?
    private let command: OpenSSHCommand
    private let environment: [String]
    /// The control socket's path, without its number.
    private let control: String

    let operations = Operations()
    var channels: [FileChannel] = []
    var failure: TransportError?
    var isTornDown = false
    var isPumping = false
    var hasClosedChannels = false
    var shell: ShellChannel<FileChannel>?
    var becomePassword: String?
    var sudoAnswers: [String: Bool] = [:]
    /// The login, while there is one.
    private var login: FileChannel?
    private var loginCount = 0
    private var logCount = 0
    /// The end of what the newest login has said on standard error.
    private var loginWords: [UInt8] = []
    private(set) var hostKey: String?

    /// The longest a login may take: name, connection, keys, and people who touch a key, in milliseconds.
    private static let loginMilliseconds = 75_000

    init(
        reactor: Reactor,
        rollout: String,
        command: OpenSSHCommand,
        environment: [String],
        control: String,
        sources: SourceFiles,
        outputLimit: HostOutputLimit
    ) {
        self.reactor = reactor
        self.rollout = rollout
        self.command = command
        self.environment = environment
        self.control = control
        self.sources = sources
        self.outputLimit = outputLimit
        client = command.version.description
    }

    nonisolated var address: String { command.endpoint.name.text }

    func setBecomePassword(_ password: String) { becomePassword = password }

    /// Logs in.
    func start() async throws(TransportError) { try await waitForShell() }

    /// A name for what one `ssh` tells about itself.
    private func newLog() -> String {
        logCount += 1
        return "\(control).log\(logCount)"
    }

    private var socket: String { "\(control).\(loginCount)" }

    func pump() {
        guard !isPumping else { return }
        for channel in channels { channel.takeLog(reactor.scratch) }
        isPumping = true
        stepOperations()
        isPumping = false
        if operations.isEmpty { disarm() }
    }

    func openChannel(command line: String, within milliseconds: Int) async throws(TransportError)
        -> FileChannel
    {
        guard login == nil else {
            return try await further(within: milliseconds) {
                command.further(line, control: socket, log: $0)
            }
        }
        loginCount += 1
        let log = newLog()
        let channel = try started(command.first(line, control: socket, log: log), log: log)
        login = channel
        loginWords = []
        let isIn = try await performOrExpire(.authentication, within: Self.loginMilliseconds) {
            () throws(TransportError) -> Bool? in
            channel.takeLog(self.reactor.scratch)
            if OpenSSHLog(channel.told).isLoggedIn { return true }
            // A banner comes this way, and ssh would wait for somebody to take it.
            self.loginWords =
                (self.loginWords + self.complaint(of: channel)).suffix(Self.complaintBytes)
            return channel.isHungUp ? false : nil
        }
        channel.takeLog(reactor.scratch)
        channel.forgetLogPath()
        let told = OpenSSHLog(channel.told)
        hostKey = told.hostKey ?? hostKey
        guard isIn == true else {
            let said = String(decoding: loginWords + complaint(of: channel), as: UTF8.self)
            await free(channel)
            guard isIn != nil else {
                let error = TransportError.timedOut(
                    .authentication,
                    milliseconds: Self.loginMilliseconds
                )
                tearDown(error)
                throw error
            }
            let error = told.error(for: address, said: said)
            failure = error
            throw error
        }
        return channel
    }

    func openTunnel(host: String, port: Int, within milliseconds: Int) async throws(TransportError)
        -> FileChannel
    {
        if login == nil { try await waitForShell() }
        let target = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        return try await further(within: milliseconds) {
            command.further(nil, control: socket, log: $0, connectingTo: target)
        }
    }

    /// Starts something through the control socket, and waits until the other side has opened it.
    private func further(within milliseconds: Int, _ words: (_ log: String) -> [String])
        async throws(TransportError) -> FileChannel
    {
        // What the login says from now on is about this one: channels are opened one after the other.
        let before = login.map { OpenSSHLog($0.told).lines.count } ?? 0
        let log = newLog()
        let channel = try started(words(log), log: log)
        let isOpen = try await performOrExpire(.channel, within: milliseconds) {
            () throws(TransportError) -> Bool? in
            channel.takeLog(self.reactor.scratch)
            if OpenSSHLog(channel.told).isOpen { return true }
            return channel.isHungUp ? false : nil
        }
        if isOpen == true { return channel }
        let own = OpenSSHLog(channel.told)
        await free(channel)
        guard isOpen != nil else { throw .timedOut(.channel, milliseconds: milliseconds) }
        login?.takeLog(reactor.scratch)
        let news = login.map { OpenSSHLog($0.told) }.map { log in
            OpenSSHLog(Array(log.lines.dropFirst(before).joined(separator: "\n").utf8)).whyNotOpened
        }
        if let reason = own.whyNotOpened { throw .refusedByHost(reason: (news ?? nil) ?? reason) }
        let error = TransportError.connectionLost(
            .channel,
            reason: "ssh: \(own.lines.suffix(2).joined(separator: " | "))"
        )
        failure = error
        throw error
    }

    private func started(_ words: [String], log: String) throws(TransportError) -> FileChannel {
        if let failure { throw failure }
        let channel = try FileChannel.starting(words, environment: environment, logPath: log)
        adopt(channel)
        return channel
    }

    /// How much of what comes on standard error is kept, in bytes.
    private static let complaintBytes = 4_096

    /// The end of what has come on standard error.
    private func complaint(of channel: FileChannel) -> [UInt8] {
        var bytes: [UInt8] = []
        do throws(TransportError) {
            while case let count = try read(channel, .error), count > 0 {
                bytes += UnsafeRawBufferPointer(
                    rebasing: UnsafeRawBufferPointer(reactor.scratch)[..<count]
                ).suffix(Self.complaintBytes)
                bytes = bytes.suffix(Self.complaintBytes)
            }
        } catch {
            // What could be read is all there is to show.
        }
        return bytes
    }

    func whyEnded(_ channel: FileChannel) -> TransportError? {
        channel.takeLog(reactor.scratch)
        let lines = OpenSSHLog(channel.told).lines
        guard
            lines.contains(where: {
                $0.contains("Connection closed") || $0.contains("Timeout")
                    || $0.contains("disconnect")
            })
        else { return nil }
        return .connectionLost(.command, reason: "ssh: \(lines.suffix(2).joined(separator: " | "))")
    }

    func end(_ channel: FileChannel) {
        let isLogin = channel === login
        if isLogin { login = nil }
        guard let process = channel.process else { return }
        guard isLogin else { return ChildProgram.end(process) }
        leavingCount += 1
        ChildProgram.end(process) { Task { await self.isGone() } }
    }

    /// Logins whose `ssh` is being ended, and who waits for that.
    private var leavingCount = 0
    private var waiting: [CheckedContinuation<Void, Never>] = []

    private func isGone() {
        leavingCount -= 1
        guard leavingCount == 0 else { return }
        for continuation in waiting { continuation.resume() }
        waiting = []
    }

    /// Waits until every `ssh` that was ended is no more.
    func waitUntilGone() async {
        await withCheckedContinuation { continuation in
            // It is looked at only here: between a look outside and the wait, the last one could go unnoticed.
            guard leavingCount > 0 else { return continuation.resume() }
            waiting.append(continuation)
        }
    }
}
