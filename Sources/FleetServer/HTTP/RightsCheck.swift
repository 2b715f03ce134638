internal import FleetJournal
internal import FleetOperations
internal import FleetReport
internal import FleetServing
internal import HTTPTypes

/// Refuses callers who lack a right; for the gate, and for routes whose bodies say what they are about.
struct RightsCheck: Sendable {
    let engine: ServerEngine

    /// Refuses somebody who is not signed in.
    func requireCaller(_ call: Call) throws {
        guard call.caller != nil else { throw Refusal(.unauthorized, "sign in first") }
    }

    /// Refuses a request without a right.
    ///
    /// - Parameters:
    ///   - right: The right.
    ///   - call: The request.
    ///   - environment: The environment; nil for the server as a whole.
    /// - Throws: ``Refusal``.
    func require(_ right: Right, _ call: Call, in environment: String?) async throws {
        try requireCaller(call)
        guard let caller = call.caller else { return }
        let version = await engine.keeper.version
        let isProtected = environment.map { engine.isProtected($0, in: version) } ?? false
        // What somebody may not even see is not there.
        if let environment, right != .view,
            !call.may(.view, in: environment, isProtected: isProtected)
        {
            throw Refusal(.notFound, "there is no such page")
        }
        guard call.may(right, in: environment, isProtected: isProtected) else {
            throw right == .view && environment != nil
                ? Refusal(.notFound, "there is no such page") : forbidden(right, environment)
        }
        let changes = right != .view && (isProtected || right == .administer)
        // Asking to stop is never made harder.
        guard changes, right != .stop, !caller.isFresh(at: call.now) else { return }
        if caller.isFromProxy {
            throw Refusal(
                .forbidden,
                "this needs a sign-in at your proxy within the last 15 minutes, and the proxy has to say when that was"
            )
        }
        throw Refusal.needsPassword
    }

    func forbidden(_ right: Right, _ environment: String?) -> Refusal {
        let place = environment.map { " in \($0)" } ?? ""
        return Refusal(
            .forbidden,
            "you may not \(right.rawValue)\(place)",
            hints: ["an administrator can give you the role for it"]
        )
    }

    /// Refuses a request whose body asks for more than its route does.
    ///
    /// - Parameters:
    ///   - request: What is asked for.
    ///   - call: The request.
    ///   - environment: The environment.
    /// - Throws: ``Refusal``.
    func require(_ request: ServedRequest, _ call: Call, in environment: String) async throws {
        if request.overridesRules { try await require(.override, call, in: environment) }
        // What is promoted is shown.
        if case .promote(let promotion) = request {
            try await require(.view, call, in: promotion.source)
        }
    }

    /// Whether whoever reads a stream still may: sessions end, tokens expire and rights are taken away meanwhile.
    func mayStillWatch(_ call: Call, _ sessions: Sessions) async -> Bool {
        var call = call
        call.now = ServerEngine.now()
        do { call.caller = try await sessions.caller(call) } catch { return false }
        guard let environment = call.environment else { return false }
        let isProtected = engine.isProtected(environment, in: await engine.keeper.version)
        return call.may(.view, in: environment, isProtected: isProtected)
    }

    /// Whether somebody may see a delivery: whoever may see every environment that it can lead to.
    func maySee(_ delivery: Delivery, _ call: Call) -> Bool {
        let hook = engine.file.hook(named: delivery.arrival.hook)
        guard let hook else { return call.may(.administer, in: nil, isProtected: false) }
        return hook.rules.flatMap(\.environments).allSatisfy {
            call.may(.view, in: $0, isProtected: true)
        }
    }
}
