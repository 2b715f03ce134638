internal import CLinux
package import FleetReactor
package import FleetTransport
internal import Glibc

/// A command on a host, or a connection from it, that is descriptors of this machine.
///
/// `@unchecked Sendable`: only the reactor of its session looks into it.
package final class FileChannel: @unchecked Sendable {
    /// The program; nil for a connection.
    package let process: Int32?
    fileprivate let input: Int32
    fileprivate let output: Int32
    fileprivate let error: Int32
    /// What the program tells about itself, if that has a descriptor of its own.
    fileprivate let log: Int32
    fileprivate var isOutputAtEnd = false
    fileprivate var isErrorAtEnd = false
    fileprivate var isInputClosed = false
    fileprivate var isFreed = false
    private var logPath: String?
    /// What the program has told about itself, the last bytes of it.
    package private(set) var told: [UInt8] = []

    /// How much of that is kept, in bytes.
    private static let toldLimitBytes = 64 << 10

    /// A connection: one socket, both ways.
    package init(socket: Int32) {
        process = nil
        (input, output, error, log) = (socket, socket, -1, -1)
        isErrorAtEnd = true
    }

    /// A program: its standard streams, the first of them a socket, and its log.
    package init(process: Int32, input: Int32, output: Int32, error: Int32, log: Int32) {
        self.process = process
        (self.input, self.output, self.error, self.log) = (input, output, error, log)
    }

    /// Starts a program whose standard streams are ours.
    ///
    /// Its standard input is a socket: whoever writes to a pipe that nobody reads is killed.
    ///
    /// - Parameters:
    ///   - words: The program and its arguments.
    ///   - environment: All its variables; nil for ours.
    ///   - directory: Where it begins; nil for where we are.
    ///   - logPath: A name for a FIFO that it opens by itself to tell about itself: `ssh` closes what it is handed.
    /// - Returns: The channel.
    /// - Throws: ``FleetTransport/TransportError/configuration(reason:)``.
    package static func starting(
        _ words: [String],
        environment: [String]? = nil,
        directory: String? = nil,
        logPath: String? = nil
    ) throws(TransportError) -> FileChannel {
        var opened: [Int32] = []
        defer { for file in opened { Glibc.close(file) } }
        func failed() -> TransportError {
            .configuration(
                reason: "\(words[0]) cannot be started: \(String(cString: strerror(errno)))"
            )
        }
        func ends(_ make: (inout [Int32]) -> Int32) throws(TransportError) -> (
            ours: Int32, theirs: Int32
        ) {
            var pair: [Int32] = [-1, -1]
            guard make(&pair) == 0 else { throw failed() }
            opened += pair
            return (pair[0], pair[1])
        }
        let input = try ends {
            socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &$0)
        }
        let output = try ends { fleet_pipe(&$0) }
        let error = try ends { fleet_pipe(&$0) }
        var log: Int32 = -1
        if let logPath {
            guard mkfifo(logPath, 0o600) == 0 else { throw failed() }
            log = open(logPath, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
            guard log >= 0 else { throw failed() }
            opened.append(log)
        }
        let started = ChildProgram.start(
            words,
            environment: environment,
            directory: directory,
            files: [input.theirs, output.theirs, error.theirs]
        )
        switch started {
        case .failure(let error):
            if let logPath { unlink(logPath) }
            throw .configuration(reason: "\(words[0]) cannot be started: \(error.text)")
        case .success(let process):
            let ours = [input.ours, output.ours, error.ours, log]
            opened.removeAll { ours.contains($0) }
            for file in ours where file >= 0 {
                _ = fcntl(file, F_SETFL, fcntl(file, F_GETFL, 0) | O_NONBLOCK)
            }
            let channel = FileChannel(
                process: process,
                input: input.ours,
                output: output.ours,
                error: error.ours,
                log: log
            )
            channel.logPath = logPath
            return channel
        }
    }

    /// Lets a session go on whenever something has arrived; the reactor only.
    package func watch(on reactor: Reactor, _ pump: @escaping () -> Void) {
        for file in Set([input, output, error, log]) where file >= 0 {
            reactor.register(file) { _ in pump() }
        }
    }

    /// Takes what the program has told about itself meanwhile; the reactor only.
    package func takeLog(_ scratch: UnsafeMutableRawBufferPointer) {
        guard log >= 0, !isFreed else { return }
        while case let count = Glibc.read(log, scratch.baseAddress, scratch.count), count > 0 {
            told += UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(scratch)[..<count])
            if told.count > Self.toldLimitBytes {
                told.removeFirst(told.count - Self.toldLimitBytes)
            }
        }
    }

    /// Whether nobody writes to its output any more, whatever is still to be read.
    package var isHungUp: Bool {
        var look = pollfd(fd: output, events: 0, revents: 0)
        return isFreed || poll(&look, 1, 0) > 0 && look.revents & Int16(POLLHUP) != 0
    }

    /// The log's name is not needed any more.
    package func forgetLogPath() {
        if let logPath { unlink(logPath) }
        logPath = nil
    }

    fileprivate func close(on reactor: Reactor) {
        guard !isFreed else { return }
        isFreed = true
        forgetLogPath()
        for file in Set([input, output, error, log]) where file >= 0 { reactor.close(file) }
    }
}

