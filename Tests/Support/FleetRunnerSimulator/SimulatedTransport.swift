internal import FleetPlan
internal import FleetRunner
internal import FleetTransport
internal import Synchronization

/// Reaches simulated hosts, as one controller does until it is killed.
final class SimulatedTransport: Transport {
    let fleet: SimulatedFleet
    /// Whether the controller is dead: nothing that it still does reaches anybody.
    let isDead = Atomic(false)

    init(_ fleet: SimulatedFleet) { self.fleet = fleet }

    func executor(for endpoint: HostEndpoint) -> (any HostExecutor)? { fleet.machine }

    func open(_ endpoint: HostEndpoint, rollout: String) async throws(TransportError)
        -> any HostSession
    {
        fleet.pass(endpoint.name)
        await fleet.machine.sleep(milliseconds: fleet.pick(1...20))
        let isAway = fleet.with(endpoint.name) { host, _ in
            host.downUntil > fleet.machine.milliseconds
        }
        guard !isAway, !isDead.load(ordering: .relaxed), !fleet.chance(fleet.weather.lostBefore)
        else { throw .unreachable(address: endpoint.name.text, reason: "away") }
        return SimulatedSession(host: endpoint.name, fleet: fleet, transport: self)
    }
}

/// A connection to a simulated host.
private struct SimulatedSession: HostSession {
    let host: HostName
    let fleet: SimulatedFleet
    let transport: SimulatedTransport

    private var machine: SimulatedMachine { fleet.machine }

    /// Asks, with everything that may happen on the way there and back.
    private func ask<T>(_ what: String, _ effect: () -> T) async throws(TransportError) -> T {
        fleet.pass(host)
        await machine.sleep(milliseconds: fleet.pick(1...30))
        try check()
        guard !fleet.chance(fleet.weather.lostBefore) else { throw lost("before \(what)") }
        let result = effect()
        fleet.note("\(host) \(what) -> \(result)")
        await machine.sleep(milliseconds: fleet.pick(1...30))
        try check()
        guard !fleet.chance(fleet.weather.lostAfter) else { throw lost("after \(what)") }
        return result
    }

    private func check() throws(TransportError) {
        guard !transport.isDead.load(ordering: .relaxed) else {
            throw lost("the controller is dead")
        }
        let isAway = fleet.with(host) { host, _ in host.downUntil > machine.milliseconds }
        guard !isAway else { throw lost("away") }
    }

    private func lost(_ why: String) -> TransportError {
        fleet.note("\(host) lost: \(why)")
        return .connectionLost(.command, reason: why)
    }

    func run(_ script: Script, timeoutMilliseconds: Int, output: any OutputSink)
        async throws(TransportError) -> CommandResult
    {
        let (status, text) = try await ask(Self.name(of: script)) { answer(script) }
        Array(text.utf8).withUnsafeBytes { output.write($0) }
        return CommandResult(status: .exited(status), outputBytes: text.utf8.count)
    }

    private static let lock = HostLock(environment: "e", owner: "o", description: "d")

    private static func name(of script: Script) -> String {
        if script.text == lock.taking(generation: nil).text { return "lock" }
        if script.text == lock.giving().text { return "unlock" }
        if script.text == lock.takingUp.text { return "take up" }
        if script.text == lock.steps.text { return "steps" }
        return script.environment.contains { $0.name == "FLEET_OWNER" } ? "question" : script.text
    }

