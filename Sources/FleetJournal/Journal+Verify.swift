internal import FleetDigest
internal import FleetPlan
internal import FleetRollout
internal import FleetTransport
internal import FoundationEssentials
internal import GRDB

// MARK: Whether everything is as it was written

extension Journal {
    /// As ``JournalReader`` promises.
    public func heads() async throws(JournalError) -> [String: JournalHead] {
        try await reading { database in
            let first = try Self.first(in: database)
            let rows = try Row.fetchAll(
                database,
                sql: """
                    SELECT head.chain, head.hash, entry.rollout, entry.sequence
                    FROM head JOIN entry ON entry.id = head.entry
                    """
            )
            var heads: [String: JournalHead] = [:]
            for row in rows {
                guard let rollout = RolloutID(row["rollout"]) else { continue }
                heads[row["chain"]] = JournalHead(
                    rollout: rollout,
                    sequence: row["sequence"],
                    hash: row["hash"],
                    journal: first
                )
            }
            return heads
        }
    }

    /// As ``JournalReader`` promises.
    public func verify() async throws(JournalError) -> Int {
        try await reading { database in
            var proof = try Proof(database)
            let rows = try Row.fetchCursor(database, sql: "SELECT * FROM entry ORDER BY id")
            while let row = try rows.next() { try proof.take(row) }
            try proof.finish()
            return proof.count
        }
    }
}

/// What has been seen of a journal that is being checked, record by record.
private struct Proof {
    private let database: Database
    /// Where the one chain of older fleets ends.
    private let old: (entry: Int64, hash: String, output: Int64)
    private var previous: [String: String] = [:]
    private var last: [String: Int64] = [:]
    private var environments: [String: String] = [:]
    private var oldHash = ""
    private var lastOld: Int64 = 0
    private(set) var count = 0
    private var aims = 0
    private var decisions = 0
    private var requests = 0
    private var ends = 0
    /// What the order of rows decides: which rollout is newer, and which of its ends counts.
    private var begun: [String] = []
    private var ended: [String] = []
    private var covered = 0
    /// Records of a newer fleet, or of another kind, have no tables beside them that are known here.
    private var isAllKnown = true

    init(_ database: Database) throws {
        self.database = database
        let row = try Row.fetchAll(database, sql: "SELECT * FROM beginning")
        guard row.count == 1 else {
            throw JournalError.corrupt(
                sequence: 0,
                reason: "where the records of its first form end is said \(row.count) times"
            )
        }
        old = (row[0]["entry"], row[0]["hash"], row[0]["output"])
    }

    mutating func take(_ row: Row) throws {
        let body: Data = row["body"]
        let bytes = Array(body)
        let stored: String = row["hash"]
        let id: Int64 = row["id"]
        if let chain = row["chain"] as String? {
            let outputs = row["outputs"] as String? ?? ""
            let hash = JournalHash.of(
                bytes,
                with: outputs,
                after: previous[chain] ?? old.hash
            )
            guard hash == stored else { throw broken(id) }
            previous[chain] = hash
            last[chain] = id
            try compare(outputs, id, row["rollout"])
        } else {
            oldHash = JournalHash.of(bytes, after: oldHash)
            guard oldHash == stored else { throw broken(id) }
            lastOld = id
        }
        count += 1
        let entry: JournalEntry
        do { entry = try JournalHash.entry(from: bytes) } catch {
            isAllKnown = false
            return
        }
        try compare(entry, row)
    }

    private func broken(_ id: Int64) -> JournalError {
        .corrupt(sequence: Int(id), reason: "its hash does not follow from the one before")
    }

    /// The outputs that came with a record are those that its hash covers.
    private mutating func compare(_ hash: String, _ id: Int64, _ rollout: String) throws {
        guard !hash.isEmpty else { return }
        let outputs = try Row.fetchAll(
            database,
            sql: "SELECT * FROM output WHERE entry = ? AND rollout = ? ORDER BY rowid",
            arguments: [id, rollout]
        ).map(Journal.output)
        covered += outputs.count
        guard StoredOutput.hash(of: outputs) == hash else {
            throw JournalError.corrupt(
                sequence: Int(id),
                reason: "what hosts printed with it is not what was kept"
            )
        }
    }

