internal import Dispatch
internal import FleetHTTP
internal import FleetPlan
internal import FleetRollout
internal import FleetTransport

/// Carries out what the rollout wants of one host, over one session that is opened when needed.
///
/// It decides nothing: every way in which something ends becomes an event.
actor HostWorker {
    private let planned: PlannedHost
    private let plan: Plan
    private let rollout: RolloutID
    private let transport: any Transport
    private var session: (any HostSession)?
    /// What had come of the output of a step whose answer was lost; the rest is fetched behind it.
    private var partial: (step: StepReference, attempt: Int, output: OutputCapture)?
    /// Where this host's work runs: every task about it is given this preference.
    nonisolated let executor: (any HostExecutor)?
    /// The same for this actor, so that it asks the session without a switch between the two; a queue where the
    /// transport has none.
    private nonisolated let ownExecutor: any SerialExecutor

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        ownExecutor.asUnownedSerialExecutor()
    }

    /// The longest a read-only question may take, in milliseconds; a fetch is the longest of them.
    private static let questionMilliseconds = 300_000
    /// The longest that a host is asked whether it lets a connection through, in milliseconds.
    private static let forwardingMilliseconds = 3_000
    /// The longest a lock may take, in milliseconds.
    private static let lockMilliseconds = 30_000
    /// How many last lines of an output explain a failure.
    private static let excerptLines = 20
    /// In how many last lines of an output the one is looked for that says why a step failed.
    private static let causeLines = 2_000
    /// The most bytes of it that are looked at.
    private static let causeBytes = 256 << 10

    /// Where long outputs are put; nil for memory only.
    private let spool: String?
    private let watch: @Sendable (RolloutUpdate) -> Void
    private let stepEnvironment: RolloutRunner.StepEnvironment?
    /// Who carries the rollout out, for whoever finds the host locked.
    private let origin: String
    private let clock: any RolloutClock
    /// What checks have told for those of later steps, and kept for themselves, since a step ran last; see
    /// `verify`.
    private var told: [String: (value: String, step: String)] = [:]
    private var kept: [String: String] = [:]
    private var toldDirection = StepReference.Direction.forward
    /// The key that the host had when the rollout first saw it; nil if that is yet to come.
    private var hostKey: String?
    /// Whether the host's sshd was seen to let no connection through, and what connects there instead.
    private var isForwardingForbidden = false
    private var relay: String?
    /// Which of the rollout's controllers this is, and whether the host has still to be told.
    private let epoch: ControllerEpoch
    private var hasToTakeUp: Bool
    /// The attempts at steps that the journal knows of; nil if it need not know of all.
    private let knownKeys: Set<ActionKey>?
    /// Why this controller is none any more: another one has taken the rollout up, with this number.
    private(set) var superseded: (epoch: Int, failure: Failure)?
    /// What reaches the host, as it was before and as it is now.
    private var client: (before: String?, now: String?)

    init(
        planned: PlannedHost,
        plan: Plan,
        rollout: RolloutID,
        transport: any Transport,
        spool: String?,
        origin: String,
        clock: any RolloutClock,
        hostKey: String? = nil,
        client: String? = nil,
        epoch: ControllerEpoch = .first,
        holdsLock: Bool = false,
        knownKeys: Set<ActionKey>? = nil,
        stepEnvironment: RolloutRunner.StepEnvironment? = nil,
        watch: @escaping @Sendable (RolloutUpdate) -> Void
    ) {
        self.stepEnvironment = stepEnvironment
        self.epoch = epoch
        self.knownKeys = knownKeys
        hasToTakeUp = epoch != .first && holdsLock
        self.watch = watch
        self.origin = origin
        self.clock = clock
        self.hostKey = hostKey
        self.client = (client, nil)
        self.spool = spool
        self.planned = planned
        self.plan = plan
        self.rollout = rollout
        self.transport = transport
        executor = transport.executor(for: planned.endpoint)
        ownExecutor = executor ?? HostQueue()
    }

    private func open() async throws(TransportError) -> any HostSession {
        if let session { return session }
        let opened = try await transport.open(planned.endpoint, rollout: rollout.description)
        let proved = await opened.hostKey
        // A host may have several keys; which one it proves depends on which ones are known.
        if let hostKey, let proved, proved != hostKey,
            Self.type(of: proved) == Self.type(of: hostKey)
        {
            await opened.close(removingRunDirectory: false)
            throw .hostKeyChanged(
                host: planned.name.text,
                offered: proved,
                known: hostKey,
                place: TransportError.snapshotPlace
            )
        }
        hostKey = hostKey ?? proved
        client.now = opened.client
        do throws(TransportError) { try await takeUp(over: opened) } catch {
            // A session over which the host does not obey this controller is of no use.
            await opened.close(removingRunDirectory: false)
            throw error
        }
        session = opened
        return opened
    }

    /// Makes the host obey this controller, if it can be reached.
    func takeUp() async {
        guard hasToTakeUp else { return }
        do throws(TransportError) {
            _ = try await open()
        } catch {
            // Whatever is to be done there tries again, and says why it cannot.
            await drop()
        }
    }

    /// Makes the host obey this controller before anything else is asked of it.
    ///
    /// From then on no earlier controller can start anything there. What the host knows is compared with the journal
    /// before that, so that a controller which must not go on disowns nobody, and after it, because the earlier one
    /// may have gone on in between.
    private func takeUp(over session: any HostSession) async throws(TransportError) {
        guard hasToTakeUp, let lock else { return }
        try await compareSteps(over: session, lock)
        let output = WholeAnswer()
        let result = try await session.run(
            lock.takingUp,
            timeoutMilliseconds: Self.lockMilliseconds,
            output: output
        )
        try requireDone(result, output)
        try await compareSteps(over: session, lock)
        hasToTakeUp = false
    }

    /// Refuses to go on if the host obeys a later controller, or knows of steps that the journal lacks.
    private func compareSteps(over session: any HostSession, _ lock: HostLock)
        async throws(TransportError)
    {
        let output = WholeAnswer()
        let result = try await session.run(
            lock.steps,
            timeoutMilliseconds: Self.lockMilliseconds,
            output: output
        )
        try requireDone(result, output)
        let done = try output.text().split(whereSeparator: \.isNewline).compactMap { line in
            line.hasPrefix("step ") ? ActionKey(told: String(line.dropFirst(5))) : nil
        }
        guard let knownKeys, let strange = done.first(where: { !knownKeys.contains($0) }) else {
            return
        }
        superseded = (
            epoch.number,
            Failure(
                "E_RECORDS this journal lacks records of this rollout: the host knows of attempt \(strange)",
                hint:
                    "put the newest state directory back, or rebuild it from what hosts have kept (`fleet recover "
                    + "\(plan.environment)` with a new --state-dir), or go on without: --force-missing-records REASON"
            )
        )
        throw Self.isNotTakenUp
    }

    private func requireDone(_ result: CommandResult, _ output: WholeAnswer) throws(TransportError)
    {
        guard result.status != .exited(0) else { return }
        let refusal = Self.refusal(of: "lock", result.status, output)
        note(refusal)
        guard superseded == nil else { throw Self.isNotTakenUp }
        // A full disk, or a host that is slow: it may be better in a moment.
        throw .connectionLost(
            .command,
            reason: "the rollout could not be taken up there: \(refusal.summary)"
        )
    }

    /// Stands for an answer that nobody looks at: ``superseded`` is what counts.
    private static let isNotTakenUp = TransportError.refusedByHost(
        reason: "prohibited: the rollout could not be taken up there"
    )

    /// Whether a step was refused because the host obeys another controller of this rollout.
    private func noteFence(_ said: String) {
        let words = said.split(whereSeparator: \.isWhitespace)
        guard words.count > 1, words[words.count - 2] == rollout.description,
            let mark = words[words.count - 1].split(separator: ".").first
        else { return }
        supersede(
            by: mark,
            Failure(
                "E_SUPERSEDED rollout \(rollout) was taken up by another controller",
                hint: "nothing more is done from here"
            )
        )
    }

    /// Whether a host has said that it obeys another controller of this rollout.
    private func note(_ refusal: Failure) {
        let words = refusal.summary.split(separator: " ")
        guard let place = words.firstIndex(of: "E_SUPERSEDED"), place + 1 < words.count else {
            return
        }
        supersede(
            by: words[place + 1],
            Failure(
                "E_SUPERSEDED " + words[(place + 2)...].joined(separator: " "),
                hint:
                    "nothing more is done from here; if that controller is gone for certain, take the rollout up again"
            )
        )
    }

    /// A number that can be none is not remembered: the next controller would have to be above it.
    private func supersede(by number: Substring, _ failure: Failure) {
        superseded = (ControllerEpoch.number(told: number) ?? epoch.number, failure)
    }

    private static func type(of key: String) -> Substring { key.prefix { $0 != " " } }

    /// Does something on the host and posts what became of it, or that another controller has the rollout.
    ///
    /// All of it in one visit to this actor: a visit more costs a hundredth of what a step costs (measured).
    func answer(
        to inbox: Inbox,
        _ act: @Sendable (isolated HostWorker) async -> Inbox.Letter
    ) async {
        let letter = await act(self)
        guard let (epoch, failure) = superseded else {
            return inbox.post(letter.event, output: letter.output)
        }
        inbox.post(.superseded(host: planned.name, epoch: epoch, failure: failure))
    }

    /// After an error a session is of no more use; the next effect opens another one.
    private func drop() async {
        let old = session
        session = nil
        await old?.close(removingRunDirectory: false)
    }

    func release(removingRunDirectory: Bool) async {
        let old = session
        session = nil
        await old?.close(removingRunDirectory: removingRunDirectory)
    }

    // MARK: Preflight

    func check() async -> CheckOutcome {
        var facts: [String: [String: String]] = [:]
        var isAsking = false
        do throws(TransportError) {
            var session = try await open()
            isAsking = true
            // First, because a step's own question would fail for it without saying so.
            for user in planned.becomeUsers {
                let output = WholeAnswer()
                let result = try await session.run(
                    Script(":", becomeUser: user),
                    timeoutMilliseconds: Self.questionMilliseconds,
                    output: output
                )
                guard result.status == .exited(0) else {
                    return .refused(
                        Failure(
                            "E_SUDO cannot become \(user): sudo \(result.status.phrase)",
                            excerpt: output.tail(lines: Self.excerptLines),
                            hint:
                                "allow it in sudoers (fleet's scripts run as `sh -c`, so a rule for single "
                                + "commands is not enough; a `service` step does with one for systemctl alone: "
                                + "`control: sudo systemctl`), or give the password with -K or "
                                + "`ssh: { become_password: … }`"
                        )
                    )
                }
            }
            let lock = lock.map { [PlannedPreflight(step: "lock", script: $0.question)] } ?? []
            for question in lock + planned.preflight {
                let output = WholeAnswer()
                let asked = clock.unixMilliseconds / 1000
                let result = try await session.run(
                    question.script.completed(by: plan.libraries),
                    timeoutMilliseconds: Self.questionMilliseconds,
                    output: output
                )
                guard result.status == .exited(0) else {
                    let refusal = Self.refusal(of: question.step, result.status, output)
                    note(refusal)
                    return .refused(refusal)
                }
                let said = try output.text()
                guard !Snapshot.overflows(said) else {
                    return .refused(
                        Failure(
                            "E_FACTS more came than the preflight of `\(question.step)` says: something else writes "
                                + "into what this host answers",
                            hint:
                                "find out what runs there as the application's account, and try again"
                        )
                    )
                }
                var found = Snapshot.facts(from: said)
                guard question.script == self.lock?.question else {
                    facts[question.step] = found
                    continue
                }
                let answered = clock.unixMilliseconds / 1000 + 1
                if let time = found.removeValue(forKey: "time").flatMap({ Int($0) }) {
                    // Within the time that the question took, every clock is right.
                    found["skew"] = String(time - min(max(time, asked), answered))
                }
                facts[Snapshot.hostFacts] = found
            }
            // A host on which something runs is asked for its health; a fresh one would tell too late.
            let isNew = plan.releaseStep.map { facts[$0]?["state"] == "absent" } ?? false
            if isNew, let refused = try await forwardingRefusal() {
                return .refused(refused)
            }
            session = try await open()
            if planned.preflight.isEmpty, planned.becomeUsers.isEmpty {
                // Nothing to ask, but a host that cannot be reached must refuse all the same.
                let result = try await session.run(
                    Script(":"),
                    timeoutMilliseconds: Self.questionMilliseconds,
                    output: OutputCapture()
                )
                guard result.status == .exited(0) else {
                    return .refused(Failure("an empty script \(result.status.phrase)"))
                }
            }
        } catch {
            await drop()
            guard error.isRetryable else { return .refused(Failure(error)) }
            return isAsking ? .lost(Failure(error)) : .unreachable(Failure(error))
        }
        if let relay { facts[Snapshot.hostFacts, default: [:]]["relay"] = relay }
        if plan.kind != .exec, hostKey != nil || client.now != nil {
            facts[Snapshot.hostFacts, default: [:]]["hostkey"] = hostKey
            facts[Snapshot.hostFacts, default: [:]]["client"] = client.now
            if let before = client.before, let now = client.now,
                Snapshot.clientName(before) != Snapshot.clientName(now)
            {
                facts[Snapshot.hostFacts, default: [:]]["client_before"] = before
            }
        }
        return .ready(Snapshot(facts: facts))
    }

    /// Why smoke tests will not reach what they ask; nil if nothing is known to keep them from it.
    ///
    /// That sshd forbids it is another thing than that nobody listens yet (RFC 4254, 5.1).
    private func forwardingRefusal() async throws(TransportError) -> Failure? {
        let places = planned.checks.compactMap { check -> (host: String, port: Int)? in
            switch check.action {
            case .http(let probe): (probe.host, probe.port)
            case .tcp(let probe): (probe.host, probe.port)
            case .script, .upload, .deadman: nil
            }
        }
        var asked: Set<String> = []
        for place in places where asked.insert("\(place.host):\(place.port)").inserted {
            do throws(TransportError) {
                try await exchange(
                    host: place.host,
                    port: place.port,
                    request: [],
                    withinMilliseconds: Self.forwardingMilliseconds,
                    receive: { _ in true }
                )
            } catch .refusedByHost(let reason) where reason.contains("prohibited") {
                return Failure(
                    "E_FORWARDING sshd lets no connection through to \(place.host):\(place.port), which a "
                        + "smoke test asks, and the host has no \(HostRelay.tools) to ask by",
                    hint:
                        "allow it (AllowTcpForwarding, PermitOpen, port-forwarding in authorized_keys), or "
                        + "install one of these there"
                )
            } catch .refusedByHost {
                // Nobody listens there yet.
                continue
            } catch .connectionLost(let phase, let reason) {
                throw .connectionLost(phase, reason: reason)
            } catch {
                // For the smoke test to say; the session may be over with it.
                await drop()
                return nil
            }
        }
        return nil
    }

    /// A refusal says why in its output: `E_DIRTY /srv/app has local changes: …`.
    static func refusal(
        of step: String,
        _ status: CommandStatus,
        _ output: WholeAnswer
    ) -> Failure {
        let lines = output.tail(lines: excerptLines).split(whereSeparator: \.isNewline)
        guard let said = lines.first(where: { $0.hasPrefix("E_") }) else {
            return Failure(
                "\(step): preflight \(status.phrase)",
                excerpt: lines.joined(separator: "\n")
            )
        }
        let more = lines.drop { $0 != said }.dropFirst().joined(separator: "\n")
        return Failure("\(step): \(said)", excerpt: more, hint: Self.hint(for: said))
    }

    private static func hint(for refusal: Substring) -> String? {
        let token = refusal.prefix { $0 != " " }
        switch token {
        case "E_DIRTY": return "commit, stash or discard the changes on the host, then deploy again"
        case "E_GIT_MISSING": return "install git on the host"
        case "E_GIT_BUSY": return "finish or abort the git operation on the host"
        case "E_BUSY": return "wait for it, or end it on the host, then try again"
        case "E_UNTRACKED": return "move the untracked files away on the host"
        case "E_LOCKED":
            return
                "wait for it (--lock-wait 10m); `fleet resume` where it was started, if it was killed; "
                + "`fleet revert --rollout` if it ended unknown"
        case "E_DISK": return "make room there, then start again"
        case "E_READONLY":
            return
                "chown it to the account on the host, or mount its file system writable, then start again"
        case "E_HOME":
            return
                "give the account a home directory of its own (mkdir, chown), and move away what stands in "
                + "the way of ~/.fleet, then start again"
        case "E_SETSID": return "install util-linux or busybox there"
        case "E_BUNDLE": return "start again: the host is asked anew what it has"
        case "E_NO_BACKUP": return "list them: `fleet exec ENV -- ls -r` and the backup directory"
        case "E_BACKUP_CORRUPT": return "take another one: `fleet restore ENV --from NAME`"
        case "E_DATABASE":
            return "look who holds it on the host (`fuser`), stop that, then start again"
        case "E_SHA256": return "install coreutils there"
        case "E_CHANGED": return "start again: preflight looks at it anew"
        case "E_TAG_DIFFERS":
            return
                "its origin is another repository, or the tag was moved: `git ls-remote origin` there"
        case "E_UNWRITABLE": return "chown or chmod them on the host, then deploy again"
        case "E_FILTER": return "install it there"
        case "E_OTHER_RELEASE":
            return
                "`fleet reconcile ENV` shows what runs; `fleet revert ENV --to TAG` goes to a release "
                + "by its name"
        case "E_TAG_MOVED": return "a published tag must not move; release a new version instead"
        default: return nil
        }
    }

    // MARK: Locks

    /// The host's lock, if the plan takes any.
    private var lock: HostLock? {
        plan.takesLocks
            ? HostLock(
                environment: plan.environment,
                owner: rollout.description,
                description: origin,
                adopts: plan.adoptsLocksOf,
                epoch: epoch,
                host: planned.name.text
            ) : nil
    }

    private var claim: LockClaim? {
        plan.takesLocks
            ? LockClaim(environment: plan.environment, owner: epoch.claim(of: rollout)) : nil
    }

    func takeLock(_ snapshot: Snapshot, _ witness: String) async -> LockOutcome {
        guard let lock else { return .done }
        return await asked(
            lock.taking(
                generation: snapshot.facts[Snapshot.hostFacts]?["generation"],
                witness: witness,
                record: HostRecord(plan: plan, host: planned, snapshot: snapshot)
            )
        )
    }

    func giveLockBack(_ witness: String) async -> LockOutcome {
        guard let lock else { return .done }
        return await asked(lock.giving(witness: witness))
    }

    private func asked(_ script: Script) async -> LockOutcome {
        let output = WholeAnswer()
        do throws(TransportError) {
            let result = try await open().run(
                script,
                timeoutMilliseconds: Self.lockMilliseconds,
                output: output
            )
            guard result.status != .exited(0) else { return .done }
            let refusal = Self.refusal(of: "lock", result.status, output)
            note(refusal)
            return .refused(refusal)
        } catch {
            await drop()
            return .unreachable(Failure(error))
        }
    }

    // MARK: Steps

    /// Room for what a step prints; whoever watches may look at it from now on.
    private func capture() -> OutputCapture {
        let name = planned.name
        let watch = watch
        let output = OutputCapture(keeping: plan.kind == .exec ? .spool : .journal, in: spool) {
            watch(.transferred(name, bytes: $0, of: $1))
        }
        watch(.began(name, output))
        return output
    }

    func perform(_ reference: StepReference, attempt: Int, snapshot: Snapshot)
        async -> (StepOutcome, OutputCapture)
    {
        let output = capture()
        let step = step(reference)
        // What a check saw before a step is no measure for what it sees behind it.
        kept = [:]
        told = told.filter { $0.value.step != step.name }
        var action = carriedOut(
            step.action.bound(to: snapshot, step: step.factsOf, releaseStep: plan.releaseStep)
                .completed(by: plan.libraries)
        ).claiming(claim)
        if let stepEnvironment, case .script(let script) = action {
            action = .script(script.adding(stepEnvironment(planned.name, reference)))
        }
        let opened: any HostSession
        do throws(TransportError) {
            opened = try await open()
        } catch {
            // A refusal that will not change is this step's failure; nothing ran.
            return (Self.noStart(error), output)
        }
        do throws(TransportError) {
            let result = try await Self.carryOut(
                action,
                on: opened,
                key: reference.key(attempt: attempt),
                isDetached: plan.kind != .exec,
                within: step.timeoutMilliseconds,
                output: output
            )
            await output.settle()
            if result.status == .fenced { noteFence(output.tail(lines: 1)) }
            return (
                Self.outcome(of: result, step: step, isExec: plan.kind == .exec, output), output
            )
        } catch {
            await output.settle()
            await drop()
            partial = (reference, attempt, output)
            // What will not change by asking again is this step's failure; nothing of it ran.
            guard !error.isAnotherHost else { return (.barred(Failure(error)), output) }
            return (error.isRetryable ? .lost(Failure(error)) : .failed(Failure(error)), output)
        }
    }

    /// A dead-man switch is carried out as a script like any other.
    private func carriedOut(_ action: Action) -> Action {
        guard case .deadman(let deadman) = action else { return action }
        return .script(
            deadman.script(rollout: rollout.description, environment: plan.environment)
        )
    }

    private static func carryOut(
        _ action: Action,
        on session: any HostSession,
        key: ActionKey,
        isDetached: Bool,
        within milliseconds: Int,
        output: OutputCapture
    ) async throws(TransportError) -> CommandResult {
        switch action {
        case .script(let script) where isDetached:
            return try await session.runDetached(
                script,
                key: key,
                timeoutMilliseconds: milliseconds,
                output: output
            )
        case .script(let script):
            return try await session.runOnly(
                script,
                timeoutMilliseconds: milliseconds,
                output: output
            )
        case .upload(let upload):
            return try await session.upload(
                upload,
                key: key,
                timeoutMilliseconds: milliseconds,
                output: output
            )
        case .http, .tcp, .deadman:
            preconditionFailure("probes are checks, not steps")
        }
    }

    func recover(_ reference: StepReference, attempt: Int) async -> (StepOutcome, OutputCapture) {
        let known = partial.flatMap { $0.step == reference && $0.attempt == attempt ? $0 : nil }
        let output = known?.output ?? capture()
        let step = step(reference)
        do throws(TransportError) {
            let session = try await open()
            let recovery = try await session.recover(
                reference.key(attempt: attempt),
                from: output.totalBytes,
                timeoutMilliseconds: step.timeoutMilliseconds,
                output: output
            )
            await output.settle()
            switch recovery {
            case .ended(let result):
                return (
                    Self.outcome(of: result, step: step, isExec: plan.kind == .exec, output), output
                )
            case .neverStarted: return (.neverStarted, output)
            case .vanished: return (.vanished, output)
            }
        } catch {
            await output.settle()
            let wasOpen = session != nil
            await drop()
            partial = (reference, attempt, output)
            return (wasOpen ? .lost(Failure(error)) : Self.noAnswer(error), output)
        }
    }

    func stop(_ reference: StepReference, attempt: Int) async -> StepOutcome {
        do throws(TransportError) {
            let session = try await open()
            // What another controller waits for is its own to end.
            if let lock {
                let output = WholeAnswer()
                let result = try await session.run(
                    lock.steps,
                    timeoutMilliseconds: Self.lockMilliseconds,
                    output: output
                )
                if result.status != .exited(0) {
                    note(Self.refusal(of: "lock", result.status, output))
                    if superseded != nil {
                        return .stuck(Failure("another controller has taken the rollout up"))
                    }
                }
            }
            let isGone = try await session.stop(reference.key(attempt: attempt))
            return isGone
                ? .vanished
                : .stuck(Failure("\(step(reference).name) is still running and cannot be stopped"))
        } catch {
            await drop()
            return Self.noAnswer(error)
        }
    }

    private static func noStart(_ error: TransportError) -> StepOutcome {
        if error.isAnotherHost { return .barred(Failure(error)) }
        return error.isRetryable ? .unreachable(Failure(error)) : .failed(Failure(error))
    }

    private static func noAnswer(_ error: TransportError) -> StepOutcome {
        error.isAnotherHost ? .barred(Failure(error)) : .unreachable(Failure(error))
    }

    private func step(_ reference: StepReference) -> PlannedStep {
        reference.direction == .forward
            ? planned.steps[reference.index] : planned.revertSteps[reference.index]
    }

    /// What became of a step; a command's own output is shown whole, and needs no line of it in front.
    private static func outcome(
        of result: CommandResult,
        step: PlannedStep,
        isExec: Bool,
        _ output: OutputCapture
    ) -> StepOutcome {
        let excerpt = output.tail(lines: excerptLines)
        switch result.status {
        case .exited(0): return .succeeded
        case .exited:
            // The line that says why may be far above the last ones.
            let cause =
                isExec
                ? result.status.phrase
                : FailureCause.summary(
                    result.status.phrase,
                    output: output.tail(lines: causeLines, bytes: causeBytes)
                )
            return .failed(Failure(cause, excerpt: excerpt))
        case .fenced:
            return .fenced(
                Failure(
                    "E_FENCED another rollout has taken this host over",
                    excerpt: excerpt,
                    hint: "look at `fleet lock status` before anything else"
                )
            )
        case .timedOut(let isDead):
            let seconds = step.timeoutMilliseconds / 1000
            let failure = Failure(
                "no end within \(seconds) s" + (isDead ? "; it was stopped" : ""),
                excerpt: excerpt,
                hint: "give the step a longer `timeout` if it needs one"
            )
            return isDead ? .failed(failure) : .stuck(failure)
        }
    }

    // MARK: Checks

    func probe(_ direction: StepReference.Direction, _ index: Int, snapshot: Snapshot)
        async -> Verdict
    {
        let check =
            direction == .forward ? planned.checks[index] : planned.revertChecks[index]
        let action = carriedOut(
            check.action.bound(
                to: snapshot,
                step: check.step ?? plan.releaseStep ?? "",
                releaseStep: plan.releaseStep
            ).completed(by: plan.libraries)
        )
        // What shall show that the host can be reached must not use a connection from before.
        if check.isAskedAfresh { await drop() }
        if case .script(let script) = action, let step = check.step {
            return await verify(script, of: step, direction)
        }
        do throws(TransportError) {
            let session = try await open()
            switch action {
            case .script(let script):
                let output = OutputCapture()
                let result = try await session.run(
                    script,
                    timeoutMilliseconds: Self.questionMilliseconds,
                    output: output
                )
                guard result.status != .exited(0) else { return .pass }
                let said = output.tail(lines: 1)
                // A script of fleet's own says in its last line what is wrong.
                let isOwn = check.step != nil || check.isAskedAfresh
                return .fail(
                    Failure(
                        isOwn && !said.isEmpty ? said : result.status.phrase,
                        excerpt: output.tail(lines: Self.excerptLines)
                    )
                )
            case .http(let probe): return try await ask(probe)
            case .tcp(let probe):
                try await exchange(
                    host: probe.host,
                    port: probe.port,
                    request: [],
                    withinMilliseconds: probe.withinMilliseconds,
                    receive: { _ in true }
                )
                return .pass
            case .upload, .deadman: preconditionFailure("steps are no checks")
            }
        } catch {
            switch error {
            case .refusedByHost(let reason) where !reason.contains("prohibited"):
                return .fail(
                    Failure("nobody answers on \(Self.place(of: action))\(Self.doubt(of: action))")
                )
            case .refusedByHost:
                return .inconclusive(Failure(error))
            case .timedOut(.channel, let milliseconds) where !action.isScript:
                // The port is there, but takes no more connections.
                await drop()
                return .fail(Failure("no connection within \(milliseconds) ms"))
            case .timedOut(.command, let milliseconds):
                return .fail(Failure("no complete answer within \(milliseconds) ms"))
            default:
                await drop()
                return .inconclusive(Failure(error))
            }
        }
    }

    /// Asks a script of fleet's own whether a step's effect is still there.
    ///
    /// What it prints besides is for us: `keep VALUE` is given back to the next check of the same step as
    /// `FLEET_KEPT`, unless a step has run in between; `tell NAME VALUE` is given to checks of later steps as
    /// `FLEET_TOLD_NAME`: a service that was restarted before the files came is as old as it should be; `note=` and
    /// `unknown=` are caveats; `changed` lines are files that differ, for which the host is asked when its
    /// steps ran.
    private func verify(_ script: Script, of step: String, _ direction: StepReference.Direction)
        async -> Verdict
    {
        if direction != toldDirection { (told, kept, toldDirection) = ([:], [:], direction) }
        let earlier = planned.steps.prefix { $0.name != step }.map(\.name)
        let variables =
            told.filter { earlier.contains($0.value.step) }.sorted { $0.key < $1.key }.map {
                EnvironmentVariable("FLEET_TOLD_\($0.key)", $0.value.value)
            }
            + [EnvironmentVariable("FLEET_KEPT", kept[step] ?? "")]
        do throws(TransportError) {
            let answer = WholeAnswer()
            let result = try await open().run(
                script.adding(variables),
                timeoutMilliseconds: Self.questionMilliseconds,
                output: answer
            )
            guard result.status == .exited(0) else {
                // A script of fleet's own says in one line what is wrong, and then more about it.
                let lines = try answer.text().split(whereSeparator: \.isNewline)
                let said = lines.last { $0.hasPrefix("E_") } ?? lines.last
                let excerpt = lines.suffix(Self.excerptLines).joined(separator: "\n")
                return .fail(
                    Failure(said.map(String.init) ?? result.status.phrase, excerpt: excerpt)
                )
            }
            var caveats: [Caveat] = []
            var files: [ChangedFile] = []
            for line in try answer.text().split(whereSeparator: \.isNewline) {
                let words = line.split(separator: " ", maxSplits: 2).map(String.init)
                if let caveat = Caveat(line: line) { caveats.append(caveat) }
                if let file = ChangedFile(line: line) { files.append(file) }
                if words.count == 2, words[0] == "keep" { kept[step] = words[1] }
                if words.count == 3, words[0] == "tell" { told[words[1]] = (words[2], step) }
            }
            guard !files.isEmpty else {
                return caveats.isEmpty ? .pass : .passWith(caveats)
            }
            let verdict = ChangedFile.verdict(
                on: files,
                times: try await stepTimes(),
                steps: direction == .forward ? planned.steps : planned.revertSteps,
                after: step,
                direction
            )
            guard case .passWith(let more) = verdict else { return verdict }
            return .passWith(caveats + more)
        } catch {
            guard error.isRetryable else { return .fail(Failure(error)) }
            await drop()
            return .inconclusive(Failure(error))
        }
    }

    /// When the rollout's steps ran on this host, by its own records.
    private func stepTimes() async throws(TransportError) -> [StepTime] {
        let answer = WholeAnswer()
        _ = try await open().run(
            RunDirectory.times(of: rollout.description),
            timeoutMilliseconds: Self.questionMilliseconds,
            output: answer
        )
        return try answer.text().split(whereSeparator: \.isNewline).compactMap {
            StepTime(line: $0) ?? StepTime(line: $0, of: planned.revertSteps.map(\.name))
        }
    }

    private static func place(of action: Action) -> String {
        switch action {
        case .http(let probe): "\(probe.host):\(probe.port)"
        case .tcp(let probe): "\(probe.host):\(probe.port)"
        case .script, .upload, .deadman: "the host"
        }
    }

    /// What else "nobody answers" may mean: sshd says the same of a name that the host cannot find.
    private static func doubt(of action: Action) -> String {
        let host: String
        switch action {
        case .http(let probe): host = probe.host
        case .tcp(let probe): host = probe.host
        case .script, .upload, .deadman: return ""
        }
        let isName = host != "localhost" && !host.contains(":") && host.contains(where: \.isLetter)
        return isName ? ", or this host does not know that name" : ""
    }

    /// Connects from the host's own point of view: through its sshd or, where that lets nothing through, by a program of
    /// the host's.
    ///
    /// - Throws: ``FleetTransport/TransportError``, with "prohibited" in it where neither can.
    private func exchange(
        host: String,
        port: Int,
        request: [UInt8],
        withinMilliseconds milliseconds: Int,
        receive: @escaping @Sendable ([UInt8]) -> Bool
    ) async throws(TransportError) {
        let session = try await open()
        if !isForwardingForbidden {
            do throws(TransportError) {
                return try await session.exchange(
                    host: host,
                    port: port,
                    request: request,
                    withinMilliseconds: milliseconds,
                    receive: receive
                )
            } catch .refusedByHost(let reason) where reason.contains("prohibited") {
                isForwardingForbidden = true
            }
        }
        let answer = try await HostRelay.exchange(
            on: session,
            host: host,
            port: port,
            request: request,
            withinMilliseconds: milliseconds,
            receive: receive
        )
        switch answer {
        case .connected(let tool): relay = tool
        case .refused(let tool, let reason):
            relay = tool
            throw .refusedByHost(reason: reason)
        case .noTool: throw .refusedByHost(reason: "administratively prohibited")
        case .unclear(let said):
            throw .refusedByHost(reason: "prohibited, and asking on the host failed: \(said)")
        }
    }

    private func ask(_ probe: HTTPProbe) async throws(TransportError) -> Verdict {
        let asked = HTTPExchange(probe)
        try await exchange(
            host: probe.host,
            port: probe.port,
            request: asked.request,
            withinMilliseconds: probe.withinMilliseconds,
            receive: { asked.receive($0) }
        )
        switch asked.verdict() {
        case .pass: return .pass
        case .fail(let reason, let body):
            return .fail(Failure("GET \(probe.url): \(reason)", excerpt: body))
        }
    }
}

extension Failure {
    /// A transport error as a failure.
    init(_ error: TransportError) {
        self.init("\(error.token): \(error.message)", hint: error.hint)
    }
}

extension Action {
    fileprivate var isScript: Bool { if case .script = self { true } else { false } }
}

extension CommandStatus {
    /// The status in words: `exited 1`, `was killed by signal 9 (status 137)`.
    var phrase: String {
        switch self {
        case .exited(126): "exited 126: the command cannot be executed"
        case .exited(127): "exited 127: a command was not found"
        case .exited(Script.missingDirectoryStatus):
            "exited \(Script.missingDirectoryStatus): the directory to run in does not exist"
        case .exited(let status) where status > 128 && status < 160:
            "was killed by signal \(status - 128) (status \(status))"
        case .exited(let status): "exited \(status)"
        case .fenced: "was refused: another rollout has taken the host over"
        case .timedOut: "did not end in time"
        }
    }
}

/// Where a host's worker runs if its transport has no executor for it.
private final class HostQueue: SerialExecutor {
    private let queue = DispatchQueue(label: "fleet host")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { [self] in job.runSynchronously(on: asUnownedSerialExecutor()) }
    }
}
