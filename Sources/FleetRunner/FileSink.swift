internal import FleetDigest
internal import FleetTransport
internal import Glibc
internal import Synchronization

/// Puts what a host prints into a file, off the reactor, and asks the host to wait when the disk is
/// slower than the network.
final class FileSink: OutputSink {
    /// How far the file may lag behind before the host has to wait, in bytes.
    private static let lagBytes = 256 << 10

    private struct State {
        var pending: [UInt8] = []
        var isWriting = false
        var total = 0
        /// The error of a write that failed.
        var problem: Int32?
        var resume: (@Sendable () -> Void)?
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let file: Int32
    private let digest = SHA256Stream()
    private let state = Mutex(State())
    private let progress: @Sendable (Int) -> Void

    /// Writes to an open file, which stays the caller's; `progress` is told the bytes so far.
    init(_ file: Int32, progress: @escaping @Sendable (Int) -> Void) {
        self.file = file
        self.progress = progress
    }

    func write(_ bytes: UnsafeRawBufferPointer) {
        let (starts, total) = state.withLock { state in
            state.total += bytes.count
            guard state.problem == nil else { return (false, state.total) }
            state.pending += bytes
            defer { state.isWriting = true }
            return (!state.isWriting, state.total)
        }
        progress(total)
        if starts { writeNext() }
    }

    func isFull(_ resume: @escaping @Sendable () -> Void) -> Bool {
        state.withLock { state in
            guard state.pending.count > Self.lagBytes else { return false }
            state.resume = resume
            return true
        }
    }

    /// Everything is in the file, or cannot be: how much there was, its SHA-256, and the `errno` of
    /// what went wrong.
    func finish() async -> (bytes: Int, sha256: String, problem: Int32?) {
        await withCheckedContinuation { continuation in
            let isReady = state.withLock { state in
                guard state.isWriting else { return true }
                state.waiting.append(continuation)
                return false
            }
            if isReady { continuation.resume() }
        }
        let (total, problem) = state.withLock { ($0.total, $0.problem) }
        return (total, digest.finish(), problem)
    }

    private func writeNext() {
        SpoolQueue.shared.perform { [self] in
            let bytes = state.withLock { state in
                defer { state.pending = [] }
                return state.pending
            }
            let problem = store(bytes)
            let (resume, waiting, hasMore) = state.withLock { state in
                if let problem {
                    state.problem = problem
                    state.pending = []
                }
                state.isWriting = !state.pending.isEmpty
                let isRoomy = state.pending.count <= Self.lagBytes
                defer {
                    if isRoomy { state.resume = nil }
                    if !state.isWriting { state.waiting = [] }
                }
                return (
                    isRoomy ? state.resume : nil, state.isWriting ? [] : state.waiting,
                    state.isWriting
                )
            }
            resume?()
            for continuation in waiting { continuation.resume() }
            if hasMore { writeNext() }
        }
    }

    private func store(_ bytes: [UInt8]) -> Int32? {
        digest.update(bytes)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            guard count > 0 else { return errno }
            rest = rest.dropFirst(count)
        }
        return nil
    }
}