    /// What a host says to a script that changes nothing but its lock.
    private func answer(_ script: Script) -> (Int, String) {
        let values = Dictionary(script.environment.map { ($0.name, $0.value) }) { $1 }
        let rollout = values["FLEET_OWNER"] ?? ""
        let epoch = values["FLEET_EPOCH"] ?? ""
        let wanted = epoch.isEmpty ? rollout : "\(rollout) \(epoch)"
        let isFlapping = script.text == "healthy" && fleet.chance(fleet.weather.flap)
        return fleet.with(host) { host, _ in
            switch Self.name(of: script) {
            case "question":
                guard host.rollout != rollout else {
                    return (1, "E_SUPERSEDED 1 rollout r1 was taken up by another controller\n")
                }
                guard host.owner == nil else {
                    return (1, "E_LOCKED e is locked by rollout \(host.owner ?? "")\n")
                }
                return (0, "generation=\(host.generation)\n")
            case "take up":
                if host.rollout == rollout, let refusal = host.follow(wanted) {
                    return (1, refusal)
                }
                return (0, "")
            case "steps":
                var looked = host
                if host.rollout == rollout, let refusal = looked.follow(wanted) {
                    return (1, refusal)
                }
                guard fleet.mutant != .stepsUntold else { return (0, "") }
                return (0, host.spools.keys.sorted().map { "step \($0)\n" }.joined())
            case "lock":
                guard host.rollout != rollout else {
                    return host.follow(wanted).map { (1, $0) } ?? (0, "")
                }
                guard host.owner == nil else { return (1, "E_LOCKED e is locked\n") }
                let known = values["FLEET_GENERATION"] ?? ""
                guard known.isEmpty || known == String(host.generation) else {
                    return (1, "E_CHANGED another rollout was here since preflight\n")
                }
                host.owner = wanted
                return (0, "")
            case "unlock":
                guard host.rollout == rollout else { return (0, "") }
                if let refusal = host.follow(wanted) { return (1, refusal) }
                host.owner = nil
                host.generation += 1
                return (0, "")
            case "facts": return (0, "state=present\ncommit=\(host.commit)\ntag=v1\n")
            case "on new": return (host.commit == SimulatedFleet.new ? 0 : 1, "")
            case "on old": return (host.commit == SimulatedFleet.old ? 0 : 1, "")
            case "healthy":
                let isWell = !(host.running == SimulatedFleet.new && host.isBad)
                return (isWell && host.running == host.commit && !isFlapping ? 0 : 1, "")
            default: return (127, "")
            }
        }
    }

    // MARK: Steps

    func runDetached(
        _ script: Script,
        key: ActionKey,
        timeoutMilliseconds: Int,
        output: any OutputSink
    ) async throws(TransportError) -> CommandResult {
        let takes = fleet.pick(10...30_000)
        let hangs = fleet.chance(fleet.weather.hang)
        let fails = fleet.chance(fleet.weather.failure)
        let began = try await ask("start \(key) \(script.text)") {
            start(script, key, takes: hangs ? 100_000_000 : takes, status: fails ? 1 : 0)
        }
        switch began {
        case .fenced(let owner):
            Array("the lock of this host belongs to \(owner ?? "nobody")\n".utf8).withUnsafeBytes {
                output.write($0)
            }
            return CommandResult(status: .fenced, outputBytes: 0)
        case .refused: throw .connectionLost(.command, reason: "\(key) left no result")
        case .started: break
        }
        return switch try await follow(key, from: 0, within: timeoutMilliseconds, output) {
        case .ended(let result): result
        case .neverStarted, .vanished: throw .connectionLost(.command, reason: "no result")
        }
    }

    private enum Beginning {
        case started
        case fenced(by: String?)
        case refused
    }

    private func start(_ script: Script, _ key: ActionKey, takes: Int, status: Int) -> Beginning {
        let now = machine.milliseconds
        let name = host
        let isIntended = fleet.state.withLock { $0.intents.contains("\(name) \(key)") }
        if script.lock == nil { fleet.violate("\(key) claims no lock on \(host)") }
        if !isIntended { fleet.violate("\(key) starts on \(host) without a durable intent") }
        var wrong: String?
        let result = fleet.with(host) { host, _ -> Beginning in
            guard host.spools[key.description] == nil, !host.never.contains(key.description) else {
                return .refused
            }
            let isOwn =
                fleet.mutant == .lowerEpochLetIn
                ? host.rollout == "r1" : host.owner == script.lock?.owner
            guard isOwn else { return .fenced(by: host.owner) }
            if let other = host.spools.first(where: { $0.value.isAlive }) {
                wrong = "\(key) starts on \(name) beside \(other.key)"
            }
            if script.text == "restart" || script.text == "pull" || script.text == "migrate",
                host.spools.keys.contains(where: { $0.hasPrefix("r") })
            {
                wrong = "\(key) goes forward on \(name), which has begun to go back"
            }
            host.begun[script.text, default: 0] += 1
            host.spools[key.description] = SimulatedRunnerHost.Spool(
                text: script.text,
                output: Array(
                    String(repeating: "\(key) of \(name)\n", count: 1 + takes % 50).utf8
                ),
                beganAt: now,
                endsAt: now + takes,
                status: .exited(status)
            )
            if host.begun[script.text, default: 0] > 1, !fleet.idempotent.contains(script.text) {
                wrong = "\(script.text) runs twice on \(name)"
            }
            return .started
        }
        if let wrong { fleet.violate(wrong) }
        return result
    }

