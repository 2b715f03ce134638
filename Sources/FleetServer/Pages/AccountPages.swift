internal import FleetJournal
internal import FleetOperations
internal import FleetReport
internal import FleetServing
internal import HTTPTypes

/// Signing in and out, passwords, sessions, tokens, and inviting people.
struct AccountPages: Sendable {
    let pages: Pages
    let passwords: Passwords
    let throttle: Throttle
    private var engine: ServerEngine { pages.engine }
    private var sessions: Sessions { pages.sessions }
    private var store: ServerStore { engine.store }

    /// How long an invitation holds, in milliseconds: a day.
    static let invitationMilliseconds = 86_400_000

    var routes: [Route] {
        [
            Route(.get, "/sign-in", .nothing, .page) { try await signInForm($0, problem: nil) },
            Route(.post, "/sign-in", .nothing, .page) { try await signIn($0) },
            Route(.post, "/sign-out", .account, .page) { try await signOut($0) },
            Route(.get, "/password", .account, .page) { try await passwordForm($0, problem: nil) },
            Route(.post, "/password", .account, .page) { try await givePassword($0) },
            Route(.get, "/invitation/{secret}", .nothing, .page) {
                try await invitation($0, problem: nil)
            },
            Route(.post, "/invitation/{secret}", .nothing, .page) {
                try await acceptInvitation($0)
            },
            Route(.get, "/account", .account, .page) { try await account($0) },
            Route(.post, "/account/password", .account, .page) { try await changePassword($0) },
            Route(.post, "/account/tokens", .account, .page) { try await makeToken($0) },
            Route(.post, "/account/tokens/{token}/revoke", .account, .page) {
                try await revokeToken($0)
            },
            Route(.post, "/account/sessions/{session}/end", .account, .page) {
                try await endSession($0)
            },
            Route(.post, "/people/{account}/end", .server(.administer), .page) {
                try await endAll($0)
            },
            Route(.post, "/people/{account}/invite", .server(.administer), .page) {
                try await invite($0)
            },
        ]
    }

    private func note(_ what: String, _ call: Call, by who: String? = nil) async throws {
        try await store.note(
            what,
            by: who ?? call.caller?.account.name ?? "-",
            from: call.address,
            at: call.now
        )
    }

    /// The secret of a form for somebody who is not signed in: in the form and in a cookie, so that another site, which
    /// can set neither, cannot sign people in.
    private func formSecret(_ call: Call) -> (secret: String, cookie: String?) {
        if let known = Sessions.cookie(sessions.formCookieName, in: call.headers),
            known.utf8.count == 64
        {
            return (known, nil)
        }
        let secret = Secrets.make()
        return (secret, sessions.cookie(sessions.formCookieName, secret, seconds: 3_600))
    }

    // MARK: Signing in

    private func signInForm(_ call: Call, problem: String?, name: String = "") async throws -> Reply
    {
        struct Model {
            let frame: Pages.Frame
            let problem: String?
            let name: String
            let back: String
        }
        let back = Pages.ours(call.query["back"] ?? call.form["back"])
        if call.method == .get, call.caller != nil { return .see(back) }
        let (secret, cookie) = formSecret(call)
        var frame = await pages.frame("Sign in", call)
        frame.csrf = secret
        let model = Model(
            frame: frame,
            problem: problem,
            name: name,
            back: back
        )
        let reply = pages.page("sign-in", model, problem == nil ? .ok : .unprocessableContent)
        return cookie.map { reply.with(.setCookie, $0) } ?? reply
    }

    private func signIn(_ call: Call) async throws -> Reply {
        let form = call.form
        let name = form["account"] ?? ""
        guard try await isRight(form.exact("password") ?? "", of: name, call) else {
            return try await signInForm(
                call,
                problem: "The account or the password is not right.",
                name: name
            )
        }
        let cookie = try await sessions.begin(name, call)
        try await note("signed in", call, by: name)
        return Reply.see(Pages.ours(form["back"])).with(.setCookie, cookie)
    }

    /// Whether a password is an account's, with a wait for whoever guesses.
    ///
    /// It takes as long for an account that there is not.
    private func isRight(_ password: String, of name: String, _ call: Call) async throws -> Bool {
        // Somebody elsewhere who guesses does not keep people out where they have signed in before.
        let known = try await store.sessions(of: name).contains { $0.address == call.address }
        let account = String(name.prefix(64))
        let names =
            ["account \(account) from \(call.address)", "address \(call.address)"]
            + (known ? [] : ["account \(account)"])
        let wait = throttle.attempt(names, at: call.now)
        guard wait == 0 else {
            throw Refusal(
                .tooManyRequests,
                "too many tries; the next one counts in \((wait + 999) / 1000) s"
            )
        }
        let hash =
            engine.file.account(named: name) == nil ? nil : try await store.passwordHash(of: name)
        guard try await passwords.inTurn({ await passwords.matches(password, hash) }) else {
            try await note("a wrong password for `\(Sanitizer.line(account))`", call, by: "-")
            return false
        }
        throttle.succeeded(names)
        return true
    }

