internal import FleetInventory
internal import FleetJournal
internal import FleetRunner
internal import FleetTransport

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
