internal import FleetDigest
internal import FleetPlan
internal import FleetRollout
internal import FleetTransport
internal import FoundationEssentials
internal import GRDB

/// How records follow from each other.
///
/// Every environment has a chain of its own: a record's hash covers the one before it there, the record, and the
/// outputs that came with it. Records of older fleets are one chain, which all others begin behind.
enum JournalChain {
    /// The environment that records of one rollout belong to.
    static func environment(of entries: [JournalEntry], in database: Database) throws -> String {
        guard let first = entries.first else { return JournalHash.nowhere }
        if let environment = first.environment { return environment }
        if case .askedToStop(let request) = first.body {
            return try environment(of: request.rollout, in: database)
        }
        return try environment(of: first.rollout, in: database)
    }

    private static func environment(of rollout: RolloutID, in database: Database) throws -> String {
        try String.fetchOne(
            database.cachedStatement(sql: "SELECT environment FROM rollout WHERE id = ?"),
            arguments: [rollout.description]
        ) ?? JournalHash.nowhere
    }

    /// Adds records of one rollout, and what hosts printed.
    ///
    /// - Returns: The last record's hash.
    static func write(
        _ entries: [JournalEntry],
        _ outputs: [StoredOutput],
        of environment: String,
        to database: Database
    ) throws -> String {
        // Asked each time: another fleet may have written since.
        let last = try database.cachedStatement(
            sql: """
                SELECT coalesce((SELECT hash FROM head WHERE chain = ?), (SELECT hash FROM beginning), '')
                """
        )
        var previous = try String.fetchOne(last, arguments: [environment]) ?? ""
        let insert = try database.cachedStatement(
            sql: """
                INSERT INTO entry (rollout, sequence, body, hash, chain, outputs) VALUES (?, ?, ?, ?, ?, ?)
                """
        )
        for (index, entry) in entries.enumerated() {
            let body = JournalHash.bytes(of: entry)
            let covered = index == entries.count - 1 ? StoredOutput.hash(of: outputs) : ""
            previous = JournalHash.of(body, with: covered, after: previous)
            try insert.execute(
                arguments: [
                    entry.rollout.description, entry.sequence, Data(body), previous, environment,
                    covered,
                ]
            )
            let id = database.lastInsertedRowID
            try JournalIndex.note(entry, id, in: database)
            guard index == entries.count - 1 else { continue }
            try write(outputs, of: entry.rollout, with: id, to: database)
            let head = try database.cachedStatement(
                sql: """
                    INSERT INTO head VALUES (?1, ?2, ?3)
                        ON CONFLICT (chain) DO UPDATE SET entry = ?2, hash = ?3
                    """
            )
            try head.execute(arguments: [environment, id, previous])
        }
        return previous
    }

    private static func write(
        _ outputs: [StoredOutput],
        of rollout: RolloutID,
        with entry: Int64,
        to database: Database
    ) throws {
        guard !outputs.isEmpty else { return }
        let insert = try database.cachedStatement(
            sql: "INSERT INTO output VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        for output in outputs {
            try insert.execute(
                arguments: [
                    rollout.description, output.host.text, output.key.description,
                    Data(output.bytes), output.totalBytes, output.droppedBytes, entry,
                ]
            )
        }
    }
}