    /// What history and policy are asked of stands in tables of its own: they must say what the record says.
    private mutating func compare(_ entry: JournalEntry, _ row: Row) throws {
        func corrupt(_ what: String) -> JournalError {
            .corrupt(sequence: row["id"], reason: "\(what) beside it is not what it says")
        }
        func has(_ sql: String, _ arguments: StatementArguments) throws -> Bool {
            try Bool.fetchOne(database, sql: "SELECT EXISTS (\(sql))", arguments: arguments)
                ?? false
        }
        let rollout: String = row["rollout"]
        let sequence: Int = row["sequence"]
        guard rollout == entry.rollout.description, sequence == entry.sequence else {
            throw corrupt("the rollout")
        }
        var environment = entry.environment ?? environments[rollout]
        switch entry.body {
        case .planned(let plan, let origin):
            environments[rollout] = plan.environment
            begun.append(rollout)
            guard
                try has(
                    """
                    SELECT 1 FROM rollout WHERE id = ? AND environment = ? AND kind = ? AND title = ?
                        AND release = ? AND hosts = ? AND user = ? AND started = ?
                    """,
                    [
                        rollout, plan.environment, plan.kind.rawValue, plan.title,
                        plan.release?.label ?? "", plan.hosts.count, origin.user,
                        entry.unixMilliseconds,
                    ]
                )
            else { throw corrupt("the line of history") }
            guard plan.kind != .exec else { break }
            aims += 1
            let aim = RolloutAim(plan, origin)
            guard
                try has(
                    "SELECT 1 FROM aim WHERE rollout = ? AND release = ? AND undoes = ? AND body = ? AND hosts = ?",
                    [
                        rollout, aim.release?.commit ?? "", aim.undoes?.description ?? "",
                        JournalIndex.body(of: aim), JournalIndex.hosts(of: aim),
                    ]
                )
            else { throw corrupt("the release") }
        case .effect(.finish(let outcome)):
            ends += 1
            ended.append("\(rollout) \(outcome.rawValue)")
            guard
                try has(
                    "SELECT 1 FROM ending WHERE rollout = ? AND outcome = ? AND ended = ?",
                    [rollout, outcome.rawValue, entry.unixMilliseconds]
                )
            else { throw corrupt("the end") }
        case .effect(.decide(let decision, let reason)):
            decisions += 1
            guard
                try has(
                    "SELECT 1 FROM decision WHERE rollout = ? AND decision = ? AND asked = ?",
                    [rollout, decision.rawValue, reason == Rollout.askedBack]
                )
            else { throw corrupt("the decision") }
        case .askedToStop(let request):
            environment = environments[request.rollout.description]
            requests += 1
            guard
                try has(
                    "SELECT 1 FROM request WHERE rollout = ? AND entry = ?",
                    [request.rollout.description, row["id"] as Int64]
                )
            else { throw corrupt("the request") }
        default: break
        }
        guard let chain = row["chain"] as String?, let environment else { return }
        guard chain == environment else { throw corrupt("the environment") }
    }

    /// Nothing stands anywhere that no record tells of, and nothing is missing at the end of a chain.
    func finish() throws {
        func count(_ sql: String) throws -> Int { try Int.fetchOne(database, sql: sql) ?? 0 }
        func corrupt(_ reason: String) -> JournalError { .corrupt(sequence: 0, reason: reason) }
        guard oldHash == old.hash, lastOld == old.entry else {
            throw corrupt("records of its first form are missing")
        }
        for (chain, hash) in previous {
            let head = try Row.fetchOne(
                database,
                sql: "SELECT entry, hash FROM head WHERE chain = ?",
                arguments: [chain]
            )
            guard let head, head["entry"] == last[chain], head["hash"] == hash else {
                throw corrupt("the last record of \(chain) is not the one that was written last")
            }
        }
        guard try count("SELECT count(*) FROM head") == previous.count else {
            throw corrupt("all records of an environment are missing")
        }
        let unknown = try count(
            "SELECT count(*) FROM rollout WHERE id NOT IN (SELECT rollout FROM entry WHERE sequence = 1)"
        )
        // A newer fleet's: what it stands beside cannot be told from others here.
        func fits(_ table: String, _ known: Int) throws -> Bool {
            let told = try count("SELECT count(*) FROM \(table)")
            return told == known || !isAllKnown && told > known
        }
        if isAllKnown {
            let rollouts = try String.fetchAll(
                database,
                sql: "SELECT id FROM rollout ORDER BY rowid"
            )
            let endings = try String.fetchAll(
                database,
                sql: "SELECT rollout || ' ' || outcome FROM ending ORDER BY id"
            )
            // Ends that the first schema kept were put in the order of their times.
            let known = old.entry > 0 ? endings.sorted() == ended.sorted() : endings == ended
            guard rollouts == begun, known else {
                throw corrupt("lines of history, or ends, are in another order than their records")
            }
        }
        guard unknown == 0, try fits("ending", ends) else {
            throw corrupt("there are lines of history, or ends, that no record tells of")
        }
        guard try fits("aim", aims), try fits("decision", decisions), try fits("request", requests)
        else {
            throw corrupt("there are releases, decisions or requests that no record tells of")
        }
        let outputs = try count("SELECT count(*) FROM output WHERE rowid > \(old.output)")
        let early = try count(
            "SELECT count(*) FROM output WHERE entry IS NOT NULL AND rowid <= \(old.output)"
        )
        guard outputs == covered, early == 0 else {
            throw corrupt("hosts are said to have printed what no record tells of")
        }
    }
}
