import Foundation
import Synchronization

/// A real ssh-agent with a socket of its own.
public final class SSHAgent: Sendable {
    /// Its socket.
    public let socket: String
    private let directory: TemporaryDirectory
    private let process: ChildProcess

    /// Starts an agent that holds nothing.
    ///
    /// - Parameters:
    ///   - arguments: More of its arguments, as the list of libraries that it may load.
    ///   - variables: Variables for it and its helpers.
    /// - Throws: ``Command/Failed``.
    public init(_ arguments: [String] = [], _ variables: [String: String] = [:]) throws {
        directory = try TemporaryDirectory()
        socket = directory.path + "/agent"
        process = try ChildProcess(
            ["ssh-agent", "-D", "-a", socket] + arguments,
            environment: variables
        )
        for _ in 0..<1000 {
            // The socket has its name before anybody listens on it. 2 is "no agent" (ssh-add(1)).
            let asked = try Command.run(["ssh-add", "-l"], environment: ["SSH_AUTH_SOCK": socket])
            guard asked.status == 2 else { return }
            // No event: the agent knows nothing of the test.
            usleep(5_000)
        }
        throw Command.Failed(description: "ssh-agent does not listen")
    }

    deinit { stop() }

    /// Ends it.
    public func stop() {
        guard process.isRunning else { return }
        kill(process.pid, SIGTERM)
        process.wait()
    }

    /// Runs ssh-add, with these variables, too.
    public func add(_ arguments: [String], _ variables: [String: String] = [:]) throws {
        let result = try Command.run(
            ["ssh-add", "-q"] + arguments,
            environment: variables.merging(["SSH_AUTH_SOCK": socket]) { mine, _ in mine }
        )
        guard result.status == 0 else { throw Command.Failed(description: result.errors) }
    }
}

/// Something at an agent's socket that does what a test wants.
///
/// `@unchecked Sendable`: set up before its thread begins, and changed by nobody afterwards.
public final class StubAgent: @unchecked Sendable {
    /// What happens to a question.
    public enum Answer: Sendable {
        /// These bytes come back, as they stand.
        case bytes([UInt8])
        /// The agent behind this one answers.
        case passOn
        /// Nobody answers.
        case silence
        /// The connection ends.
        case hangUp
    }

    /// Its socket.
    public let socket: String
    private let directory: TemporaryDirectory
    private let listener: Int32
    private let agent: String?
    private let answer: @Sendable (_ question: UInt8) -> Answer

    /// Begins to listen.
    ///
    /// - Parameters:
    ///   - agent: The agent behind it.
    ///   - answer: What happens to a question, by its first byte (draft-miller-ssh-agent: 11 asks for the keys, 13 for a
    ///     signature); called on a thread of its own and may block.
    /// - Throws: ``Command/Failed`` if there is no socket.
    public init(before agent: String? = nil, _ answer: @escaping @Sendable (UInt8) -> Answer) throws
    {
        directory = try TemporaryDirectory()
        socket = directory.path + "/agent"
        self.agent = agent
        self.answer = answer
        listener = Self.connected(to: socket, listens: true)
        guard listener >= 0 else { throw Command.Failed(description: "no socket at \(socket)") }
        let listener = listener
        Thread.detachNewThread { [weak self] in
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                let agent = self
                Thread.detachNewThread { agent?.serve(connection) }
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    private static func connected(to path: String, listens: Bool) -> Int32 {
        let socket = Foundation.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                listens ? bind(socket, $0, size) : connect(socket, $0, size)
            }
        }
        guard status == 0, !listens || listen(socket, 16) == 0 else {
            close(socket)
            return -1
        }
        return socket
    }

    private static func packet(from socket: Int32) -> [UInt8]? {
        func read(_ length: Int) -> [UInt8]? {
            var bytes = [UInt8](repeating: 0, count: length)
            return recv(socket, &bytes, length, Int32(MSG_WAITALL)) == length ? bytes : nil
        }
        guard let head = read(4) else { return nil }
        let length = head.reduce(0) { $0 << 8 | Int($1) }
        return read(length).map { head + $0 }
    }

    private func serve(_ connection: Int32) {
        defer { close(connection) }
        while let question = Self.packet(from: connection) {
            switch answer(question[4]) {
            case .bytes(let bytes): send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
            case .hangUp: return
            case .silence:
                // Until the other side gives up.
                var byte: UInt8 = 0
                while recv(connection, &byte, 1, 0) > 0 {}
                return
            case .passOn:
                let behind = Self.connected(to: agent ?? "", listens: false)
                defer { close(behind) }
                send(behind, question, question.count, Int32(MSG_NOSIGNAL))
                guard let bytes = Self.packet(from: behind) else { return }
                send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
            }
        }
    }
}
