internal import FleetDigest
internal import FleetServing
internal import FoundationEssentials
internal import GRDB
internal import Glibc

/// What a server remembers besides the journal: deliveries, wishes, accounts, sessions and tokens.
///
/// It is a database of its own, `server.sqlite`, as durable as the journal: what was acknowledged is on the disk. What
/// happens on hosts stands in the journal only.
public final class ServerStore: Sendable {
    let database: DatabasePool
    private let inbox: DeliveryInbox
    private let lock: ServerLock

    /// Opens the store of a state directory, and makes it if there is none.
    ///
    /// - Parameters:
    ///   - directory: The state directory.
    ///   - owner: Who opens it, in words, for whoever is refused; nil to look only, beside a server that may run.
    /// - Throws: ``JournalError``, among others if another server uses it.
    public init(in directory: StateDirectory, for owner: String?) throws(JournalError) {
        lock = try ServerLock(in: directory, for: owner)
        var configuration = Configuration()
        configuration.busyMode = .timeout(10)
        configuration.prepareDatabase { database in
            guard !database.configuration.readonly else { return }
            try database.execute(sql: "PRAGMA synchronous = FULL")
            let level = try Int.fetchOne(database, sql: "PRAGMA synchronous")
            guard level == 2 else {
                throw DatabaseError(message: "the file system cannot keep the store durable")
            }
        }
        do {
            database = try DatabasePool(
                path: directory.path + "/server.sqlite",
                configuration: configuration
            )
            // A newer fleet's store may mean something by its columns that this one does not know.
            if try database.read(Self.migrator.hasBeenSuperseded) {
                throw JournalError.newerSchema(
                    found: try database.read { try Self.migrator.appliedIdentifiers($0).count },
                    known: Self.migrator.migrations.count
                )
            }
            try Self.migrator.migrate(database)
        } catch let error as JournalError {
            throw error
        } catch {
            throw .stateDirectory(
                path: directory.path,
                reason: "holds no usable server.sqlite (\(error))",
                fix: nil
            )
        }
        inbox = DeliveryInbox(database)
    }

    /// The forms that the database has had, the newest last; one that was released is never changed.
    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { database in
            try database.execute(
                sql: """
                    CREATE TABLE delivery (
                        id INTEGER PRIMARY KEY AUTOINCREMENT, hook TEXT NOT NULL, name TEXT NOT NULL,
                        event TEXT, body BLOB, received INTEGER NOT NULL, address TEXT NOT NULL,
                        state TEXT NOT NULL, note TEXT NOT NULL, tries INTEGER NOT NULL, due INTEGER NOT NULL,
                        UNIQUE (hook, name)
                    ) STRICT;
                    CREATE INDEX delivery_due ON delivery (due) WHERE state = 'accepted';
                    CREATE TABLE wish (
                        id INTEGER PRIMARY KEY AUTOINCREMENT, environment TEXT NOT NULL, later TEXT NOT NULL,
                        hook TEXT NOT NULL, ref TEXT NOT NULL, revision TEXT NOT NULL, login TEXT, mail TEXT,
                        delivery INTEGER, time INTEGER NOT NULL, gate TEXT, state TEXT NOT NULL, open INTEGER NOT NULL
                    ) STRICT;
                    CREATE INDEX wish_environment ON wish (environment, id);
                    CREATE INDEX wish_open ON wish (environment) WHERE open = 1;
                    CREATE TABLE passed (
                        hook TEXT NOT NULL, revision TEXT NOT NULL, name TEXT NOT NULL, time INTEGER NOT NULL,
                        PRIMARY KEY (hook, revision, name)
                    ) STRICT, WITHOUT ROWID;
                    CREATE TABLE seen (
                        hook TEXT NOT NULL, ref TEXT NOT NULL, revision TEXT NOT NULL, PRIMARY KEY (hook, ref)
                    ) STRICT, WITHOUT ROWID;
                    CREATE TABLE looked (hook TEXT PRIMARY KEY, time INTEGER NOT NULL) STRICT, WITHOUT ROWID;
                    CREATE TABLE password (account TEXT PRIMARY KEY, hash TEXT NOT NULL, time INTEGER NOT NULL)
                        STRICT, WITHOUT ROWID;
                    CREATE TABLE invitation (
                        hash TEXT PRIMARY KEY, account TEXT NOT NULL, expires INTEGER NOT NULL
                    ) STRICT, WITHOUT ROWID;
                    CREATE TABLE session (
                        hash TEXT PRIMARY KEY, account TEXT NOT NULL, began INTEGER NOT NULL, used INTEGER NOT NULL,
                        fresh INTEGER NOT NULL, address TEXT NOT NULL, agent TEXT NOT NULL, secret TEXT NOT NULL
                    ) STRICT, WITHOUT ROWID;
                    CREATE TABLE token (
                        id INTEGER PRIMARY KEY AUTOINCREMENT, hash TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
                        name TEXT NOT NULL, scopes TEXT NOT NULL, made INTEGER NOT NULL, expires INTEGER NOT NULL,
                        used INTEGER, address TEXT
                    ) STRICT;
                    CREATE TABLE happened (
                        id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, who TEXT NOT NULL,
                        what TEXT NOT NULL, address TEXT NOT NULL
                    ) STRICT;
                    """
            )
        }
        return migrator
    }

    // MARK: The database

    func writing<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T)
        async throws(JournalError) -> T
    {
        do {
            // Also for a task that was cancelled: what has happened is recorded all the same.
            return try await withCheckedThrowingContinuation { continuation in
                database.asyncWrite(body) { _, result in continuation.resume(with: result) }
            }
        } catch {
            throw .write(reason: "\(error)")
        }
    }

    func reading<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T)
        async throws(JournalError) -> T
    {
        do {
            return try await withCheckedThrowingContinuation { continuation in
                database.asyncRead { result in
                    continuation.resume(with: Result { try body(try result.get()) })
                }
            }
        } catch {
            throw .read(reason: "\(error)")
        }
    }

    /// Copies the database as it is at this moment, while others go on writing.
    ///
    /// - Parameter path: A file that is not there yet.
    /// - Throws: ``JournalError/write(reason:)``.
    public func copy(to path: String) async throws(JournalError) {
        do {
            try await database.writeWithoutTransaction { database in
                try database.execute(sql: "VACUUM INTO ?", arguments: [path])
            }
        } catch {
            throw .write(reason: "\(error)")
        }
    }

    /// Stores a delivery, together with others that arrive at the same moment.
    ///
    /// - Parameter delivery: What arrived; its signature was verified.
    /// - Returns: Its number, and whether it is new; one with the same hook and name is not stored again.
    /// - Throws: ``JournalError/write(reason:)``; it was not stored then.
    public func accept(_ delivery: Delivery.Arrival) async throws(JournalError)
        -> (number: Int, isNew: Bool)
    {
        try await inbox.accept(delivery)
    }
}

