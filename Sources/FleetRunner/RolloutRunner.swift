public import FleetJournal
public import FleetPlan
public import FleetRollout
public import FleetTransport
internal import Synchronization

/// An update that a runner sends to its observer.
public enum RolloutUpdate: Sendable {
    /// Records that have just become durable, in order; those of `exec` are reported as soon as they are made.
    case recorded([JournalEntry])
    /// A step began on a host; what it prints can be looked at from now on.
    case began(HostName, OutputCapture)
    /// What a command of `exec` printed on a host, once it has ended.
    case printed(HostName, OutputCapture)
    /// The progress of a transfer to a host; sent often, and not recorded.
    case transferred(HostName, bytes: Int, of: Int)
}

/// Carries out one rollout: journals its events, performs its effects, and posts the results as events.
///
/// It makes no decisions. It guarantees the order: an event and the decisions that it caused are durable
/// before any of them is acted upon.
public final class RolloutRunner: Sendable {
    /// What a step on a host finds in its environment beside what the plan says: nothing that it does may depend on it.
    public typealias StepEnvironment =
        @Sendable (_ host: HostName, _ step: StepReference) -> [EnvironmentVariable]

    /// The rollout's name.
    public let id: RolloutID

    private let plan: Plan
    private let origin: RolloutOrigin
    private let transport: any Transport
    private let journal: any JournalWriter
    private let clock: any RolloutClock
    private let spool: String?
    private let stepEnvironment: StepEnvironment?
    private let watch: @Sendable (RolloutUpdate) -> Void
    private let inbox: Inbox
    /// What is taken up again; nil for a new rollout.
    private let earlier: Earlier?
    /// Whether it goes on although hosts were told of records that the journal lacks.
    private let goesOnWithoutRecords: Bool
    /// Which of the rollout's controllers this is.
    private let epoch: ControllerEpoch
    /// What reached each host the last time.
    private let lastClients: [HostName: String]

    /// A rollout that is to be resumed, as its journal records it.
    public struct Earlier: Sendable {
        /// Its records.
        public let entries: [JournalEntry]
        /// The direction in which the rollout continues.
        public let direction: ResumeDirection
        /// Random characters that distinguish this controller from one that resumes the rollout at the same time.
        public let mark: String
        /// The number of the newest request to stop that was for an earlier controller; 0 for none.
        public let heard: Int

        /// Describes the rollout.
        ///
        /// - Parameters:
        ///   - entries: Its records.
        ///   - direction: The direction in which it continues.
        ///   - mark: Random characters.
        ///   - heard: The number of the newest request to stop, read before anybody could ask this controller.
        public init(
            entries: [JournalEntry],
            direction: ResumeDirection,
            mark: String,
            heard: Int = 0
        ) {
            self.entries = entries
            self.direction = direction
            self.mark = mark
            self.heard = heard
        }

        /// Every attempt at a step that its records know of, by host.
        var keys: [HostName: Set<ActionKey>] {
            var keys: [HostName: Set<ActionKey>] = [:]
            for case .effect(let effect) in entries.map(\.body) {
                switch effect {
                case .perform(let host, let step, let attempt),
                    .recover(let host, let step, let attempt),
                    .stop(let host, let step, let attempt):
                    keys[host, default: []].insert(step.key(attempt: attempt))
                default: break
                }
            }
            return keys
        }

        /// Above every controller of the rollout that its records know of.
        var epoch: ControllerEpoch {
            var newest = ControllerEpoch.first.number
            for entry in entries {
                switch entry.body {
                case .takenUp(let taking): newest = max(newest, taking.epoch.number)
                case .event(.superseded(_, let number, _)): newest = max(newest, number)
                default: break
                }
            }
            return ControllerEpoch(number: min(newest, ControllerEpoch.limit) + 1, mark: mark)
        }
    }

    /// How many busy hosts make it worth while to gather results, and for how long, in
    /// milliseconds: a commit costs about as much as a step's own messages (measured).
    private static let crowd = 8
    private static let gatherMilliseconds = 20

