import Dispatch
import FleetDigest
import FleetOperations
import FleetPlan
import FleetReport
import FleetRollout
import FleetRunner
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

    /// Shows it or carries it out, as the options say; ends the program with what became of it.
    func run(_ prepared: PreparedRollout, _ confirmation: ConfirmationOptions) async throws {
        if !prepared.leftOut.isEmpty {
            Terminal.standardError.write(
                "fleet: warning: \(HostRange.fold(prepared.leftOut)) ran nothing before and cannot be put back\n"
            )
        }
        if confirmation.isDryRun { return try await show(prepared) }
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
            if let output = outputs[group.hosts[0]] { show(output) }
        }
    }

    /// Prints an output piece by piece, whatever its size, and says where bytes are missing.
    private func show(_ output: OutputCapture) {
        let total = output.totalBytes
        let dropped = output.droppedBytes
        let kept = total - dropped
        guard kept > 0 else { return }
        let head = dropped > 0 ? min(kept, OutputCapture.Limits.spool.head) : kept
        write(output, 0..<head)
        guard dropped > 0 else { return }
        common.print("(\(dropped) bytes in the middle were not kept)")
        write(output, head..<kept)
    }

    private func write(_ output: OutputCapture, _ range: Range<Int>) {
        let size = min(range.count, OutputCapture.pieceBytes)
        withUnsafeTemporaryAllocation(byteCount: size, alignment: 16) { buffer in
            var start = range.lowerBound
            var last: UInt8 = 0x0A
            while start < range.upperBound {
                let room = UnsafeMutableRawBufferPointer(
                    rebasing: buffer[..<min(size, range.upperBound - start)]
                )
                var piece = buffer[..<output.read(from: start, into: room)]
                guard !piece.isEmpty else { break }
                // A character is not cut in two: pieces end with a line where there is one.
                if start + piece.count < range.upperBound, let end = piece.lastIndex(of: 0x0A) {
                    piece = piece[...end]
                }
                start += piece.count
                last = piece[piece.endIndex - 1]
                let bytes = UnsafeRawBufferPointer(rebasing: piece)
                if Sanitizer.isPlain(bytes) {
                    Terminal.standardOutput.write(bytes)
                } else {
                    let text = String(decoding: bytes, as: UTF8.self)
                    Terminal.standardOutput.write(Sanitizer.safe(text))
                }
            }
            if last != 0x0A { common.print("") }
        }
    }
}

/// The live view, and what was recorded before it stood.
private final class Screen: Sendable {
    private let state = Mutex<(view: LiveView?, pending: [JournalEntry])>((nil, []))

    var view: LiveView? { state.withLock { $0.view } }

    func show(_ entries: [JournalEntry]) {
        state.withLock { state in
            if let view = state.view { view.show(entries) } else { state.pending += entries }
        }
    }

    func begin(_ view: LiveView) {
        state.withLock { state in
            view.show(state.pending)
            state = (view, [])
        }
    }
}

/// The person at the terminal, if there is one.
struct TerminalAsker: Asker {
    let style: Style

    func agrees(to question: Question) async -> Bool? {
        guard Terminal.canAsk else { return nil }
        switch question {
        case .confirm(let plan):
            show(plan)
            let answer = Terminal.ask("go on? [y/N] ") ?? ""
            return ["y", "yes"].contains(answer.lowercased())
        case .typeName(let plan):
            show(plan)
            return Terminal.ask("type `\(plan.environment)` to go on: ") == plan.environment
        }
    }

    private func show(_ plan: Plan) {
        Terminal.standardError.write("\(style.bold(PlanText.headline(plan)))\n")
        for (number, batch) in plan.batches.enumerated() {
            Terminal.standardError.write("  batch \(number + 1): \(HostRange.fold(batch))\n")
        }
    }
}

/// Writes on a queue of its own, in order: a reader that is slow, or has stopped, holds up nothing
/// but the end of the program.
private final class QueuedOutput: Sendable {
    private let terminal: Terminal
    private let queue = DispatchQueue(label: "fleet.output")

    init(_ terminal: Terminal) { self.terminal = terminal }

    func write(_ bytes: [UInt8]) {
        queue.async { [terminal] in terminal.write(bytes) }
    }

    /// Waits until everything is written: what the rollout did is in the journal long since.
    func finish() { queue.sync {} }
}

/// What the hosts printed, by host.
private final class HostOutputs: Sendable {
    private let outputs = Mutex<[HostName: OutputCapture]>([:])

    func add(_ output: OutputCapture, of host: HostName) {
        outputs.withLock { $0[host] = output }
    }

    subscript(host: HostName) -> OutputCapture? { outputs.withLock { $0[host] } }
}
