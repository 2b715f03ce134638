internal import FleetReactor
internal import Glibc

/// A client of ssh-agent (draft-miller-ssh-agent); blocking, so only for ``BlockingQueue``.
struct Agent: Sendable {
    /// The socket's path, from `SSH_AUTH_SOCK`.
    let path: String

    /// A key that the agent holds.
    struct Identity: Sendable, Hashable {
        let publicBlob: [UInt8]
        let comment: String
    }

    /// The longest wait for the agent, in seconds; a hardware key may want a touch.
    private static let timeoutSeconds = 30
    /// The largest answer read, in bytes.
    private static let answerLimitBytes = 1 << 18

    /// The keys that the agent holds; nil if it does not answer.
    func identities() -> [Identity]? {
        guard let answer = ask([11]) else { return nil }
        var reader = WireFormatReader(answer)
        guard reader.byte() == 12, let count = reader.uint32() else { return nil }
        var found: [Identity] = []
        for _ in 0..<min(count, 1000) {
            guard let blob = reader.string(), let comment = reader.text() else { break }
            found.append(Identity(publicBlob: blob, comment: comment))
        }
        return found
    }

    /// The raw signature over data; nil if the agent refuses.
    ///
    /// Of the flags, 2 asks for rsa-sha2-256 and 4 for rsa-sha2-512.
    func sign(_ data: [UInt8], with blob: [UInt8], flags: UInt32) -> [UInt8]? {
        var request = WireFormatWriter()
        request.byte(13)
        request.string(blob)
        request.string(data)
        request.uint32(flags)
        guard let answer = ask(request.bytes) else { return nil }
        var reader = WireFormatReader(answer)
        guard reader.byte() == 14, let signature = reader.string() else { return nil }
        var inner = WireFormatReader(signature)
        guard inner.string() != nil else { return nil }
        return inner.string()
    }

    private func ask(_ message: [UInt8]) -> [UInt8]? {
        let socket = Glibc.socket(
            AF_UNIX,
            Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue),
            0
        )
        guard socket >= 0 else { return nil }
        defer { close(socket) }
        var limit = timeval(tv_sec: Self.timeoutSeconds, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, size) }
        }
        guard status == 0 else { return nil }
        var packet = WireFormatWriter()
        packet.string(message)
        guard write(packet.bytes, to: socket), let head = read(4, from: socket) else { return nil }
        let length = head.reduce(0) { $0 << 8 | Int($1) }
        guard (1...Self.answerLimitBytes).contains(length) else { return nil }
        return read(length, from: socket)
    }

    private func write(_ bytes: [UInt8], to socket: Int32) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    private func read(_ length: Int, from socket: Int32) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: length)
        var filled = 0
        while filled < length {
            let count = bytes.withUnsafeMutableBytes {
                recv(socket, $0.baseAddress.map { $0 + filled }, length - filled, 0)
            }
            guard count > 0 else { return nil }
            filled += count
        }
        return bytes
    }
}
