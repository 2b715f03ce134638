public import FleetTransport
internal import Glibc
internal import Synchronization

/// Keeps the beginning and the end of what a step prints on a host, and counts the bytes dropped in between.
///
/// The first bytes stay in memory; the rest goes to an unnamed file, written off the reactor. A sink
/// that falls behind asks its source to wait, so that a hundred hosts that print a gigabyte each
/// cost no more memory than their windows.
public final class OutputCapture: OutputSink {
    /// How much is kept, in bytes.
    public struct Limits: Sendable, Hashable {
        /// The number of bytes kept of the beginning.
        public var head: Int
        /// The number of bytes kept of the end.
        public var tail: Int

        /// Sets the limits.
        public init(head: Int, tail: Int) {
            self.head = head
            self.tail = tail
        }

        /// The limits for the journal; most is kept of the end, where a failure shows.
        public static let journal = Limits(head: 64 << 10, tail: 192 << 10)
        /// The limits for outputs that `exec` can show.
        public static let spool = Limits(head: 63 << 20, tail: 1 << 20)
    }

    /// How much of the beginning stays in memory; without a file, as much of the end, too.
    private let memoryBytes: Int
    /// How far the file may lag behind before the source has to wait.
    private static let lagBytes = 256 << 10
    /// The same while others keep the disk busy.
    private static let leastLagBytes = 16 << 10

    /// How much of one output may wait for the disk, beside so many bytes of all of them.
    static func lagBytes(beside waiting: Int) -> Int {
        waiting > SpoolQueue.budgetBytes ? leastLagBytes : lagBytes
    }

    /// How much is gathered before the disk is asked to take it: each time costs two threads a wake-up.
    private static func portionBytes(beside waiting: Int) -> Int { lagBytes(beside: waiting) / 2 }

    private struct State {
        /// The first bytes.
        var memory: [UInt8] = []
        /// Bytes on their way to the file.
        var pending: [UInt8] = []
        var isWriting = false
        var file: Int32 = -1
        /// Why there is no file: what does not fit into memory is dropped then.
        var hasFailed = false
        /// Bytes that are in memory, in the file, or dropped.
        var settled = 0
        var total = 0
        var resume: (@Sendable () -> Void)?
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())
    private let progress: (@Sendable (_ bytes: Int, _ total: Int) -> Void)?
    private let limits: Limits
    private let directory: String?

    /// An empty output.
    ///
    /// - Parameters:
    ///   - limits: How much of it is kept.
    ///   - directory: Where the file for long ones is made; nil keeps the first and the last
    ///     256 KiB in memory only.
    ///   - progress: Told how far a transfer has come, often; must not block.
    public init(
        keeping limits: Limits = .journal,
        in directory: String? = nil,
        progress: (@Sendable (_ bytes: Int, _ total: Int) -> Void)? = nil
    ) {
        self.limits = limits
        self.progress = progress
        self.directory = directory
        memoryBytes = directory == nil ? 256 << 10 : 64 << 10
    }

    deinit {
        state.withLock { state in
            if state.file >= 0 { close(state.file) }
            guard directory != nil, !state.hasFailed else { return }
            SpoolQueue.shared.waitingBytes.subtract(state.pending.count, ordering: .relaxed)
        }
    }

    /// The last line that came and is not blank, as far as it can be told without reading the file; for a person's eye.
    ///
    /// A progress bar that is drawn anew on the same line counts as a line.
    public var lastLine: String {
        let end = state.withLock { state in
            Array((state.pending.isEmpty ? state.memory : state.pending).suffix(400))
        }
        let lines = end.split { $0 == 0x0A || $0 == 0x0D }
        let line = lines.last { line in line.contains { $0 > 0x20 } }
        return line.map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    /// Reports the progress of a transfer.
    public func transferred(_ bytes: Int, of total: Int) { progress?(bytes, total) }

    // MARK: Writing

    /// Takes the next bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) {
        let starts = state.withLock { state in
            state.total += bytes.count
            let room =
                state.pending.isEmpty && state.file < 0 ? memoryBytes - state.memory.count : 0
            let first = bytes.prefix(max(0, room))
            state.memory += first
            state.settled += first.count
            let rest = bytes.dropFirst(first.count)
            guard !rest.isEmpty else { return false }
            guard directory != nil, !state.hasFailed else {
                keepInMemory(rest, &state)
                return false
            }
            let waiting = SpoolQueue.shared.waitingBytes.add(rest.count, ordering: .relaxed)
            let portion = Self.portionBytes(beside: waiting.newValue)
            // Grown step by step, it would be copied as often.
            if state.pending.isEmpty { state.pending.reserveCapacity(portion + rest.count) }
            state.pending += rest
            guard state.pending.count >= portion else { return false }
            defer { state.isWriting = true }
            return !state.isWriting
        }
        if starts { writeNext() }
    }

