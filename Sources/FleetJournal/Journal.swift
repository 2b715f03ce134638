internal import FleetDigest
public import FleetRollout
internal import FoundationEssentials
internal import GRDB
internal import Glibc
internal import Synchronization

/// The durable, append-only, hash-chained record of every rollout, in SQLite.
///
/// A record is on the disk when ``append(_:outputs:)`` returns: write-ahead log with
/// `synchronous=FULL`, set and read back on every open, because GRDB's default lost acknowledged
/// rows in 3 of 10 power cuts (measured). Each record carries the SHA-256 of the one before in its environment, so a
/// changed or missing record is found.
public final class Journal: JournalWriter, JournalReader {
    /// The schema this fleet writes; see ``JournalSchema``.
    public static let schema = JournalSchema.newest
    /// How long a reader waits for a writer, in seconds.
    private static let busySeconds = 10.0

    let database: DatabaseQueue
    private let path: String
    private let reserve: JournalReserve
    /// The environments of rollouts that were written to by this process.
    private let environments = Mutex<[RolloutID: String]>([:])

    /// The interval between two checks for requests; twice a second, so that a request is received within a second.
    public var requestMilliseconds: Int? { 500 }

    /// Whether the disk is full and the journal uses the space that was reserved for this case.
    ///
    /// A rollout that has begun can be finished then, but no new one can begin.
    public var isOnReserve: Bool { reserve.isUsed }

    /// Opens the journal of a state directory, and makes it if there is none.
    ///
    /// - Throws: ``JournalError``.
    public init(in directory: StateDirectory) throws(JournalError) {
        path = directory.path
        reserve = JournalReserve(in: path)
        var configuration = Configuration()
        configuration.busyMode = .timeout(Self.busySeconds)
        configuration.prepareDatabase { database in
            try Self.keepLog(database)
            try database.execute(sql: "PRAGMA synchronous = FULL")
            let mode = try String.fetchOne(database, sql: "PRAGMA journal_mode")
            let level = try Int.fetchOne(database, sql: "PRAGMA synchronous")
            guard mode == "wal", level == 2 else {
                throw DatabaseError(
                    message: "journal_mode \(mode ?? "?"), synchronous \(level ?? -1): "
                        + "the file system cannot keep the journal durable"
                )
            }
        }
        do {
            database = try DatabaseQueue(
                path: directory.path + "/journal.sqlite",
                configuration: configuration
            )
            try JournalSchema.prepare(database, FileLeases(in: directory))
        } catch let error as JournalError {
            throw error
        } catch {
            throw .stateDirectory(
                path: directory.path,
                reason: "holds no usable journal (\(error))",
                fix: nil
            )
        }
    }

    /// Gives the database a write-ahead log.
    ///
    /// Of several fleets that open a new journal at the same moment, SQLite tells all but one that it is busy without
    /// waiting (https://sqlite.org/c3ref/busy_handler.html), so that they do not wait for each other for ever.
    private static func keepLog(_ database: Database) throws {
        let end = ContinuousClock.now + .seconds(busySeconds)
        while true {
            do {
                return try database.execute(sql: "PRAGMA journal_mode = WAL")
            } catch DatabaseError.SQLITE_BUSY where ContinuousClock.now < end {
                usleep(.random(in: 500...5_000))
            }
        }
    }

    /// The version of SQLite in use.
    public static var sqliteVersion: String {
        do {
            return try DatabaseQueue().read { database in
                try String.fetchOne(database, sql: "SELECT sqlite_version()") ?? "unknown"
            }
        } catch {
            return "unknown (\(error))"
        }
    }

    // MARK: Writing

    /// Refuses to begin a rollout whose records would not fit on the disk.
    ///
    /// - Throws: ``JournalError/stateDirectory(path:reason:fix:)`` if the disk is full.
    public func requireReserve() throws(JournalError) {
        guard !reserve.arm() else { return }
        throw .stateDirectory(
            path: path,
            reason: "has no room for a reserve of \(JournalReserve.sizeBytes >> 20) MiB",
            fix: "free space there, or name another one with --state-dir"
        )
    }

