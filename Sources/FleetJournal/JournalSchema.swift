internal import FleetDigest
internal import FleetPlan
internal import FleetRollout
internal import FoundationEssentials
internal import GRDB

/// The tables of the journal, and how those of an older fleet become today's.
///
/// `user_version` rises with every change: an older fleet refuses what it does not know. Nothing that is only ever
/// added to is changed on the way: what a new version has to know of old records is put into tables of its own.
enum JournalSchema {
    /// The schema that this fleet writes.
    ///
    /// 2: a rollout may end more than once, interrupted and then taken up again. 3: answers to smoke tests outside of
    /// rollouts. 4: a chain for each environment, which covers outputs, too; what a rollout aims at beside its plan;
    /// requests to stop, and who took a rollout up.
    static let newest = 4

    /// Brings a database to the newest schema, in one transaction for each step.
    ///
    /// - Throws: ``JournalError/newerSchema(found:known:)``, and whatever SQLite says.
    static func prepare(_ database: DatabaseQueue, _ leases: FileLeases) throws {
        let found = try database.read { try version(of: $0) }
        guard found <= newest else {
            throw JournalError.newerSchema(found: found, known: newest)
        }
        guard found < newest else { return }
        // An older fleet that is at work would write by rules that do not hold any more.
        if found > 0, let holder = leases.anyHolder() {
            guard try database.read({ try version(of: $0) }) < newest else { return }
            throw JournalError.stateDirectory(
                path: leases.path,
                reason:
                    "is in use by an older fleet (\(holder)), and its journal can only be brought up to date "
                    + "when that has ended",
                fix: "wait for it, or use the older fleet until then"
            )
        }
        var reached = found
        while true {
            do {
                return try migrator.migrate(database)
            } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
                // Another fleet has done the same step at the same moment, and it is done: on with the next one.
                let now = try database.read { try version(of: $0) }
                guard now < newest else { return }
                guard now > reached else { throw error }
                reached = now
            }
        }
    }

    private static func version(of database: Database) throws -> Int {
        try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
    }

    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator().disablingDeferredForeignKeyChecks()
        for (index, step) in steps.enumerated() {
            let version = index + 1
            migrator.registerMigration("schema \(version)") { database in
                // Journals are older than this list of what was done to them, and another fleet may have done it
                // meanwhile.
                guard try Self.version(of: database) < version else { return }
                try step(database)
                try database.execute(sql: "PRAGMA user_version = \(version)")
            }
        }
        return migrator
    }

    private static let steps: [@Sendable (Database) throws -> Void] = [
        prepareFirst, prepareSecond, prepareThird, prepareFourth,
    ]

    @Sendable private static func prepareFirst(_ database: Database) throws {
        try database.execute(
            sql: """
                CREATE TABLE entry (
                    id INTEGER PRIMARY KEY AUTOINCREMENT,
                    rollout TEXT NOT NULL,
                    sequence INTEGER NOT NULL,
                    body BLOB NOT NULL,
                    hash TEXT NOT NULL,
                    UNIQUE (rollout, sequence)
                ) STRICT;
                CREATE TABLE rollout (
                    id TEXT PRIMARY KEY,
                    environment TEXT NOT NULL,
                    kind TEXT NOT NULL,
                    title TEXT NOT NULL,
                    release TEXT NOT NULL,
                    hosts INTEGER NOT NULL,
                    user TEXT NOT NULL,
                    started INTEGER NOT NULL
                ) STRICT;
                CREATE TABLE outcome (
                    rollout TEXT PRIMARY KEY REFERENCES rollout (id),
                    outcome TEXT NOT NULL,
                    ended INTEGER NOT NULL
                ) STRICT;
                CREATE TABLE output (
                    rollout TEXT NOT NULL,
                    host TEXT NOT NULL,
                    key TEXT NOT NULL,
                    bytes BLOB NOT NULL,
                    total INTEGER NOT NULL,
                    dropped INTEGER NOT NULL
                ) STRICT;
                CREATE INDEX output_of ON output (rollout, host, key);
                """
        )
        try keep(["entry", "rollout", "outcome", "output"], in: database)
    }

    @Sendable private static func prepareSecond(_ database: Database) throws {
        try database.execute(
            sql: """
                CREATE TABLE ending (
                    id INTEGER PRIMARY KEY AUTOINCREMENT,
                    rollout TEXT NOT NULL REFERENCES rollout (id),
                    outcome TEXT NOT NULL,
                    ended INTEGER NOT NULL
                ) STRICT;
                CREATE INDEX ending_of ON ending (rollout, id);
                INSERT INTO ending (rollout, outcome, ended)
                    SELECT rollout, outcome, ended FROM outcome ORDER BY ended;
                DROP TABLE outcome;
                """
        )
        try keep(["ending"], in: database)
    }

    /// Measurements, not records: they grow old and are removed.
    @Sendable private static func prepareThird(_ database: Database) throws {
        try database.execute(
            sql: """
                CREATE TABLE sample (
                    id INTEGER PRIMARY KEY,
                    environment TEXT NOT NULL,
                    host TEXT NOT NULL,
                    name TEXT NOT NULL,
                    time INTEGER NOT NULL,
                    latency INTEGER NOT NULL,
                    state TEXT NOT NULL,
                    reason TEXT NOT NULL
                ) STRICT;
                CREATE INDEX sample_of ON sample (environment, time);
                """
        )
    }

    /// A chain for each environment.
    ///
    /// `entry.chain` is the environment; nothing for records of the one chain that older fleets wrote, which ends at
    /// `beginning.entry`. `entry.outputs` is the hash of the outputs that came with it, those whose `output.entry` it
    /// is. `head` is no record: it only saves looking for the last one of each chain.
    @Sendable private static func prepareFourth(_ database: Database) throws {
        let last = try Int.fetchOne(database, sql: "SELECT max(id) FROM entry") ?? 0
        // A constraint and no trigger: a trigger makes every record half as dear again (measured).
        try database.execute(
            sql: """
                ALTER TABLE entry ADD COLUMN chain TEXT
                    CONSTRAINT "a newer fleet has brought this journal up to date"
                    CHECK (chain IS NOT NULL OR id <= \(last));
                ALTER TABLE entry ADD COLUMN outputs TEXT;
                ALTER TABLE output ADD COLUMN entry INTEGER;
                CREATE INDEX output_with ON output (entry) WHERE entry IS NOT NULL;
                CREATE TABLE beginning (
                    entry INTEGER NOT NULL,
                    hash TEXT NOT NULL,
                    output INTEGER NOT NULL
                ) STRICT;
                INSERT INTO beginning SELECT
                    coalesce((SELECT max(id) FROM entry), 0),
                    coalesce((SELECT hash FROM entry ORDER BY id DESC LIMIT 1), ''),
                    coalesce((SELECT max(rowid) FROM output), 0);
                CREATE TABLE head (
                    chain TEXT PRIMARY KEY,
                    entry INTEGER NOT NULL,
                    hash TEXT NOT NULL
                ) STRICT;
                CREATE TABLE aim (
                    rollout TEXT PRIMARY KEY REFERENCES rollout (id),
                    release TEXT NOT NULL,
                    undoes TEXT NOT NULL,
                    body BLOB NOT NULL,
                    hosts BLOB NOT NULL
                ) STRICT;
                CREATE TABLE decision (
                    rollout TEXT NOT NULL REFERENCES rollout (id),
                    decision TEXT NOT NULL,
                    asked INTEGER NOT NULL
                ) STRICT;
                CREATE INDEX decision_of ON decision (rollout);
                CREATE TABLE request (
                    id INTEGER PRIMARY KEY AUTOINCREMENT,
                    rollout TEXT NOT NULL,
                    entry INTEGER NOT NULL
                ) STRICT;
                CREATE INDEX request_to ON request (rollout, id);
                """
        )
        try keep(["beginning", "aim", "decision", "request"], in: database)
        let rows = try Row.fetchCursor(
            database,
            sql: """
                SELECT id, body FROM entry WHERE sequence = 1 AND rollout IN (SELECT id FROM rollout WHERE kind <> 'exec')
                    OR instr(body, CAST('"decide"' AS BLOB)) > 0 ORDER BY id
                """
        )
        while let row = try rows.next() {
            let body: Data = row["body"]
            let entry: JournalEntry
            do { entry = try JournalHash.entry(from: Array(body)) } catch {
                // Whoever asks for it hears that it cannot be read.
                continue
            }
            try JournalIndex.note(entry, row["id"], in: database, onlyNew: true)
        }
    }

    /// Nothing is ever changed or removed.
    private static func keep(_ tables: [String], in database: Database) throws {
        for table in tables {
            for verb in ["UPDATE", "DELETE"] {
                try database.execute(
                    sql: """
                        CREATE TRIGGER \(table)_keeps_\(verb.lowercased()) BEFORE \(verb) ON \(table)
                        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
                        """
                )
            }
        }
    }
}