    /// Without a file the last bytes stay in memory, behind the first ones.
    private func keepInMemory(_ rest: Slice<UnsafeRawBufferPointer>, _ state: inout State) {
        state.settled += rest.count
        state.pending += rest.suffix(memoryBytes)
        // Twice the limit, so that trimming is rare.
        guard state.pending.count > 2 * memoryBytes else { return }
        state.pending = Array(state.pending.suffix(memoryBytes))
    }

    /// Whether the source must wait; if so, `resume` is called once when it may continue.
    public func isFull(_ resume: @escaping @Sendable () -> Void) -> Bool {
        let (isFull, starts) = state.withLock { state in
            let waiting = SpoolQueue.shared.waitingBytes.load(ordering: .relaxed)
            guard directory != nil, !state.hasFailed,
                state.pending.count > Self.lagBytes(beside: waiting)
            else {
                return (false, false)
            }
            state.resume = resume
            // Others may have used the budget up while this was still being gathered.
            defer { state.isWriting = true }
            return (true, !state.isWriting)
        }
        if starts { writeNext() }
        return isFull
    }

    /// Waits until all written bytes are at their final place.
    public func settle() async {
        await withCheckedContinuation { continuation in
            let (isReady, starts) = state.withLock { state in
                let isGathering =
                    directory != nil && !state.hasFailed && !state.pending.isEmpty
                guard state.isWriting || isGathering else { return (true, false) }
                state.waiting.append(continuation)
                defer { state.isWriting = true }
                return (false, !state.isWriting)
            }
            if isReady { continuation.resume() }
            if starts { writeNext() }
        }
    }

    private func writeNext() {
        SpoolQueue.shared.perform { [self] in
            let (bytes, start) = state.withLock { state in
                let taken = (state.pending, state.settled)
                state.pending = []
                return taken
            }
            let isKept = store(bytes, at: start)
            let (resume, waiting, hasMore) = state.withLock { state in
                state.settled += bytes.count
                var written = bytes.count
                if !isKept {
                    state.hasFailed = true
                    // What comes from now on stays in memory, as does the end of what came.
                    written += state.pending.count
                    state.pending = Array((bytes + state.pending).suffix(memoryBytes))
                }
                SpoolQueue.shared.waitingBytes.subtract(written, ordering: .relaxed)
                let waiting = SpoolQueue.shared.waitingBytes.load(ordering: .relaxed)
                let isAwaited = !state.waiting.isEmpty && !state.pending.isEmpty
                let hasMore =
                    isKept
                    && (isAwaited || state.pending.count >= Self.portionBytes(beside: waiting))
                state.isWriting = hasMore
                let isRoomy = !isKept || state.pending.count <= Self.lagBytes
                defer {
                    if isRoomy { state.resume = nil }
                    if !hasMore { state.waiting = [] }
                }
                return (
                    isRoomy ? state.resume : nil,
                    hasMore ? [] : state.waiting, hasMore
                )
            }
            resume?()
            for continuation in waiting { continuation.resume() }
            if hasMore { writeNext() }
        }
    }