    /// Prepares a rollout.
    ///
    /// - Parameters:
    ///   - id: The rollout's name; it also names the run directories on the hosts.
    ///   - plan: The plan to carry out.
    ///   - origin: Who started the rollout.
    ///   - transport: The transport to the hosts.
    ///   - journal: The journal for all records.
    ///   - clock: The clock to use.
    ///   - spool: A directory for outputs that are too long for memory; nil for none.
    ///   - earlier: The rollout to resume; nil for a new one.
    ///   - goesOnWithoutRecords: Whether to proceed although hosts know of records that the journal lacks.
    ///   - lastClients: The client that last reached each host; a host that another client reaches now is reported.
    ///   - stepEnvironment: What a step finds in its environment beside what the plan says.
    ///   - watch: Called with every record once it is durable; it must not block.
    public init(
        id: RolloutID,
        plan: Plan,
        origin: RolloutOrigin,
        transport: any Transport,
        journal: any JournalWriter,
        clock: any RolloutClock = SystemClock(),
        spool: String? = nil,
        resuming earlier: Earlier? = nil,
        withoutRecords goesOnWithoutRecords: Bool = false,
        lastClients: [HostName: String] = [:],
        stepEnvironment: StepEnvironment? = nil,
        watch: @escaping @Sendable (RolloutUpdate) -> Void
    ) {
        self.stepEnvironment = stepEnvironment
        self.id = id
        self.earlier = earlier
        epoch = earlier?.epoch ?? .first
        self.goesOnWithoutRecords = goesOnWithoutRecords
        self.lastClients = lastClients
        self.spool = spool
        self.plan = plan
        self.origin = origin
        self.transport = transport
        self.journal = journal
        self.clock = clock
        inbox = Inbox(clock)
        self.watch = watch
    }

    /// Asks the rollout to stop: what is in progress finishes, and nothing new starts.
    public func interrupt(signal: Int) { inbox.post(.interrupted(signal: signal)) }

    /// Asks the rollout to stop, as a request from another process does.
    public func stop(_ request: StopRequest) { inbox.post(.askedToStop(request)) }

    /// Carries the rollout out.
    ///
    /// - Returns: The rollout at its end.
    /// - Throws: ``FleetJournal/JournalError`` if a record could not be made durable; everything
    ///   stops then.
    public func run() async throws(JournalError) -> Rollout {
        try journal.requireReserve()
        // Beside the hosts' work: what they report then costs no other thread a wake-up.
        let executor = plan.hosts.first.flatMap { transport.executor(for: $0.endpoint) }
        return try await withTaskExecutorPreference(executor) { () async throws(JournalError) in
            try await carryOut()
        }
    }

