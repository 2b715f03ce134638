internal import FleetDigest
public import FleetPlan
public import FleetRollout
public import FleetTransport
internal import FoundationEssentials
internal import GRDB
internal import Glibc

/// What a step on a host printed, as far as it is kept.
public struct StoredOutput: Sendable, Hashable {
    /// The host.
    public let host: HostName
    /// The attempt.
    public let key: ActionKey
    /// The kept bytes: all, or the first and last ones.
    public let bytes: [UInt8]
    /// How many bytes were printed in all.
    public let totalBytes: Int
    /// How many bytes in the middle were not kept.
    public let droppedBytes: Int

    /// Describes what was printed.
    public init(
        host: HostName,
        key: ActionKey,
        bytes: [UInt8],
        totalBytes: Int,
        droppedBytes: Int
    ) {
        self.host = host
        self.key = key
        self.bytes = bytes
        self.totalBytes = totalBytes
        self.droppedBytes = droppedBytes
    }
}

/// A line of the history.
public struct RolloutRecord: Sendable, Hashable {
    /// The rollout.
    public let id: RolloutID
    /// The environment.
    public let environment: String
    /// What it was for.
    public let kind: Plan.Kind
    /// The playbook or command.
    public let title: String
    /// The release, as people know it; empty if there was none.
    public let release: String
    /// How many hosts it was for.
    public let hostCount: Int
    /// Who started it.
    public let user: String
    /// When it was planned, in milliseconds since 1970.
    public let startedUnixMilliseconds: Int
    /// When it ended, in milliseconds since 1970.
    public let endedUnixMilliseconds: Int?
    /// How it ended; nil if it never did, because it runs or its fleet was killed.
    public let outcome: RolloutOutcome?
}

/// Where a journal is: its last record and the hash of everything up to it.
///
/// Left on every host that a rollout has touched, it shows whether records were changed or taken away
/// since.
public struct JournalHead: Sendable, Hashable {
    /// The rollout of the record.
    public let rollout: RolloutID
    /// The record's number in its rollout.
    public let sequence: Int
    /// The record's hash, in hexadecimal.
    public let hash: String
    /// The hash of the journal's first record, which tells one journal from another; nil from a fleet that did not
    /// say.
    public let journal: String?

    /// Names a record.
    public init(rollout: RolloutID, sequence: Int, hash: String, journal: String? = nil) {
        self.rollout = rollout
        self.sequence = sequence
        self.hash = hash
        self.journal = journal
    }

    /// Reads what ``text`` has written; nil if it is something else.
    public init?(text: String) {
        let words = text.split(separator: " ")
        guard words.count == 3 || words.count == 4, let rollout = RolloutID(String(words[0])),
            let sequence = Int(words[1]), words[2...].allSatisfy({ $0.utf8.count == 64 })
        else { return nil }
        self.init(
            rollout: rollout,
            sequence: sequence,
            hash: String(words[2]),
            journal: words.count == 4 ? String(words[3]) : nil
        )
    }

    /// One line.
    public var text: String {
        "\(rollout) \(sequence) \(hash)" + (journal.map { " \($0)" } ?? "")
    }
}

/// The durable, append-only, hash-chained record of every rollout, in SQLite.
///
/// A record is on the disk when ``append(_:outputs:)`` returns: write-ahead log with
/// `synchronous=FULL`, set and read back on every open, because GRDB's default lost acknowledged
/// rows in 3 of 10 power cuts (measured). Each record carries the SHA-256 of the one before, so a
/// changed or missing record is found.
public final class Journal: Sendable {
    /// The schema this fleet writes.
    ///
    /// 2: a rollout may end more than once, interrupted and then taken up again. 3: answers to
    /// smoke tests outside of rollouts.
    public static let schema = 3
    /// How long a reader waits for a writer, in seconds.
    private static let busySeconds = 10.0

    let database: DatabaseQueue
    private let path: String
    private let reserve: JournalReserve

    /// Whether the disk is full and the journal lives on what was set aside: what has begun can be
    /// brought to an end, and nothing more.
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
            try database.execute(sql: "PRAGMA journal_mode = WAL")
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
            try database.write { try Self.prepare($0) }
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

    private static func prepare(_ database: Database) throws {
        let found = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
        guard found <= schema else {
            throw JournalError.newerSchema(found: found, known: schema)
        }
        guard found < schema else { return }
        if found == 0 { try prepareFirst(database) }
        if found < 2 { try prepareSecond(database) }
        try prepareThird(database)
        try database.execute(sql: "PRAGMA user_version = \(schema)")
    }