    private func signOut(_ call: Call) async throws -> Reply {
        if let hash = call.caller?.session?.hash, !hash.isEmpty { try await store.end(hash) }
        try await note("signed out", call)
        return Reply.see("/sign-in").with(
            .setCookie,
            sessions.cookie(sessions.cookieName, "", seconds: 0)
        )
    }

    // MARK: The password again

    private func passwordForm(_ call: Call, problem: String?) async throws -> Reply {
        struct Model {
            let frame: Pages.Frame
            let account: String
            let problem: String?
            let back: String
        }
        return pages.page(
            "password",
            Model(
                frame: await pages.frame("Your password", call),
                account: call.person.name,
                problem: problem,
                back: Pages.ours(call.query["back"] ?? call.form["back"])
            ),
            problem == nil ? .ok : .unprocessableContent
        )
    }

    private func givePassword(_ call: Call) async throws -> Reply {
        guard let session = call.caller?.session, !session.hash.isEmpty else {
            throw Refusal(.forbidden, "you are signed in by a proxy; sign in there again")
        }
        guard try await isRight(call.form.exact("password") ?? "", of: session.account, call) else {
            return try await passwordForm(call, problem: "That is not the password.")
        }
        try await store.use(session.hash, at: call.now, address: call.address, isFresh: true)
        return .see(Pages.ours(call.form["back"]))
    }

    /// Refuses what needs a password that was just given.
    private func requireFresh(_ call: Call) throws {
        guard call.caller?.token == nil, call.caller?.isFresh(at: call.now) ?? false else {
            throw Refusal.needsPassword
        }
    }

    private func changePassword(_ call: Call) async throws -> Reply {
        let name = call.person.name
        let new = call.form.exact("new") ?? ""
        guard try await isRight(call.form.exact("old") ?? "", of: name, call) else {
            throw Refusal(
                .unprocessableContent,
                "the present password is not right",
                hints: ["nothing was changed"]
            )
        }
        if let objection = Passwords.objection(to: new, account: name) {
            throw Refusal(.unprocessableContent, objection, hints: ["nothing was changed"])
        }
        try await store.setPassword(
            try await passwords.inTurn({ await passwords.hash(new) }),
            of: name,
            at: call.now
        )
        try await note("changed the password; all sessions have ended", call)
        return Reply.see("/account").with(.setCookie, try await sessions.begin(name, call))
    }

    // MARK: Invitations

    private func invited(_ call: Call) async throws -> (account: String, hash: String) {
        let hash = Secrets.hash(call.parameters["secret"] ?? "")
        guard let account = try await store.invited(hash, at: call.now),
            engine.file.account(named: account) != nil
        else {
            throw Refusal(
                .notFound,
                "this link does not hold: it was used, has expired, or never was"
            )
        }
        return (account, hash)
    }

    private func invitation(_ call: Call, problem: String?) async throws -> Reply {
        let (account, _) = try await invited(call)
        struct Model {
            let frame: Pages.Frame
            let account: String
            let problem: String?
        }
        let (secret, cookie) = formSecret(call)
        var frame = await pages.frame("Welcome", call)
        // Whoever is signed in sees it as somebody who is not: it may be for somebody else.
        if call.caller == nil { frame.csrf = secret }
        let reply = pages.page(
            "invitation",
            Model(frame: frame, account: account, problem: problem),
            problem == nil ? .ok : .unprocessableContent
        )
        return cookie.map { reply.with(.setCookie, $0) } ?? reply
    }

    private func acceptInvitation(_ call: Call) async throws -> Reply {
        let (account, hash) = try await invited(call)
        let password = call.form.exact("password") ?? ""
        if password != call.form.exact("again") {
            return try await invitation(call, problem: "The two are not the same.")
        }
        if let objection = Passwords.objection(to: password, account: account) {
            return try await invitation(call, problem: objection)
        }
        let made = try await passwords.inTurn { await passwords.hash(password) }
        guard try await store.takeInvitation(hash, settingPassword: made, at: call.now) != nil
        else {
            throw Refusal(.notFound, "this link does not hold any more")
        }
        try await note("set a password by an invitation", call, by: account)
        return Reply.see("/").with(.setCookie, try await sessions.begin(account, call))
    }

    /// Ends everything by which a person is known here but their password.
    private func endAll(_ call: Call) async throws -> Reply {
        guard let name = call.parameters["account"], engine.file.account(named: name) != nil else {
            throw Refusal(.notFound, "there is no such account")
        }
        try await store.endAll(of: name)
        try await note("ended all sessions and tokens of \(name)", call)
        return .see("/account")
    }

    private func invite(_ call: Call) async throws -> Reply {
        guard let name = call.parameters["account"], engine.file.account(named: name) != nil else {
            throw Refusal(.notFound, "there is no such account")
        }
        let link = try await Self.invite(name, engine, at: call.now)
        try await note("made a sign-in link for \(name)", call)
        return try await account(call, link: (link, name))
    }

