internal import FleetDigest
public import FleetPlan
public import FleetRollout
public import FleetTransport
internal import FoundationEssentials
internal import GRDB

// MARK: History

extension Journal {
    /// As ``JournalReader`` promises.
    public func rollouts(_ query: RolloutQuery) async throws(JournalError) -> [RolloutRecord] {
        let columns =
            switch query.aims {
            case .none: ""
            case .releases: ", aim.body"
            case .hosts: ", aim.body, aim.hosts AS places"
            }
        let times =
            query.withTimes
            ? """
            , (SELECT json_extract(entry.body, '$.elapsedMilliseconds') FROM entry
                WHERE entry.rollout = rollout.id ORDER BY entry.sequence DESC LIMIT 1) AS elapsed
            """ : ""
        return try await reading { database in
            try Row.fetchAll(
                database,
                sql: """
                    SELECT rollout.*, ending.outcome, ending.ended\(columns)\(times), EXISTS
                        (SELECT 1 FROM decision WHERE decision.rollout = rollout.id AND asked) AS asked
                    FROM rollout
                    LEFT JOIN ending ON ending.id =
                        (SELECT max(id) FROM ending WHERE ending.rollout = rollout.id)
                    LEFT JOIN aim ON aim.rollout = rollout.id
                    WHERE (?1 IS NULL OR environment = ?1) AND (NOT ?3 OR kind <> 'exec')
                        AND (?4 IS NULL OR rollout.rowid < (SELECT rowid FROM rollout WHERE id = ?4))
                    ORDER BY rollout.rowid DESC LIMIT ?2
                    """,
                arguments: [
                    query.environment, query.limit ?? -1, query.changesOnly,
                    query.before?.description,
                ]
            ).compactMap { try Self.record($0, query.aims, in: database) }
        }
    }

    private static func record(_ row: Row, _ aims: RolloutQuery.Aims, in database: Database) throws
        -> RolloutRecord?
    {
        guard let id = RolloutID(row["id"]), let kind = Plan.Kind(rawValue: row["kind"])
        else { return nil }
        let outcome: String? = row["outcome"]
        var aim: RolloutAim?
        if aims != .none, kind != .exec {
            guard let body: Data = row["body"] else {
                throw unread(id, in: database)
            }
            do {
                aim = try JournalIndex.aim(
                    body: body,
                    hosts: aims == .hosts ? row["places"] : nil
                )
            } catch {
                throw JournalError.read(reason: "what rollout \(id) aimed at: \(error)")
            }
        }
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
            elapsedMilliseconds: row.hasColumn("elapsed") ? row["elapsed"] : nil,
            outcome: outcome.flatMap(RolloutOutcome.init),
            aim: aim,
            wasAskedBack: row["asked"]
        )
    }

    /// Why nothing stands beside a rollout's plan: it could not be read when the journal became today's.
    private static func unread(_ rollout: RolloutID, in database: Database) -> JournalError {
        do {
            _ = try entries(of: rollout, after: 0, limit: 1, in: database)
        } catch let error as JournalError {
            return error
        } catch {
            return .read(reason: "\(error)")
        }
        return .corrupt(sequence: 0, reason: "rollout \(rollout) has no plan")
    }

    /// As ``JournalReader`` promises.
    public func environments() async throws(JournalError) -> [String] {
        try await reading { database in
            try String.fetchAll(
                database,
                sql: "SELECT DISTINCT environment FROM rollout ORDER BY environment"
            )
        }
    }
}

// MARK: Records

extension Journal {
    /// As ``JournalReader`` promises.
    public func entries(of rollout: RolloutID, after sequence: Int, limit: Int?)
        async throws(JournalError) -> [JournalEntry]
    {
        try await reading { database in
            try Self.entries(of: rollout, after: sequence, limit: limit, in: database)
        }
    }

    private static func entries(
        of rollout: RolloutID,
        after sequence: Int,
        limit: Int?,
        in database: Database
    ) throws -> [JournalEntry] {
        try Row.fetchAll(
            database.cachedStatement(
                sql: """
                    SELECT id, body FROM entry
                    WHERE rollout = ? AND sequence > ?
                    ORDER BY sequence LIMIT ?
                    """
            ),
            arguments: [rollout.description, sequence, limit ?? -1]
        ).map(entry)
    }