    private static func prepareFirst(_ database: Database) throws {
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

    private static func prepareSecond(_ database: Database) throws {
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
    private static func prepareThird(_ database: Database) throws {
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

    // MARK: Writing

    /// Refuses to begin what could not be recorded to its end.
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

    /// Adds records and what hosts printed, in one transaction, and returns when they are durable.
    ///
    /// - Parameters:
    ///   - entries: Records of one rollout, in order.
    ///   - outputs: What hosts printed meanwhile.
    /// - Returns: Where the journal is then; nil if there was nothing to add.
    /// - Throws: ``JournalError/write(reason:)``; nothing was added then, and nothing more may be
    ///   done on any host.
    @discardableResult
    public func append(_ entries: [JournalEntry], outputs: [StoredOutput] = [])
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

    /// How long the write-ahead log may stay when a fleet ends, in bytes.
    private static let longestLogBytes = 64 * 4120

    /// Empties the write-ahead log if it has grown long; to be called last.
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

    private func add(_ entries: [JournalEntry], _ last: JournalEntry, _ outputs: [StoredOutput])
        async throws -> JournalHead
    {
        let rollout = last.rollout
        return try await writing { database in
            let hash = try Self.write(entries, to: database)
            let head = JournalHead(
                rollout: rollout,
                sequence: last.sequence,
                hash: hash,
                journal: try Self.first(in: database)
            )
            guard !outputs.isEmpty else { return head }
            let insert = try database.cachedStatement(
                sql: "INSERT INTO output VALUES (?, ?, ?, ?, ?, ?)"
            )
            for output in outputs {
                try insert.execute(
                    arguments: [
                        rollout.description, output.host.text, output.key.description,
                        Data(output.bytes), output.totalBytes, output.droppedBytes,
                    ]
                )
            }
            return head
        }
    }

    /// Writes in one transaction, also for a task that was cancelled: what has happened is recorded all the same.
    func writing<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws -> T
    {
        try await withCheckedThrowingContinuation { continuation in
            database.asyncWrite(body) { _, result in continuation.resume(with: result) }
        }
    }

    /// Returns the last record's hash.
    private static func write(_ entries: [JournalEntry], to database: Database) throws -> String {
        // Asked each time: another fleet may have written since.
        let last = try database.cachedStatement(
            sql: "SELECT hash FROM entry ORDER BY id DESC LIMIT 1"
        )
        var previous = try String.fetchOne(last) ?? ""
        let insert = try database.cachedStatement(
            sql: "INSERT INTO entry (rollout, sequence, body, hash) VALUES (?, ?, ?, ?)"
        )
        for entry in entries {
            let body = CanonicalJSON.encode(entry)
            previous = hash(of: body, after: previous)
            try insert.execute(
                arguments: [entry.rollout.description, entry.sequence, Data(body), previous]
            )
            switch entry.body {
            case .planned(let plan, let origin):
                try database.execute(
                    sql: "INSERT INTO rollout VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    arguments: [
                        entry.rollout.description, plan.environment, plan.kind.rawValue,
                        plan.title, plan.release?.label ?? "", plan.hosts.count, origin.user,
                        entry.unixMilliseconds,
                    ]
                )
            case .effect(.finish(let outcome)):
                try database.execute(
                    sql: "INSERT INTO ending (rollout, outcome, ended) VALUES (?, ?, ?)",
                    arguments: [
                        entry.rollout.description, outcome.rawValue, entry.unixMilliseconds,
                    ]
                )
            default: break
            }
        }
        return previous
    }

    private static func hash(of body: [UInt8], after previous: String) -> String {
        SHA256Digest(of: Array(previous.utf8) + body).description
    }

    // MARK: Reading

    /// The newest rollouts first.
    ///
    /// - Parameters:
    ///   - environment: Only its rollouts; nil for all.
    ///   - limit: How many at most; nil for all of them.
    ///   - changesOnly: Whether commands of `exec` are left out, however many there were.
    /// - Returns: Lines of the history.
    /// - Throws: ``JournalError/read(reason:)``.
    public func history(
        environment: String? = nil,
        limit: Int? = 20,
        changesOnly: Bool = false
    ) throws(JournalError) -> [RolloutRecord] {
        try reading { database in
            try Row.fetchAll(
                database,
                sql: """
                    SELECT rollout.*, ending.outcome, ending.ended FROM rollout
                    LEFT JOIN ending ON ending.id =
                        (SELECT max(id) FROM ending WHERE ending.rollout = rollout.id)
                    WHERE (?1 IS NULL OR environment = ?1) AND (NOT ?3 OR kind <> 'exec')
                    ORDER BY rollout.rowid DESC LIMIT ?2
                    """,
                arguments: [environment, limit ?? -1, changesOnly]
            ).compactMap { row in
                guard let id = RolloutID(row["id"]), let kind = Plan.Kind(rawValue: row["kind"])
                else { return nil }
                let outcome: String? = row["outcome"]
                return RolloutRecord(
                    id: id,
                    environment: row["environment"],
                    kind: kind,
                    title: row["title"],
                    release: row["release"],
                    hostCount: row["hosts"],
                    user: row["user"],
                    startedUnixMilliseconds: row["started"],
                    endedUnixMilliseconds: row["ended"],
                    outcome: outcome.flatMap(RolloutOutcome.init)
                )
            }
        }
    }

    /// Every rollout of an environment but commands of `exec`, the newest first.
    private func changes(in environment: String) throws(JournalError) -> [RolloutRecord] {
        try history(environment: environment, limit: nil, changesOnly: true)
    }

    /// The newest rollout of an environment that has not come to its end: it runs, its controller was
    /// killed, or it was interrupted.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func unfinished(in environment: String) throws(JournalError) -> RolloutRecord? {
        try changes(in: environment).first { record in
            record.kind != .exec && (record.outcome == nil || record.outcome == .interrupted)
        }
    }

    /// The rollout by which a release was taken back last, unless it was deployed well again since;
    /// nil if it never was.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func reverted(_ commit: String, in environment: String) throws(JournalError)
        -> RolloutRecord?
    {
        for record in try changes(in: environment) {
            let isBack = record.kind == .revert
            let isTakenBack: Bool
            switch record.outcome {
            case .reverted, .revertFailed: isTakenBack = true
            case .succeeded: isTakenBack = isBack
            // Somebody wanted it back; that not all of it is back makes it no better.
            case .held where isBack, .unknown where isBack: isTakenBack = true
            default: continue
            }
            guard var plan = try plan(of: record.id) else { continue }
            if isBack, let undone = plan.adoptsLocksOf.flatMap(RolloutID.init) {
                guard let earlier = try self.plan(of: undone) else { continue }
                plan = earlier
            } else if isBack {
                // To a release by name: that one is good.
                if plan.release?.commit == commit { return nil }
                continue
            }
            guard plan.release?.commit == commit else { continue }
            // Somebody stopped it and went back: nothing was found to be wrong with the release.
            if !isBack, isTakenBack, try wasAskedBack(record.id) { continue }
            if isBack, case .planned(_, let origin) = try beginning(of: record.id)?.body,
                origin.overridden?.contains(RolloutOrigin.quarantineRule) ?? false
            {
                continue
            }
            return isTakenBack ? record : nil
        }
        return nil
    }

    /// Whether a rollout went back because somebody asked for that.
    private func wasAskedBack(_ rollout: RolloutID) throws(JournalError) -> Bool {
        for entry in try entries(of: rollout) {
            if case .effect(.decide(_, let reason)) = entry.body {
                return reason == Rollout.askedBack
            }
        }
        return false
    }

    /// The newest rollout by which a release succeeded in an environment; nil if none did, or it was
    /// taken back since.
    ///
    /// - Parameters:
    ///   - commit: The release.
    ///   - environment: The environment.
    ///   - smokeTests: What must have been passed there on every host; nil if any success counts, on
    ///     however many hosts.
    /// - Returns: The rollout.
    /// - Throws: ``JournalError/read(reason:)``.
    public func succeeded(
        _ commit: String,
        in environment: String,
        passing smokeTests: Set<String>? = nil
    ) throws(JournalError) -> RolloutRecord? {
        guard try reverted(commit, in: environment) == nil else { return nil }
        for record in try changes(in: environment)
        where record.kind == .deploy && record.outcome == .succeeded {
            guard let plan = try plan(of: record.id), plan.release?.commit == commit else {
                continue
            }
            guard let smokeTests else { return record }
            // A part of the hosts, or a playbook that asks less, says nothing about the whole.
            if plan.isForEveryHost, plan.smokeTests.isSuperset(of: smokeTests) { return record }
        }
        return nil
    }

    /// The release that the newest rollout left on an environment; nil if there is none, or it left the
    /// hosts with different ones.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func live(in environment: String) throws(JournalError)
        -> (release: Release, rollout: RolloutRecord, origin: RolloutOrigin)?
    {
        var newest: (release: Release, rollout: RolloutRecord, origin: RolloutOrigin)?
        var known: Set<HostName> = []
        for record in try changes(in: environment)
        where record.kind == .deploy || record.kind == .revert {
            switch record.outcome {
            // Nothing was changed, or everything is as it was before.
            case .refused: continue
            case .reverted where record.kind == .deploy: continue
            case .succeeded: break
            // A mixed state: there is no one release that it runs.
            default: return nil
            }
            guard case .planned(let plan, let origin) = try beginning(of: record.id)?.body else {
                return nil
            }
            for host in plan.hosts where !known.contains(host.name) {
                // Its release step is for other hosts only.
                if plan.kind == .deploy, host.release == nil,
                    plan.hosts.contains(where: { $0.release != nil })
                {
                    continue
                }
                known.insert(host.name)
                guard let release = host.release ?? plan.release else { return nil }
                if newest == nil { newest = (release, record, origin) }
                // Rollouts to some of the hosts have left them on different ones.
                guard newest?.release.commit == release.commit else { return nil }
            }
            if plan.isForEveryHost && plan.hosts.allSatisfy({ known.contains($0.name) })
                || known.count >= plan.environmentHostCount ?? 0
            {
                return newest
            }
        }
        return nil
    }

    /// What reached each host of an environment the last time that a rollout asked it, in the client's own words.
    ///
    /// Only the newest rollouts are looked at, ``lookedBackRollouts`` of them.
    ///
    /// - Throws: ``JournalError``, also if a record cannot be read.
    public func clients(in environment: String) throws(JournalError) -> [HostName: String] {
        let rollouts = try history(
            environment: environment,
            limit: Self.lookedBackRollouts,
            changesOnly: true
        )
        var found: [HostName: String] = [:]
        for record in rollouts {
            // Most records are about steps; only those that can hold a snapshot are decoded.
            let entries = try entries(of: record.id, mentioning: "\"hostChecked\"")
            for case .event(.hostChecked(let host, .ready(let snapshot))) in entries.map(\.body) {
                guard found[host] == nil, let client = snapshot.client else { continue }
                found[host] = client
            }
        }
        return found
    }

    /// How many rollouts of an environment are looked at for what its hosts were like.
    private static let lookedBackRollouts = 3

    /// The environments that the journal knows, sorted.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func environments() throws(JournalError) -> [String] {
        try reading { database in
            try String.fetchAll(
                database,
                sql: "SELECT DISTINCT environment FROM rollout ORDER BY environment"
            )
        }
    }