    private func carryOut() async throws(JournalError) -> Rollout {
        let begun = earlier?.entries.last?.elapsedMilliseconds ?? 0
        let start = clock.milliseconds - begun
        let known = Rollout(plan: plan, replaying: earlier?.entries ?? [])
        let knownKeys = goesOnWithoutRecords ? nil : earlier?.keys
        let workers = Dictionary(
            uniqueKeysWithValues: plan.hosts.map { host in
                (
                    host.name,
                    HostWorker(
                        planned: host,
                        plan: plan,
                        rollout: id,
                        transport: transport,
                        spool: spool,
                        origin: origin.phrase,
                        clock: clock,
                        hostKey: known.progress(of: host.name)?.snapshot?.hostKey,
                        client: known.progress(of: host.name)?.snapshot?.client
                            ?? lastClients[host.name],
                        epoch: epoch,
                        holdsLock: known.progress(of: host.name)?.mayHoldLock ?? false,
                        knownKeys: knownKeys.map { $0[host.name] ?? [] },
                        stepEnvironment: stepEnvironment,
                        watch: watch
                    )
                )
            }
        )
        let scribe = Scribe(
            rollout: id,
            plan: plan,
            journal: journal,
            clock: clock,
            count: earlier?.entries.last?.sequence ?? 0,
            watch: watch
        )
        if let earlier {
            try await scribe.takeUp(TakingUp(epoch: epoch, origin: origin), at: begun)
            // Whoever asks to stop meanwhile comes behind it.
            inbox.post(.resumed(earlier.direction))
            // Every host that can be reached, before anything is asked of any of them.
            let inTurn = plan.hosts.compactMap { workers[$0.name] }
            _ = await inTurn.windowed(plan.fanout, on: \.executor) { await $0.takeUp() }
            for host in plan.hosts {
                guard let (epoch, failure) = await workers[host.name]?.superseded else { continue }
                inbox.post(.superseded(host: host.name, epoch: epoch, failure: failure))
                break
            }
        } else {
            try await scribe.begin(origin)
            inbox.post(.started)
        }

        let result: Result<Rollout, JournalError> = await withDiscardingTaskGroup { group in
            var rollout = known
            var isFirst = true
            var isWarned = false
            // What was asked of a controller before this one is done with.
            listen(after: earlier?.heard ?? 0, in: &group)
            while rollout.outcome == nil || isFirst {
                isFirst = false
                var letters = await inbox.take()
                if rollout.activeCount >= Self.crowd {
                    // Results that come together share one commit; few hosts need not wait for it.
                    _ = await inbox.sleep(milliseconds: Self.gatherMilliseconds)
                    letters += inbox.takeMore()
                }
                do throws(JournalError) {
                    for index in letters.indices {
                        guard case .hostChecked = letters[index].event else { continue }
                        letters[index] = try await compared(letters[index])
                    }
                } catch {
                    group.cancelAll()
                    inbox.close()
                    return .failure(error)
                }
                var effects: [RolloutEffect] = []
                for letter in letters where rollout.outcome == nil || letter.event.isResumption {
                    let now = clock.milliseconds - start
                    let caused = rollout.handle(letter.event, at: now)
                    scribe.note(letter, causing: caused, at: now)
                    effects += caused
                }
                do throws(JournalError) {
                    try await scribe.commit(isOver: rollout.outcome != nil)
                } catch {
                    group.cancelAll()
                    inbox.close()
                    return .failure(error)
                }
                // What was decided before that came is somebody else's to do, or nobody's.
                if rollout.leavesAll { effects = [] }
                if journal.isOnReserve, !isWarned {
                    isWarned = true
                    inbox.post(.mustHalt(Self.diskIsFull))
                }
                for effect in effects {
                    perform(
                        effect,
                        of: rollout,
                        workers: workers,
                        witness: scribe.head?.text ?? "",
                        in: &group
                    )
                }
            }
            // What is under way is not waited for if nobody wants its answer any more.
            if rollout.activeCount > 0 { group.cancelAll() }
            // Concluded hosts are released by their own effects.
            for host in rollout.hosts where host.outcome == nil {
                guard let worker = workers[host.name] else { continue }
                group.addTask(executorPreference: worker.executor) {
                    await worker.release(removingRunDirectory: false)
                }
            }
            // Timers of a rollout that is over would keep the group waiting.
            inbox.close()
            return .success(rollout)
        }
        return try result.get()
    }

    /// A host that is ready is refused if it was told of a record that this journal has lost: decisions would rest on
    /// what is missing, and the next rollout would overwrite the host's proof of it.
    private func compared(_ letter: Inbox.Letter) async throws(JournalError) -> Inbox.Letter {
        guard case .hostChecked(let host, .ready(let snapshot)) = letter.event,
            let witness = snapshot.witness
        else { return letter }
        var isLost = false
        if let head = JournalHead(text: witness) { isLost = try await journal.holds(head) == false }
        let outcome: CheckOutcome
        switch (isLost, goesOnWithoutRecords) {
        // What it was told is kept with the rollout that goes on all the same.
        case (true, true): return letter
        case (false, _): outcome = .ready(snapshot.withoutWitness)
        case (true, false):
            outcome = .refused(
                Failure(
                    "E_RECORDS this journal lacks records that the host was told of, up to "
                        + witness.split(separator: " ").prefix(2).joined(separator: ", number "),
                    hint:
                        "put the newest state directory back (`fleet journal verify \(plan.environment)` says when it "
                        + "is whole), or go on without them: --force-missing-records REASON"
                )
            )
        }
        return Inbox.Letter(
            .hostChecked(host: host, outcome: outcome),
            output: letter.output
        )
    }

