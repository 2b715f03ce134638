public import FleetServing
internal import GRDB

/// Somebody who is signed in with a browser.
public struct ServerSession: Sendable, Hashable {
    /// The SHA-256 of what the cookie holds, in hex: the cookie itself is not stored.
    public let hash: String
    /// The account.
    public let account: String
    /// When it began, in milliseconds since 1970.
    public let began: Int
    /// When it was used last, in milliseconds since 1970.
    public let used: Int
    /// When the password was given last, in milliseconds since 1970.
    public let fresh: Int
    /// The address that it was used from last.
    public let address: String
    /// What the browser calls itself.
    public let agent: String
    /// What forms of this session must contain.
    public let secret: String

    /// Describes a session.
    public init(
        hash: String,
        account: String,
        began: Int,
        used: Int,
        fresh: Int,
        address: String,
        agent: String,
        secret: String
    ) {
        self.hash = hash
        self.account = account
        self.began = began
        self.used = used
        self.fresh = fresh
        self.address = address
        self.agent = agent
        self.secret = secret
    }
}

/// A token by which a program acts for its owner.
public struct ServerToken: Sendable, Hashable {
    /// Its number; 0 before it is stored.
    public let number: Int
    /// The SHA-256 of it, in hex: the token itself is not stored.
    public let hash: String
    /// Its owner.
    public let account: String
    /// What its owner calls it.
    public let name: String
    /// What it may do.
    public let scopes: Set<TokenScope>
    /// When it was made, in milliseconds since 1970.
    public let made: Int
    /// Until when it holds, in milliseconds since 1970.
    public let expires: Int
    /// When it was used last, in milliseconds since 1970; nil if it never was.
    public let used: Int?
    /// The address that it was used from last; nil if it never was used.
    public let address: String?

    /// Describes a token.
    public init(
        number: Int = 0,
        hash: String,
        account: String,
        name: String,
        scopes: Set<TokenScope>,
        made: Int,
        expires: Int,
        used: Int? = nil,
        address: String? = nil
    ) {
        self.number = number
        self.hash = hash
        self.account = account
        self.name = name
        self.scopes = scopes
        self.made = made
        self.expires = expires
        self.used = used
        self.address = address
    }
}

/// Something that happened at the server and is no rollout: a sign-in, a token, a refused request.
public struct ServerEvent: Sendable, Hashable {
    /// Its number.
    public let number: Int
    /// When, in milliseconds since 1970.
    public let unixMilliseconds: Int
    /// Who; `-` for somebody who is not signed in.
    public let who: String
    /// What, in words.
    public let what: String
    /// From where.
    public let address: String
}

extension ServerStore {
    // MARK: Passwords and invitations