    /// Waits for a step's end, with its output from an offset on.
    private func follow(
        _ key: ActionKey,
        from offset: Int,
        within milliseconds: Int,
        _ output: any OutputSink
    ) async throws(TransportError) -> Recovery {
        let deadline = machine.milliseconds + milliseconds
        while true {
            let spool = fleet.with(host) { host, _ in host.spools[key.description] }
            guard let spool else { return .neverStarted }
            guard spool.isAlive else {
                guard let status = spool.status else { return .vanished }
                if case .timedOut = status { return .vanished }
                let rest = spool.output.dropFirst(offset)
                // What a cut link has brought along stays.
                if fleet.chance(fleet.weather.lostAfter) {
                    let part = Array(rest.prefix(fleet.pick(0...max(0, rest.count))))
                    part.withUnsafeBytes { output.write($0) }
                    throw lost("in the output of \(key)")
                }
                Array(rest).withUnsafeBytes { output.write($0) }
                return .ended(
                    CommandResult(status: status, outputBytes: spool.output.count)
                )
            }
            let now = machine.milliseconds
            guard now < deadline else {
                let isDead = !fleet.chance(30)
                if isDead { end(key) }
                return .ended(
                    CommandResult(status: .timedOut(confirmedDead: isDead), outputBytes: 0)
                )
            }
            // Links may drop at any time, not only when something is said.
            await machine.sleep(milliseconds: min(spool.endsAt, deadline, now + 5_000) - now)
            fleet.pass(host)
            try check()
            if fleet.chance(fleet.weather.lostAfter / 2) { throw lost("waiting for \(key)") }
        }
    }

    private func end(_ key: ActionKey) {
        fleet.with(host) { host, _ in
            guard host.spools[key.description]?.isAlive == true else { return }
            host.spools[key.description]?.isAlive = false
            host.spools[key.description]?.status = nil
        }
    }

    func recover(
        _ key: ActionKey,
        from offset: Int,
        timeoutMilliseconds: Int,
        output: any OutputSink
    ) async throws(TransportError) -> Recovery {
        let isThere = try await ask("recover \(key) from \(offset)") {
            fleet.with(host) { host, _ in
                let isThere = host.spools[key.description] != nil
                if !isThere { host.never.insert(key.description) }
                return isThere
            }
        }
        guard isThere else { return .neverStarted }
        return try await follow(key, from: offset, within: timeoutMilliseconds, output)
    }

    func stop(_ key: ActionKey) async throws(TransportError) -> Bool {
        let isStubborn = fleet.chance(fleet.weather.hang * 4)
        return try await ask("stop \(key)") {
            if isStubborn,
                fleet.with(host, { host, _ in host.spools[key.description]?.isAlive == true })
            {
                return false
            }
            fleet.with(host) { host, _ in
                if host.spools[key.description] == nil { host.never.insert(key.description) }
            }
            end(key)
            return true
        }
    }

    func upload(_ upload: Upload, key: ActionKey, timeoutMilliseconds: Int, output: any OutputSink)
        async throws(TransportError) -> CommandResult
    {
        preconditionFailure("nothing is uploaded here")
    }

    func exchange(
        host: String,
        port: Int,
        request: [UInt8],
        withinMilliseconds: Int,
        receive: @escaping @Sendable ([UInt8]) -> Bool
    ) async throws(TransportError) {
        preconditionFailure("nothing is asked over HTTP here")
    }

    func close(removingRunDirectory: Bool) async {}
}