    /// Hears what is asked of this rollout from other processes, until it is over.
    private func listen(after heard: Int, in group: inout DiscardingTaskGroup) {
        guard let pause = journal.requestMilliseconds else { return }
        let (inbox, journal, id) = (inbox, journal, id)
        group.addTask {
            var last = heard
            while await inbox.sleep(milliseconds: pause) {
                do throws(JournalError) {
                    for (number, request) in try await journal.requests(to: id, after: last) {
                        last = number
                        inbox.post(.askedToStop(request))
                    }
                } catch {
                    // Asked again in a moment; a journal that stays unreadable cannot be written to either, and that
                    // ends the rollout.
                }
            }
        }
    }

    private static let diskIsFull = Failure(
        "E_JOURNAL the disk of the state directory is full; on the reserve, nothing goes forward",
        hint: "free space there"
    )

    private func perform(
        _ effect: RolloutEffect,
        of rollout: Rollout,
        workers: [HostName: HostWorker],
        witness: String,
        in group: inout DiscardingTaskGroup
    ) {
        let inbox = inbox
        let watch = watch
        let isExec = plan.kind == .exec
        switch effect {
        case .check(let host):
            guard let worker = workers[host] else { return }
            group.addTask(executorPreference: worker.executor) {
                await worker.answer(to: inbox) { worker in
                    Inbox.Letter(.hostChecked(host: host, outcome: await worker.check()))
                }
            }
        case .lock(let host):
            guard let worker = workers[host] else { return }
            let snapshot = rollout.snapshot(of: host)
            group.addTask(executorPreference: worker.executor) {
                await worker.answer(to: inbox) { worker in
                    Inbox.Letter(
                        .locked(host: host, outcome: await worker.takeLock(snapshot, witness))
                    )
                }
            }
        case .unlock(let host):
            guard let worker = workers[host] else { return }
            group.addTask(executorPreference: worker.executor) {
                await worker.answer(to: inbox) { worker in
                    Inbox.Letter(.unlocked(host: host, outcome: await worker.giveLockBack(witness)))
                }
            }
        case .perform(let host, let step, let attempt):
            guard let worker = workers[host] else { return }
            let snapshot = rollout.snapshot(of: host)
            group.addTask(executorPreference: worker.executor) {
                await worker.answer(to: inbox) { worker in
                    let (outcome, output) = await worker.perform(
                        step,
                        attempt: attempt,
                        snapshot: snapshot
                    )
                    if isExec { watch(.printed(host, output)) }
                    return Inbox.stepEnded(host, step, attempt, outcome, output)
                }
            }
        case .recover(let host, let step, let attempt):
            guard let worker = workers[host] else { return }
            group.addTask(executorPreference: worker.executor) {
                await worker.answer(to: inbox) { worker in
                    let (outcome, output) = await worker.recover(step, attempt: attempt)
                    return Inbox.stepEnded(host, step, attempt, outcome, output)
                }
            }
        case .stop(let host, let step, let attempt):
            guard let worker = workers[host] else { return }
            group.addTask(executorPreference: worker.executor) {
                await worker.answer(to: inbox) { worker in
                    let outcome = await worker.stop(step, attempt: attempt)
                    return Inbox.stepEnded(host, step, attempt, outcome)
                }
            }
        case .probe(let host, let direction, let check):
            guard let worker = workers[host] else { return }
            let snapshot = rollout.snapshot(of: host)
            group.addTask(executorPreference: worker.executor) {
                await worker.answer(to: inbox) { worker in
                    let verdict = await worker.probe(direction, check, snapshot: snapshot)
                    return Inbox.Letter(.probed(host: host, check: check, verdict: verdict))
                }
            }
        case .startTimer(let host, let number, let milliseconds):
            group.addTask {
                _ = await inbox.sleep(milliseconds: milliseconds)
                inbox.post(.timerFired(host: host, number: number))
            }
        case .release(let host):
            guard let worker = workers[host] else { return }
            let mayClean =
                switch rollout.progress(of: host)?.outcome {
                case .succeeded, .reverted: plan.kind != .exec
                default: false
                }
            group.addTask(executorPreference: worker.executor) {
                await worker.release(removingRunDirectory: mayClean)
            }
        case .halt, .decide, .conclude, .finish:
            break
        }
    }
}

