internal import CLibSSH2
internal import FleetReactor
internal import FleetTransport
internal import Synchronization

/// A channel of a session; valid until it is freed or the session ends.
///
/// `@unchecked Sendable`: only the session's own reactor looks behind the pointer.
struct Channel: @unchecked Sendable {
    let pointer: OpaquePointer
}

extension SSHSession {
    /// How much a host may send before we have taken it, in bytes: 10 MB/s at 50 ms, and what a
    /// session costs at most in memory.
    ///
    /// With many sessions each gets less: together they take what they take, and a host that shares the
    /// link with a hundred others does not miss it.
    static func windowBytes(sharedBy sessions: Int) -> UInt32 {
        UInt32(min(512 << 10, max(64 << 10, windowBudgetBytes / max(1, sessions))))
    }
    private static let windowBudgetBytes = 16 << 20

    /// Runs `body` while no other channel is being opened.
    private func opening<T: Sendable>(
        _ body: () async throws(TransportError) -> T
    ) async throws(TransportError) -> T {
        while isOpening {
            await withCheckedContinuation { continuation in
                // Others may have had their turn between the look outside and this one: nobody would wake us.
                guard isOpening else { return continuation.resume() }
                openingQueue.append(continuation)
            }
        }
        isOpening = true
        defer {
            isOpening = false
            if !openingQueue.isEmpty { openingQueue.removeFirst().resume() }
        }
        return try await body()
    }

    /// Opens a channel and starts a command on it.
    func openChannel(command: String, within milliseconds: Int)
        async throws(TransportError) -> Channel
    {
        let channel = try await opening { () async throws(TransportError) in
            try await perform(.channel, within: milliseconds) {
                () throws(TransportError) -> Channel? in
                let window = Self.windowBytes(
                    sharedBy: Self.liveCount.load(ordering: .relaxed)
                )
                if let pointer = libssh2_channel_open_ex(
                    self.session,
                    "session",
                    7,
                    window,
                    32_768,
                    nil,
                    0
                ) {
                    return Channel(pointer: pointer)
                }
                return try self.whyNoChannel()
            }
        }
        for variable in variables {
            let parts = variable.split(
                separator: "=",
                maxSplits: 1,
                omittingEmptySubsequences: false
            )
            let (name, value) = (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
            _ = try await perform(.channel, within: milliseconds) {
                () throws(TransportError) -> Bool? in
                let status = libssh2_channel_setenv_ex(
                    channel.pointer,
                    name,
                    UInt32(name.utf8.count),
                    value,
                    UInt32(value.utf8.count)
                )
                if status == LIBSSH2_ERROR_EAGAIN { return nil }
                // As with ssh, a host that does not take it has not to.
                if status == LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED { return true }
                guard status == 0 else { throw self.error(status, .channel) }
                return true
            }
        }
        _ = try await perform(.channel, within: milliseconds) {
            () throws(TransportError) -> Bool? in
            let status = libssh2_channel_process_startup(
                channel.pointer,
                "exec",
                4,
                command,
                UInt32(command.utf8.count)
            )
            if status == LIBSSH2_ERROR_EAGAIN { return nil }
            guard status == 0 else { throw self.error(status, .channel) }
            return true
        }
        return channel
    }

    /// Opens a channel that the host connects to an address of its own.
    ///
    /// - Parameters:
    ///   - host: The address, as the other side sees it.
    ///   - port: The TCP port.
    ///   - milliseconds: The longest wait.
    ///   - whenLate: Nil if a missed deadline shall end the session. Otherwise the session lives on,
    ///     opens nothing else, and this is called once the late answer has come, or the session ends.
    /// - Returns: The channel.
    /// - Throws: ``FleetTransport/TransportError``.
    func openTunnel(
        host: String,
        port: Int,
        within milliseconds: Int,
        whenLate: (@Sendable () -> Void)?
    ) async throws(TransportError) -> Channel {
        func open() throws(TransportError) -> Channel? {
            guard
                let pointer = libssh2_channel_direct_tcpip_ex(
                    self.session,
                    host,
                    Int32(port),
                    "127.0.0.1",
                    22
                )
            else { return try self.whyNoChannel() }
            return Channel(pointer: pointer)
        }
        guard let whenLate else {
            return try await opening { () async throws(TransportError) in
                try await perform(.channel, within: milliseconds, open)
            }
        }
        let channel = try await performOrExpire(.channel, within: milliseconds, open)
        if let channel { return channel }
        func finish() -> Bool {
            do throws(TransportError) {
                guard let late = try open() else { return false }
                self.closing.append(late)
            } catch {
                // Refused at last: there is nothing to close.
            }
            whenLate()
            return true
        }
        finishLater(.channel, finish, fail: whenLate)
        throw .timedOut(.channel, milliseconds: milliseconds)
    }

    private func whyNoChannel() throws(TransportError) -> Channel? {
        let status = libssh2_session_last_errno(session)
        if status == LIBSSH2_ERROR_EAGAIN { return nil }
        if status == LIBSSH2_ERROR_CHANNEL_FAILURE { throw .refusedByHost(reason: lastMessage) }
        throw error(status, .channel)
    }

    /// Closes and forgets a channel; the session lives on.
    func free(_ channel: Channel) async {
        guard failure == nil, session != nil else { return }
        hasClosedChannels = true
        do throws(TransportError) {
            _ = try await perform(.channel, within: 5000) { () throws(TransportError) -> Bool? in
                libssh2_channel_free(channel.pointer) == LIBSSH2_ERROR_EAGAIN ? nil : true
            }
        } catch {
            // The session has just ended, and its channels with it: there is nothing left to free.
        }
    }
}