/// The right to use a server's store: one process at a time has it.
private final class ServerLock: Sendable {
    private let file: Int32

    init(in directory: StateDirectory, for owner: String?) throws(JournalError) {
        guard let owner else {
            file = -1
            return
        }
        let path = directory.path + "/server.pid"
        file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else {
            throw .stateDirectory(
                path: path,
                reason: "cannot be opened (\(String(cString: strerror(errno))))",
                fix: nil
            )
        }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            var buffer = [UInt8](repeating: 0, count: 400)
            let count = pread(file, &buffer, buffer.count, 0)
            // The end of this object closes the file: it runs although the object never was.
            throw .locked(
                environment: "this state directory's server",
                owner: String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
            )
        }
        let text = Array(owner.utf8)
        // The text only helps whoever is refused; the lock is the kernel's.
        if ftruncate(file, 0) == 0 { _ = pwrite(file, text, text.count, 0) }
    }

    deinit {
        guard file >= 0 else { return }
        // A child that was forked and has not run its program yet has the file open, too: closing it is not enough.
        flock(file, LOCK_UN)
        close(file)
    }
}

/// Stores deliveries that arrive at the same moment in one transaction: one wait for the disk serves all of them.
private actor DeliveryInbox {
    private typealias Answer = CheckedContinuation<
        Result<(number: Int, isNew: Bool), JournalError>, Never
    >
    private let database: DatabasePool
    private var waiting: [(Delivery.Arrival, Answer)] = []
    private var isWriting = false

    init(_ database: DatabasePool) { self.database = database }

    func accept(_ delivery: Delivery.Arrival) async throws(JournalError) -> (
        number: Int, isNew: Bool
    ) {
        let result = await withCheckedContinuation { (answer: Answer) in
            waiting.append((delivery, answer))
            if !isWriting {
                isWriting = true
                Task { await write() }
            }
        }
        return try result.get()
    }

    private func write() async {
        while !waiting.isEmpty {
            let batch = waiting
            waiting = []
            let arrivals = batch.map(\.0)
            do {
                let numbers = try await database.write { database in
                    try arrivals.map { try Self.store($0, in: database) }
                }
                for (number, entry) in zip(numbers, batch) {
                    entry.1.resume(returning: .success(number))
                }
            } catch {
                for entry in batch {
                    entry.1.resume(returning: .failure(.write(reason: "\(error)")))
                }
            }
        }
        isWriting = false
    }

    private static func store(_ delivery: Delivery.Arrival, in database: Database) throws -> (
        number: Int, isNew: Bool
    ) {
        try database.cachedStatement(
            sql: """
                INSERT INTO delivery (hook, name, event, body, received, address, state, note, tries, due)
                VALUES (?, ?, ?, ?, ?, ?, 'accepted', '', 0, ?) ON CONFLICT (hook, name) DO NOTHING
                """
        ).execute(
            arguments: [
                delivery.hook, delivery.name, delivery.event, Data(delivery.body),
                delivery.unixMilliseconds, delivery.address, delivery.unixMilliseconds,
            ]
        )
        if database.changesCount > 0 { return (Int(database.lastInsertedRowID), true) }
        let number = try Int.fetchOne(
            database.cachedStatement(sql: "SELECT id FROM delivery WHERE hook = ? AND name = ?"),
            arguments: [delivery.hook, delivery.name]
        )
        return (number ?? 0, false)
    }
}
