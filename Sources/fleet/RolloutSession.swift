import FleetDigest
import FleetInventory
import FleetJournal
import FleetPlan
import FleetReport
import FleetRollout
import FleetRunner
import FleetTransport

/// Carries a plan out for a command: asks, locks, journals, shows, and says how it ended.
struct RolloutSession {
    let common: CommonOptions
    let transport: any Transport

    /// Asks whether to go on: when something was chosen for the user, or the environment is
    /// protected.
    func confirm(
        _ plan: Plan,
        protected isProtected: Bool,
        mustAsk: Bool,
        options: ConfirmationOptions
    )
        throws(CommandFailure)
    {
        guard !options.isConfirmed, mustAsk || isProtected else { return }
        let headline = PlanText.headline(plan)
        guard Terminal.canAsk else {
            throw CommandFailure(
                .refused,
                "this needs a confirmation: \(headline)",
                hints: ["add --yes to go on without being asked", "nothing was changed"]
            )
        }
        let style = common.standardErrorStyle
        Terminal.standardError.write("\(style.bold(headline))\n")
        for (number, batch) in plan.batches.enumerated() {
            Terminal.standardError.write("  batch \(number + 1): \(HostRange.fold(batch))\n")
        }
        let isAgreed: Bool
        if isProtected {
            let answer = Terminal.ask("type `\(plan.environment)` to go on: ")
            isAgreed = answer == plan.environment
        } else {
            let answer = Terminal.ask("go on? [y/N] ") ?? ""
            isAgreed = ["y", "yes"].contains(answer.lowercased())
        }
        guard isAgreed else {
            throw CommandFailure(.refused, "not confirmed; nothing was changed")
        }
    }

    /// Carries the plan out.
    ///
    /// - Returns: What the program shall exit with.
    func run(_ plan: Plan) async throws -> ExitStatus {
        let (directory, journal) = try common.openJournal()
        let id = Surroundings.newRolloutID()
        let lock = try hold(plan, id: id, in: directory)
        let view =
            common.quiet || plan.kind == .exec && !Terminal.standardError.isInteractive
            ? nil : LiveView(plan: plan, style: common.standardErrorStyle)
        let isJSON = common.output == .json
        let runner = RolloutRunner(
            id: id,
            plan: plan,
            origin: Surroundings.origin,
            transport: transport,
            journal: journal
        ) { update in
            switch update {
            case .recorded(let entries):
                view?.show(entries)
                guard isJSON else { return }
                for entry in entries {
                    Terminal.standardOutput.write(
                        String(decoding: CanonicalJSON.encode(entry), as: UTF8.self) + "\n"
                    )
                }
            }
        }
        let signals = OperatorSignals(runner: runner)
        let start = ContinuousClock.now
        let rollout: Rollout
        do {
            rollout = try await runner.run()
        } catch {
            view?.finish()
            throw CommandFailure(error)
        }
        view?.finish()
        withExtendedLifetime((signals, lock)) {}
        let elapsed = Int((ContinuousClock.now - start) / .milliseconds(1))
        if !isJSON { try report(rollout, id: id, journal: journal, elapsed: elapsed) }
        return ExitStatus(rollout.outcome ?? .interrupted, of: plan.kind)
    }

    /// Commands that change nothing of an environment's release do not exclude each other.
    private func hold(_ plan: Plan, id: RolloutID, in directory: StateDirectory)
        throws(CommandFailure) -> EnvironmentLock?
    {
        guard plan.kind != .exec else { return nil }
        do {
            let origin = Surroundings.origin
            return try EnvironmentLock(
                environment: plan.environment,
                owner: "\(origin.user) with rollout \(id), `fleet \(origin.command)`",
                in: directory
            )
        } catch {
            throw CommandFailure(error)
        }
    }

    private func report(_ rollout: Rollout, id: RolloutID, journal: Journal, elapsed: Int)
        throws(CommandFailure)
    {
        let style = common.standardOutputStyle
        guard rollout.plan.kind == .exec else {
            common.print(
                "\n" + RolloutText.summary(rollout, id: id, at: elapsed, style: style)
            )
            return
        }
        do {
            let outputs = Dictionary(
                try journal.outputs(of: id).map { ($0.host, $0) },
                uniquingKeysWith: { $1 }
            )
            let answers = rollout.hosts.map { host in
                let output = outputs[host.name]
                var text = String(decoding: output?.bytes ?? [], as: UTF8.self)
                if let dropped = output?.droppedBytes, dropped > 0 {
                    text += "\n(\(dropped) bytes in the middle were not kept)"
                }
                let isGood = host.outcome == .succeeded
                return FoldedOutput.Answer(
                    host: host.name,
                    status: isGood ? "ok" : Sanitizer.line(host.failure?.summary ?? "not run"),
                    isGood: isGood,
                    output: text
                )
            }
            common.print(FoldedOutput.lines(answers, style: style).joined(separator: "\n"))
        } catch {
            throw CommandFailure(error)
        }
    }
}
