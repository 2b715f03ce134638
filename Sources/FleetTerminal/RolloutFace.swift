internal import FleetFiles
internal import FleetJournal
package import FleetOperations
internal import FleetPlan
package import FleetReport
package import FleetRollout
internal import FleetTransport
internal import Glibc
internal import Synchronization

/// What the verbs share that carry something out: shows what was prepared, or starts it and shows how it goes.
package struct RolloutFace {
    private let face: Face
    private let operations: Operations

    package init(_ face: Face, _ operations: Operations) {
        self.face = face
        self.operations = operations
    }

    /// Prints what would be done, and what stands against it now.
    ///
    /// - Parameters:
    ///   - prepared: What was prepared.
    ///   - depth: How much of its plan is shown.
    ///   - host: The only host that is shown; nil for all.
    /// - Throws: ``OperationFailure``.
    package func show(_ prepared: PreparedRollout, _ depth: PlanText.Depth, only host: String?)
        async throws(OperationFailure)
    {
        if let (id, _) = prepared.resumed {
            let touched = prepared.touched
            return face.print(
                "rollout \(id) would be taken up again, and go back on "
                    + (touched.isEmpty ? "no host" : HostRange.fold(touched))
            )
        }
        let clients = try await operations.clients(of: prepared)
        let outlook = try await operations.outlook(of: prepared)
        var only: Set<HostName>?
        if let host { only = [try prepared.host(named: host)] }
        face.print(
            PlanText.shown(
                prepared.plan,
                depth,
                only: only,
                clients: clients,
                outlook: outlook,
                style: face.outputStyle
            )
        )
        if depth == .overview {
            face.tell(face.errorStyle.dim(PlanText.deeper))
        }
        for objection in try await operations.objections(to: prepared) {
            Terminal.standardError.write("note: \(Sanitizer.line(objection))\n")
        }
    }

    /// Keeps what was prepared in a file, if one is named.
    ///
    /// - Parameters:
    ///   - prepared: What was prepared.
    ///   - file: The file; nil for none.
    /// - Throws: ``OperationFailure``.
    package func save(_ prepared: PreparedRollout, in file: String?) async throws(OperationFailure)
    {
        guard let file else { return }
        let saved = try await operations.save(prepared)
        do {
            try WholeFile.write(saved.bytes, to: file, mode: 0o600)
        } catch {
            throw OperationFailure(.usage, "\(file) cannot be written: \(error.reason)")
        }
        face.tell("saved; `fleet apply \(file)` carries out exactly this, or nothing")
    }

    /// Says which hosts will not be put back, before anybody agrees to it.
    package func warn(of prepared: PreparedRollout) {
        if !prepared.leftOut.isEmpty {
            face.warn(
                "\(HostRange.fold(prepared.leftOut)) ran nothing before and cannot be put back"
            )
        }
    }

    /// Carries it out.
    ///
    /// - Parameters:
    ///   - prepared: What was prepared.
    ///   - settings: How it is shown.
    ///   - ending: What is left of it besides.
    /// - Returns: What the program shall exit with.
    /// - Throws: ``OperationFailure``.
    package func carryOut(
        _ prepared: PreparedRollout,
        _ settings: RolloutView.Settings,
        _ ending: RolloutEnding
    ) async throws(OperationFailure) -> ExitStatus {
        let isExec = prepared.plan.kind == .exec
        var settings = settings
        // A command's output is what is wanted; where nobody looks, that is all.
        if isExec, settings.progress == .plain, !settings.isAskedFor { settings.progress = .quiet }
        if settings.system == .github { Terminal.guardCommands() }
        if settings.progress == .live, !isExec {
            // It is for the eye only: a rollout does not depend on it.
            settings.usualMilliseconds = try? await operations.usualMilliseconds(of: prepared)
        }
        let view = RolloutView(settings)
        let running = try await operations.start(
            prepared,
            traceParent: ending.traceParent
        ) { view.take($0) }
        let signals = OperatorSignals(running)
        view.begin(running.plan, replaying: running.earlier, style: face.errorStyle) {
            if $0 == .pause { running.stop(after: .batch, by: face.initiator) }
        }
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
                style: face.outputStyle
            )
        }
        if !isExec { forgiveOutput() }
        await leave(ending, of: running)
        await running.isTold()
        return try result.get().status
    }

    /// What became of the hosts counts more than whether it could be shown; the journal has all of it.
    private func forgiveOutput() {
        let code = Terminal.outputFailure.withLock { failure in
            defer { failure = 0 }
            return failure
        }
        guard code != 0 else { return }
        face.warn("standard output could not be written: \(String(cString: strerror(code)))")
    }

    /// Writes reports, and what a CI system takes; what cannot be written changes nothing of the rollout.
    private func leave(_ ending: RolloutEnding, of running: RunningRollout) async {
        guard ending.isWanted else { return }
        do {
            let report = try await operations.controller.records.report(
                of: running.id,
                zone: LocalTimes.zone
            )
            for problem in ending.write(report) { face.warn(problem) }
        } catch {
            face.warn("no report could be made: \(error)")
        }
    }

    /// Asks what has to be asked, and lets another process carry it out that does not need this terminal.
    ///
    /// - Parameters:
    ///   - prepared: What was prepared.
    ///   - same: The options of this program that the other one needs as well, as words.
    /// - Throws: ``OperationFailure``; nothing was begun then.
    package func detach(_ prepared: PreparedRollout, _ same: [String])
        async throws(OperationFailure)
    {
        let saved = try await operations.confirmForLater(prepared)
        let started = LocalTimes.unixMilliseconds
        let base = DetachedProcess.files(in: operations.controller.directory.path, at: started)
        let process: DetachedProcess
        do {
            try WholeFile.write(saved.bytes, to: base + ".plan", mode: 0o600)
            process = try DetachedProcess(
                ["apply", base + ".plan", "--yes", "--progress", "plain"] + same,
                log: base + ".log"
            )
        } catch {
            throw OperationFailure(.stateDirectory, "it cannot be detached: \(error)")
        }
        while true {
            // Looked at before the journal is: what it wrote before it ended is found.
            let isRunning = process.isRunning
            if let id = try await operations.controller.rollout(
                of: prepared.plan.digest,
                in: prepared.plan.environment,
                since: started
            ) {
                return face.print(
                    "rollout \(id) goes on by itself\n  next: fleet watch \(id)\n  log:  \(process.log)"
                )
            }
            guard isRunning else { break }
            do { try await Task.sleep(for: .milliseconds(100)) } catch { return }
        }
        let said = WholeFile.read(process.log).map { String(decoding: $0, as: UTF8.self) } ?? ""
        unlink(base + ".plan")
        unlink(base + ".log")
        throw OperationFailure(
            .refused,
            "it ended before it began: "
                + Sanitizer.safe(said).replacing("fleet: error: ", with: "")
                .split(separator: "\n").joined(separator: "\n  "),
            hints: ["nothing was changed"]
        )
    }
}
