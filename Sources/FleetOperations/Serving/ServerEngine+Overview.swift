internal import FleetInventory
internal import FleetJournal
public import FleetPlan
internal import FleetProject
public import FleetReport
public import FleetRollout
public import FleetServing

/// What there is to say about an environment at a glance, from the journal and the project; no host is asked.
public struct EnvironmentCard: Sendable {
    /// The environment.
    public let environment: String
    /// How many hosts it has; nil if its file cannot be read.
    public let hosts: Int?
    /// Why its file cannot be read; nil if it can.
    public let problem: String?
    /// Whether changes ask for more here.
    public let isProtected: Bool
    /// What runs on all hosts; nil if nothing is known to, or hosts differ.
    public let live: Release?
    /// The rollout that left it there.
    public let liveBy: RolloutID?
    /// The newest rollout that was no command.
    public let last: HistoryLine?
    /// A rollout that has not come to its end.
    public let open: RolloutID?
    /// Who is changing it now; nil if nobody is.
    public let holder: String?
    /// The newest wish that is not over.
    public let wanted: Wish?
    /// Why nothing may be deployed now, and until when; nil if it may.
    public let closed: String?
    /// The newest answers to its smoke tests.
    public let health: [HealthSample]
}

extension ServerEngine {
    /// The environments of the project and of the journal, sorted.
    ///
    /// - Throws: ``OperationFailure`` if the journal cannot be read.
    public func environments() async throws(OperationFailure) -> [String] {
        let known: [String]
        do { known = try await controller.journal.environments() } catch {
            throw OperationFailure(error)
        }
        let written = await keeper.version?.project.environments ?? []
        return Set(known).union(written).sorted()
    }

    /// What there is to say about an environment at a glance.
    ///
    /// - Throws: ``OperationFailure`` if the journal cannot be read.
    public func card(of environment: String) async throws(OperationFailure) -> EnvironmentCard {
        let version = await keeper.version
        var inventory: Inventory?
        var problem: String?
        if let version {
            do { inventory = try version.project.inventoryAsWritten(environment) } catch {
                problem = OperationFailure(error).message
            }
        }
        do throws(JournalError) {
            let journal = controller.journal
            let live = try await journal.live(in: environment)
            return EnvironmentCard(
                environment: environment,
                hosts: inventory?.hosts.count,
                problem: problem,
                isProtected: inventory?.policy.isProtected ?? true,
                live: live?.release,
                liveBy: live?.rollout.id,
                last: try await journal.rollouts(
                    RolloutQuery(
                        environment: environment,
                        limit: 1,
                        changesOnly: true,
                        withTimes: true
                    )
                ).first.map(Records.line),
                open: try await journal.unfinished(in: environment)?.id,
                holder: try controller.leases.holder(of: environment),
                wanted: try await store.wishes(of: environment).last { !$0.state.isOver },
                closed: inventory.flatMap { closed($0.policy) },
                health: try await journal.newestSamples(of: environment)
            )
        } catch {
            throw OperationFailure(error)
        }
    }

    /// Why nothing may be deployed now, and when something may again; nil if it may.
    private func closed(_ policy: EnvironmentPolicy) -> String? {
        guard !policy.freezes.isEmpty || !policy.windows.isEmpty else { return nil }
        guard let offset = TimeZones.offset(of: policy.timeZone) else {
            return "nobody can tell: there is no time zone `\(policy.timeZone)`"
        }
        let now = Self.now() / 1000
        guard
            let closure = policy.closure(
                at: LocalTime(unixSeconds: now, offsetSeconds: offset(now))
            )
        else { return nil }
        let why =
            switch closure {
            case .frozen(let window): "frozen (\(window.text))"
            case .outside: "outside of its windows"
            }
        guard let next = policy.nextOpening(from: now, offset: offset) else { return why }
        let local = DurationText.utc(unixMilliseconds: (next + offset(next)) * 1000)
        return "\(why) until \(local.dropLast(3)) (\(policy.timeZone))"
    }

    /// Answers to smoke tests since a time.
    ///
    /// - Throws: ``OperationFailure`` if the journal cannot be read.
    public func health(of environment: String, since unixMilliseconds: Int)
        async throws(OperationFailure) -> [HealthSample]
    {
        do {
            return try await controller.journal.samples(of: environment, since: unixMilliseconds)
        } catch {
            throw OperationFailure(error)
        }
    }

    /// The approvals for an environment, the newest first.
    ///
    /// - Throws: ``OperationFailure`` if the journal cannot be read.
    public func approvals(for environment: String) async throws(OperationFailure) -> [Approval] {
        do { return try await controller.journal.approvals(for: environment) } catch {
            throw OperationFailure(error)
        }
    }
}

extension ServerEngine {
    /// Who is changing an environment on this machine now; nil if nobody is.
    ///
    /// - Throws: ``OperationFailure`` if that cannot be determined.
    public func holder(of environment: String) throws(OperationFailure) -> String? {
        do { return try controller.leases.holder(of: environment) } catch {
            throw OperationFailure(error)
        }
    }

    /// Says something in the server's log.
    public func say(_ text: String) { say(.warning(text)) }
}
