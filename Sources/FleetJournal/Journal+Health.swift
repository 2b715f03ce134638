public import FleetRollout
internal import FleetTransport
internal import GRDB

// MARK: Health

extension Journal {
    /// How long answers are kept, in milliseconds: 90 days.
    static let healthMilliseconds = 90 * 86_400_000

    /// Stores answers to smoke tests, and deletes those older than 90 days.
    ///
    /// - Throws: ``JournalError/write(reason:)``.
    public func keep(_ samples: [HealthSample], of environment: String)
        async throws(JournalError)
    {
        guard let newest = samples.map(\.unixMilliseconds).max() else { return }
        do {
            try await writing { database in
                let insert = try database.cachedStatement(
                    sql: """
                        INSERT INTO sample (environment, host, name, time, latency, state, reason)
                        VALUES (?, ?, ?, ?, ?, ?, ?)
                        """
                )
                for sample in samples {
                    try insert.execute(
                        arguments: [
                            environment, sample.host.text, sample.check, sample.unixMilliseconds,
                            sample.latencyMilliseconds, sample.state.rawValue, sample.reason,
                        ]
                    )
                }
                try database.execute(
                    sql: "DELETE FROM sample WHERE environment = ? AND time < ?",
                    arguments: [environment, newest - Self.healthMilliseconds]
                )
            }
        } catch {
            throw .write(reason: "\(error)")
        }
    }

    /// Returns the answer of each host to each smoke test that was stored last, regardless of its time stamp.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func newestSamples(of environment: String) async throws(JournalError) -> [HealthSample] {
        // SQLite takes the other columns from the row that has the maximum.
        try await samples(
            sql: "SELECT *, max(id) FROM sample WHERE environment = ? GROUP BY host, name",
            [environment]
        )
    }

    /// The answers of an environment since a time, the oldest first.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func samples(of environment: String, since unixMilliseconds: Int)
        async throws(JournalError) -> [HealthSample]
    {
        try await samples(
            sql: "SELECT * FROM sample WHERE environment = ? AND time >= ? ORDER BY time, id",
            [environment, unixMilliseconds]
        )
    }

    private func samples(sql: String, _ arguments: StatementArguments)
        async throws(JournalError) -> [HealthSample]
    {
        try await reading { database in
            try Row.fetchAll(database, sql: sql, arguments: arguments).compactMap { row in
                guard let state = HealthSample.State(rawValue: row["state"]) else { return nil }
                return HealthSample(
                    host: HostName(row["host"]),
                    check: row["name"],
                    unixMilliseconds: row["time"],
                    latencyMilliseconds: row["latency"],
                    state: state,
                    reason: row["reason"]
                )
            }
        }
    }
}
