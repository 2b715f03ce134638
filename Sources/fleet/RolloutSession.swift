import Dispatch
import FleetDigest
import FleetInventory
import FleetJournal
import FleetPlan
import FleetReport
import FleetRollout
import FleetRunner
import FleetTransport
import Synchronization

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
    /// - Parameters:
    ///   - plan: What is carried out.
    ///   - begun: What is taken up again, and which way; nil for a new rollout.
    ///   - exception: Why it goes on where a rule says no.
    ///   - overridden: Which rules of the environment's policy do not hold this time.
    /// - Returns: What the program shall exit with.
    /// - Throws: ``CommandFailure``.
    func run(
        _ plan: Plan,
        resuming begun: (id: RolloutID, direction: ResumeDirection)? = nil,
        despite exception: Exception = Exception(),
        overridden: [String] = []
    ) async throws -> ExitStatus {
        let (directory, journal) = try common.openJournal()
        let id = begun?.id ?? Surroundings.newRolloutID()
        let lock = try hold(plan, id: id, in: directory)
        // Read under the lock: whoever held it until now may have written more.
        let earlier = try begun.map { begun in
            RolloutRunner.Earlier(
                entries: try entries(of: begun.id, in: journal),
                direction: begun.direction
            )
        }
        if earlier == nil, plan.kind != .exec { try admit(plan, journal, exception) }
        let view =
            common.quiet || plan.kind == .exec && !Terminal.standardError.isInteractive
            ? nil
            : LiveView(
                plan: plan,
                replaying: earlier?.entries ?? [],
                style: common.standardErrorStyle
            )
        let json = common.output == .json ? QueuedOutput(.standardOutput) : nil
        let outputs = HostOutputs()
        let origin = Surroundings.origin(exception, overridden: overridden)
        let notifier =
            plan.kind == .exec ? nil : await Notifier(environment: plan.environment, common)
        let begun = Rollout(plan: plan, replaying: earlier?.entries ?? [])
        let beginning = Beginning {
            await notifier?.tell(.start(of: begun, id: id, origin: origin))
        }
        let runner = RolloutRunner(
            id: id,
            plan: plan,
            origin: origin,
            transport: transport,
            journal: journal,
            spool: directory.path,
            resuming: earlier,
            withoutRecords: exception.records != nil,
            lastClients: try lastClients(of: plan, in: journal)
        ) { update in
            switch update {
            case .printed(let host, let output): outputs.add(output, of: host)
            case .transferred(let host, let bytes, let total):
                view?.transferred(host, bytes, of: total)
            case .recorded(let entries):
                view?.show(entries)
                beginning.look(at: entries)
                guard let json else { return }
                for entry in entries { json.write(CanonicalJSON.encode(entry) + [0x0A]) }
            }
        }
        let signals = OperatorSignals(runner: runner)
        let start = ContinuousClock.now
        let rollout: Rollout
        do {
            rollout = try await runner.run()
        } catch {
            view?.finish()
            json?.finish()
            let failure = CommandFailure(error)
            await beginning.isTold()
            await notifier?.tell(.stop(of: begun, id: id, origin: origin, why: error.message))
            throw failure
        }
        view?.finish()
        json?.finish()
        withExtendedLifetime((signals, lock)) {}
        let elapsed = Int((ContinuousClock.now - start) / .milliseconds(1))
        if json == nil { report(rollout, id: id, outputs: outputs, elapsed: elapsed) }
        journal.trim()
        await beginning.isTold()
        if let notice = Notice.end(of: rollout, id: id, origin: origin) {
            await notifier?.tell(notice)
        }
        if rollout.isLockedOut { return .locked }
        // Questions that hosts said no to left nothing half done.
        if rollout.outcome == .held, !rollout.isTouched { return .saidNo }
        return ExitStatus(rollout.outcome ?? .interrupted, of: plan.kind)
    }

    /// What reached the hosts the last time; commands of `exec` do not ask.
    private func lastClients(of plan: Plan, in journal: Journal) throws(CommandFailure)
        -> [HostName: String]
    {
        guard plan.kind != .exec else { return [:] }
        do { return try journal.clients(in: plan.environment) } catch {
            throw CommandFailure(error)
        }
    }

    private func entries(of id: RolloutID, in journal: Journal) throws(CommandFailure)
        -> [JournalEntry]
    {
        do {
            return try journal.entries(of: id)
        } catch {
            throw CommandFailure(error)
        }
    }

    /// Refuses what would come on top of something unfinished, or bring back what was taken back.
    private func admit(_ plan: Plan, _ journal: Journal, _ exception: Exception)
        throws(CommandFailure)
    {
        let other: RolloutRecord?
        let taken: RolloutRecord?
        do {
            other = try journal.unfinished(in: plan.environment)
            taken =
                exception.quarantine == nil
                ? try plan.release.flatMap { release throws(JournalError) in
                    try journal.reverted(release.commit, in: plan.environment)
                } : nil
        } catch {
            throw CommandFailure(error)
        }
        if let other {
            throw CommandFailure(
                .locked,
                "rollout \(other.id) of \(plan.environment) by \(Sanitizer.line(other.user)) "
                    + "has not come to its end",
                hints: [
                    "fleet resume \(other.id)    go on from where it stopped",
                    "fleet resume \(other.id) --back    put the touched hosts back",
                    "nothing was changed",
                ]
            )
        }
        guard let taken, let release = plan.release else { return }
        throw CommandFailure(
            .refused,
            "E_QUARANTINE \(release.label) was taken back from \(plan.environment) by rollout "
                + "\(taken.id)",
            hints: [
                "fleet show \(taken.id)    why",
                "deploy a release that mends it, or add --force-quarantined REASON",
                "nothing was changed",
            ]
        )
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

/// Tells of a rollout's beginning once something is about to be touched, beside the rollout: nobody who is
/// told may hold it up.
private final class Beginning: Sendable {
    private let tell: @Sendable () async -> Void
    private let task = Mutex<Task<Void, Never>?>(nil)

    init(_ tell: @escaping @Sendable () async -> Void) { self.tell = tell }

    func look(at entries: [JournalEntry]) {
        let isBeginning = entries.contains { entry in
            if case .effect(.perform) = entry.body { true } else { false }
        }
        guard isBeginning else { return }
        task.withLock { task in
            guard task == nil else { return }
            task = Task { [tell] in await tell() }
        }
    }

    /// Returns when whoever was told has heard.
    func isTold() async { await task.withLock { $0 }?.value }
}

/// What the hosts printed, by host.
private final class HostOutputs: Sendable {
    private let outputs = Mutex<[HostName: OutputCapture]>([:])

    func add(_ output: OutputCapture, of host: HostName) {
        outputs.withLock { $0[host] = output }
    }

    subscript(host: HostName) -> OutputCapture? { outputs.withLock { $0[host] } }
}
