import Dispatch
import FleetDigest
import FleetFiles
import FleetOperations
import FleetPlan
import FleetReport
import FleetRollout
import FleetRunner
import FleetTerminal
import FleetTransport
import Synchronization

/// What the verbs share that carry something out: shows what was prepared, or starts it and shows how it goes.
struct RolloutFace {
    let common: CommonOptions
    let operations: Operations

    /// Prints what would be done, and what stands against it now.
    func show(_ prepared: PreparedRollout) async throws {
        if let (id, _) = prepared.resumed {
            let touched = prepared.touched
            return common.print(
                "rollout \(id) would be taken up again, and go back on "
                    + (touched.isEmpty ? "no host" : HostRange.fold(touched))
            )
        }
        let clients = try await operations.clients(of: prepared)
        common.print(
            PlanText.full(prepared.plan, clients: clients, style: common.standardOutputStyle)
        )
        for objection in try await operations.objections(to: prepared) {
            Terminal.standardError.write("note: \(Sanitizer.line(objection))\n")
        }
    }

    /// Keeps what was prepared in a file, if one is named.
    func save(_ prepared: PreparedRollout, in file: String?) async throws {
        guard let file else { return }
        let saved = try await operations.save(prepared)
        do {
            try WholeFile.write(saved.bytes, to: Surroundings.fromHere(file), mode: 0o600)
        } catch {
            throw OperationFailure(.usage, "\(file) cannot be written: \(error.reason)")
        }
        common.tell("saved; `fleet apply \(file)` carries out exactly this, or nothing")
    }

    /// Shows it or carries it out, as the options say; ends the program with what became of it.
    func run(_ prepared: PreparedRollout, _ confirmation: ConfirmationOptions) async throws {
        if !prepared.leftOut.isEmpty {
            Terminal.standardError.write(
                "fleet: warning: \(HostRange.fold(prepared.leftOut)) ran nothing before and cannot be put back\n"
            )
        }
        if confirmation.isDryRun {
            try await show(prepared)
            return try await save(prepared, in: confirmation.saved)
        }
        let status = try await carryOut(prepared)
        if status != .succeeded { throw status }
    }

    /// Carries it out.
    ///
    /// - Returns: What the program shall exit with.
    /// - Throws: ``OperationFailure``.
    func carryOut(_ prepared: PreparedRollout) async throws -> ExitStatus {
        let isExec = prepared.plan.kind == .exec
        let isShown = !common.quiet && !(isExec && !Terminal.standardError.isInteractive)
        let json = common.output == .json ? QueuedOutput(.standardOutput) : nil
        let outputs = HostOutputs()
        let screen = Screen()
        let running = try await operations.start(prepared) { update in
            switch update {
            case .printed(let host, let output): outputs.add(output, of: host)
            case .transferred(let host, let bytes, let total):
                screen.view?.transferred(host, bytes, of: total)
            case .recorded(let entries):
                if isShown { screen.show(entries) }
                guard let json else { return }
                for entry in entries { json.write(CanonicalJSON.encode(entry) + [0x0A]) }
            }
        }
        let signals = OperatorSignals(running)
        if isShown {
            screen.begin(
                LiveView(
                    plan: running.plan,
                    replaying: running.earlier,
                    style: common.standardErrorStyle
                )
            )
        }
        let result: Result<RunningRollout.End, OperationFailure>
        do throws(OperationFailure) { result = .success(try await running.end()) } catch {
            result = .failure(error)
        }
        screen.view?.finish()
        json?.finish()
        withExtendedLifetime(signals) {}
        if case .success(let end) = result, json == nil {
            report(end.rollout, id: running.id, outputs: outputs, elapsed: end.elapsedMilliseconds)
        }
        await running.isTold()
        return try result.get().status
    }

    private func report(
        _ rollout: Rollout,
        id: RolloutID,
        outputs: HostOutputs,
        elapsed: Int
    ) {
        let style = common.standardOutputStyle
        guard rollout.plan.kind == .exec else {
            common.print(
                "\n" + RolloutText.summary(rollout, id: id, at: elapsed, style: style)
            )
            return
        }
        let answers = rollout.hosts.map { host in
            let isGood = host.outcome == .succeeded
            return FoldedOutput.Answer(
                host: host.name,
                status: isGood ? "ok" : Sanitizer.line(host.failure?.summary ?? "not run"),
                isGood: isGood,
                outputBytes: outputs[host.name]?.totalBytes ?? 0,
                hint: host.failure?.hint.map {
                    RolloutText.hint($0, environment: rollout.plan.environment, host: host.name)
                }
            )
        }
        let groups = FoldedOutput.groups(answers) { first, second in
            guard let one = outputs[first], let other = outputs[second] else { return true }
            return one.isSame(as: other)
        }
        for group in groups {
            common.print(group.header(style: style))
            if let output = outputs[group.hosts[0]] { Terminal.standardOutput.print(output) }
        }
    }
}
