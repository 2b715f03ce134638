import FleetTestSupport
import Foundation
import Testing

/// What the hosts know of a rollout, beside what the journal says.
@Suite(.serialized) struct ReconcileTests {
    private func edit(_ fleet: HoldingFleet, _ machine: String, _ sql: String) throws {
        try Command.shell(
            """
            python3 - <<'END'
            import sqlite3
            journal = sqlite3.connect("\(machine)/journal.sqlite")
            for name, in journal.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                journal.execute(f"DROP TRIGGER {name}")
            journal.executescript(\"\"\"\(sql)\"\"\")
            journal.commit()
            END
            """,
            in: fleet.fixture.directory.path
        )
    }

    @Test("O12: records that were taken off the journal's end are missed by the hosts")
    func hostsWitnessTheJournal() throws {
        let fleet = try HoldingFleet()
        try fleet.letGo()
        #expect(try fleet.run("a", "deploy", "production", "--tag", "v1.0.0").status == 0)
        let good = try fleet.run("a", "journal", "verify", "production")
        #expect(good.status == 0 && good.output.contains("web[1-2]  agree"), "\(good.output)")
        #expect(try fleet.run("a", "reconcile", "production").status == 0)

        // The chain still holds; only the hosts know that there was more.
        try edit(
            fleet,
            "a",
            "DELETE FROM entry WHERE sequence > (SELECT max(sequence) - 4 FROM entry);"
        )
        #expect(try fleet.run("a", "journal", "verify").status == 0)
        let cut = try fleet.run("a", "journal", "verify", "production")
        #expect(cut.status == 74, "\(cut.output)")
        #expect(cut.output.contains("was told of record"), "\(cut.output)")

        try edit(fleet, "a", "DELETE FROM entry; DELETE FROM ending; DELETE FROM rollout;")
        let gone = try fleet.run("a", "journal", "verify", "production")
        #expect(gone.status == 1 && gone.output.contains("not in this journal"), "\(gone.output)")
    }

    @Test func whatAKilledControllerLeftIsFoundFromAnywhere() async throws {
        let fleet = try HoldingFleet()
        let controller = try fleet.start("a", "deploy", "production", "--tag", "v1.0.0")
        try await eventually("both hosts are at it") {
            fleet.file("holding", 0) != nil && fleet.file("holding", 1) != nil
        }
        kill(controller.pid, SIGKILL)
        controller.wait()
        let elsewhere = try fleet.run("b", "reconcile", "production")
        #expect(elsewhere.status == 1)
        for part in [
            "web[1-2]  locked by", "fleet lock break production", "still runs",
            "not in this journal",
        ] {
            #expect(elsewhere.output.contains(part), "\(part) in\n\(elsewhere.output)")
        }
        let here = try fleet.run("a", "reconcile", "production")
        #expect(here.status == 1 && here.output.contains("fleet resume"), "\(here.output)")
        try fleet.letGo()
        #expect(try fleet.run("a", "resume").status == 0)
        let done = try fleet.run("a", "reconcile", "production")
        #expect(done.status == 0, "\(done.output)")
    }
}