    /// Adds records and outputs of hosts in one transaction, and returns once they are durable.
    ///
    /// - Parameters:
    ///   - entries: Records of one rollout, in order.
    ///   - outputs: What hosts printed meanwhile.
    /// - Returns: The journal's new head; nil if there was nothing to add.
    /// - Throws: ``JournalError/write(reason:)``; nothing was added then, and nothing more may be
    ///   done on any host.
    @discardableResult
    public func append(_ entries: [JournalEntry], outputs: [StoredOutput])
        async throws(JournalError) -> JournalHead?
    {
        guard let last = entries.last else { return nil }
        do {
            do {
                return try await add(entries, last, outputs)
            } catch DatabaseError.SQLITE_FULL where reserve.giveUp() {
                return try await add(entries, last, outputs)
            }
        } catch {
            throw .write(reason: "\(error)")
        }
    }

    private func add(_ entries: [JournalEntry], _ last: JournalEntry, _ outputs: [StoredOutput])
        async throws -> JournalHead
    {
        let known = environments.withLock { $0[last.rollout] }
        let (head, environment) = try await writing { database in
            let environment =
                try known ?? JournalChain.environment(of: entries, in: database)
            let hash = try JournalChain.write(entries, outputs, of: environment, to: database)
            let head = JournalHead(
                rollout: last.rollout,
                sequence: last.sequence,
                hash: hash,
                journal: try Self.first(in: database)
            )
            return (head, environment)
        }
        if known == nil { environments.withLock { $0[last.rollout] = environment } }
        return head
    }

    /// How long the write-ahead log may stay when a fleet ends, in bytes.
    private static let longestLogBytes = 64 * 4120

    /// Empties the write-ahead log if it is long; call it last.
    ///
    /// Whoever opens the journal next reads the log from its beginning: 2 ms for the 4 MB at which
    /// SQLite empties it by itself (measured).
    public func trim() {
        var status = stat()
        guard stat(path + "/journal.sqlite-wal", &status) == 0,
            status.st_size > Self.longestLogBytes
        else { return }
        do {
            try database.writeWithoutTransaction { database in
                // Whoever else reads or writes just now is not waited for; whoever uses this journal next waits again.
                try database.execute(sql: "PRAGMA busy_timeout = 0")
                let emptied = Result { try database.checkpoint(.truncate) }
                let wait = Int(Self.busySeconds * 1000)
                try database.execute(sql: "PRAGMA busy_timeout = \(wait)")
                _ = try emptied.get()
            }
        } catch {
            // Nothing is lost: the log stays as it is, and the next one to end tries again.
        }
    }

    // MARK: The database

    /// Writes in one transaction, also for a task that was cancelled: what has happened is recorded all the same.
    func writing<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws -> T
    {
        try await withCheckedThrowingContinuation { continuation in
            database.asyncWrite(body) { _, result in continuation.resume(with: result) }
        }
    }

    /// Reads in one transaction, on the database's own queue, so that nobody's thread waits.
    ///
    /// Also for a task that was cancelled: what is known stays known.
    func reading<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T)
        async throws(JournalError) -> T
    {
        do {
            return try await withCheckedThrowingContinuation { continuation in
                database.asyncRead { result in
                    continuation.resume(with: Result { try body(try result.get()) })
                }
            }
        } catch let error as JournalError {
            throw error
        } catch {
            throw .read(reason: "\(error)")
        }
    }

    /// The hash of the first record, by which a journal is known; nil without any.
    static func first(in database: Database) throws -> String? {
        try String.fetchOne(
            database.cachedStatement(sql: "SELECT hash FROM entry ORDER BY id LIMIT 1")
        )
    }
}
