internal import FleetJournal
internal import FleetOperations
internal import FleetReport
internal import FleetRollout
internal import FleetServing
internal import HTTPTypes

/// Lets requests through to their routes, or refuses them: the only place that does.
struct Gate: Sendable {
    let engine: ServerEngine
    let sessions: Sessions
    let table: RouteTable
    private let rights: RightsCheck
    private var file: ServerFile { engine.file }

    init(_ engine: ServerEngine, _ sessions: Sessions, _ table: RouteTable) {
        self.engine = engine
        self.sessions = sessions
        self.table = table
        rights = RightsCheck(engine: engine)
    }

    /// Answers a request whose body has been read.
    ///
    /// - Parameters:
    ///   - call: The request.
    ///   - route: Its route.
    /// - Returns: The route's answer.
    /// - Throws: ``Refusal``, and whatever the route throws.
    func pass(_ call: Call, to route: Route) async throws -> Reply {
        var call = call
        if route.face != .hook, route.need != .nothing || route.face == .page {
            call.caller = try await sessions.caller(call)
        }
        if route.method != .get { try requireSameOrigin(call, route) }
        try await resolve(&call)
        try await check(call, route.need)
        return try await route.handle(call)
    }

    /// Finds out what the path is about.
    private func resolve(_ call: inout Call) async throws {
        call.environment = call.parameters["environment"]
        guard let name = call.parameters["rollout"] else { return }
        // Whoever is not signed in does not learn which rollouts there are.
        guard call.caller != nil else { return }
        let id = try await engine.controller.records.rollout(named: name)
        call.rollout = id
        call.environment = try await engine.controller.records.environment(of: id)
    }

    private func check(_ call: Call, _ need: Need) async throws {
        switch need {
        case .nothing: return
        case .account: try rights.requireCaller(call)
        case .server(let right): try await rights.require(right, call, in: nil)
        case .environment(let right), .rollout(let right):
            try rights.requireCaller(call)
            guard let environment = call.environment else {
                throw Refusal(.notFound, "there is no such page")
            }
            try await rights.require(right, call, in: environment)
        case .named(let right):
            try rights.requireCaller(call)
            // Where is said in the body; nobody who may do it nowhere gets that far.
            guard let caller = call.caller,
                caller.account.roles.byEnvironment.values.contains(where: {
                    $0.contains { $0.allows(right) }
                })
            else { throw rights.forbidden(right, nil) }
        }
    }

    /// Refuses what another site has made a browser send.
    private func requireSameOrigin(_ call: Call, _ route: Route) throws {
        switch route.face {
        // Its signature is all that counts.
        case .hook: return
        case .api:
            // A browser does not add a token by itself; whoever changes something through the API shows one.
            guard call.caller == nil || call.caller?.token != nil else {
                throw Refusal(
                    .forbidden,
                    "the API changes things for a token only, not for a browser's session"
                )
            }
        case .page:
            if let site = call.headers[.fetchSite], site != "same-origin", site != "none" {
                throw Refusal(.forbidden, "this was sent by another site")
            }
            if let origin = call.headers[.origin], !isOurs(origin, call) {
                throw Refusal(
                    .forbidden,
                    "this was sent by another site",
                    hints: ["the server is reached as \(file.publicURL)"]
                )
            }
            let given = call.form["csrf"] ?? ""
            let expected =
                call.caller?.session?.secret ?? Sessions.cookie(
                    sessions.formCookieName,
                    in: call.headers
                ) ?? ""
            // A token in a browser's form would be a secret in a page.
            guard call.caller?.token == nil, Secrets.areEqual(given, expected) else {
                throw Refusal(
                    .forbidden,
                    "this form is too old; open the page again",
                    hints: ["nothing was changed"]
                )
            }
        }
    }

    private func isOurs(_ origin: String, _ call: Call) -> Bool {
        origin.lowercased() == file.origin
    }
}

extension ServerFile {
    /// The origin of this server's pages (RFC 6454).
    var origin: String {
        let scheme = publicURL.hasPrefix("https") ? "https" : "http"
        return "\(scheme)://\(authority)".lowercased()
    }
}