    /// The hash of an account's password; nil if it has none.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func passwordHash(of account: String) async throws(JournalError) -> String? {
        try await reading { database in
            try String.fetchOne(
                database,
                sql: "SELECT hash FROM password WHERE account = ?",
                arguments: [account]
            )
        }
    }

    /// Sets an account's password, and ends its sessions and tokens: somebody else may have made them.
    ///
    /// - Throws: ``JournalError/write(reason:)``.
    public func setPassword(_ hash: String, of account: String, at unixMilliseconds: Int)
        async throws(JournalError)
    {
        try await writing { database in
            try database.execute(
                sql: "INSERT OR REPLACE INTO password (account, hash, time) VALUES (?, ?, ?)",
                arguments: [account, hash, unixMilliseconds]
            )
            try Self.endAll(of: account, in: database)
        }
    }

    /// Ends all sessions, tokens and invitations of an account.
    ///
    /// - Throws: ``JournalError/write(reason:)``.
    public func endAll(of account: String) async throws(JournalError) {
        try await writing { try Self.endAll(of: account, in: $0) }
    }

    private static func endAll(of account: String, in database: Database) throws {
        for table in ["session", "token", "invitation"] {
            try database.execute(
                sql: "DELETE FROM \(table) WHERE account = ?",
                arguments: [account]
            )
        }
    }

    /// Invites somebody to set a password; earlier invitations for the account end.
    ///
    /// - Parameters:
    ///   - hash: The SHA-256 of what the link holds, in hex.
    ///   - account: The account.
    ///   - expires: Until when it holds, in milliseconds since 1970.
    /// - Throws: ``JournalError/write(reason:)``.
    public func invite(_ hash: String, account: String, until expires: Int)
        async throws(JournalError)
    {
        try await writing { database in
            try database.execute(
                sql: "DELETE FROM invitation WHERE account = ?",
                arguments: [account]
            )
            try database.execute(
                sql: "INSERT INTO invitation (hash, account, expires) VALUES (?, ?, ?)",
                arguments: [hash, account, expires]
            )
        }
    }

    /// The account that an invitation is for; nil if there is none, or it has expired.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func invited(_ hash: String, at now: Int) async throws(JournalError) -> String? {
        try await reading { database in
            try String.fetchOne(
                database,
                sql: "SELECT account FROM invitation WHERE hash = ? AND expires > ?",
                arguments: [hash, now]
            )
        }
    }

    /// Uses an invitation up, and sets the password with it.
    ///
    /// - Returns: The account; nil if the invitation holds no more.
    /// - Throws: ``JournalError/write(reason:)``.
    public func takeInvitation(_ hash: String, settingPassword password: String, at now: Int)
        async throws(JournalError) -> String?
    {
        try await writing { database in
            let account = try String.fetchOne(
                database,
                sql: "SELECT account FROM invitation WHERE hash = ? AND expires > ?",
                arguments: [hash, now]
            )
            guard let account else { return nil }
            try database.execute(
                sql: "DELETE FROM invitation WHERE account = ?",
                arguments: [account]
            )
            try database.execute(
                sql: "INSERT OR REPLACE INTO password (account, hash, time) VALUES (?, ?, ?)",
                arguments: [account, password, now]
            )
            try Self.endAll(of: account, in: database)
            return account
        }
    }

    // MARK: Sessions

    /// Begins a session.
    ///
    /// - Throws: ``JournalError/write(reason:)``.
    public func begin(_ session: ServerSession) async throws(JournalError) {
        try await writing { database in
            try database.execute(
                sql: """
                    INSERT INTO session (hash, account, began, used, fresh, address, agent, secret)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    session.hash, session.account, session.began, session.used, session.fresh,
                    session.address, session.agent, session.secret,
                ]
            )
        }
    }

    /// The session with a hash; nil if there is none.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func session(_ hash: String) async throws(JournalError) -> ServerSession? {
        try await reading { database in
            try Row.fetchOne(
                database,
                sql: "SELECT * FROM session WHERE hash = ?",
                arguments: [hash]
            )
            .map(Self.session)
        }
    }

    /// Sessions, the one used last first.
    ///
    /// - Parameter account: Only this account's; nil for all.
    /// - Returns: The sessions.
    /// - Throws: ``JournalError/read(reason:)``.
    public func sessions(of account: String?) async throws(JournalError) -> [ServerSession] {
        try await reading { database in
            try Row.fetchAll(
                database,
                sql: "SELECT * FROM session WHERE ? IS NULL OR account = ? ORDER BY used DESC",
                arguments: [account, account]
            ).map(Self.session)
        }
    }

    /// Notes that a session was used, and whether the password was given for it.
    ///
    /// - Throws: ``JournalError/write(reason:)``.
    public func use(_ hash: String, at now: Int, address: String, isFresh: Bool)
        async throws(JournalError)
    {
        try await writing { database in
            try database.execute(
                sql:
                    "UPDATE session SET used = ?, address = ?, fresh = CASE WHEN ? THEN ? ELSE fresh END WHERE hash = ?",
                arguments: [now, address, isFresh, now, hash]
            )
        }
    }

    /// Ends a session.
    ///
    /// - Parameters:
    ///   - hash: The session.
    ///   - account: Only if it is this account's; nil for any.
    /// - Returns: Whether there was one.
    /// - Throws: ``JournalError/write(reason:)``.
    @discardableResult
    public func end(_ hash: String, of account: String? = nil) async throws(JournalError) -> Bool {
        try await writing { database in
            try database.execute(
                sql: "DELETE FROM session WHERE hash = ? AND (? IS NULL OR account = ?)",
                arguments: [hash, account, account]
            )
            return database.changesCount > 0
        }
    }

    /// Ends the sessions that were not used for long, or began long ago.
    ///
    /// - Throws: ``JournalError/write(reason:)``.
    public func endSessions(usedBefore used: Int, begunBefore began: Int) async throws(JournalError)
    {
        try await writing { database in
            try database.execute(
                sql: "DELETE FROM session WHERE used < ? OR began < ?",
                arguments: [used, began]
            )
        }
    }

    private static func session(_ row: Row) -> ServerSession {
        ServerSession(
            hash: row["hash"],
            account: row["account"],
            began: row["began"],
            used: row["used"],
            fresh: row["fresh"],
            address: row["address"],
            agent: row["agent"],
            secret: row["secret"]
        )
    }

    // MARK: Tokens

    /// Stores a token.
    ///
    /// - Returns: Its number.
    /// - Throws: ``JournalError/write(reason:)``.
    public func keep(_ token: ServerToken) async throws(JournalError) -> Int {
        try await writing { database in
            try database.execute(
                sql:
                    "INSERT INTO token (hash, account, name, scopes, made, expires) VALUES (?, ?, ?, ?, ?, ?)",
                arguments: [
                    token.hash, token.account, token.name,
                    token.scopes.map(\.rawValue).sorted().joined(separator: " "), token.made,
                    token.expires,
                ]
            )
            return Int(database.lastInsertedRowID)
        }
    }

    /// The token with a hash; nil if there is none.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func token(_ hash: String) async throws(JournalError) -> ServerToken? {
        try await reading { database in
            try Row.fetchOne(database, sql: "SELECT * FROM token WHERE hash = ?", arguments: [hash])
                .map(Self.token)
        }
    }

    /// Tokens, the newest first.
    ///
    /// - Parameter account: Only this account's; nil for all.
    /// - Returns: The tokens.
    /// - Throws: ``JournalError/read(reason:)``.
    public func tokens(of account: String?) async throws(JournalError) -> [ServerToken] {
        try await reading { database in
            try Row.fetchAll(
                database,
                sql: "SELECT * FROM token WHERE ? IS NULL OR account = ? ORDER BY id DESC",
                arguments: [account, account]
            ).map(Self.token)
        }
    }

    /// Notes that a token was used.
    ///
    /// - Throws: ``JournalError/write(reason:)``.
    public func use(token number: Int, at now: Int, address: String) async throws(JournalError) {
        try await writing { database in
            try database.execute(
                sql: "UPDATE token SET used = ?, address = ? WHERE id = ?",
                arguments: [now, address, number]
            )
        }
    }

    /// Revokes a token.
    ///
    /// - Parameters:
    ///   - number: The token.
    ///   - account: Only if it is this account's; nil for any.
    /// - Returns: What it was called; nil if there was none.
    /// - Throws: ``JournalError/write(reason:)``.
    public func revoke(token number: Int, of account: String?) async throws(JournalError) -> String?
    {
        try await writing { database in
            let name = try String.fetchOne(
                database,
                sql: "SELECT name FROM token WHERE id = ? AND (? IS NULL OR account = ?)",
                arguments: [number, account, account]
            )
            guard let name else { return nil }
            try database.execute(sql: "DELETE FROM token WHERE id = ?", arguments: [number])
            return name
        }
    }

    private static func token(_ row: Row) -> ServerToken {
        let scopes: String = row["scopes"]
        return ServerToken(
            number: row["id"],
            hash: row["hash"],
            account: row["account"],
            name: row["name"],
            scopes: Set(
                scopes.split(separator: " ").compactMap { TokenScope(rawValue: String($0)) }
            ),
            made: row["made"],
            expires: row["expires"],
            used: row["used"],
            address: row["address"]
        )
    }

    // MARK: Events

    /// Notes something that happened at the server.
    ///
    /// - Throws: ``JournalError/write(reason:)``.
    public func note(_ what: String, by who: String, from address: String, at now: Int)
        async throws(JournalError)
    {
        try await writing { database in
            try database.execute(
                sql: "INSERT INTO happened (time, who, what, address) VALUES (?, ?, ?, ?)",
                arguments: [now, who, what, address]
            )
        }
    }

    /// What happened at the server, the newest first.
    ///
    /// - Throws: ``JournalError/read(reason:)``.
    public func events(limit: Int) async throws(JournalError) -> [ServerEvent] {
        try await reading { database in
            try Row.fetchAll(
                database,
                sql: "SELECT * FROM happened ORDER BY id DESC LIMIT ?",
                arguments: [limit]
            ).map { row in
                ServerEvent(
                    number: row["id"],
                    unixMilliseconds: row["time"],
                    who: row["who"],
                    what: row["what"],
                    address: row["address"]
                )
            }
        }
    }
}
