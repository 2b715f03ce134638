import FleetTestSupport
import Foundation
import Testing

/// `fleet backup` and `fleet restore` with real services and their SQLite databases.
@Suite(.serialized) struct BackupTests {
    private let fixture: FleetFixture
    private static let python = "/usr/bin/python3"

    init() throws {
        fixture = try FleetFixture(hosts: 2)
        // The playbooks that ship, for this fleet's paths and its own service manager.
        for name in ["backup", "restore"] {
            let text = try String(
                contentsOfFile: Package.root + "/playbooks/\(name).yml",
                encoding: .utf8
            )
            try fixture.directory.write(text, to: "project/playbooks/\(name).yml")
        }
        try fixture.directory.write(
            fixture.inventory().replacing(
                "vars: {",
                with: "vars: { app_dir: ~/app, database: ~/jobs.sqlite3, backup_dir: ~/backups, "
                    + "service: app, service_control: ~/appctl, service_user: '',"
            ),
            to: "project/inventory/production.yml"
        )
        for index in 0..<2 {
            try fixture.sql(
                "CREATE TABLE job (name TEXT); INSERT INTO job VALUES ('first')",
                on: index
            )
        }
        #expect(try fixture.fleet("deploy", "production", "--tag", "v1.0.0").status == 0)
    }

    private func rows(_ index: Int) throws -> String {
        try fixture.sql("SELECT name FROM job ORDER BY name", on: index)
    }

    private func fleet(_ arguments: String...) throws -> Command {
        try fixture.fleet(arguments, environment: [:])
    }

    @Test(
        "Backed up under the release's name, restored with the service stopped, verified by its health"
    )
    func backUpAndRestore() throws {
        let made = try fleet("backup", "production")
        #expect(made.status == 0, "\(made.output)\(made.errors)")
        let names = try FileManager.default.contentsOfDirectory(
            atPath: fixture.servers[0].home + "/backups"
        )
        #expect(names.count { $0.hasSuffix("_v1.0.0.gz") } == 1, "\(names)")
        for index in 0..<2 { try fixture.sql("DELETE FROM job", on: index) }
        let before = fixture.process(0)

        let asked = try fleet("restore", "production", "--from", "newest")
        #expect(
            asked.status == 11 && asked.errors.contains("needs a confirmation"),
            "\(asked.errors)"
        )
        let done = try fleet("restore", "production", "--from", "newest", "--yes")
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        for index in 0..<2 { #expect(try rows(index) == "first") }
        #expect(fixture.process(0) != before, "the service was stopped meanwhile")
    }

    @Test("A service that does not come up with the backup gets its own data back")
    func badBackup() throws {
        #expect(try fleet("backup", "production").status == 0)
        for (index, server) in fixture.servers.enumerated() {
            try fixture.sql("INSERT INTO job VALUES ('second')", on: index)
            // From now on the service refuses to start without its newest job.
            try Command.shell(
                """
                cat >appctl.new <<'END'
                #!/bin/sh
                case $1 in start | restart)
                    \(Self.python) -c 'import sqlite3, sys
                c = sqlite3.connect(sys.argv[1])
                sys.exit(not c.execute("SELECT 1 FROM job WHERE name = ?", ("second",)).fetchone())' "$HOME/jobs.sqlite3" || exit 0 ;;
                esac
                exec "$HOME/appctl.real" "$@"
                END
                mv appctl appctl.real; mv appctl.new appctl; chmod +x appctl
                """,
                in: server.home
            )
        }
        let failed = try fleet("restore", "production", "--from", "newest", "--yes")
        #expect(failed.status == 10, "\(failed.output)\(failed.errors)")
        for index in 0..<2 { #expect(try rows(index) == "first\nsecond") }
        #expect(try fleet("health", "production").status == 0)
        let missing = try fleet(
            "restore",
            "production",
            "--from",
            "20200101T000000Z_v1.gz",
            "--yes"
        )
        #expect(missing.status == 11 && missing.errors.contains("E_NO_BACKUP"), "\(missing.errors)")
    }
}