    /// Makes a link by which somebody sets a password.
    static func invite(_ account: String, _ engine: ServerEngine, at now: Int) async throws
        -> String
    {
        let secret = Secrets.make()
        try await engine.store.invite(
            Secrets.hash(secret),
            account: account,
            until: now + invitationMilliseconds
        )
        return "\(engine.file.publicURL)/invitation/\(secret)"
    }

    // MARK: The account's own page

    private func account(
        _ call: Call,
        made: String? = nil,
        link: (text: String, account: String)? = nil
    )
        async throws -> Reply
    {
        struct Roles {
            let environment: String
            let roles: String
        }
        struct Token {
            let number: Int
            let name: String
            let scopes: String
            let made: String
            let until: String
            let used: String
        }
        struct Session {
            let hash: String
            let began: String
            let used: String
            let address: String
            let agent: String
            let isThis: Bool
        }
        struct Person {
            let name: String
            let roles: String
            let addresses: String
        }
        struct Model {
            let frame: Pages.Frame
            let account: String
            let roles: [Roles]
            let madeToken: String?
            let tokens: [Token]
            let sessions: [Session]
            let isAdmin: Bool
            let people: [Person]
            let link: String?
            let linkFor: String
        }
        guard let caller = call.caller else { throw Refusal(.unauthorized, "sign in first") }
        func roles(_ account: ServerFile.Account) -> [Roles] {
            account.roles.byEnvironment.sorted { $0.key < $1.key }.map { environment, roles in
                Roles(
                    environment: environment == "*" ? "everywhere" : environment,
                    roles: roles.map(\.rawValue).sorted().joined(separator: ", ")
                )
            }
        }
        let isAdmin = caller.token == nil && caller.account.roles.allow(.administer, in: nil)
        return pages.page(
            "account",
            Model(
                frame: await pages.frame(caller.account.name, call),
                account: caller.account.name,
                roles: roles(caller.account),
                madeToken: made,
                tokens: try await store.tokens(of: caller.account.name).map { token in
                    Token(
                        number: token.number,
                        name: token.name,
                        scopes: token.scopes.map(\.rawValue).sorted().joined(separator: ", "),
                        made: Pages.time(token.made),
                        until: Pages.time(token.expires),
                        used: token.used.map {
                            "\(Pages.ago($0, now: call.now)) from \(token.address ?? "")"
                        } ?? "never"
                    )
                },
                sessions: try await store.sessions(of: caller.account.name).map { session in
                    Session(
                        hash: session.hash,
                        began: Pages.time(session.began),
                        used: Pages.ago(session.used, now: call.now),
                        address: session.address,
                        agent: session.agent,
                        isThis: session.hash == caller.session?.hash
                    )
                },
                isAdmin: isAdmin,
                people: isAdmin
                    ? engine.file.accounts.map { person in
                        Person(
                            name: person.name,
                            roles: roles(person).map { "\($0.environment): \($0.roles)" }.joined(
                                separator: "; "
                            ),
                            addresses: person.addresses.joined(separator: ", ")
                        )
                    } : [],
                link: link?.text,
                linkFor: link?.account ?? ""
            )
        )
    }

    private func makeToken(_ call: Call) async throws -> Reply {
        try requireFresh(call)
        let form = call.form
        guard let name = form["name"], name.utf8.count <= 64 else {
            throw Refusal(.badRequest, "a token needs a name")
        }
        let scopes = Set(form.all("scope").compactMap { TokenScope(rawValue: $0) })
        guard !scopes.isEmpty else {
            throw Refusal(.badRequest, "a token that may do nothing is of no use")
        }
        let days = form["days"].map { Int($0) ?? 0 } ?? 30
        guard (1...90).contains(days) else {
            throw Refusal(.badRequest, "a token lasts from 1 to 90 days")
        }
        let secret = Sessions.tokenPrefix + Secrets.make()
        _ = try await store.keep(
            ServerToken(
                hash: Secrets.hash(secret),
                account: call.person.name,
                name: name,
                scopes: scopes,
                made: call.now,
                expires: min(
                    call.now + days * 86_400_000,
                    call.now + Sessions.longestTokenMilliseconds
                )
            )
        )
        try await note(
            "made the token `\(Sanitizer.line(name))` (\(scopes.map(\.rawValue).sorted().joined(separator: ", ")), \(days) days)",
            call
        )
        return try await account(call, made: secret)
    }

    private func revokeToken(_ call: Call) async throws -> Reply {
        guard let number = call.parameters["token"].flatMap({ Int($0) }),
            let name = try await store.revoke(token: number, of: call.person.name)
        else { throw Refusal(.notFound, "there is no such token") }
        try await note("revoked the token `\(Sanitizer.line(name))`", call)
        return .see("/account")
    }

    private func endSession(_ call: Call) async throws -> Reply {
        guard let hash = call.parameters["session"], try await store.end(hash, of: call.person.name)
        else {
            throw Refusal(.notFound, "there is no such session")
        }
        try await note("ended a session", call)
        return .see("/account")
    }
}
