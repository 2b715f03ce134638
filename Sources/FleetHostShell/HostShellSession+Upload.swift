internal import FleetReactor
package import FleetTransport
internal import Glibc

// MARK: Files to the host

extension HostShellSession {
    package func upload(
        _ upload: Upload,
        key: ActionKey,
        timeoutMilliseconds: Int,
        output: any OutputSink
    ) async throws(TransportError) -> CommandResult {
        let seen = CollectingSink(limitBytes: 4096)
        let found = try await run(
            upload.prepare,
            timeoutMilliseconds: timeoutMilliseconds,
            output: seen
        )
        guard case .exited(0) = found.status else {
            seen.forward(to: output)
            return found
        }
        if seen.text.contains(Upload.presentMark) {
            return try await runDetached(
                upload.finish.adding([EnvironmentVariable("FLEET_PRESENT", "1")]),
                key: key,
                timeoutMilliseconds: timeoutMilliseconds,
                output: output
            )
        }
        guard let directory = shell?.directory, Self.isPlainPath(directory) else {
            throw .shellUnusable(seen: "the home directory's path has unusual characters")
        }
        let path = "\(directory)/\(key).upload"
        let made = try await run(
            Script("mkdir -p \(directory) && rm -f \(path)"),
            timeoutMilliseconds: shellMilliseconds,
            output: output
        )
        guard case .exited(0) = made.status else { return made }
        if let refusal = try await send(upload, to: path, within: timeoutMilliseconds, output) {
            return refusal
        }
        var finish = upload.finish
        if let handOver = upload.handOver {
            let given = try await attached(
                HostShell.handOver(path, to: handOver, id: Self.runID),
                becomeUser: handOver.becomeUser,
                within: timeoutMilliseconds,
                output: output
            )
            guard case .exited(0) = given.status else { return given }
            _ = try await run(
                Script("rm -f \(path)"),
                timeoutMilliseconds: shellMilliseconds,
                output: output
            )
        } else {
            finish = finish.adding([EnvironmentVariable("FLEET_UPLOAD", path)])
        }
        return try await runDetached(
            finish,
            key: key,
            timeoutMilliseconds: timeoutMilliseconds,
            output: output
        )
    }

    private static func isPlainPath(_ path: String) -> Bool {
        path.hasPrefix("/")
            && path.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
                    || (0x61...0x7A).contains(byte) || "/._-@+,:=".utf8.contains(byte)
            }
    }

    /// Sends a local file's bytes to a path on the host, through a channel of its own.
    ///
    /// The path stands on a command line here, so it must mean the same to every login shell.
    /// `dd` and not a redirection: it works in every login shell, restricted ones included.
    ///
    /// Returns nil when everything was sent, and otherwise how the host failed to take it.
    private func send(
        _ upload: Upload,
        to path: String,
        within milliseconds: Int,
        _ output: any OutputSink
    ) async throws(TransportError) -> CommandResult? {
        let opened =
            if let known = sources.known(upload.source) { known } else {
                await BlockingQueue.shared.run { [sources] in sources.open(upload.source) }
            }
        guard let file = opened else {
            throw .localFile(path: upload.source, reason: "cannot be read")
        }
        let channel = try await openOnlyChannel(command: "dd of=\(path) bs=65536")
        var chunk: [UInt8] = []
        var piece = 0
        var offset = 0
        var isAtEnd = false
        var hasSentEnd = false
        var total = 0
        let deadline = Reactor.now() + UInt64(milliseconds) * 1_000_000
        while !hasSentEnd {
            if offset == chunk.count, !isAtEnd {
                if let known = file.piece(at: piece) {
                    chunk = known
                } else {
                    let next = piece
                    chunk = await BlockingQueue.shared.run { file.readPiece(at: next) }
                }
                piece += 1
                offset = 0
                isAtEnd = chunk.isEmpty
                total += chunk.count
            }
            let left = max(1, Int((Int64(deadline) - Int64(Reactor.now())) / 1_000_000))
            let bytes = chunk
            let start = offset
            let ended = isAtEnd
            let progress = try await perform(.transfer, within: left) {
                () throws(TransportError) -> Int? in
                if ended {
                    return try self.sendEnd(to: channel) == nil ? nil : 0
                }
                let count = try self.write(bytes, from: start, to: channel)
                if count > 0 { return count }
                // A full disk ends dd, and nobody empties the window any more.
                return self.isAtEnd(channel) ? -1 : nil
            }
            guard progress >= 0 else {
                var said = 0
                while case let count = try read(channel, .error), count > 0 {
                    said += count
                    output.write(
                        UnsafeRawBufferPointer(
                            rebasing: UnsafeRawBufferPointer(reactor.scratch)[..<count]
                        )
                    )
                }
                await free(channel)
                return CommandResult(status: .exited(1), outputBytes: said)
            }
            offset += progress
            hasSentEnd = ended
            output.transferred(total - (chunk.count - offset), of: upload.sizeBytes)
        }
        guard total == upload.sizeBytes else {
            throw .localFile(path: upload.source, reason: "changed since the plan was made")
        }
        let left = max(1, Int((Int64(deadline) - Int64(Reactor.now())) / 1_000_000))
        _ = try await perform(.transfer, within: left) { () throws(TransportError) -> Bool? in
            for stream in [ChannelStream.output, .error] {
                while try self.read(channel, stream) > 0 {}
            }
            return self.isAtEnd(channel) ? true : nil
        }
        await free(channel)
        return nil
    }
}
