internal import FleetJournal
public import FleetPlan
internal import FleetReport
public import FleetRollout
internal import FleetRunner
internal import Synchronization

/// A rollout that is under way in this process.
public final class RunningRollout: Sendable {
    /// The result of a rollout in this process.
    public struct End: Sendable {
        /// The rollout, with what became of every host.
        public let rollout: Rollout
        /// The exit status of the program.
        public let status: ExitStatus
        /// How long this process carried out the rollout, in milliseconds.
        public let elapsedMilliseconds: Int
    }

    /// Whether it has come to its end; commands of `notify` may still be told.
    public var isOver: Bool { progress.state.isOver }

    /// Its name.
    public let id: RolloutID
    /// The plan that is carried out.
    public let plan: Plan
    /// The records from before the rollout was resumed; empty for a new rollout.
    public let earlier: [JournalEntry]
    private let runner: RolloutRunner
    private let journal: Journal
    private let progress: RolloutProgress
    private let task: Task<Result<End, OperationFailure>, Never>
    private let telling: Task<Void, Never>

    init(
        id: RolloutID,
        plan: Plan,
        origin: RolloutOrigin,
        earlier: RolloutRunner.Earlier?,
        runner: (@escaping @Sendable (RolloutUpdate) -> Void) -> RolloutRunner,
        notifier: Notifier?,
        journal: Journal,
        lease: (any EnvironmentLease)?,
        isToGoBack: Bool,
        watch: @escaping @Sendable (RolloutUpdate) -> Void
    ) {
        self.id = id
        self.plan = plan
        self.earlier = earlier?.entries ?? []
        self.journal = journal
        let progress = RolloutProgress()
        self.progress = progress
        let begun = Rollout(plan: plan, replaying: earlier?.entries ?? [])
        let beginning = Beginning {
            await notifier?.tell(.start(of: begun, id: id, origin: origin))
        }
        let runner = runner { update in
            if case .recorded(let entries) = update { beginning.look(at: entries) }
            watch(update)
            if case .recorded = update { progress.moved() }
        }
        self.runner = runner
        let task = Task<Result<End, OperationFailure>, Never> {
            defer { progress.ended() }
            let start = ContinuousClock.now
            let rollout: Rollout
            do throws(JournalError) {
                rollout = try await runner.run()
            } catch {
                lease?.release()
                return .failure(OperationFailure(error))
            }
            let elapsed = Int((ContinuousClock.now - start) / .milliseconds(1))
            // Whoever hears of the end may begin the next one.
            lease?.release()
            journal.trim()
            return .success(
                End(
                    rollout: rollout,
                    status: Self.status(of: rollout, plan.kind, isToGoBack: isToGoBack),
                    elapsedMilliseconds: elapsed
                )
            )
        }
        self.task = task
        telling = Task {
            let result = await task.value
            guard let notifier else { return }
            await beginning.isTold()
            switch result {
            case .success(let end):
                guard let notice = Notice.end(of: end.rollout, id: id, origin: origin) else {
                    return
                }
                await notifier.tell(notice)
            case .failure(let failure):
                await notifier.tell(.stop(of: begun, id: id, origin: origin, why: failure.message))
            }
        }
    }

    private static func status(of rollout: Rollout, _ kind: Plan.Kind, isToGoBack: Bool)
        -> ExitStatus
    {
        if rollout.isLockedOut { return .locked }
        // No host was changed: some of them said no to a question.
        if rollout.outcome == .held, !rollout.isTouched { return .saidNo }
        if isToGoBack, rollout.outcome == .reverted { return .succeeded }
        return ExitStatus(rollout.outcome ?? .interrupted, of: kind)
    }

    /// Returns the records of the rollout from a given one until the end, including those already written.
    ///
    /// Any number of readers may follow at any speed: they read from the journal, and no record is buffered for them.
    ///
    /// - Parameter sequence: The number of the first record to return; record 1 holds the plan.
    /// - Returns: The records, each once it is durable.
    public func events(from sequence: Int = 1) -> RolloutEvents {
        RolloutEvents(rollout: id, last: sequence - 1, journal: journal, progress: progress)
    }

    /// Asks the rollout to stop: what is in progress finishes, and nothing new starts.
    ///
    /// - Parameter signal: The number of the signal to record; 15 (SIGTERM) if the request did not come from a signal.
    public func stop(signal: Int = 15) { runner.interrupt(signal: signal) }

    /// Asks this rollout to stop, as ``Controller/askToStop(_:after:reason:by:)`` does for a rollout of any process.
    ///
    /// - Parameters:
    ///   - point: The point at which the rollout stops.
    ///   - reason: Why the rollout should stop; nil if no reason is given.
    ///   - initiator: Who makes the request.
    public func stop(
        after point: StopRequest.Point,
        reason: String? = nil,
        by initiator: Initiator
    ) {
        runner.stop(
            StopRequest(
                id,
                after: point,
                user: initiator.user,
                machine: initiator.machine,
                reason: reason
            )
        )
    }

    /// Waits for the end of the rollout.
    ///
    /// - Throws: ``OperationFailure`` if a record could not be made durable. The rollout has stopped then, but steps
    ///   that were running on hosts continue.
    public func end() async throws(OperationFailure) -> End { try await task.value.get() }

    /// Waits until all commands of the environment's `notify` were told of the end.
    public func isTold() async { await telling.value }
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
