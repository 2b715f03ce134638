internal import FleetInventory
internal import FleetJournal
internal import FleetPlan
internal import FleetReport
public import FleetRollout
internal import FleetRunner
public import FleetTransport

/// What fleet has left on hosts, compared with the journal.
public struct Reconciliation: Sendable {
    /// Something that does not fit, with the command that mends it, and where.
    public struct Finding: Sendable, Hashable {
        /// What, in one line.
        public let text: String
        /// On which hosts; empty if it concerns the environment.
        public internal(set) var hosts: [HostName]
    }

    /// Who changes the environment from this machine at this moment; nil for nobody.
    public let holder: String?
    /// The rollout that has not come to its end; nil for none.
    public let unfinished: RolloutID?
    /// What does not fit.
    public internal(set) var findings: [Finding] = []
    /// The hosts that were asked.
    public let hosts: [HostName]
    /// Whether everything is as the journal says.
    public var isGood: Bool { findings.isEmpty && unfinished == nil }

    mutating func find(_ host: HostName, _ text: String) {
        if let index = findings.firstIndex(where: { $0.text == text }) {
            findings[index].hosts.append(host)
        } else {
            findings.append(Finding(text: text, hosts: [host]))
        }
    }
}

/// How the journal stands to what hosts were told of it.
public struct Verification: Sendable {
    /// What a host was told of.
    public enum Answer: Sendable, Hashable {
        /// A record that is here, as it was.
        case agrees
        /// Nothing.
        case nothing
        /// A record that is changed or missing here.
        case missed(rollout: RolloutID, sequence: Int)
        /// A record of a rollout that is not in this journal.
        case foreign(rollout: RolloutID)
        /// Something that cannot be read any more.
        case garbled
        /// Nobody knows: why the host could not be asked.
        case unknown(String)
    }

    /// What each host was told of, in the inventory's order.
    public let answers: [(host: HostName, answer: Answer)]
}

extension Operations {
    /// Compares what fleet has left on every host with what the journal says; changes nothing.
    ///
    /// - Throws: ``OperationFailure`` for hosts that there are not, and a journal that cannot be read.
    public func reconcile(_ selection: HostSelection) async throws(OperationFailure)
        -> Reconciliation
    {
        let (inventory, hosts) = try selection.hosts(of: project)
        let environment = inventory.environment
        let ledgers = try await ledgers(hosts, environment)
        do throws(JournalError) {
            var result = Reconciliation(
                holder: try controller.leases.holder(of: environment),
                unfinished: try await controller.journal.unfinished(in: environment)?.id,
                hosts: hosts.map(\.name)
            )
            for host in hosts {
                switch ledgers[host.name] {
                case .failure(let error)?:
                    result.find(host.name, "\(error.token): \(error.message)")
                case nil: result.find(host.name, "not asked")
                case .success(let ledger)?:
                    for text in try await differences(ledger, environment, result.unfinished) {
                        result.find(host.name, text)
                    }
                }
            }
            return result
        } catch {
            throw OperationFailure(error)
        }
    }

    /// Compares what every host was told of the journal with what it holds.
    ///
    /// - Throws: ``OperationFailure`` for an environment that there is not, and a journal that cannot be read.
    public func verifyJournal(against environment: String) async throws(OperationFailure)
        -> Verification
    {
        let (_, hosts) = try HostSelection(environment).hosts(of: project)
        let ledgers = try await ledgers(hosts, environment)
        do throws(JournalError) {
            var answers: [(host: HostName, answer: Verification.Answer)] = []
            for host in hosts { answers.append((host.name, try await answer(ledgers[host.name]))) }
            return Verification(answers: answers)
        } catch {
            throw OperationFailure(error)
        }
    }

    private func answer(_ ledger: Result<HostLedger, TransportError>?)
        async throws(JournalError) -> Verification.Answer
    {
        switch ledger {
        case nil: return .unknown("not asked")
        case .failure(let error)?: return .unknown("\(error.token): \(error.message)")
        case .success(let ledger)?:
            if ledger.hasGarbledWitness { return .garbled }
            guard let witness = ledger.witness else { return .nothing }
            return switch try await controller.journal.holds(witness) {
            case true?: .agrees
            case false?: .missed(rollout: witness.rollout, sequence: witness.sequence)
            case nil: .foreign(rollout: witness.rollout)
            }
        }
    }

    private func ledgers(_ hosts: [Host], _ environment: String) async throws(OperationFailure)
        -> [HostName: Result<HostLedger, TransportError>]
    {
        let transport = try await controller.openTransport(for: hosts, in: project)
        return await HostLedger.ask(
            hosts,
            environment: environment,
            over: Survey(transport: transport)
        )
    }

    /// What does not fit, each with what is to be done about it.
    private func differences(
        _ ledger: HostLedger,
        _ environment: String,
        _ unfinished: RolloutID?
    ) async throws(JournalError) -> [String] {
        let journal = controller.journal
        var found: [String] = []
        if let owner = ledger.owner, owner != unfinished?.description {
            let id = RolloutID(owner)
            let known =
                if let id { await outcome(of: id, in: journal) } else { nil as RolloutOutcome? }
            switch known {
            case .unknown?:
                found.append(
                    "locked by rollout \(owner), which ended unknown    "
                        + "fleet revert \(environment) --rollout \(owner)"
                )
            default:
                found.append(
                    "locked by \(owner) (\(ledger.who))    "
                        + "fleet lock break \(environment) --reason REASON    if nobody is at work there"
                )
            }
        }
        for step in ledger.running where step.rollout != unfinished?.description {
            found.append("step \(step.key) of rollout \(step.rollout) still runs")
        }
        for step in ledger.unended where step.rollout != unfinished?.description {
            found.append(
                "step \(step.key) of rollout \(step.rollout) ended without a result    "
                    + "fleet show \(step.rollout)"
            )
        }
        for rollout in ledger.armed where rollout != unfinished?.description {
            found.append("the dead-man switch of rollout \(rollout) is armed: it will go back")
        }
        for rollout in ledger.unwatched {
            found.append(
                "the dead-man switch of rollout \(rollout) is armed, and nobody waits there any more (a "
                    + "reboot, a kill): the host will not go back by itself    fleet show \(rollout)"
            )
        }
        if ledger.hasGarbledWitness {
            found.append(
                "what it was told of the journal cannot be read any more: the next rollout tells it anew"
            )
        }
        if let witness = ledger.witness {
            switch try await journal.holds(witness) {
            case true?: break
            case false?:
                found.append(
                    "was told of record \(witness.sequence) of rollout \(witness.rollout), which is "
                        + "not that any more    fleet journal verify \(environment)"
                )
            case nil:
                found.append(
                    "was last changed by rollout \(witness.rollout), which is not in this journal"
                )
            }
        }
        return found
    }

    private func outcome(of id: RolloutID, in journal: any JournalReader) async -> RolloutOutcome? {
        do {
            return try await RolloutLookup.replay(id, in: journal).outcome
        } catch {
            // The error says that the journal does not know it.
            return nil
        }
    }
}
