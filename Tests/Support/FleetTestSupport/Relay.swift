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

    private struct State {
        var connections: [Connection] = []
        var isSilent = false
        var isRefusing = false
        /// Bytes from the server after which the next connection is cut.
        var budget: Int?
        var cut = Cut.end
        var accepted = 0
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
        let thread = Thread { [weak self] in
            while let relay = self, relay.accept() {}
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

    /// Whether new connections are closed at once.
    public func refuse(_ refuses: Bool) { state.withLock { $0.isRefusing = refuses } }

    /// How many connections were made.
    public var acceptedCount: Int { state.withLock { $0.accepted } }

    private func accept() -> Bool {
        let client = Foundation.accept(listener.descriptor, nil, nil)
        guard client >= 0 else { return false }
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
        while true {
            var count = recv(source, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            let (isSilent, budget, how) = state.withLock { ($0.isSilent, $0.budget, $0.cut) }
            if isSilent { continue }
            var isCut = false
            if isFromServer, let budget, passed + count >= budget {
                count = max(0, budget - passed)
                isCut = true
            }
            passed += count
            if count > 0 { send(target, buffer, count, Int32(MSG_NOSIGNAL)) }
            guard isCut else { continue }
            if how == .silence {
                state.withLock { $0.isSilent = true }
                continue
            }
            connection.end(how)
            break
        }
        connection.pumpEnded()
    }
}
