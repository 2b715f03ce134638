import FleetFiles
import FleetOperations
import FleetPlan
import FleetReport
import FleetRollout
import FleetTerminal
import FleetTransport

/// What the verbs share that carry something out: shows what was prepared, or starts it and shows how it goes.
struct RolloutFace {
    let common: CommonOptions
    let operations: Operations

    /// Prints what would be done, and what stands against it now.
    func show(_ prepared: PreparedRollout, _ shown: PlanOptions) async throws {
        if let (id, _) = prepared.resumed {
            let touched = prepared.touched
            return common.print(
                "rollout \(id) would be taken up again, and go back on "
                    + (touched.isEmpty ? "no host" : HostRange.fold(touched))
            )
        }
        let clients = try await operations.clients(of: prepared)
        let host = try shown.host.map { try prepared.host(named: $0) }
        common.print(
            PlanText.shown(
                prepared.plan,
                shown.depth,
                only: host.map { [$0] },
                clients: clients,
                style: common.standardOutputStyle
            )
        )
        if shown.depth == .overview {
            common.tell(common.standardErrorStyle.dim(PlanText.deeper))
        }
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
            try await show(prepared, confirmation.shown)
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
        let view = RolloutView(
            isShown: !common.quiet && !(isExec && !Terminal.standardError.isInteractive),
            printsJSON: common.output == .json
        )
        let running = try await operations.start(prepared) { view.take($0) }
        let signals = OperatorSignals(running)
        view.begin(running, style: common.standardErrorStyle)
        let result: Result<RunningRollout.End, OperationFailure>
        do throws(OperationFailure) { result = .success(try await running.end()) } catch {
            result = .failure(error)
        }
        view.finish()
        withExtendedLifetime(signals) {}
        if case .success(let end) = result {
            view.report(
                end.rollout,
                id: running.id,
                at: end.elapsedMilliseconds,
                style: common.standardOutputStyle
            )
        }
        await running.isTold()
        return try result.get().status
    }
}
