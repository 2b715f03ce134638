internal import FleetInventory
internal import FleetJournal
internal import FleetPlan
internal import FleetReport
public import FleetRollout
internal import FleetRunner
public import FleetTransport

/// The differences between what fleet left on hosts and what the journal says.
public struct Reconciliation: Sendable {
    /// One difference, the command that repairs it, and the hosts that it concerns.
    public struct Finding: Sendable, Hashable {
        /// The difference in one line.
        public let text: String
        /// The hosts that the difference concerns; empty if it concerns the whole environment.
        public internal(set) var hosts: [HostName]
    }

    /// Who is changing the environment from this machine now; nil if nobody is.
    public let holder: String?
    /// The unfinished rollout of the environment; nil if there is none.
    public let unfinished: RolloutID?
    /// The differences that were found.
    public internal(set) var findings: [Finding] = []
    /// The hosts that were asked.
    public let hosts: [HostName]
    /// Whether there is no difference and no unfinished rollout.
    public var isGood: Bool { findings.isEmpty && unfinished == nil }

    mutating func find(_ host: HostName, _ text: String) {
        if let index = findings.firstIndex(where: { $0.text == text }) {
            findings[index].hosts.append(host)
        } else {
            findings.append(Finding(text: text, hosts: [host]))
        }
    }
}

/// The comparison of the journal with the last journal record that each host was told of.
public struct Verification: Sendable {
    /// How the record that one host was told of compares with the journal.
    public enum Answer: Sendable, Hashable {
        /// The journal holds the record, unchanged.
        case agrees
        /// The host was told of no record.
        case nothing
        /// The record is changed or missing in the journal.
        case missed(rollout: RolloutID, sequence: Int)
        /// The record belongs to a rollout that is not in this journal.
        case foreign(rollout: RolloutID)
        /// What the host was told can no longer be read.
        case garbled
        /// The host could not be asked, for this reason.
        case unknown(String)
    }

    /// The result for each host, in the order of the inventory.
    public let answers: [(host: HostName, answer: Answer)]
}

extension Operations {
    /// Compares what fleet left on every host with what the journal says; changes nothing.
    ///
    /// - Throws: ``OperationFailure`` if a selected host does not exist or the journal cannot be read.
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

    /// Checks that the journal still holds the record that each host was told of last.
    ///
    /// - Throws: ``OperationFailure`` if the environment does not exist or the journal cannot be read.
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
