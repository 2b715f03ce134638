internal import FleetDigest
public import FleetServing
internal import GRDB

extension ServerStore {
    /// Adds a wish if nothing stands against it, in one transaction with what it replaces.
    ///
    /// - Parameters:
    ///   - wish: The wish.
    ///   - seen: Whether its ref is remembered as pointing at its commit.
    /// - Returns: The decision, and the wish's number if it was added.
    /// - Throws: ``JournalError/write(reason:)``.
    public func add(_ wish: Wish, seen: Bool) async throws(JournalError) -> (
        verdict: WishBook.Verdict, number: Int?
    ) {
        try await writing { database in
            if seen { try Self.see(wish.ref, wish.commit, wish.hook, in: database) }
            return try Self.add(wish, in: database)
        }
    }

    private static func add(_ wish: Wish, in database: Database) throws -> (
        verdict: WishBook.Verdict, number: Int?
    ) {
        let others = try wishes(of: wish.environment, in: database)
        let verdict = WishBook(others).verdict(on: wish)
        guard case .wanted(let instead) = verdict else {
            // It was found by looking, and only this delivery knows who has pushed it.
            try database.execute(
                sql: """
                    UPDATE wish SET login = ?, mail = ? WHERE hook = ? AND ref = ? AND revision = ? AND open = 1
                    AND login IS NULL AND mail IS NULL
                    """,
                arguments: [
                    wish.person.login, wish.person.address, wish.hook, wish.ref, wish.commit,
                ]
            )
            return (verdict, nil)
        }
        let reason = "something newer is wanted: \(wish.label)"
        for number in instead {
            try update(number, .dropped(reason: reason), in: database)
        }
        try database.execute(
            sql: """
                INSERT INTO wish (environment, later, hook, ref, revision, login, mail, delivery, time, gate, state, open)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)
                """,
            arguments: [
                wish.environment, wish.later.joined(separator: "\n"), wish.hook, wish.ref,
                wish.commit,
                wish.person.login, wish.person.address, wish.delivery, wish.unixMilliseconds,
                text(of: wish.gate), text(of: wish.state),
            ]
        )
        return (verdict, Int(database.lastInsertedRowID))
    }

