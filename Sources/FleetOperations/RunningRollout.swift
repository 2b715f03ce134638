internal import FleetJournal
public import FleetPlan
internal import FleetReport
public import FleetRollout
internal import FleetRunner
internal import Synchronization

/// A rollout that is under way in this process.
public final class RunningRollout: Sendable {
    /// How a rollout ended here.
    public struct End: Sendable {
        /// The rollout, with what became of every host.
        public let rollout: Rollout
        /// What a program exits with.
        public let status: ExitStatus
        /// How long it was carried out, in milliseconds.
        public let elapsedMilliseconds: Int
    }

    /// Its name.
    public let id: RolloutID
    /// What is carried out.
    public let plan: Plan
    /// What was recorded of it before, if it was taken up again.
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

    /// Its records from one on, also those that were written before anybody asked, until its end.
    ///
    /// Any number may follow, as slowly as they like: they read the journal, and nothing is kept for them.
    ///
    /// - Parameter sequence: The first record's number; 1 is the plan.
    /// - Returns: The records, as they become durable.
    public func events(from sequence: Int = 1) -> RolloutEvents {
        RolloutEvents(rollout: id, last: sequence - 1, journal: journal, progress: progress)
    }

    /// Asks to stop: what is in flight finishes, nothing new starts.
    ///
    /// - Parameter signal: The signal that asked, which is recorded; 15 (SIGTERM) where it was none.
    public func stop(signal: Int = 15) { runner.interrupt(signal: signal) }

    /// Asks to stop, as ``Controller/askToStop(_:after:reason:by:)`` does for a rollout of any process.
    ///
    /// - Parameters:
    ///   - point: After what.
    ///   - reason: Why; nil if there is nothing to say.
    ///   - initiator: Who asks.
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

    /// Waits for the end.
    ///
    /// - Throws: ``OperationFailure`` if a record could not be made durable: everything stopped then, and steps on hosts
    ///   go on.
    public func end() async throws(OperationFailure) -> End { try await task.value.get() }

    /// Waits until whoever an environment's `notify` names has heard of the end.
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
