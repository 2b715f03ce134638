import ArgumentParser
import FleetInventory
import FleetJournal
import FleetOperations
import FleetPlan
import FleetReport
import FleetRollout
import FleetRunner
import FleetTransport

/// `fleet reconcile ENV`.
struct ReconcileCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reconcile",
        _superCommandName: Fleet.name,
        abstract: "Compare what fleet has left on every host with what the journal says.",
        discussion: """
            Read-only: locks, steps that still run or ended without a result, armed dead-man
            switches, and the record that each host was last changed under. What the hosts run is
            what `fleet status` compares. Exits 1 if something does not fit, with the command that
            mends it.
            """
    )

    @OptionGroup var hosts: HostOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let project = try await common.openProject()
        let (_, selected) = try hosts.select(in: project)
        let (directory, journal) = try common.openJournal()
        let transport = try await common.openTransport(for: selected, in: project)
        let ledgers = await HostLedger.ask(
            selected,
            environment: hosts.environment,
            over: Survey(transport: transport)
        )
        var findings: [(text: String, hosts: [HostName])] = []
        func find(_ host: HostName, _ text: String) {
            if let index = findings.firstIndex(where: { $0.text == text }) {
                findings[index].hosts.append(host)
            } else {
                findings.append((text, [host]))
            }
        }
        let unfinished = try journal.unfinished(in: hosts.environment)
        let holder = try EnvironmentLock.holder(of: hosts.environment, in: directory)
        if let holder {
            common.print("under way on this machine: \(Sanitizer.line(holder))")
        } else if let unfinished {
            common.print(
                "rollout \(unfinished.id) has not come to its end    fleet resume \(unfinished.id)"
            )
        }
        for host in selected {
            switch ledgers[host.name] {
            case .failure(let error): find(host.name, "\(error.token): \(error.message)")
            case nil: find(host.name, "not asked")
            case .success(let ledger):
                for text in try differences(ledger, journal, unfinished?.id) {
                    find(host.name, text)
                }
            }
        }
        for finding in findings {
            common.print("\(HostRange.fold(finding.hosts))  \(Sanitizer.line(finding.text))")
        }
        guard findings.isEmpty, unfinished == nil else { throw ExitStatus.saidNo }
        common.print(
            "\(HostRange.fold(selected.map(\.name))): everything there is as the journal says"
        )
    }

    /// What does not fit, each with what is to be done about it.
    private func differences(_ ledger: HostLedger, _ journal: Journal, _ unfinished: RolloutID?)
        throws -> [String]
    {
        var found: [String] = []
        if let owner = ledger.owner, owner != unfinished?.description {
            let known = RolloutID(owner).flatMap { id in outcome(of: id, in: journal) }
            switch known {
            case .unknown?:
                found.append(
                    "locked by rollout \(owner), which ended unknown    "
                        + "fleet revert \(hosts.environment) --rollout \(owner)"
                )
            default:
                found.append(
                    "locked by \(owner) (\(ledger.who))    "
                        + "fleet lock break \(hosts.environment) --reason REASON    if nobody is at work there"
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
            switch try journal.holds(witness) {
            case true?: break
            case false?:
                found.append(
                    "was told of record \(witness.sequence) of rollout \(witness.rollout), which is "
                        + "not that any more    fleet journal verify \(hosts.environment)"
                )
            case nil:
                found.append(
                    "was last changed by rollout \(witness.rollout), which is not in this journal"
                )
            }
        }
        return found
    }

    private func outcome(of id: RolloutID, in journal: Journal) -> RolloutOutcome? {
        do {
            return try RolloutLookup.replay(id, in: journal).outcome
        } catch {
            // The error says that the journal does not know it.
            return nil
        }
    }
}

/// What fleet has left on a host, as the host tells it.
struct HostLedger {
    /// A step of some rollout.
    struct Step: Hashable {
        let rollout: String
        let key: String
    }

    /// Who holds the lock; nil if it is free.
    var owner: String?
    var who = ""
    /// Where the journal was that changed the host last.
    var witness: JournalHead?
    /// Whether what the host was told of the journal cannot be read any more.
    var hasGarbledWitness = false
    var running: [Step] = []
    var unended: [Step] = []
    /// Rollouts whose dead-man switch will fire, and those whose switch has lost whoever waits at it.
    var armed: [String] = []
    var unwatched: [String] = []

    init(_ text: String) {
        for line in text.split(whereSeparator: \.isNewline) {
            guard let equals = line.firstIndex(of: "=") else { continue }
            let value = String(line[line.index(after: equals)...])
            guard !value.isEmpty else { continue }
            let parts = value.split(separator: "/").map(String.init)
            let step = parts.count == 2 ? Step(rollout: parts[0], key: parts[1]) : nil
            switch line[..<equals] {
            case "owner": owner = value
            case "who": who = value
            case "witness":
                witness = JournalHead(text: value)
                hasGarbledWitness = witness == nil
            case "running": running += step.map { [$0] } ?? []
            case "unended": unended += step.map { [$0] } ?? []
            case "armed": armed.append(value)
            case "unwatched": unwatched.append(value)
            default: break
            }
        }
    }

    /// Asks hosts for what fleet has left there.
    static func ask(_ hosts: [Host], environment: String, over survey: Survey) async
        -> [HostName: Result<HostLedger, TransportError>]
    {
        let lock = HostLock(environment: environment, owner: "-", description: "")
        return await survey.askAll(hosts.map { ($0, lock.ledger) }).mapValues { answer in
            answer.map { HostLedger($0) }
        }
    }
}
