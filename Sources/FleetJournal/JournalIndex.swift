internal import FleetDigest
internal import FleetPlan
internal import FleetRollout
internal import FleetTransport
internal import FoundationEssentials
internal import GRDB

/// What history and policy are asked of, beside the records that tell it: a plan is long, and read seldom.
enum JournalIndex {
    /// What of an aim is read only where hosts matter.
    struct Hosts: Codable {
        let groups: [RolloutAim.Group]
        let others: [HostName]
    }

    /// Writes down what a record tells.
    ///
    /// - Parameters:
    ///   - entry: The record.
    ///   - id: Its number in the journal.
    ///   - database: A database that is being written to.
    ///   - onlyNew: Whether the tables of older schemas have it already.
    /// - Throws: Whatever SQLite says.
    static func note(
        _ entry: JournalEntry,
        _ id: Int64,
        in database: Database,
        onlyNew: Bool = false
    ) throws {
        let rollout = entry.rollout.description
        switch entry.body {
        case .planned(let plan, let origin):
            if !onlyNew {
                try database.execute(
                    sql: "INSERT INTO rollout VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    arguments: [
                        rollout, plan.environment, plan.kind.rawValue, plan.title,
                        plan.release?.label ?? "", plan.hosts.count, origin.user,
                        entry.unixMilliseconds,
                    ]
                )
            }
            guard plan.kind != .exec else { return }
            let aim = RolloutAim(plan, origin)
            try database.execute(
                sql: "INSERT INTO aim VALUES (?, ?, ?, ?, ?)",
                arguments: [
                    rollout, aim.release?.commit ?? "", aim.undoes?.description ?? "",
                    body(of: aim), hosts(of: aim),
                ]
            )
        case .effect(.finish(let outcome)) where !onlyNew:
            try database.execute(
                sql: "INSERT INTO ending (rollout, outcome, ended) VALUES (?, ?, ?)",
                arguments: [rollout, outcome.rawValue, entry.unixMilliseconds]
            )
        case .effect(.decide(let decision, let reason)):
            try database.execute(
                sql: "INSERT INTO decision VALUES (?, ?, ?)",
                arguments: [rollout, decision.rawValue, reason == Rollout.askedBack]
            )
        case .askedToStop(let request):
            try database.execute(
                sql: "INSERT INTO request (rollout, entry) VALUES (?, ?)",
                arguments: [request.rollout.description, id]
            )
        default: break
        }
    }

    static func body(of aim: RolloutAim) -> Data {
        Data(CanonicalJSON.encode(aim.with(groups: [], otherHosts: [])))
    }

    static func hosts(of aim: RolloutAim) -> Data {
        Data(CanonicalJSON.encode(Hosts(groups: aim.groups, others: aim.otherHosts)))
    }

    /// An aim from what was written down.
    static func aim(body: Data, hosts: Data?) throws -> RolloutAim {
        let aim = try CanonicalJSON.decode(RolloutAim.self, from: Array(body))
        guard let hosts else { return aim }
        let known = try CanonicalJSON.decode(Hosts.self, from: Array(hosts))
        return aim.with(groups: known.groups, otherHosts: known.others)
    }
}