    private static func entry(_ row: Row) throws -> JournalEntry {
        do {
            let body: Data = row["body"]
            return try JournalHash.entry(from: Array(body))
        } catch {
            throw JournalError.corrupt(sequence: row["id"], reason: "\(error)")
        }
    }

    /// As ``JournalReader`` promises.
    public func clients(of rollout: RolloutID, limit: Int) async throws(JournalError)
        -> [HostName: String]
    {
        try await reading { database in
            // Every rollout asks this, and decoding whole records takes ten times as long (measured).
            let rows = try Row.fetchAll(
                database,
                sql: """
                    SELECT json_extract(checked, '$.host') AS host,
                        json_extract(checked, '$.outcome.ready._0.facts."\(Snapshot.hostFacts)".client') AS client
                    FROM (
                        SELECT sequence, json_extract(CAST(body AS TEXT), '$.body.event._0.hostChecked') AS checked
                        FROM entry WHERE rollout = ? AND sequence > 1 AND instr(body, CAST('"hostChecked"' AS BLOB)) > 0
                    )
                    WHERE client IS NOT NULL ORDER BY sequence LIMIT ?
                    """,
                arguments: [rollout.description, limit]
            )
            return rows.reduce(into: [:]) { found, row in
                let host = HostName(row["host"])
                if found[host] == nil { found[host] = row["client"] }
            }
        }
    }

    /// As ``JournalReader`` promises.
    public func beginnings(limit: Int) async throws(JournalError) -> [JournalEntry] {
        try await first("rollout NOT IN (SELECT id FROM rollout WHERE kind = 'exec')", limit)
    }

    /// As ``JournalReader`` promises.
    public func approvals(for environment: String) async throws(JournalError) -> [Approval] {
        try await first("rollout GLOB 'approval-*'", -1).compactMap { entry in
            guard case .approved(let approval) = entry.body, approval.environment == environment
            else { return nil }
            return approval
        }
    }

    private func first(_ condition: String, _ limit: Int) async throws(JournalError)
        -> [JournalEntry]
    {
        try await reading { database in
            try Row.fetchAll(
                database,
                sql: """
                    SELECT id, body FROM entry WHERE sequence = 1 AND \(condition)
                    ORDER BY id DESC LIMIT \(limit)
                    """
            ).map(Self.entry)
        }
    }

    /// As ``JournalWriter`` promises.
    public func requests(to rollout: RolloutID, after number: Int) async throws(JournalError)
        -> [(number: Int, request: StopRequest)]
    {
        try await reading { database in
            try Row.fetchAll(
                database.cachedStatement(
                    sql: """
                        SELECT request.id AS number, entry.id, body FROM request JOIN entry ON entry.id = request.entry
                        WHERE request.rollout = ? AND request.id > ? ORDER BY request.id
                        """
                ),
                arguments: [rollout.description, number]
            ).compactMap { row in
                guard case .askedToStop(let request) = try Self.entry(row).body else { return nil }
                return (row["number"], request)
            }
        }
    }

    /// As ``JournalReader`` promises.
    public func outputs(of rollout: RolloutID) async throws(JournalError) -> [StoredOutput] {
        try await reading { database in
            try Row.fetchAll(
                database,
                sql: """
                    SELECT * FROM output WHERE rowid IN
                        (SELECT max(rowid) FROM output WHERE rollout = ? GROUP BY host, key)
                    ORDER BY rowid
                    """,
                arguments: [rollout.description]
            ).map(Self.output)
        }
    }

    static func output(_ row: Row) -> StoredOutput {
        let bytes: Data = row["bytes"]
        return StoredOutput(
            host: HostName(row["host"]),
            key: ActionKey(row["key"]),
            bytes: Array(bytes),
            totalBytes: row["total"],
            droppedBytes: row["dropped"]
        )
    }

    /// As ``JournalWriter`` promises.
    public func holds(_ head: JournalHead) async throws(JournalError) -> Bool? {
        try await reading { database in
            let hashes = try String.fetchAll(
                database.cachedStatement(
                    sql: "SELECT hash FROM entry WHERE rollout = ? AND sequence = ?"
                ),
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
}
