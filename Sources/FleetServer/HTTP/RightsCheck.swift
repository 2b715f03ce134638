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
            throw Refusal(
                .notFound,
                "there is no environment `\(Sanitizer.line(environment))` for you"
            )
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
}
