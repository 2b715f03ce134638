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
        var connections: [(client: Int32, server: Int32)] = []
        var isSilent = false
        var isRefusing = false
        /// Bytes from the server after which the next connection is cut.
        var budget: Int?
        var cut = Cut.end
        var accepted = 0
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
                return [(client: Int32, server: Int32)]()
            }
            defer { state.connections = [] }
            return state.connections
        }
        for connection in connections { Self.end(connection, how) }
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

    private static func end(_ connection: (client: Int32, server: Int32), _ how: Cut) {
        if how == .reset {
            var linger = linger(l_onoff: 1, l_linger: 0)
            setsockopt(
                connection.client,
                SOL_SOCKET,
                SO_LINGER,
                &linger,
                socklen_t(MemoryLayout.size(ofValue: linger))
            )
        }
        // Shutting down wakes the pumps; they close.
        shutdown(connection.server, Int32(SHUT_RDWR))
        if how == .reset {
            close(connection.client)
        } else {
            shutdown(connection.client, Int32(SHUT_RDWR))
        }
    }

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
        state.withLock { $0.connections.append((client, server)) }
        Thread { self.pump(from: client, to: server, counts: false) }.start()
        Thread { self.pump(from: server, to: client, counts: true) }.start()
        return true
    }

    private func pump(from source: Int32, to target: Int32, counts: Bool) {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        var passed = 0
        while true {
            var count = recv(source, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            let (isSilent, budget, how) = state.withLock { ($0.isSilent, $0.budget, $0.cut) }
            if isSilent { continue }
            var isCut = false
            if counts, let budget, passed + count >= budget {
                count = max(0, budget - passed)
                isCut = true
            }
            passed += count
            if count > 0 { send(target, buffer, count, Int32(MSG_NOSIGNAL)) }
            if isCut {
                if how == .silence {
                    state.withLock { $0.isSilent = true }
                    continue
                }
                break
            }
        }
        shutdown(target, Int32(SHUT_RDWR))
        shutdown(source, Int32(SHUT_RDWR))
    }
}