/// Numbers a rollout's records and sees to it that they are durable in time; confined to the one
/// loop that owns the rollout.
///
/// A rollout's records are durable before what they announce is done. `exec` changes nothing that
/// fleet would have to put back, so it does not wait for the disk at every step: its records go
/// out in large portions, the last of them before the result is shown.
final class Scribe {
    /// How many records `exec` gathers before it writes them.
    private static let portion = 512

    private let rollout: RolloutID
    private let journal: any JournalWriter
    private let clock: any RolloutClock
    private let watch: @Sendable (RolloutUpdate) -> Void
    private let mayDefer: Bool
    private let plan: Plan
    private var count: Int
    private var entries: [JournalEntry] = []
    private var outputs: [StoredOutput] = []
    /// Where the journal is.
    private(set) var head: JournalHead?
    /// How many of the gathered records were shown already.
    private var shown = 0
    /// Whether somebody in another process looks for what was gathered.
    private var isAwaited = false

    init(
        rollout: RolloutID,
        plan: Plan,
        journal: any JournalWriter,
        clock: any RolloutClock,
        count: Int,
        watch: @escaping @Sendable (RolloutUpdate) -> Void
    ) {
        self.count = count
        self.rollout = rollout
        self.plan = plan
        self.clock = clock
        self.journal = journal
        self.watch = watch
        mayDefer = plan.kind == .exec
    }

    /// Records what shall be carried out, durably: of this much there is always a record.
    func begin(_ origin: RolloutOrigin) async throws(JournalError) {
        add(.planned(plan: plan, origin: origin), at: 0)
        try await write()
    }

    /// Records who goes on with what was begun, durably.
    func takeUp(_ taking: TakingUp, at milliseconds: Int) async throws(JournalError) {
        add(.takenUp(taking), at: milliseconds)
        try await write()
    }

    func note(_ letter: Inbox.Letter, causing effects: [RolloutEffect], at milliseconds: Int) {
        if case .askedToStop = letter.event { isAwaited = true }
        add(.event(letter.event), at: milliseconds)
        for effect in effects where effect.isRecorded { add(.effect(effect), at: milliseconds) }
        if let output = letter.output { outputs.append(output) }
    }

    /// Records something that follows from no event.
    func note(_ effect: RolloutEffect) { add(.effect(effect), at: 0) }

    func commit(isOver: Bool) async throws(JournalError) {
        guard mayDefer, !isOver, !isAwaited, entries.count < Self.portion else {
            return try await write()
        }
        show()
    }

    private func write() async throws(JournalError) {
        head = try await journal.append(entries, outputs: outputs) ?? head
        show()
        entries = []
        outputs = []
        shown = 0
        isAwaited = false
    }

    private func show() {
        guard shown < entries.count else { return }
        watch(.recorded(Array(entries[shown...])))
        shown = entries.count
    }

