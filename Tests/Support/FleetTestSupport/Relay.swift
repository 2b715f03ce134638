import Foundation
import Synchronization

/// A TCP relay to a port on loopback that can be told to misbehave.
public final class Relay: Sendable {
    /// How a connection is ended.
    public enum Cut: Sendable {
        /// Properly, with FIN.
        case end
        /// At once, with RST.
        case reset
        /// Not at all: bytes just stop.
        case silence
    }

    /// What happens to the bytes of one direction.
    public enum Trouble: Sendable {
        /// They vanish.
        case blackhole
        /// One byte at a time, with a pause of so many microseconds.
        case trickle(microseconds: UInt32)
        /// The byte at this place of each connection is changed.
        case flip(at: Int)
        /// Pieces larger than this vanish, as behind a path that drops large packets in silence.
        case dropLarge(bytes: Int)
    }

    private struct State {
        var fromServer: Trouble?
        var fromClient: Trouble?
        var connections: [Connection] = []
        var isSilent = false
        var isRefusing = false
        /// Bytes from the server after which the next connection is cut.
        var budget: Int?
        var cut = Cut.end
        /// From where each new connection draws a budget and a way to end of its own.
        var budgets: ClosedRange<Int>?
        var accepted = 0
        var cuts = 0
    }

    /// The two ends of a connection; closed when both of its pumps have ended.
    private final class Connection: Sendable {
        let client: Int32
        let server: Int32
        private let pumps = Mutex(2)
        private let isReset = Mutex(false)

        init(client: Int32, server: Int32) {
            self.client = client
            self.server = server
        }

        /// Wakes both pumps; a reset connection sends RST when its client's end is closed.
        func end(_ how: Cut) {
            if how == .reset {
                isReset.withLock { $0 = true }
                var linger = linger(l_onoff: 1, l_linger: 0)
                setsockopt(
                    client,
                    SOL_SOCKET,
                    SO_LINGER,
                    &linger,
                    socklen_t(MemoryLayout.size(ofValue: linger))
                )
            }
            shutdown(server, Int32(SHUT_RDWR))
            shutdown(client, Int32(how == .reset ? SHUT_RD : SHUT_RDWR))
        }

        func pumpEnded() {
            if !isReset.withLock({ $0 }) { end(.end) } else { end(.reset) }
            let isLast = pumps.withLock { count in
                count -= 1
                return count == 0
            }
            guard isLast else { return }
            close(client)
            close(server)
        }
    }

    /// The port to connect to.
    public let port: Int
    private let target: Int
    private let listener: Listener
    private let state = Mutex(State())

    /// Starts to relay.
    public init(to target: Int) throws {
        listener = try Listener()
        port = listener.port
        self.target = target
        let listener = listener
        let thread = Thread { [weak self] in
            // Without holding the relay while it waits: it must be able to go.
            while case let client = Foundation.accept(listener.descriptor, nil, nil), client >= 0 {
                guard let relay = self, relay.take(client) else { break }
            }
        }
        thread.start()
    }

    /// Cuts every connection there is.
    public func cut(_ how: Cut) {
        let connections = state.withLock { state in
            if how == .silence {
                state.isSilent = true
                return [Connection]()
            }
            defer { state.connections = [] }
            return state.connections
        }
        for connection in connections { connection.end(how) }
    }

    /// Cuts each connection after so many bytes from the server.
    public func cutAfter(bytes: Int?, _ how: Cut = .end) {
        state.withLock { state in
            state.budget = bytes
            state.cut = how
        }
    }

    /// Cuts each new connection after a number of bytes from the server that is drawn for it, with
    /// FIN or RST as it comes.
    public func cutEach(after bytes: ClosedRange<Int>) { state.withLock { $0.budgets = bytes } }

    /// Makes trouble for one direction of every connection, or ends it.
    public func trouble(fromServer: Trouble?, fromClient: Trouble? = nil) {
        state.withLock { state in
            state.fromServer = fromServer
            state.fromClient = fromClient
        }
    }

    /// Whether new connections are closed at once.
    public func refuse(_ refuses: Bool) { state.withLock { $0.isRefusing = refuses } }

    /// How many connections were cut after their number of bytes.
    public var cutCount: Int { state.withLock { $0.cuts } }

    /// How many connections were made.
    public var acceptedCount: Int { state.withLock { $0.accepted } }

    deinit { shutdown(listener.descriptor, Int32(SHUT_RDWR)) }

