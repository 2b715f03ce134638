import FleetTestSupport
import Foundation
import Testing

/// What the hosts know of a rollout, beside what the journal says.
@Suite(.serialized) struct ReconcileTests {
    private func edit(_ fleet: HoldingFleet, _ machine: String, _ sql: String) throws {
        try Command.shell(
            """
            /usr/bin/python3 - <<'END'
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

        // A host whose note a crash has cut says so, and is no agreement.
        let note = fleet.fixture.servers[0].home + "/.fleet/locks/production/witness"
        let said = try String(contentsOfFile: note, encoding: .utf8)
        try String(said.prefix(20)).write(toFile: note, atomically: true, encoding: .utf8)
        let garbled = try fleet.run("a", "journal", "verify", "production")
        #expect(
            garbled.status == 1 && garbled.output.contains("cannot be read any more"),
            "\(garbled.output)"
        )
        #expect(garbled.output.contains("web2  agree"), "\(garbled.output)")
        #expect(try fleet.run("a", "reconcile", "production").status == 1)
        try said.write(toFile: note, atomically: true, encoding: .utf8)

        // Whoever only takes them away is found out by the journal itself.
        try edit(
            fleet,
            "a",
            "DELETE FROM entry WHERE sequence > (SELECT max(sequence) - 4 FROM entry); DELETE FROM ending;"
        )
        #expect(try fleet.run("a", "journal", "verify").status == 74)
        // Whoever mends everything beside them has a chain that holds; only the hosts know that there was more.
        try edit(
            fleet,
            "a",
            """
            DELETE FROM output WHERE entry > (SELECT max(id) FROM entry);
            DELETE FROM decision WHERE NOT EXISTS
                (SELECT 1 FROM entry WHERE instr(body, CAST('"decide"' AS BLOB)) > 0);
            UPDATE head SET entry = (SELECT max(id) FROM entry),
                hash = (SELECT hash FROM entry ORDER BY id DESC LIMIT 1);
            """
        )
        let whole = try fleet.run("a", "journal", "verify")
        #expect(whole.status == 0, "\(whole.output)\(whole.errors)")
        let cut = try fleet.run("a", "journal", "verify", "production")
        #expect(cut.status == 74, "\(cut.output)")
        #expect(cut.output.contains("was told of record"), "\(cut.output)")

        try edit(
            fleet,
            "a",
            """
            DELETE FROM entry; DELETE FROM ending; DELETE FROM rollout; DELETE FROM aim; DELETE FROM decision;
            DELETE FROM output; DELETE FROM head;
            """
        )
        let gone = try fleet.run("a", "journal", "verify", "production")
        #expect(gone.status == 1 && gone.output.contains("not in this journal"), "\(gone.output)")
    }

    /// Row K8.
    @Test(
        "A state directory out of an old backup goes on only when somebody says why, which is recorded"
    )
    func anOldBackup() throws {
        let fleet = try HoldingFleet()
        try fleet.letGo()
        #expect(try fleet.run("a", "deploy", "production", "--tag", "v1.0.0").status == 0)
        try Command.shell("cp -r a backup", in: fleet.fixture.directory.path)
        #expect(try fleet.run("a", "deploy", "production", "--tag", "v1.1.0").status == 0)
        try Command.shell("rm -r a; mv backup a", in: fleet.fixture.directory.path)

        let verified = try fleet.run("a", "journal", "verify", "production")
        #expect(
            verified.status == 74 && verified.output.contains("missing here"),
            "\(verified.output)"
        )
        let refused = try fleet.run("a", "deploy", "production", "--tag", "v1.1.0")
        #expect(refused.status == 11, "\(refused.output)")
        #expect(refused.output.contains("E_RECORDS"), "\(refused.output)")
        #expect(refused.output.contains("--force-missing-records"), "\(refused.output)")
        // The hosts still know: refusing has overwritten nothing.
        #expect(try fleet.run("a", "journal", "verify", "production").status == 74)

        let forced = try fleet.run(
            "a",
            "deploy",
            "production",
            "--tag",
            "v1.1.0",
            "--force-missing-records",
            "disk was lost"
        )
        #expect(forced.status == 0, "\(forced.output)\(forced.errors)")
        #expect(try fleet.run("a", "audit", "production").output.contains("disk was lost"))
        #expect(try fleet.run("a", "deploy", "production", "--tag", "v1.1.0").status == 0)
        // Another machine's journal has never had them.
        #expect(try fleet.run("b", "deploy", "production", "--tag", "v1.1.0").status == 0)
    }

    @Test("Two applications on one host: what one rollout left says nothing about the other one")
    func twoApplications() throws {
        let fixture = try FleetFixture(hosts: 1)
        let playbook = """
            name: Deploy the other one
            steps:
              - checkout: { path: ~/other, repository: "${{ vars.repository }}" }
            """
        try fixture.directory.write(playbook, to: "project/playbooks/other.yml")
        let deploy = ["deploy", "production", "--tag"]
        #expect(try fixture.fleet(deploy + ["v1.1.0"], environment: [:]).status == 0)
        let other = try fixture.fleet(deploy + ["v1.0.0", "-p", "other"], environment: [:])
        #expect(other.status == 0, "\(other.output)\(other.errors)")
        for words in [["status", "production"], ["status", "production", "-p", "other"]] {
            let status = try fixture.fleet(words, environment: [:])
            #expect(status.status == 0, "\(status.output)\(status.errors)")
            #expect(status.output.contains("as deployed"), "\(status.output)")
        }
        try Command.shell("git checkout -q v1.1.0", in: fixture.servers[0].home + "/other")
        #expect(try fixture.fleet("status", "production").status == 0)
        #expect(try fixture.fleet("status", "production", "-p", "other").status == 1)
    }

    /// Row K8.
    @Test("A rollout that is taken up out of an old backup goes on only with a reason, too")
    func anOldBackupTakenUp() async throws {
        let fixture = try FleetFixture(hosts: 2, deceitful: true)
        #expect(try fixture.fleet("deploy", "production", "--tag", "v1.0.0").status == 0)
        try Command.shell("cp -r state backup", in: fixture.directory.path)
        #expect(try fixture.fleet("deploy", "production", "--tag", "v1.1.0").status == 0)
        try Command.shell(
            "rm -r state; mv backup state; touch hold; mkdir -p lies",
            in: fixture.directory.path
        )
        try Program.write(
            """
            #!/bin/sh
            # Only what the rollout itself asks: planning asks, too.
            [ -z "${FLEET_COMMIT:-}" ] || : >"$HOME/asked"
            while [ -n "${FLEET_COMMIT:-}" ] && [ -e \(fixture.directory.path)/hold ]; do sleep 0.05; done
            exec /usr/bin/git "$@"
            """,
            to: fixture.lies + "/git"
        )
        let controller = try fixture.start(["deploy", "production", "--tag", "v1.0.0"])
        try await eventually("a host is asked whether it is ready") {
            fixture.servers.contains { FileManager.default.fileExists(atPath: $0.home + "/asked") }
        }
        kill(controller.pid, SIGKILL)
        controller.wait()
        try Command.shell("rm hold", in: fixture.directory.path)
        try Command.shell("cp -r state again", in: fixture.directory.path)
        let refused = try fixture.fleet("resume")
        #expect(refused.status == 11, "\(refused.output)\(refused.errors)")
        #expect(refused.output.contains("E_RECORDS"), "\(refused.output)")
        try Command.shell("rm -r state; mv again state", in: fixture.directory.path)
        let forced = try fixture.fleet("resume", "--force-missing-records", "disk was lost")
        #expect(forced.status == 0, "\(forced.output)\(forced.errors)")
        #expect(try fixture.fleet("audit", "production").output.contains("disk was lost"))
    }

    @Test(
        "O12: a lost journal is rebuilt from the hosts, and the rollout ends as it would have",
        arguments: [true, false]
    )
    func aLostJournalIsRebuilt(goesOn: Bool) async throws {
        let fleet = try HoldingFleet()
        try fleet.letGo()
        #expect(try fleet.run("a", "deploy", "production", "--tag", "v1.0.0").status == 0)
        let nothing = try fleet.run("b", "recover", "production")
        #expect(nothing.status == 0 && nothing.output.contains("no host remembers"))
        for server in fleet.fixture.servers {
            try Command.shell("rm -f go holding held", in: server.home)
        }
        let controller = try fleet.start("a", "deploy", "production", "--tag", "v1.1.0")
        try await eventually("both hosts are at it") {
            fleet.file("holding", 0) != nil && fleet.file("holding", 1) != nil
        }
        kill(controller.pid, SIGKILL)
        controller.wait()
        // Another machine, which has never heard of it.
        let recovered = try fleet.run("b", "recover", "production")
        #expect(recovered.status == 0, "\(recovered.output)\(recovered.errors)")
        #expect(recovered.output.contains("touched web[1-2]"), "\(recovered.output)")
        #expect(recovered.output.contains("fleet resume"))
        #expect(try fleet.run("b", "deploy", "production", "--tag", "v1.0.0").status == 75)
        if goesOn { try fleet.letGo() }
        let resumed = try fleet.run("b", goesOn ? ["resume"] : ["resume", "--back"])
        #expect(resumed.status == (goesOn ? 0 : 10), "\(resumed.output)\(resumed.errors)")
        for index in 0..<2 {
            #expect(try fleet.fixture.tag(index) == (goesOn ? "v1.1.0" : "v1.0.0"))
            #expect(fleet.file("holding", index) == "v1.1.0\n", "started once")
        }
        #expect(try fleet.run("b", "lock", "status", "production").status == 0)
        #expect(try fleet.run("b", "reconcile", "production").status == 0)
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
