internal import FleetJournal
internal import FleetPlan
internal import FleetProject
internal import FleetReport
internal import FleetRollout
internal import FleetRunner
internal import FleetServing

/// Acts upon what providers tell and what refs point at: finds out what is wanted, and begins it when it may begin.
///
/// Everything that it knows is in the store. It may be killed between any two of its steps, and the next one goes on:
/// what is wanted is begun once.
public actor Dispatcher {
    let engine: ServerEngine
    /// The environments that are being looked after.
    private var busy: Set<String> = []
    /// When a wish that is held is looked at again, in milliseconds since 1970, by its number.
    private var retry: [Int: Int] = [:]
    /// When each hook's refs are looked at again, in milliseconds since 1970.
    private var looks: [String: Int] = [:]
    private var looking: Set<String> = []
    /// Rollouts that an earlier server has left, and that could not be taken up yet.
    private var left: Set<RolloutID> = []
    /// Why a hook's repository could not be asked; none for those that could.
    public internal(set) var problems: [String: String] = [:]
    private var nextPoll = 0
    private var nextAging = 0
    private var nextReconciling = 0

    /// How long is waited at most before it is looked whether there is something to do, in milliseconds.
    private static let idleMilliseconds = 1_000
    /// How long a wish that is held waits before the policy is asked again, in milliseconds.
    private static let heldMilliseconds = 15_000
    /// How often wishes are looked at whose rollouts nobody here carries out, in milliseconds.
    private static let reconcilingMilliseconds = 5_000
    /// How many deliveries are acted upon at a time.
    private static let batch = 50

    /// Prepares to act for a server.
    public init(for engine: ServerEngine) { self.engine = engine }

    /// Acts until the task is cancelled.
    public func run() async {
        await takeUp()
        while !Task.isCancelled {
            let rings = engine.bell.rings
            let isMore = await step()
            guard !isMore else { continue }
            await engine.bell.wait(beyond: rings, milliseconds: Self.idleMilliseconds)
        }
    }

    /// Does what is to be done now.
    ///
    /// - Returns: Whether there is more of it.
    func step() async -> Bool {
        guard !engine.rollouts.isClosed else { return false }
        let now = WallClock.unixMilliseconds()
        do throws(JournalError) {
            // First what needs no repository to answer.
            try await reconcile(at: now)
            try await grant(at: now)
            let due = try await engine.store.dueDeliveries(at: now, limit: Self.batch)
            var silent: Set<String> = []
            for delivery in due { try await act(on: delivery, at: now, &silent) }
            if !due.isEmpty { try await grant(at: now) }
            for hook in engine.file.hooks
            where looks[hook.name] ?? 0 <= now && looking.insert(hook.name).inserted {
                looks[hook.name] = now + hook.pollMilliseconds
                Task { await self.lookAside(hook, at: now) }
            }
            if nextPoll <= now {
                nextPoll = now + engine.file.project.pollMilliseconds
                Task { await self.lookAtProject() }
            }
            if nextAging <= now {
                nextAging = now + 3_600_000
                try await engine.store.age(at: now)
            }
            return due.count == Self.batch
        } catch {
            // Nothing is begun that could not be recorded; it is tried again.
            engine.say(.warning("the server's store: \(error.message)", next: error.hint))
            return false
        }
    }

    /// Looks at a hook's refs while other things go on: a repository may take a minute not to answer.
    private func lookAside(_ hook: Hook, at now: Int) async {
        do throws(JournalError) { try await look(at: hook, at: now) } catch {
            engine.say(.warning("the server's store: \(error.message)", next: error.hint))
        }
        looking.remove(hook.name)
        engine.bell.ring()
    }

    /// The branch is looked at although nobody asks: what its files ask people to agree to is shown before it is needed.
    private func lookAtProject() async {
        do throws(OperationFailure) { _ = try await engine.keeper.refresh() } catch {
            engine.say(.warning(error.message, next: error.hints.first))
        }
    }

    // MARK: Wishes

    /// Looks at wishes that are under way and that nobody in this process looks after: their rollouts were left, and
    /// may have been brought to their end by somebody else since.
    private func reconcile(at now: Int) async throws(JournalError) {
        guard nextReconciling <= now else { return }
        nextReconciling = now + Self.reconcilingMilliseconds
        for wish in try await engine.store.openWishes()
        where !wish.state.isWaiting && !busy.contains(wish.environment) {
            if case .running(let name) = wish.state,
                RolloutID(name).flatMap(engine.rollouts.running) != nil
            {
                continue
            }
            try await takeUp(wish)
        }
        guard !left.isEmpty else { return }
        await takeUpRollouts(left)
    }

    private func grant(at now: Int) async throws(JournalError) {
        let open = try await engine.store.openWishes()
        for environment in Set(open.map(\.environment)).subtracting(busy).sorted() {
            let wishes = open.filter { $0.environment == environment }
            var passed: [String: Set<String>] = [:]
            for hook in Set(wishes.map(\.hook)) {
                let commits = wishes.filter { $0.hook == hook }.map(\.commit)
                passed.merge(try await engine.store.passed(commits, of: hook)) { $0.union($1) }
            }
            let resting = Set(wishes.map(\.id).filter { retry[$0] ?? 0 > now })
            guard let wish = WishBook(wishes).next(passed: passed, resting: resting) else {
                continue
            }
            busy.insert(environment)
            Task { await self.grant(wish) }
        }
    }

    private func grant(_ wish: Wish) async {
        do throws(JournalError) {
            try await tryToGrant(wish)
        } catch {
            engine.say(.warning("the server's store: \(error.message)", next: error.hint))
            retry[wish.id] = WallClock.unixMilliseconds() + Self.heldMilliseconds
        }
        busy.remove(wish.environment)
    }

    private func tryToGrant(_ wish: Wish) async throws(JournalError) {
        let environment = wish.environment
        if let holder = try engine.controller.leases.holder(of: environment) {
            return try await hold(
                wish,
                [Sanitizer.line("\(environment) is being changed: \(holder)")],
                2_000
            )
        }
        if let open = try await engine.controller.journal.unfinished(in: environment) {
            return try await hold(
                wish,
                ["rollout \(open.id) has not come to its end; resume it or take it back"]
            )
        }
        if let live = try await engine.controller.journal.live(in: environment),
            live.release.commit == wish.commit
        {
            let state = Wish.State.done(
                rollout: live.rollout.id.description,
                outcome: "runs already"
            )
            return try await conclude(wish, state)
        }
        let person = person(wish.person, of: wish.hook)
        let begun: (wish: Wish, rollout: RunningRollout)
        do throws(OperationFailure) {
            guard let started = try await begin(wish, by: person) else { return }
            begun = started
        } catch {
            return try await settle(wish, error)
        }
        try await carryThrough(begun.wish, begun.rollout)
    }

    /// Prepares a wish, and begins it if nothing stands against it.
    private func begin(_ wish: Wish, by person: ServerEngine.Person)
        async throws(OperationFailure) -> (Wish, RunningRollout)?
    {
        let release: ReleaseSelection = wish.tag.map { .tag($0) } ?? .commit(wish.commit)
        var request = DeployRequest(
            to: HostSelection(wish.environment),
            choice: RolloutChoice(release: release)
        )
        request.choice.mustBe = wish.commit
        // A rule of the server file has said so; whether it may be now is the policy's.
        request.terms.isConfirmed = true
        let words = ServedRequest.deploy(request).words
        let (operations, version) = try await engine.operations(
            for: person,
            command: "\(words) (hook \(wish.hook))",
            // Who pushed is not known of what was found by looking.
            authors: wish.person.isKnown ? [person.name] : nil
        )
        await engine.keeper.hold(version.commit)
        let result: Result<(Wish, RunningRollout)?, OperationFailure>
        do throws(OperationFailure) {
            result = .success(try await begin(wish, request, operations, version))
        } catch {
            result = .failure(error)
        }
        await engine.keeper.giveBack(version.commit)
        return try result.get()
    }

    private func begin(
        _ wish: Wish,
        _ request: DeployRequest,
        _ operations: Operations,
        _ version: ProjectKeeper.Version
    ) async throws(OperationFailure) -> (Wish, RunningRollout)? {
        let prepared = try await operations.prepare(request)
        let objections = try await operations.objections(to: prepared)
        do {
            guard objections.isEmpty else {
                try await hold(wish, objections)
                return nil
            }
            // Written down before it is done: whoever comes after a crash looks for a rollout of this plan.
            var starting = wish
            starting.state = .starting(
                digest: prepared.plan.digest,
                at: WallClock.unixMilliseconds()
            )
            guard try await engine.store.move(wish, to: starting.state) else { return nil }
            let running: RunningRollout
            do throws(OperationFailure) {
                running = try await engine.begin(operations, on: version) {
                    () throws(OperationFailure) in prepared
                }
            } catch {
                guard try await engine.store.move(starting, to: wish.state) else { return nil }
                throw error
            }
            var begun = starting
            begun.state = .running(rollout: running.id.description)
            _ = try await engine.store.move(starting, to: begun.state)
            return (begun, running)
        } catch let error as JournalError {
            throw OperationFailure(error)
        } catch let error as OperationFailure {
            throw error
        } catch {
            throw OperationFailure(.internalError, "\(error)")
        }
    }

    /// What becomes of a wish that could not be begun.
    private func settle(_ wish: Wish, _ failure: OperationFailure) async throws(JournalError) {
        let code = ErrorCatalog.code(in: failure.message)
        // These do not change by waiting.
        if code == "E_QUARANTINE" || code == "E_TAG_MOVED" {
            _ = try await engine.store.move(wish, to: .refused(reason: failure.message))
        } else {
            try await hold(wish, [failure.message])
        }
    }

    private func hold(_ wish: Wish, _ reasons: [String], _ milliseconds: Int = heldMilliseconds)
        async throws(JournalError)
    {
        retry[wish.id] = WallClock.unixMilliseconds() + milliseconds
        let state = Wish.State.held(reasons: reasons)
        guard wish.state != state else { return }
        _ = try await engine.store.move(wish, to: state)
    }

    /// Waits for the end of a rollout that a wish has led to, and goes on to the environment after it.
    private func carryThrough(_ wish: Wish, _ running: RunningRollout) async throws(JournalError) {
        let outcome: String
        do throws(OperationFailure) {
            outcome = try await running.end().rollout.outcome?.rawValue ?? "unfinished"
        } catch {
            // Its records could not be made durable: the next server finds it as it is.
            return engine.say(.warning(error.message, next: error.hints.first))
        }
        try await finish(wish, running.id.description, outcome)
    }

    private func finish(_ wish: Wish, _ rollout: String, _ outcome: String)
        async throws(JournalError)
    {
        // Somebody takes it up again, or takes it back; then it has an end.
        guard outcome != RolloutOutcome.interrupted.rawValue else { return }
        try await conclude(wish, .done(rollout: rollout, outcome: outcome))
    }

    /// Ends a wish, and adds what follows from it in the same moment.
    private func conclude(_ wish: Wish, _ state: Wish.State) async throws(JournalError) {
        var next: Wish?
        if case .done(_, let outcome) = state, Self.isThere(outcome) {
            next = WishBook.following(wish, at: WallClock.unixMilliseconds())
        }
        _ = try await engine.store.move(wish, to: state, adding: next)
        engine.bell.ring()
    }

    /// What a wish is said to have come to if its release runs there without a rollout of its own.
    private static let runsAlready = "runs already"

    private static func isThere(_ outcome: String) -> Bool {
        outcome == RolloutOutcome.succeeded.rawValue || outcome == runsAlready
    }

    /// Lets a wish that waits be tried at once: something has changed.
    public func hurry() {
        retry = [:]
        engine.bell.ring()
    }

    /// Whoever caused a wish: an account if one is known by that login or address.
    func person(_ person: HookFacts.Person, of hook: String) -> ServerEngine.Person {
        if let hook = engine.file.hook(named: hook),
            let account = engine.file.account(
                login: person.login,
                at: hook.provider,
                address: person.address
            )
        {
            return ServerEngine.Person(account)
        }
        // A login at a provider is no account here, even if it is spelled like one.
        let provider = engine.file.hook(named: hook)?.provider.rawValue ?? hook
        return ServerEngine.Person(
            name: Sanitizer.line("\(person.name) at \(provider)"),
            address: person.address
        )
    }

    // MARK: After a restart

    /// Takes up what an earlier server has left: rollouts that it owned, and wishes that were under way.
    private func takeUp() async {
        do throws(JournalError) {
            for wish in try await engine.store.openWishes() where !wish.state.isWaiting {
                try await takeUp(wish)
            }
        } catch {
            engine.say(.warning("the server's store: \(error.message)", next: error.hint))
        }
        await takeUpRollouts(nil)
    }

    /// Takes rollouts up again; those that cannot be are tried later.
    ///
    /// - Parameter known: Those that are still wanted; nil for all that there are.
    private func takeUpRollouts(_ known: Set<RolloutID>?) async {
        do throws(OperationFailure) {
            let found = try await leftBehind()
            left = Set(found.map(\.id)).filter { known?.contains($0) ?? true }
            for (id, direction) in found where left.contains(id) {
                if await resume(id, direction, isFirst: known == nil) { left.remove(id) }
            }
        } catch {
            engine.say(.warning(error.message, next: error.hints.first))
        }
    }

    private func takeUp(_ wish: Wish) async throws(JournalError) {
        switch wish.state {
        case .starting(let digest, let since):
            let found: RolloutID?
            do throws(OperationFailure) {
                found = try await engine.controller.rollout(
                    of: digest,
                    in: wish.environment,
                    since: since
                )
            } catch {
                return engine.say(.warning(error.message))
            }
            // Nothing was begun: it is wanted as before.
            guard let found else {
                _ = try await engine.store.move(wish, to: .queued)
                return
            }
            var running = wish
            running.state = .running(rollout: found.description)
            guard try await engine.store.move(wish, to: running.state) else { return }
            try await takeUp(running)
        case .running(let name):
            guard let id = RolloutID(name), engine.rollouts.running(id) == nil else { return }
            // It was to begin, and its first record was never written: it is wanted as before.
            guard try await engine.controller.journal.beginning(of: id) != nil else {
                _ = try await engine.store.move(wish, to: .queued)
                return
            }
            let outcome: RolloutOutcome?
            do throws(OperationFailure) {
                outcome = try await RolloutLookup.replay(id, in: engine.controller.journal).outcome
            } catch {
                return engine.say(.warning(error.message))
            }
            if let outcome { try await finish(wish, name, outcome.rawValue) }
        case .awaitingCI, .queued, .held, .done, .refused, .dropped: break
        }
    }

    /// Rollouts that a server on this machine began or took up last, which nobody has asked to stop, and the direction in
    /// which they were going.
    private func leftBehind() async throws(OperationFailure) -> [(
        id: RolloutID, direction: ResumeDirection
    )] {
        var found: [(id: RolloutID, direction: ResumeDirection)] = []
        do throws(JournalError) {
            for environment in try await engine.controller.journal.environments() {
                guard let open = try await engine.controller.journal.unfinished(in: environment),
                    try engine.controller.leases.holder(of: environment) == nil
                else { continue }
                let entries = try await engine.controller.journal.entries(of: open.id)
                guard case .planned(_, let first) = entries.first?.body else { continue }
                var origin = first
                // Whoever asked it to stop wants to look first.
                var isStopped = false
                for entry in entries {
                    switch entry.body {
                    case .takenUp(let taking): origin = taking.origin
                    case .event(.askedToStop): isStopped = true
                    case .event(.resumed): isStopped = false
                    default: break
                    }
                }
                guard !isStopped, origin.command.hasPrefix("serve: "),
                    origin.machine == engine.machine
                else { continue }
                found.append((open.id, origin.command.hasSuffix("--back") ? .back : .onward))
            }
        } catch {
            throw OperationFailure(error)
        }
        return found
    }

    /// Takes a rollout up.
    ///
    /// - Returns: Whether nothing more has to be tried.
    private func resume(_ id: RolloutID, _ direction: ResumeDirection, isFirst: Bool) async -> Bool
    {
        let request = ServedRequest.resume(ResumeRequest(id, direction))
        let person = ServerEngine.Person(name: "the server", address: nil)
        do throws(OperationFailure) {
            let (operations, version) = try await engine.operations(
                for: person,
                command: request.words
            )
            let running = try await engine.begin(operations, on: version) {
                () throws(OperationFailure) in
                var prepared = try await operations.prepare(request)
                // It was agreed to when it began.
                prepared.terms.isConfirmed = true
                return prepared
            }
            engine.say(.note("rollout \(id), which the server had left, is taken up again"))
            Task { await self.finishTakenUp(running) }
            return true
        } catch {
            if isFirst {
                engine.say(
                    .warning(
                        "rollout \(id), which the server had left, cannot be taken up yet: \(error.message)",
                        next: "fleet resume \(id)"
                    )
                )
            }
            return false
        }
    }

    private func finishTakenUp(_ running: RunningRollout) async {
        do {
            for wish in try await engine.store.openWishes() {
                if case .running(running.id.description) = wish.state {
                    try await carryThrough(wish, running)
                }
            }
        } catch {
            engine.say(.warning("the server's store: \(error)"))
        }
    }
}