    /// Puts bytes into the file: the first part in order, the last part round and round.
    private func store(_ bytes: [UInt8], at start: Int) -> Bool {
        guard let file = file() else { return false }
        var offset = start
        var rest = bytes[...]
        while !rest.isEmpty {
            let (place, room) = place(of: offset)
            let count = rest.prefix(room).withUnsafeBytes {
                pwrite(file, $0.baseAddress, $0.count, off_t(place))
            }
            guard count > 0 else { return false }
            offset += count
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// Where a byte of the output stands in the file, and how many more fit there in a row.
    private func place(of offset: Int) -> (place: Int, room: Int) {
        let head = max(limits.head, memoryBytes)
        guard offset >= head else { return (offset, head - offset) }
        let turn = (offset - head) % limits.tail
        return (head + turn, limits.tail - turn)
    }

    /// The file, made when it is needed; it has no name, so nothing is left of it.
    private func file() -> Int32? {
        let (known, memory) = state.withLock { ($0.file, $0.memory) }
        if known >= 0 { return known }
        guard let directory else { return nil }
        let wildcard = String(repeating: "X", count: 6)
        var name = Array("\(directory)/spool-\(wildcard)".utf8CString)
        let made = mkstemp(&name)
        if made >= 0 {
            unlink(&name)
            _ = fcntl(made, F_SETFD, FD_CLOEXEC)
        }
        guard made >= 0, pwrite(made, memory, memory.count, 0) == memory.count else {
            if made >= 0 { close(made) }
            return nil
        }
        state.withLock { $0.file = made }
        return made
    }

    // MARK: Reading, after settle()

    /// The number of bytes that were written.
    public var totalBytes: Int { state.withLock { $0.total } }

    /// The number of bytes that were dropped, all from one place after the beginning.
    public var droppedBytes: Int {
        state.withLock { state in
            if state.file >= 0, !state.hasFailed {
                return max(0, state.total - max(limits.head, memoryBytes) - limits.tail)
            }
            let tail = min(state.pending.count, memoryBytes)
            return state.total - state.memory.count - tail
        }
    }

    /// Returns the first and the last bytes within some limits, and the number of bytes between them.
    public func contents(within limits: Limits = .journal)
        -> (bytes: [UInt8], totalBytes: Int, droppedBytes: Int)
    {
        let total = totalBytes
        let kept = total - droppedBytes
        guard kept > limits.head + limits.tail else { return (read(0..<kept), total, total - kept) }
        let bytes = read(0..<limits.head) + read(kept - limits.tail..<kept)
        return (bytes, total, total - bytes.count)
    }

    /// Returns a range of the kept bytes; dropped bytes do not count in positions.
    public func read(_ range: Range<Int>) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: range.count) { buffer, filled in
            filled = read(from: range.lowerBound, into: UnsafeMutableRawBufferPointer(buffer))
        }
    }

    /// Copies kept bytes into a buffer that the caller can reuse; dropped bytes do not count in positions.
    ///
    /// - Parameters:
    ///   - start: The position of the first byte.
    ///   - buffer: The buffer to fill, as far as there are bytes.
    /// - Returns: The number of bytes copied.
    public func read(from start: Int, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        state.withLock { state in
            let tail = state.pending.suffix(memoryBytes)
            guard state.file >= 0, !state.hasFailed else {
                let first = state.memory.dropFirst(start).prefix(buffer.count)
                let rest = tail.dropFirst(max(0, start - state.memory.count))
                    .prefix(buffer.count - first.count)
                buffer.copyBytes(from: first)
                UnsafeMutableRawBufferPointer(rebasing: buffer[first.count...])
                    .copyBytes(from: rest)
                return first.count + rest.count
            }
            let head = max(limits.head, memoryBytes)
            let dropped = max(0, state.total - head - limits.tail)
            let size = min(buffer.count, state.total - dropped - start)
            var filled = 0
            while filled < size {
                // What is kept of the end begins where the dropped bytes end.
                let offset = start + filled
                let (place, room) = place(of: offset >= head ? offset + dropped : offset)
                let count = pread(
                    state.file,
                    buffer.baseAddress.map { $0 + filled },
                    min(room, size - filled),
                    off_t(place)
                )
                guard count > 0 else { break }
                filled += count
            }
            return filled
        }
    }

    /// Whether another output is known to be identical; false if either has dropped bytes.
    public func isSame(as other: OutputCapture) -> Bool {
        guard totalBytes == other.totalBytes, droppedBytes == 0, other.droppedBytes == 0 else {
            return false
        }
        let kept = totalBytes - droppedBytes
        let size = min(kept, Self.pieceBytes)
        return withUnsafeTemporaryAllocation(byteCount: 2 * size, alignment: 16) { buffer in
            let one = UnsafeMutableRawBufferPointer(rebasing: buffer[..<size])
            let another = UnsafeMutableRawBufferPointer(rebasing: buffer[size...])
            var start = 0
            while start < kept {
                let count = read(from: start, into: one)
                guard count > 0, other.read(from: start, into: another) == count,
                    let first = one.baseAddress, let second = another.baseAddress,
                    memcmp(first, second, count) == 0
                else { return false }
                start += count
            }
            return true
        }
    }

    /// The number of bytes to read at once when going through an output; small enough for the processor's cache.
    public static let pieceBytes = 128 << 10

    /// The end of the output as text.
    public func tail(lines: Int, bytes limit: Int = 4000) -> String {
        let kept = totalBytes - droppedBytes
        let text = String(decoding: read(max(0, kept - limit)..<kept), as: UTF8.self)
        return text.split(whereSeparator: \.isNewline).suffix(lines).joined(separator: "\n")
    }
}
