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

    /// Why an agent is of no use.
    struct Problem: Error, Sendable, Hashable {
        let reason: String
    }

    /// The longest wait for the list of keys, in milliseconds: nobody has to be asked for it.
    static let listMilliseconds = 2_000
    /// The longest wait for a signature, in milliseconds; somebody may have to confirm it or to touch a key.
    static let signMilliseconds = 30_000
    /// The largest answer read, in bytes (OpenSSH's MAX_AGENT_REPLY_LEN).
    private static let answerLimitBytes = 1 << 18

    /// The keys that the agent holds.
    ///
    /// - Throws: ``Problem``.
    func identities() throws(Problem) -> [Identity] {
        var reader = WireFormatReader(try ask([11], within: Self.listMilliseconds))
        guard reader.byte() == 12, let count = reader.uint32() else {
            throw Problem(reason: "it does not tell its keys; it may be locked")
        }
        var found: [Identity] = []
        for _ in 0..<min(count, 1000) {
            guard let blob = reader.string(), let comment = reader.text() else {
                throw Problem(reason: "its list of keys cannot be read")
            }
            found.append(Identity(publicBlob: blob, comment: comment))
        }
        return found
    }

    /// The raw signature over data.
    ///
    /// - Parameters:
    ///   - data: What is signed.
    ///   - blob: The key, as the agent lists it.
    ///   - flags: 2 asks for rsa-sha2-256 and 4 for rsa-sha2-512.
    /// - Returns: The signature without its type.
    /// - Throws: ``Problem``; a refusal is one.
    func sign(_ data: [UInt8], with blob: [UInt8], flags: UInt32) throws(Problem) -> [UInt8] {
        var request = WireFormatWriter()
        request.byte(13)
        request.string(blob)
        request.string(data)
        request.uint32(flags)
        var reader = WireFormatReader(try ask(request.bytes, within: Self.signMilliseconds))
        guard reader.byte() == 14, let signature = reader.string() else {
            throw Problem(reason: "it refuses to sign with it")
        }
        var inner = WireFormatReader(signature)
        guard inner.string() != nil, let bytes = inner.string() else {
            throw Problem(reason: "its signature cannot be read")
        }
        return bytes
    }

    private func ask(_ message: [UInt8], within milliseconds: Int) throws(Problem) -> [UInt8] {
        let socket = Glibc.socket(
            AF_UNIX,
            Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue),
            0
        )
        guard socket >= 0 else { throw Problem(reason: String(cString: strerror(errno))) }
        defer { close(socket) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw Problem(reason: "its socket's path is too long")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, size) }
        }
        guard status == 0 else {
            let code = errno
            throw Problem(
                reason: code == EAGAIN
                    ? "it takes no more connections" : String(cString: strerror(code))
            )
        }
        // One total for everything: an agent that sends a byte now and then is silent, too.
        let deadline = Reactor.now() + UInt64(milliseconds) * 1_000_000
        var packet = WireFormatWriter()
        packet.string(message)
        try send(packet.bytes, to: socket, before: deadline)
        let head = try receive(4, from: socket, before: deadline)
        let length = head.reduce(0) { $0 << 8 | Int($1) }
        guard (1...Self.answerLimitBytes).contains(length) else {
            throw Problem(reason: "what answers at its socket is no agent")
        }
        return try receive(length, from: socket, before: deadline)
    }

    private func wait(_ socket: Int32, for events: Int32, before deadline: UInt64)
        throws(Problem)
    {
        while true {
            let left = (Int64(deadline) - Int64(Reactor.now())) / 1_000_000
            guard left > 0 else { throw Problem(reason: "it does not answer") }
            var entry = pollfd(fd: socket, events: Int16(events), revents: 0)
            if poll(&entry, 1, Int32(left)) > 0 { return }
        }
    }

    private func send(_ bytes: [UInt8], to socket: Int32, before deadline: UInt64)
        throws(Problem)
    {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
                sent += count
            } else if errno == EAGAIN || errno == EINTR {
                try wait(socket, for: POLLOUT, before: deadline)
            } else {
                throw Problem(reason: String(cString: strerror(errno)))
            }
        }
    }

    private func receive(_ length: Int, from socket: Int32, before deadline: UInt64)
        throws(Problem) -> [UInt8]
    {
        var bytes = [UInt8](repeating: 0, count: length)
        var filled = 0
        while filled < length {
            let count = bytes.withUnsafeMutableBytes {
                recv(socket, $0.baseAddress.map { $0 + filled }, length - filled, 0)
            }
            if count > 0 {
                filled += count
            } else if count == 0 {
                throw Problem(reason: "it has hung up")
            } else if errno == EAGAIN || errno == EINTR {
                try wait(socket, for: POLLIN, before: deadline)
            } else {
                throw Problem(reason: String(cString: strerror(errno)))
            }
        }
        return bytes
    }
}