    /// The wishes of an environment, the oldest first.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func wishes(of environment: String) async throws(JournalError) -> [Wish] {
        try await reading { try Self.wishes(of: environment, in: $0) }
    }

    /// The newest wishes of all environments, the newest first.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func newestWishes(limit: Int) async throws(JournalError) -> [Wish] {
        try await reading { database in
            try Row.fetchAll(
                database,
                sql: "SELECT * FROM wish ORDER BY id DESC LIMIT ?",
                arguments: [limit]
            ).compactMap(Self.wish)
        }
    }

    /// The wishes that are not over, the oldest first.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func openWishes() async throws(JournalError) -> [Wish] {
        try await reading { database in
            try Row.fetchAll(database, sql: "SELECT * FROM wish WHERE open = 1 ORDER BY id")
                .compactMap(Self.wish)
        }
    }

    /// The wish with a number; nil if there is none.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func wish(_ number: Int) async throws(JournalError) -> Wish? {
        try await reading { database in
            try Row.fetchOne(database, sql: "SELECT * FROM wish WHERE id = ?", arguments: [number])
                .flatMap(Self.wish)
        }
    }

    /// Moves a wish on, if it is still where it was thought to be.
    ///
    /// - Parameters:
    ///   - wish: The wish, as it was read.
    ///   - state: What it becomes.
    ///   - next: A wish that follows from it, which is added in the same transaction; nil for none.
    /// - Returns: Whether it was; if somebody has dropped it meanwhile, nothing changes.
    /// - Throws: ``JournalError/write(reason:)``.
    public func move(_ wish: Wish, to state: Wish.State, adding next: Wish? = nil)
        async throws(JournalError) -> Bool
    {
        try await writing { database in
            let now = try Row.fetchOne(
                database,
                sql: "SELECT * FROM wish WHERE id = ?",
                arguments: [wish.id]
            )
            .flatMap(Self.wish)
            guard now?.state == wish.state else { return false }
            try Self.update(wish.id, state, in: database)
            if case .starting = state {
                let others = try Self.wishes(of: wish.environment, in: database)
                for number in WishBook(others).overtaken(by: wish) {
                    let reason = "something newer has begun: \(wish.label)"
                    try Self.update(number, .dropped(reason: reason), in: database)
                }
            }
            if let next { _ = try Self.add(next, in: database) }
            return true
        }
    }

    /// Who has caused wishes for a commit, and through which hook.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func persons(of commit: String) async throws(JournalError) -> [(
        hook: String, person: HookFacts.Person
    )] {
        try await reading { database in
            try Row.fetchAll(
                database,
                sql: "SELECT DISTINCT hook, login, mail FROM wish WHERE revision = ?",
                arguments: [commit]
            ).map { row in
                (row["hook"], HookFacts.Person(login: row["login"], address: row["mail"]))
            }
        }
    }

    // MARK: What CI says

    /// Remembers that a commit has passed CI.
    ///
    /// - Throws: ``JournalError/write(reason:)``.
    public func pass(_ commit: String, name: String, of hook: String, at unixMilliseconds: Int)
        async throws(JournalError)
    {
        try await writing { database in
            try database.execute(
                sql:
                    "INSERT OR IGNORE INTO passed (hook, revision, name, time) VALUES (?, ?, ?, ?)",
                arguments: [hook, commit, name, unixMilliseconds]
            )
        }
    }

    /// By which names commits have passed CI.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func passed(_ commits: [String], of hook: String) async throws(JournalError)
        -> [String: Set<String>]
    {
        try await reading { database in
            var found: [String: Set<String>] = [:]
            for commit in Set(commits) {
                let names = try String.fetchSet(
                    database,
                    sql: "SELECT name FROM passed WHERE hook = ? AND revision = ?",
                    arguments: [hook, commit]
                )
                if !names.isEmpty { found[commit] = names }
            }
            return found
        }
    }

    // MARK: What refs point at

    /// What a hook's refs pointed at when they were looked at last.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func seen(of hook: String) async throws(JournalError) -> [String: String] {
        try await reading { database in
            let rows = try Row.fetchAll(
                database,
                sql: "SELECT ref, revision FROM seen WHERE hook = ?",
                arguments: [hook]
            )
            return Dictionary(rows.map { ($0["ref"], $0["revision"]) }) { first, _ in first }
        }
    }

    /// Which of some places have been looked at before.
    ///
    /// - Parameter places: A hook's repository and a pattern of refs, in words.
    /// - Returns: Those that have.
    /// - Throws: ``JournalError/read(reason:)``.
    public func looked(at places: Set<String>) async throws(JournalError) -> Set<String> {
        try await reading { database in
            try places.filter { place in
                try Int.fetchOne(
                    database,
                    sql: "SELECT time FROM looked WHERE hook = ?",
                    arguments: [place]
                ) != nil
            }
        }
    }

    /// Remembers what a hook's refs point at.
    ///
    /// - Parameters:
    ///   - refs: Every ref that a rule watches.
    ///   - hook: The hook.
    ///   - places: Where it was looked, as ``looked(at:)`` is asked for it.
    ///   - unixMilliseconds: When, in milliseconds since 1970.
    /// - Throws: ``JournalError/write(reason:)``.
    public func look(
        at refs: [String: String],
        of hook: String,
        places: Set<String>,
        at unixMilliseconds: Int
    ) async throws(JournalError) {
        try await writing { database in
            try database.execute(sql: "DELETE FROM seen WHERE hook = ?", arguments: [hook])
            for (ref, commit) in refs { try Self.see(ref, commit, hook, in: database) }
            for place in places {
                try database.execute(
                    sql: "INSERT OR REPLACE INTO looked (hook, time) VALUES (?, ?)",
                    arguments: [place, unixMilliseconds]
                )
            }
        }
    }

    private static func see(_ ref: String, _ commit: String, _ hook: String, in database: Database)
        throws
    {
        try database.execute(
            sql: "INSERT OR REPLACE INTO seen (hook, ref, revision) VALUES (?, ?, ?)",
            arguments: [hook, ref, commit]
        )
    }

    // MARK: Rows

    private static func wishes(of environment: String, in database: Database) throws -> [Wish] {
        try Row.fetchAll(
            database,
            sql: "SELECT * FROM wish WHERE environment = ? ORDER BY id",
            arguments: [environment]
        ).compactMap(wish)
    }

    private static func update(_ number: Int, _ state: Wish.State, in database: Database) throws {
        try database.execute(
            sql: "UPDATE wish SET state = ?, open = ? WHERE id = ?",
            arguments: [text(of: state), state.isOver ? 0 : 1, number]
        )
    }

    private static func text(of state: Wish.State) -> String {
        String(decoding: CanonicalJSON.encode(state), as: UTF8.self)
    }

    private static func text(of gate: Hook.CIGate?) -> String? {
        switch gate {
        case nil: nil
        case .any: ""
        case .named(let name): name
        }
    }

    /// A wish; nil if a newer fleet has written it in a way that this one cannot read.
    private static func wish(_ row: Row) -> Wish? {
        let text: String = row["state"]
        let gate: String? = row["gate"]
        let later: String = row["later"]
        // What cannot be read is not acted upon.
        guard let state = try? CanonicalJSON.decode(Wish.State.self, from: Array(text.utf8)) else {
            return nil
        }
        return Wish(
            id: row["id"],
            environment: row["environment"],
            later: later.split(separator: "\n").map(String.init),
            hook: row["hook"],
            ref: row["ref"],
            commit: row["revision"],
            person: HookFacts.Person(login: row["login"], address: row["mail"]),
            delivery: row["delivery"],
            unixMilliseconds: row["time"],
            gate: gate.map { $0.isEmpty ? .any : .named($0) },
            state: state
        )
    }
}