    /// What a rollout set out to do; nil if it is not known.
    private func plan(of rollout: RolloutID) throws(JournalError) -> Plan? {
        guard case .planned(let plan, _) = try beginning(of: rollout)?.body else { return nil }
        return plan
    }

    /// A rollout's first record: its plan, and who began it.
    ///
    /// - Parameter rollout: The rollout.
    /// - Returns: Nil only if the journal does not know the rollout; a record that cannot be read is an
    ///   error.
    /// - Throws: ``JournalError``, also if the record is not what was written.
    public func beginning(of rollout: RolloutID) throws(JournalError) -> JournalEntry? {
        try first(sql: "rollout = ?", [rollout.description], limit: 1).first
    }

    // MARK: What stands alone

    /// Every record that something began with but commands of `exec`, approvals and remarks among them,
    /// the newest first.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func beginnings(limit: Int) throws(JournalError) -> [JournalEntry] {
        try first(
            sql: "rollout NOT IN (SELECT id FROM rollout WHERE kind = 'exec')",
            [],
            limit: limit
        )
    }

    /// The approvals for an environment, the newest first.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func approvals(for environment: String) throws(JournalError) -> [Approval] {
        try first(sql: "rollout GLOB 'approval-*'", [], limit: -1).compactMap {
            entry in
            guard case .approved(let approval) = entry.body, approval.environment == environment
            else { return nil }
            return approval
        }
    }

    /// Adds a record that stands alone, under a name of its own.
    ///
    /// - Returns: The name.
    /// - Throws: ``JournalError/write(reason:)``; nothing was added then.
    @discardableResult
    public func note(_ body: JournalEntry.Body, stamp: RolloutID, at unixMilliseconds: Int)
        async throws(JournalError) -> RolloutID
    {
        let prefix = if case .approved = body { "approval" } else { "remark" }
        guard let name = RolloutID("\(prefix)-\(stamp)") else {
            preconditionFailure("a word and a rollout's name make a name")
        }
        try await append([
            JournalEntry(
                rollout: name,
                sequence: 1,
                elapsedMilliseconds: 0,
                unixMilliseconds: unixMilliseconds,
                body: body
            )
        ])
        return name
    }

    private func first(sql condition: String, _ arguments: StatementArguments, limit: Int)
        throws(JournalError) -> [JournalEntry]
    {
        try reading { database in
            try Row.fetchAll(
                database,
                sql: """
                    SELECT id, body FROM entry WHERE sequence = 1 AND \(condition)
                    ORDER BY id DESC LIMIT \(limit)
                    """,
                arguments: arguments
            ).map { row in
                do {
                    let body: Data = row["body"]
                    return try CanonicalJSON.decode(JournalEntry.self, from: Array(body))
                } catch {
                    throw JournalError.corrupt(sequence: row["id"], reason: "\(error)")
                }
            }
        }
    }

    /// Every record of a rollout, in order; none if it is not known.
    ///
    /// - Throws: ``JournalError``, also if a record is not what was written.
    public func entries(of rollout: RolloutID) throws(JournalError) -> [JournalEntry] {
        try entries(of: rollout, after: 0)
    }

    /// The same behind one of them, whose number is given.
    ///
    /// - Throws: As ``entries(of:)``.
    public func entries(of rollout: RolloutID, after sequence: Int) throws(JournalError)
        -> [JournalEntry]
    {
        try entries(of: rollout, after: sequence, mentioning: "")
    }

    /// Those records of a rollout that hold some text.
    private func entries(
        of rollout: RolloutID,
        after sequence: Int = 0,
        mentioning text: String
    ) throws(JournalError) -> [JournalEntry] {
        try reading { database in
            try Row.fetchAll(
                database,
                sql: """
                    SELECT id, body FROM entry
                    WHERE rollout = ?1 AND (?2 = '' OR instr(body, CAST(?2 AS BLOB)) > 0)
                        AND sequence > ?3
                    ORDER BY sequence
                    """,
                arguments: [rollout.description, text, sequence]
            ).map { row in
                do {
                    let body: Data = row["body"]
                    return try CanonicalJSON.decode(JournalEntry.self, from: Array(body))
                } catch {
                    throw JournalError.corrupt(sequence: row["id"], reason: "\(error)")
                }
            }
        }
    }

    /// What hosts printed in a rollout, in order; of an attempt whose answer was lost and then
    /// found, what was found.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func outputs(of rollout: RolloutID) throws(JournalError) -> [StoredOutput] {
        try reading { database in
            try Row.fetchAll(
                database,
                sql: """
                    SELECT * FROM output WHERE rowid IN
                        (SELECT max(rowid) FROM output WHERE rollout = ? GROUP BY host, key)
                    ORDER BY rowid
                    """,
                arguments: [rollout.description]
            ).map { row in
                let bytes: Data = row["bytes"]
                return StoredOutput(
                    host: HostName(row["host"]),
                    key: ActionKey(row["key"]),
                    bytes: Array(bytes),
                    totalBytes: row["total"],
                    droppedBytes: row["dropped"]
                )
            }
        }
    }

    /// Checks the chain from the first record to the last.
    ///
    /// - Returns: How many records there are.
    /// - Throws: ``JournalError/corrupt(sequence:reason:)`` for the first record that is not what
    ///   was written.
    public func verify() throws(JournalError) -> Int {
        try reading { database in
            var previous = ""
            var count = 0
            let rows = try Row.fetchCursor(database, sql: "SELECT * FROM entry ORDER BY id")
            while let row = try rows.next() {
                let body: Data = row["body"]
                let stored: String = row["hash"]
                previous = Self.hash(of: Array(body), after: previous)
                guard previous == stored else {
                    throw JournalError.corrupt(
                        sequence: row["id"],
                        reason: "its hash does not follow from the one before"
                    )
                }
                try Self.requireSame(row, Array(body), in: database)
                count += 1
            }
            try Self.requireNothingElse(in: database)
            return count
        }
    }

    /// What history and policy are asked of stands in tables of its own: they must say what the record says.
    private static func requireSame(_ row: Row, _ body: [UInt8], in database: Database) throws {
        func corrupt(_ what: String) -> JournalError {
            .corrupt(sequence: row["id"], reason: "\(what) beside it is not what it says")
        }
        let entry: JournalEntry
        do { entry = try CanonicalJSON.decode(JournalEntry.self, from: body) } catch {
            // A record of a newer fleet, or of another kind, has no table beside it.
            return
        }
        let rollout: String = row["rollout"]
        let sequence: Int = row["sequence"]
        guard rollout == entry.rollout.description, sequence == entry.sequence else {
            throw corrupt("the rollout")
        }
        switch entry.body {
        case .planned(let plan, let origin):
            let found = try Bool.fetchOne(
                database,
                sql: """
                    SELECT EXISTS (SELECT 1 FROM rollout WHERE id = ? AND environment = ? AND kind = ? AND title = ?
                        AND release = ? AND hosts = ? AND user = ? AND started = ?)
                    """,
                arguments: [
                    rollout, plan.environment, plan.kind.rawValue, plan.title,
                    plan.release?.label ?? "", plan.hosts.count, origin.user,
                    entry.unixMilliseconds,
                ]
            )
            guard found ?? false else { throw corrupt("the line of history") }
        case .effect(.finish(let outcome)):
            let found = try Bool.fetchOne(
                database,
                sql:
                    "SELECT EXISTS (SELECT 1 FROM ending WHERE rollout = ? AND outcome = ? AND ended = ?)",
                arguments: [rollout, outcome.rawValue, entry.unixMilliseconds]
            )
            guard found ?? false else { throw corrupt("the end") }
        default: break
        }
    }

    /// No line of history, and no end, that no record tells of.
    private static func requireNothingElse(in database: Database) throws {
        func count(_ sql: String) throws -> Int { try Int.fetchOne(database, sql: sql) ?? 0 }
        let unknown = try count(
            "SELECT count(*) FROM rollout WHERE id NOT IN (SELECT rollout FROM entry WHERE sequence = 1)"
        )
        var ends = 0
        var isAllKnown = true
        let rows = try Row.fetchCursor(
            database,
            sql: "SELECT body FROM entry WHERE instr(body, CAST('\"finish\"' AS BLOB)) > 0"
        )
        while let row = try rows.next() {
            let body: Data = row["body"]
            let entry: JournalEntry
            do { entry = try CanonicalJSON.decode(JournalEntry.self, from: Array(body)) } catch {
                // A newer fleet's: its end is there, and cannot be told from others here.
                isAllKnown = false
                continue
            }
            if case .effect(.finish) = entry.body { ends += 1 }
        }
        let told = try count("SELECT count(*) FROM ending")
        guard unknown == 0, told == ends || !isAllKnown && told > ends else {
            throw JournalError.corrupt(
                sequence: 0,
                reason: "there are lines of history, or ends, that no record tells of"
            )
        }
    }

    /// Whether a record is in the journal, and what it was when a host was told of it.
    ///
    /// - Returns: nil if another journal has it, as far as this one can tell.
    /// - Throws: ``JournalError/read(reason:)``.
    public func holds(_ head: JournalHead) throws(JournalError) -> Bool? {
        try reading { database in
            let hashes = try String.fetchAll(
                database,
                sql: "SELECT hash FROM entry WHERE rollout = ? AND sequence = ?",
                arguments: [head.rollout.description, head.sequence]
            )
            if !hashes.isEmpty { return hashes == [head.hash] }
            let isKnown = try Bool.fetchOne(
                database,
                sql: "SELECT EXISTS (SELECT 1 FROM entry WHERE rollout = ?)",
                arguments: [head.rollout.description]
            )
            if isKnown ?? false { return false }
            // This journal's own record: it comes from a backup of before that rollout, or was cut.
            return try head.journal != nil && head.journal == Self.first(in: database) ? false : nil
        }
    }

    /// The hash of the first record, by which a journal is known; nil without any.
    private static func first(in database: Database) throws -> String? {
        try String.fetchOne(
            database.cachedStatement(sql: "SELECT hash FROM entry ORDER BY id LIMIT 1")
        )
    }

    func reading<T>(_ body: (Database) throws -> T) throws(JournalError) -> T {
        do {
            return try database.read(body)
        } catch let error as JournalError {
            throw error
        } catch {
            throw .read(reason: "\(error)")
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
}