    private func add(_ body: JournalEntry.Body, at milliseconds: Int) {
        count += 1
        entries.append(
            JournalEntry(
                rollout: rollout,
                sequence: count,
                elapsedMilliseconds: milliseconds,
                unixMilliseconds: clock.unixMilliseconds,
                body: body
            )
        )
    }
}

/// Where results wait for the one loop that owns the rollout.
///
/// Bounded by construction: a host has one effect out at a time, and one timer.
final class Inbox: Sendable {
    struct Letter: Sendable {
        let event: RolloutEvent
        let output: StoredOutput?

        init(_ event: RolloutEvent, output: StoredOutput? = nil) {
            self.event = event
            self.output = output
        }
    }

    private struct Sleeper {
        let continuation: CheckedContinuation<Void, Never>
        var end: (@Sendable () -> Void)?
    }

    private struct State {
        var letters: [Letter] = []
        var waiting: CheckedContinuation<Void, Never>?
        var sleepers: [Int: Sleeper] = [:]
        var nextSleeper = 0
        var isClosed = false
    }

    private let state = Mutex(State())
    private let clock: any RolloutClock

    init(_ clock: any RolloutClock) { self.clock = clock }

    func post(_ event: RolloutEvent, output: StoredOutput? = nil) {
        let waiting = state.withLock { state in
            state.letters.append(Letter(event, output: output))
            defer { state.waiting = nil }
            return state.waiting
        }
        waiting?.resume()
    }

    /// What is known when an attempt at a step ended: the event, and what the host printed.
    static func stepEnded(
        _ host: HostName,
        _ step: StepReference,
        _ attempt: Int,
        _ outcome: StepOutcome,
        _ output: OutputCapture? = nil
    ) -> Letter {
        let (bytes, total, dropped) = output?.contents() ?? ([], 0, 0)
        let stored = StoredOutput(
            host: host,
            key: step.key(attempt: attempt),
            bytes: bytes,
            totalBytes: total,
            droppedBytes: dropped
        )
        let event = RolloutEvent.stepEnded(
            host: host,
            step: step,
            attempt: attempt,
            outcome: outcome,
            outputBytes: total
        )
        return Letter(event, output: total > 0 ? stored : nil)
    }

    /// Everything that has come since the last call; waits for at least one letter.
    ///
    /// Only one caller.
    func take() async -> [Letter] {
        await withCheckedContinuation { continuation in
            let isReady = state.withLock { state in
                guard state.letters.isEmpty else { return true }
                state.waiting = continuation
                return false
            }
            if isReady { continuation.resume() }
        }
        return state.withLock { state in
            defer { state.letters = [] }
            return state.letters
        }
    }

    /// Everything that has come since the last call; does not wait.
    func takeMore() -> [Letter] {
        state.withLock { state in
            defer { state.letters = [] }
            return state.letters
        }
    }

    /// Waits, or returns at once when the rollout is over.
    ///
    /// - Returns: Whether it goes on.
    func sleep(milliseconds: Int) async -> Bool {
        await withCheckedContinuation { continuation in
            let id = state.withLock { state -> Int? in
                guard !state.isClosed else { return nil }
                state.nextSleeper += 1
                state.sleepers[state.nextSleeper] = Sleeper(continuation: continuation)
                return state.nextSleeper
            }
            guard let id else { return continuation.resume() }
            let end = clock.after(milliseconds: milliseconds) { [self] in wake(id) }
            let isOver = state.withLock { state in
                state.sleepers[id]?.end = end
                return state.sleepers[id] == nil
            }
            if isOver { end() }
        }
        return state.withLock { !$0.isClosed }
    }

    private func wake(_ id: Int) {
        state.withLock { $0.sleepers.removeValue(forKey: id) }?.continuation.resume()
    }

    /// Ends every wait, and those to come.
    func close() {
        let sleepers = state.withLock { state in
            state.isClosed = true
            defer { state.sleepers = [:] }
            return state.sleepers.values.map { $0 }
        }
        for sleeper in sleepers {
            sleeper.end?()
            sleeper.continuation.resume()
        }
    }
}
