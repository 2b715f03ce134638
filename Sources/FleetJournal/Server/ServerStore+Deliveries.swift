internal import FleetServing
internal import FoundationEssentials
internal import GRDB

/// A delivery of a provider, and what became of it.
public struct Delivery: Sendable, Hashable {
    /// What arrived.
    public struct Arrival: Sendable, Hashable {
        /// The hook.
        public let hook: String
        /// The provider's name for it: the same when it is sent again.
        public let name: String
        /// The provider's word for what happened; nil if the body says it.
        public let event: String?
        /// The body, as it was signed.
        public let body: [UInt8]
        /// Whom it came from.
        public let address: String
        /// When, in milliseconds since 1970.
        public let unixMilliseconds: Int

        /// Describes what arrived.
        public init(
            hook: String,
            name: String,
            event: String?,
            body: [UInt8],
            address: String,
            unixMilliseconds: Int
        ) {
            self.hook = hook
            self.name = name
            self.event = event
            self.body = body
            self.address = address
            self.unixMilliseconds = unixMilliseconds
        }
    }

    /// How far a delivery has come.
    public enum State: String, Sendable, Hashable, CaseIterable {
        /// It is stored, and will be acted upon.
        case accepted
        /// It has led to what its note says.
        case acted
        /// Nobody wanted what it tells.
        case unasked
        /// It could not be read.
        case invalid
    }

    /// Its number.
    public let number: Int
    /// What arrived; the body is empty once it is too old to be kept.
    public let arrival: Arrival
    /// How far it has come.
    public let state: State
    /// What it led to, or why not, in words.
    public let note: String
    /// How often it was tried to act upon it.
    public let tries: Int
}

extension ServerStore {
    /// How long bodies are kept, in milliseconds: 30 days.
    public static let bodyMilliseconds = 30 * 86_400_000
    /// How long it is known that a delivery has arrived, in milliseconds: 400 days.
    public static let deliveryMilliseconds = 400 * 86_400_000

    /// Deliveries, the newest first.
    ///
    /// - Parameters:
    ///   - limit: The most that are returned.
    ///   - number: Only those with a lower number; nil for all.
    ///   - hook: Only those of this hook; nil for all.
    /// - Returns: The deliveries, without their bodies.
    /// - Throws: ``JournalError/read(reason:)``.
    public func deliveries(limit: Int, before number: Int? = nil, of hook: String? = nil)
        async throws(JournalError) -> [Delivery]
    {
        try await reading { database in
            try Row.fetchAll(
                database,
                sql: """
                    SELECT id, hook, name, event, NULL AS body, received, address, state, note, tries FROM delivery
                    WHERE id < ? AND (? IS NULL OR hook = ?) ORDER BY id DESC LIMIT ?
                    """,
                arguments: [number ?? Int.max, hook, hook, limit]
            ).map(Self.delivery)
        }
    }

    /// The delivery with a number, with its body; nil if there is none.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func delivery(_ number: Int) async throws(JournalError) -> Delivery? {
        try await reading { database in
            try Row.fetchOne(
                database,
                sql: "SELECT * FROM delivery WHERE id = ?",
                arguments: [number]
            )
            .map(Self.delivery)
        }
    }

    /// The deliveries that are to be acted upon by now, the oldest first.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func dueDeliveries(at unixMilliseconds: Int, limit: Int) async throws(JournalError)
        -> [Delivery]
    {
        try await reading { database in
            try Row.fetchAll(
                database,
                sql:
                    "SELECT * FROM delivery WHERE state = 'accepted' AND due <= ? ORDER BY id LIMIT ?",
                arguments: [unixMilliseconds, limit]
            ).map(Self.delivery)
        }
    }

    /// Says what became of a delivery.
    ///
    /// - Throws: ``JournalError/write(reason:)``.
    public func settle(_ number: Int, _ state: Delivery.State, note: String)
        async throws(JournalError)
    {
        try await writing { database in
            try database.execute(
                sql: "UPDATE delivery SET state = ?, note = ? WHERE id = ?",
                arguments: [state.rawValue, note, number]
            )
        }
    }

    /// Has a delivery acted upon later, or again.
    ///
    /// - Parameters:
    ///   - number: The delivery.
    ///   - due: When, in milliseconds since 1970.
    ///   - note: Why.
    /// - Throws: ``JournalError/write(reason:)``.
    public func postpone(_ number: Int, until due: Int, note: String) async throws(JournalError) {
        try await writing { database in
            try database.execute(
                sql:
                    "UPDATE delivery SET state = 'accepted', due = ?, note = ?, tries = tries + 1 WHERE id = ?",
                arguments: [due, note, number]
            )
        }
    }

    /// Forgets what has aged: bodies, then deliveries, wishes that are over, results of CI and the server's own events.
    ///
    /// - Throws: ``JournalError/write(reason:)``.
    public func age(at now: Int) async throws(JournalError) {
        try await writing { database in
            try database.execute(
                sql: "UPDATE delivery SET body = NULL WHERE received < ? AND body IS NOT NULL",
                arguments: [now - Self.bodyMilliseconds]
            )
            for sql in [
                "DELETE FROM delivery WHERE received < ? AND state != 'accepted'",
                // Whoever wants an old tag again is known by the wish for it: those stay.
                "DELETE FROM wish WHERE time < ? AND open = 0 AND ref NOT LIKE 'refs/tags/%'",
                "DELETE FROM passed WHERE time < ?", "DELETE FROM happened WHERE time < ?",
            ] {
                try database.execute(sql: sql, arguments: [now - Self.deliveryMilliseconds])
            }
            try database.execute(sql: "DELETE FROM invitation WHERE expires < ?", arguments: [now])
            try database.execute(
                sql: "DELETE FROM token WHERE expires < ?",
                arguments: [now - Self.bodyMilliseconds]
            )
        }
    }

    private static func delivery(_ row: Row) -> Delivery {
        let body: Data? = row["body"]
        return Delivery(
            number: row["id"],
            arrival: Delivery.Arrival(
                hook: row["hook"],
                name: row["name"],
                event: row["event"],
                body: body.map { Array($0) } ?? [],
                address: row["address"],
                unixMilliseconds: row["received"]
            ),
            // A state that this fleet does not know was written by a newer one.
            state: Delivery.State(rawValue: row["state"]) ?? .acted,
            note: row["note"],
            tries: row["tries"]
        )
    }
}
