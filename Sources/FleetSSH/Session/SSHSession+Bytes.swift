internal import CLibSSH2
internal import FleetHostShell
internal import FleetReactor
internal import FleetTransport

/// What the host's shell needs of libssh2.
extension SSHSession: HostShellSession {
    /// Unsent bytes above which no more is given to libssh2.
    ///
    /// What an upload costs each host in memory; the socket is refilled whenever it takes more, so
    /// this bounds no transfer.
    private static let backlogLimitBytes = 64 << 10

    func openTunnel(host: String, port: Int, within milliseconds: Int)
        async throws(TransportError) -> Channel
    {
        try await openTunnel(host: host, port: port, within: milliseconds, whenLate: nil)
    }

    /// Writes as much as the window takes; returns how much that was.
    func write(_ bytes: [UInt8], from start: Int, to channel: Channel)
        throws(TransportError) -> Int
    {
        var sent = start
        while sent < bytes.count {
            if wire.outgoing.count >= Self.backlogLimitBytes {
                // Straight on while the socket takes it: a wake-up per piece would cost more.
                flush()
                guard wire.outgoing.count < Self.backlogLimitBytes else { break }
            }
            let count = bytes[sent...].withUnsafeBytes { rest in
                libssh2_channel_write_ex(
                    channel.pointer,
                    0,
                    rest.assumingMemoryBound(to: CChar.self).baseAddress,
                    min(rest.count, 32_768)
                )
            }
            if count == Int(LIBSSH2_ERROR_EAGAIN) || count == 0 { break }
            guard count > 0 else { throw error(Int32(count), .command) }
            sent += count
        }
        return sent - start
    }

    /// Reads what has arrived into the reactor's scratch space; 0 if nothing has.
    func read(_ channel: Channel, _ stream: ChannelStream) throws(TransportError) -> Int {
        let scratch = reactor.scratch
        let count = libssh2_channel_read_ex(
            channel.pointer,
            stream.rawValue,
            scratch.assumingMemoryBound(to: CChar.self).baseAddress,
            scratch.count
        )
        if count == Int(LIBSSH2_ERROR_EAGAIN) { return 0 }
        guard count >= 0 else { throw error(Int32(count), .command) }
        return count
    }

    func sendEnd(to channel: Channel) throws(TransportError) -> Bool? {
        let status = libssh2_channel_send_eof(channel.pointer)
        if status == LIBSSH2_ERROR_EAGAIN { return nil }
        guard status == 0 else { throw error(status, .transfer) }
        return true
    }

    func isAtEnd(_ channel: Channel) -> Bool { libssh2_channel_eof(channel.pointer) == 1 }
}