/// A session whose channels are descriptors of this machine.
package protocol FileChannelSession: HostShellSession where Channel == FileChannel {
    /// The channels that are open.
    var channels: [FileChannel] { get set }
    var failure: TransportError? { get set }
    /// Whether the session has ended.
    var isTornDown: Bool { get set }
    var hasClosedChannels: Bool { get set }
    var isPumping: Bool { get set }
    /// Ends a channel's program; what runs on the host may go on.
    func end(_ channel: FileChannel)
}

extension FileChannelSession {
    package var heartbeatDue: UInt64 { .max }
    package func beat(_ now: UInt64) {}
    package func flush() {}

    /// Takes a channel in: from now on its bytes wake the session.
    package func adopt(_ channel: FileChannel) {
        channels.append(channel)
        channel.watch(on: reactor) { [weak self] in self?.assumeIsolated { $0.pump() } }
    }

    package func pump() {
        guard !isPumping else { return }
        isPumping = true
        stepOperations()
        isPumping = false
        if operations.isEmpty { disarm() }
    }

    package func read(_ channel: FileChannel, _ stream: ChannelStream) throws(TransportError) -> Int
    {
        let isError = stream == .error
        let file = isError ? channel.error : channel.output
        guard file >= 0, !channel.isFreed else { return 0 }
        while true {
            let count = Glibc.read(file, reactor.scratch.baseAddress, reactor.scratch.count)
            if count > 0 { return count }
            if count < 0, errno == EINTR { continue }
            if count == 0 || errno != EAGAIN {
                if isError { channel.isErrorAtEnd = true } else { channel.isOutputAtEnd = true }
            }
            return 0
        }
    }

    package func write(_ bytes: [UInt8], from start: Int, to channel: FileChannel)
        throws(TransportError) -> Int
    {
        var sent = start
        while sent < bytes.count, !channel.isInputClosed, !channel.isFreed {
            let count = bytes[sent...].withUnsafeBytes {
                send(channel.input, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
                sent += count
            } else if errno != EINTR {
                // Nobody reads any more; that it has ended shows on its output.
                if errno != EAGAIN { channel.isInputClosed = true }
                break
            }
        }
        return sent - start
    }

    package func sendEnd(to channel: FileChannel) throws(TransportError) -> Bool? {
        channel.isInputClosed = true
        shutdown(channel.input, Int32(SHUT_WR))
        return true
    }

    package func isAtEnd(_ channel: FileChannel) -> Bool {
        channel.isFreed || channel.isOutputAtEnd
    }

    package func free(_ channel: FileChannel) async {
        guard channels.contains(where: { $0 === channel }) else { return }
        hasClosedChannels = true
        drop(channel)
    }

    private func drop(_ channel: FileChannel) {
        channels.removeAll { $0 === channel }
        channel.close(on: reactor)
        end(channel)
    }

    package func tearDown(_ reason: TransportError) {
        guard !isTornDown else { return }
        isTornDown = true
        failure = failure ?? reason
        let failOperations = abandonOperations()
        shell = nil
        for channel in channels { drop(channel) }
        failOperations(reason)
    }

    package func disconnect() {
        tearDown(.connectionLost(.command, reason: "the session was closed"))
    }
}
