internal import FleetJournal
internal import FleetOperations
internal import FleetServing
internal import HTTPTypes

/// Who asks: reads cookies, tokens and the word of a trusted proxy.
struct Sessions: Sendable {
    /// How long a session lasts without being used, in milliseconds.
    static let idleMilliseconds = 3_600_000
    /// How long a session lasts at most, in milliseconds.
    static let longestMilliseconds = 12 * 3_600_000
    /// How long a password counts as just given, in milliseconds.
    static let freshMilliseconds = 900_000
    /// How long a token lasts at most, in milliseconds: 90 days.
    static let longestTokenMilliseconds = 90 * 86_400_000
    /// How often it is written down that a session or token is used, in milliseconds.
    private static let noteMilliseconds = 60_000
    /// What every token begins with, so that scanners for secrets find it.
    static let tokenPrefix = "fleet_"

    let file: ServerFile
    let store: ServerStore

    /// The name of the cookie: one with `__Host-` is kept to this host, path `/` and TLS by browsers (RFC 6265bis).
    var cookieName: String { file.isSecure ? "__Host-fleet" : "fleet" }
    /// The name of the cookie that goes with forms of people who are not signed in.
    var formCookieName: String { file.isSecure ? "__Host-fleet-form" : "fleet-form" }

    /// The caller of a request; nil if nobody is signed in.
    ///
    /// - Throws: ``Refusal`` if a token was given that does not hold.
    func caller(_ call: Call) async throws -> Caller? {
        // Another scheme is the business of a proxy in front.
        if let text = call.headers[.authorization], text.lowercased().hasPrefix("bearer ") {
            return try await bearer(text, call)
        }
        if let value = Self.cookie(cookieName, in: call.headers),
            let caller = try await session(value, call)
        {
            return caller
        }
        return try proxied(call)
    }

    private func bearer(_ text: String, _ call: Call) async throws -> Caller? {
        let words = text.split(separator: " ")
        guard words.count == 2, words[0].lowercased() == "bearer",
            words[1].hasPrefix(Self.tokenPrefix)
        else {
            throw Refusal(.unauthorized, "this is no token of a fleet server")
        }
        guard let token = try await store.token(Secrets.hash(String(words[1]))),
            token.expires > call.now,
            let account = file.account(named: token.account)
        else {
            throw Refusal(
                .unauthorized,
                "this token does not hold: it has expired, was revoked, or never was"
            )
        }
        if call.now - (token.used ?? 0) > Self.noteMilliseconds || token.address != call.address {
            try await store.use(token: token.number, at: call.now, address: call.address)
        }
        return Caller(account: account, session: nil, token: token)
    }

    private func session(_ value: String, _ call: Call) async throws -> Caller? {
        guard value.utf8.count == 64, let session = try await store.session(Secrets.hash(value))
        else { return nil }
        // A clock that was set back makes no session older or younger than it is.
        guard call.now - session.used < Self.idleMilliseconds,
            call.now - session.began < Self.longestMilliseconds,
            session.began - call.now < Self.idleMilliseconds,
            let account = file.account(named: session.account)
        else {
            try await store.end(session.hash)
            return nil
        }
        if call.now - session.used > Self.noteMilliseconds {
            try await store.use(session.hash, at: call.now, address: call.address, isFresh: false)
        }
        return Caller(account: account, session: session, token: nil)
    }

    /// The person whom a trusted proxy vouches for.
    ///
    /// Its session is not stored: the proxy tells in each request who it is, and when they signed in.
    private func proxied(_ call: Call) throws -> Caller? {
        guard let rule = file.proxySignIn,
            file.trustedProxies.contains(where: { $0.contains(call.peer) }),
            let field = HTTPField.Name(rule.userHeader), let name = call.headers[field],
            !name.isEmpty
        else { return nil }
        // Two of them: one of them came from the browser.
        guard call.headers[values: field].count == 1 else {
            throw Refusal(.badRequest, "the header \(rule.userHeader) is there twice")
        }
        guard let account = file.account(named: name) else {
            throw Refusal(.forbidden, "`\(name)` has no account here")
        }
        var fresh = 0
        if let header = rule.timeHeader.flatMap({ HTTPField.Name($0) }),
            let text = call.headers[header],
            let seconds = Int(text), (0...call.now / 1000 + 60).contains(seconds)
        {
            fresh = seconds * 1000
        }
        let session = ServerSession(
            hash: "",
            account: name,
            began: fresh,
            used: call.now,
            fresh: fresh,
            address: call.address,
            agent: "",
            // Forms of a person whom a proxy vouches for are bound to that person and day.
            secret: Secrets.hash("\(proxySecret)\(name)\(call.now / 86_400_000)")
        )
        return Caller(account: account, session: session, token: nil, isFromProxy: true)
    }

    private let proxySecret = Secrets.make()

    init(file: ServerFile, store: ServerStore) {
        self.file = file
        self.store = store
    }

    /// Begins a session, and ends those that are too old.
    ///
    /// - Returns: The cookie.
    func begin(_ account: String, _ call: Call) async throws -> String {
        try await store.endSessions(
            usedBefore: call.now - Self.idleMilliseconds,
            begunBefore: call.now - Self.longestMilliseconds
        )
        let value = Secrets.make()
        try await store.begin(
            ServerSession(
                hash: Secrets.hash(value),
                account: account,
                began: call.now,
                used: call.now,
                fresh: call.now,
                address: call.address,
                agent: String((call.headers[.userAgent] ?? "").prefix(200)),
                secret: Secrets.make()
            )
        )
        return cookie(cookieName, value, seconds: Self.longestMilliseconds / 1000)
    }

    /// A `Set-Cookie` header.
    ///
    /// `SameSite=Lax`, because a link in a chat has to lead to a page for somebody who is signed in; changes need the
    /// form's secret as well.
    func cookie(_ name: String, _ value: String, seconds: Int) -> String {
        "\(name)=\(value); Path=/; HttpOnly; SameSite=Lax; Max-Age=\(seconds)"
            + (file.isSecure ? "; Secure" : "")
    }

    /// The value of a cookie; nil if there is none, or more than one.
    static func cookie(_ name: String, in headers: HTTPFields) -> String? {
        let found = headers[values: .cookie].flatMap { $0.split(separator: ";") }.compactMap {
            pair -> String? in
            let parts = pair.drop { $0 == " " }.split(
                separator: "=",
                maxSplits: 1,
                omittingEmptySubsequences: false
            )
            return parts.count == 2 && parts[0] == name ? String(parts[1]) : nil
        }
        return found.count == 1 ? found[0] : nil
    }
}
