import FleetPlan
import FleetRollout
import FleetTestSupport
import FleetTransport
import Foundation
import GRDB
import Synchronization
import Testing

@testable import FleetJournal

/// Journals that older fleets wrote: `schema-3.sqlite.gz` is a real one, of five rollouts and an approval.
struct SchemaTests {
    private let directory: TemporaryDirectory
    private let state: StateDirectory

    init() throws {
        directory = try TemporaryDirectory()
        state = try StateDirectory(path: directory.path + "/state")
    }

    /// What turns the fixture's schema into an older one.
    private static let older = [
        1: """
        CREATE TABLE outcome (rollout TEXT PRIMARY KEY REFERENCES rollout (id), outcome TEXT NOT NULL,
            ended INTEGER NOT NULL) STRICT;
        INSERT INTO outcome SELECT rollout, outcome, ended FROM ending;
        CREATE TRIGGER outcome_keeps_delete BEFORE DELETE ON outcome
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
        DROP TABLE ending; DROP TABLE sample; PRAGMA user_version = 1;
        """,
        2: "DROP TABLE sample; PRAGMA user_version = 2;",
        3: "",
    ]

    private func write(schema: Int, to state: StateDirectory? = nil) throws {
        let state = state ?? self.state
        let fixture = Package.root + "/Tests/FleetJournalTests/Fixtures/schema-3.sqlite.gz"
        try Command.shell("gzip -dc '\(fixture)' >journal.sqlite", in: state.path)
        let database = try DatabaseQueue(path: state.path + "/journal.sqlite")
        try database.write { try $0.execute(sql: #require(Self.older[schema])) }
        let version = try database.read { try Int.fetchOne($0, sql: "PRAGMA user_version") }
        #expect(version == schema)
        try database.close()
    }

    @Test("A journal of every older schema opens, verifies, replays and goes on", arguments: 1...3)
    func opens(_ schema: Int) async throws {
        try write(schema: schema)
        let journal = try Journal(in: state)
        #expect(try await journal.verify() == 72)
        let records = try await journal.changes(in: "staging")
        #expect(records.map(\.release) == ["v1.0.0", "v1.2.0", "v1.1.0", "v1.0.0"])
        #expect(records.map(\.outcome) == [.succeeded, .reverted, .succeeded, .succeeded])
        #expect(records[0].aim?.undoes == records[2].id, "it took back v1.1.0")
        for record in records {
            let entries = try await journal.entries(of: record.id)
            guard case .planned(let plan, _) = entries.first?.body else {
                throw Command.Failed(description: "no plan")
            }
            #expect(try Rollout.replay(plan, entries).outcome == record.outcome)
            #expect(try await !journal.outputs(of: record.id).isEmpty)
        }
        let live = try #require(try await journal.live(in: "staging"))
        #expect(live.release.tag == "v1.0.0" && live.rollout.id == records[0].id)
        let bad = try #require(records[1].aim?.release)
        #expect(try await journal.reverted(bad.commit, in: "staging")?.id == records[1].id)
        #expect(try await journal.approvals(for: "staging").count == 1)
        #expect(try await journal.clients(of: ["web1"], in: "staging").isEmpty == false)

        // The chain goes on where the old one ends, and both are checked from then on.
        let id = try #require(RolloutID("r1"))
        try await journal.append(JournalTests.entries(id))
        #expect(try await journal.verify() == 76)
        #expect(try await Journal(in: state).verify() == 76, "it is brought up to date once")
        let old = try await journal.entries(of: records[3].id)
        let database = try DatabaseQueue(path: state.path + "/journal.sqlite")
        let hash = try await database.write { database in
            try String.fetchOne(database, sql: "SELECT hash FROM entry ORDER BY id LIMIT 1")
        }
        let first = JournalHead(rollout: records[3].id, sequence: 1, hash: try #require(hash))
        #expect(old.first?.sequence == 1)
        #expect(try await journal.holds(first) == true)
        try await database.write { database in
            try database.execute(sql: "DROP TRIGGER entry_keeps_delete")
            try database.execute(sql: "DELETE FROM entry WHERE id = 72")
        }
        await #expect(throws: JournalError.self) { _ = try await journal.verify() }
    }

    /// Row O13.
    @Test("While an older fleet changes an environment, its journal stays as it is")
    func olderAtWork() async throws {
        try write(schema: 3)
        let lease = try await FileLeases(in: state).acquire("staging", for: "ann with rollout r9")
        let error = #expect(throws: JournalError.self) { try Journal(in: state) }
        #expect(error?.message.contains("older fleet (ann with rollout r9)") ?? false)
        lease.release()
        #expect(try await Journal(in: state).verify() == 72)
        // One that had it open all the time can write nothing more that would break the chain.
        let older = try DatabaseQueue(path: state.path + "/journal.sqlite")
        #expect(throws: DatabaseError.self) {
            try older.write { database in
                try database.execute(
                    sql:
                        "INSERT INTO entry (rollout, sequence, body, hash) VALUES ('r9', 1, x'7b7d', '0')"
                )
            }
        }
        // A newer fleet at work keeps nobody from opening it.
        let mine = try await FileLeases(in: state).acquire("staging", for: "bob")
        #expect(try await Journal(in: state).verify() == 72)
        mine.release()
    }

    /// Row O13.
    @Test(
        "Fleets that open a new or an older journal at the same moment can all use it",
        arguments: [0, 3]
    )
    func together(_ schema: Int) async throws {
        for round in 0..<(schema == 0 ? 40 : 8) {
            let state = try StateDirectory(path: directory.path + "/state\(round)")
            if schema > 0 { try write(schema: schema, to: state) }
            let errors = Mutex<[String]>([])
            // Each on a thread of its own, as processes are.
            DispatchQueue.concurrentPerform(iterations: 4) { _ in
                do { _ = try Journal(in: state) } catch {
                    errors.withLock { $0.append("\(error)") }
                }
            }
            #expect(errors.withLock { $0 } == [])
            #expect(try await Journal(in: state).verify() == (schema == 0 ? 0 : 72))
        }
    }
}