    private func take(_ client: Int32) -> Bool {
        let isRefusing = state.withLock { state in
            state.accepted += 1
            return state.isRefusing
        }
        if isRefusing {
            close(client)
            return true
        }
        let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = UInt16(target).bigEndian
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(server, $0, size) }
        }
        guard status == 0 else {
            close(client)
            close(server)
            return true
        }
        let connection = Connection(client: client, server: server)
        state.withLock { $0.connections.append(connection) }
        Thread { self.pump(connection, isFromServer: false) }.start()
        Thread { self.pump(connection, isFromServer: true) }.start()
        return true
    }

    private func pump(_ connection: Connection, isFromServer: Bool) {
        let source = isFromServer ? connection.server : connection.client
        let target = isFromServer ? connection.client : connection.server
        var buffer = [UInt8](repeating: 0, count: 16_384)
        var passed = 0
        let own = state.withLock { $0.budgets }.map { range in
            (bytes: Int.random(in: range), cut: Bool.random() ? Cut.end : .reset)
        }
        while true {
            var count = recv(source, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            let (isSilent, budget, how) = state.withLock { state in
                (state.isSilent, own?.bytes ?? state.budget, own?.cut ?? state.cut)
            }
            if isSilent { continue }
            var isCut = false
            if isFromServer, let budget, passed + count >= budget {
                count = max(0, budget - passed)
                isCut = true
            }
            let trouble = state.withLock { isFromServer ? $0.fromServer : $0.fromClient }
            pass(&buffer, count, to: target, behind: passed, trouble)
            passed += count
            guard isCut else { continue }
            state.withLock { $0.cuts += 1 }
            if how == .silence {
                state.withLock { $0.isSilent = true }
                continue
            }
            connection.end(how)
            break
        }
        connection.pumpEnded()
    }

    private func pass(
        _ buffer: inout [UInt8],
        _ count: Int,
        to target: Int32,
        behind passed: Int,
        _ trouble: Trouble?
    ) {
        switch trouble {
        case .blackhole: return
        case .dropLarge(let limit) where count > limit:
            // A banner that came together with more had a packet of its own.
            guard passed == 0, let end = buffer[..<count].firstIndex(of: 0x0A) else { return }
            send(target, buffer, end + 1, Int32(MSG_NOSIGNAL))
            return
        case .trickle(let pause):
            for index in 0..<count {
                let byte = [buffer[index]]
                guard send(target, byte, 1, Int32(MSG_NOSIGNAL)) == 1 else { return }
                // The pause is the fault itself: a network that lets one byte through at a time.
                usleep(pause)
            }
            return
        case .flip(let place) where (passed..<passed + count).contains(place):
            buffer[place - passed] ^= 0x40
        case .flip, .dropLarge, nil: break
        }
        if count > 0 { send(target, buffer, count, Int32(MSG_NOSIGNAL)) }
    }
}

/// A port on loopback that answers no connect: its backlog is full, and the kernel drops further
/// SYNs without a word.
public final class SilentPort: Sendable {
    /// The port.
    public var port: Int { listener.port }
    private let listener: Listener
    private let clients: [Int32]

    /// Fills the backlog.
    public init() throws {
        listener = try Listener(backlog: 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = UInt16(listener.port).bigEndian
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        clients = (0..<4).map { _ in
            let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    _ = connect(client, $0, size)
                }
            }
            return client
        }
    }

    deinit { for client in clients { close(client) } }
}

/// A server on loopback that says what it is told to, and is no SSH server.
public final class TalkingServer: Sendable {
    /// Where it listens.
    public let port: Int
    private let listener: Listener

    /// Sends `pieces` to each connection, one after another with a pause; then, if `repeats`, again
    /// and again, and otherwise waits for the other side to close.
    ///
    /// - Parameters:
    ///   - pieces: What it says.
    ///   - pauseMicroseconds: The pause after each piece.
    ///   - repeats: Whether it says it again and again.
    ///   - hangsUp: Whether it ends its side as soon as it has spoken.
    /// - Throws: `POSIXError` if there is no port.
    public init(
        _ pieces: [String],
        pauseMicroseconds: UInt32 = 0,
        repeats: Bool = false,
        hangsUp: Bool = false
    ) throws {
        listener = try Listener()
        port = listener.port
        let listener = listener
        Thread {
            while case let client = Foundation.accept(listener.descriptor, nil, nil), client >= 0 {
                Thread {
                    repeat {
                        for piece in pieces {
                            let bytes = Array(piece.utf8)
                            guard send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL)) > 0 else {
                                close(client)
                                return
                            }
                            // The pause is the fault itself: a server that takes its time.
                            usleep(pauseMicroseconds)
                        }
                    } while repeats
                    if hangsUp { shutdown(client, Int32(SHUT_WR)) }
                    var byte: UInt8 = 0
                    while recv(client, &byte, 1, 0) > 0 {}
                    close(client)
                }.start()
            }
        }.start()
    }

    deinit { shutdown(listener.descriptor, Int32(SHUT_RDWR)) }
}
