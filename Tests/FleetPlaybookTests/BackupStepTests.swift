import FleetTestSupport
import FleetTransport
import FleetYAML
import Foundation
import Testing

@testable import FleetPlaybook

/// The backup and restore steps' scripts against real SQLite databases, run by a real shell.
@Suite(.serialized) struct BackupStepTests {
    /// The system's own: one that a version manager puts before it takes a second to start.
    private static let python = "/usr/bin/python3"
    private static let path = "/usr/sbin:/usr/bin:/sbin:/bin"

    private let directory: TemporaryDirectory
    private var home: String { directory.path }
    private var database: String { home + "/app.db" }

    init() throws {
        directory = try TemporaryDirectory()
        try sql(
            "CREATE TABLE job (name TEXT); PRAGMA user_version = 3; INSERT INTO job VALUES ('first')"
        )
    }

    /// Runs statements in write-ahead mode, as a service would.
    @discardableResult
    private func sql(_ text: String, in path: String? = nil) throws -> String {
        let program = """
            import sqlite3, sys
            c = sqlite3.connect(sys.argv[1])
            c.execute("PRAGMA journal_mode = WAL")
            for statement in sys.argv[2].split(";"):
                for row in c.execute(statement): print(*row)
            c.commit()
            """
        let result = try Command.run([Self.python, "-c", program, path ?? database, text])
        #expect(result.status == 0, "\(result.errors)")
        return result.output.trimmingCharacters(in: .newlines)
    }

    private var scope: StepScope {
        StepScope(
            environment: "test",
            endpoint: HostEndpoint(name: "web1"),
            variables: [:],
            release: nil
        )
    }

    private func step<T: StepKind>(_ type: T.Type, _ more: String = "") throws -> T {
        let text = "{ database: ~/app.db, directory: ~/backups\(more) }"
        let reader = YAMLReader(file: "p", source: text)
        let step = type.init(try YAMLDocument.parse(text, file: "p"), reader: reader)
        try reader.finish()
        return try #require(step)
    }

    private func run(_ script: Script?, _ shell: String = "dash") throws
        -> Command
    {
        let script = try #require(script)
        return try Command.run(
            [shell, "-s"],
            environment: ["HOME": home, "PATH": Self.path],
            input: script.runnableText
        )
    }

    private func run(_ action: Action?, _ shell: String = "dash") throws
        -> Command
    {
        guard case .script(let script) = action else {
            throw Command.Failed(description: "no script")
        }
        return try run(script, shell)
    }

    @Test(
        "Room that is not there after all ends in a refusal, and the backups that are there stay",
        .enabled(if: getuid() == 0)
    )
    func lessRoomThanPromised() throws {
        try Command.shell("mkdir backups && mount -t tmpfs -o size=256k fleet backups", in: home)
        defer { _ = try? Command.shell("umount -l backups", in: home) }
        let first = try backUp()
        #expect(first.status == 0, "\(first.output)\(first.errors)")
        let before = try Command.shell("ls backups", in: home)
        // What does not pack well, and is far more than the file system has.
        try sql("INSERT INTO job SELECT hex(randomblob(500000))")
        let asked = try run(try step(BackupStep.self).preflight(in: scope))
        #expect(asked.status == 1 && asked.output.contains("E_DISK"), "\(asked.output)")
        // A file system that promises more than an account may use.
        let done = try backUp()
        #expect(done.status != 0, "\(done.output)")
        #expect(try Command.shell("ls backups", in: home) == before)
    }

    private func backUp(_ more: String = "", _ shell: String = "dash") throws -> Command {
        try run(try step(BackupStep.self, more).action(in: scope), shell)
    }

    /// What a snapshot makes of what preflight printed.
    private func facts(of asked: Command) -> [EnvironmentVariable] {
        asked.output.split(separator: "\n").compactMap { line in
            let parts = line.split(separator: "=", maxSplits: 1).map(String.init)
            return parts.count == 2
                ? EnvironmentVariable("FLEET_SNAPSHOT_\(parts[0].uppercased())", parts[1]) : nil
        }
    }

    private func bound(_ action: Action?, _ asked: Command) throws -> Script {
        guard case .script(let script) = action else {
            throw Command.Failed(description: "no script")
        }
        return script.adding(facts(of: asked))
    }

    private func restore(_ more: String = "") throws -> (preflight: Command, action: Command?) {
        let step = try step(RestoreStep.self, more)
        let asked = try run(try step.preflight(in: scope))
        guard asked.status == 0 else { return (asked, nil) }
        return (asked, try run(bound(try step.action(in: scope), asked)))
    }

    /// The way back of a restore that began so.
    private func goBack(after asked: Command) throws -> Command {
        var back = scope
        back.direction = .revert
        let action = try step(RestoreStep.self).revertAction(in: back, isIdempotent: false)
        return try run(bound(action, asked))
    }

    private func backups() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: home + "/backups")
            .filter { $0.hasSuffix(".gz") }.sorted()
    }

    @Test(
        "A backup taken while the service writes is whole, private, and can be restored",
        arguments: ["dash", "bash", "busybox"]
    )
    func wholeLife(_ shell: String) throws {
        let shell = shell == "busybox" ? "/bin/busybox" : shell
        let words = shell == "/bin/busybox" ? [shell, "sh"] : [shell]
        func run(_ script: Script) throws -> Command {
            try Command.run(
                words + ["-s"],
                environment: ["HOME": home, "PATH": Self.path],
                input: script.runnableText
            )
        }
        // A writer that never stops, and takes only what time others leave it.
        let log = try LogPipe(home + "/writer.log")
        let writer = try ChildProcess(
            [
                Self.python, "-c",
                """
                import os, sqlite3
                os.nice(19)
                c = sqlite3.connect("\(database)", timeout=30)
                n = 0
                while True:
                    n += 1
                    c.execute("BEGIN IMMEDIATE")
                    c.execute("INSERT INTO job VALUES (?)", (f"a{n}",))
                    c.execute("INSERT INTO job VALUES (?)", (f"b{n}",))
                    c.commit()
                    if n == 1: print("writing", flush=True)
                """,
            ],
            files: ("/dev/null", log.entrance, home + "/writer.err")
        )
        defer {
            kill(writer.pid, SIGKILL)
            writer.wait()
        }
        #expect(log.waits(for: "writing"))
        guard case .script(let script) = try step(BackupStep.self).action(in: scope) else { return }
        let made = try run(script)
        #expect(made.status == 0, "\(made.output)\(made.errors)")
        kill(writer.pid, SIGKILL)
        writer.wait()
        let name = try #require(try backups().first)
        #expect(made.output.contains("backup=\(home)/backups/\(name)"))
        #expect(name.hasSuffix("_none.gz"))
        let attributes = try FileManager.default.attributesOfItem(atPath: home + "/backups/" + name)
        #expect(attributes[.posixPermissions] as? Int == 0o600)

        try sql("DELETE FROM job")
        let (asked, done) = try restore()
        #expect(
            asked.status == 0 && asked.output.contains("backup=\(name)"),
            "\(asked.output)\(asked.errors)"
        )
        #expect(done?.status == 0, "\(done?.output ?? "")\(done?.errors ?? "")")
        let rows = try sql("SELECT count(*) - 1 FROM job WHERE name = 'first' OR name LIKE 'a%'")
        #expect(
            rows == (try sql("SELECT count(*) FROM job WHERE name LIKE 'b%'")),
            "no half transaction"
        )
        #expect(rows != "0")
    }

    @Test("What was replaced is kept, and the way back puts it there again")
    func wayBack() throws {
        #expect(try backUp().status == 0)
        try sql("INSERT INTO job VALUES ('later')")
        let (asked, done) = try restore()
        #expect(done?.status == 0, "\(done?.output ?? "")")
        #expect(try sql("SELECT name FROM job") == "first")
        let back = try goBack(after: asked)
        #expect(back.status == 0, "\(back.output)\(back.errors)")
        #expect(try sql("SELECT name FROM job ORDER BY name") == "first\nlater")
        // Going back twice, or without anything to go back to, changes nothing.
        #expect(try goBack(after: asked).status == 0)
        #expect(try sql("SELECT count(*) FROM job") == "2")
    }

    @Test(
        "A way back that comes before anything was moved leaves what an earlier restore put there"
    )
    func staleRestore() throws {
        #expect(try backUp().status == 0)
        #expect(try restore().action?.status == 0)
        try sql("INSERT INTO job VALUES ('weeks of work')")
        let asked = try run(try step(RestoreStep.self).preflight(in: scope))
        #expect(try goBack(after: asked).status == 0)
        #expect(try sql("SELECT count(*) FROM job") == "2", "nothing was put back over it")
    }

    @Test("What stands aside from others, whenever it was put there, is nobody's way back")
    func othersAside() throws {
        #expect(try backUp().status == 0)
        try Command.shell(
            "for t in 20200101T000000Z 29990101T000000Z old; do mkdir app.db.replaced-$t; echo bad >app.db.replaced-$t/data; done",
            in: home
        )
        try sql("INSERT INTO job VALUES ('later')")
        let (asked, done) = try restore()
        #expect(done?.status == 0, "\(done?.output ?? "")\(done?.errors ?? "")")
        #expect(try sql("SELECT name FROM job") == "first")
        #expect(try goBack(after: asked).status == 0)
        #expect(try sql("SELECT count(*) FROM job") == "2")
        #expect(directory.read("app.db.replaced-old/data") == "bad\n")
    }

    @Test("Where there was no database before, there is none again")
    func noDatabaseBefore() throws {
        #expect(try backUp().status == 0)
        try Command.shell("rm app.db*", in: home)
        let (asked, done) = try restore()
        #expect(done?.status == 0, "\(done?.output ?? "")\(done?.errors ?? "")")
        #expect(try sql("SELECT name FROM job") == "first")
        let back = try goBack(after: asked)
        #expect(back.status == 0, "\(back.output)\(back.errors)")
        #expect(!FileManager.default.fileExists(atPath: database))
        var reverting = scope
        reverting.direction = .revert
        let script = try #require(try step(RestoreStep.self).verification(in: reverting))
        #expect(try run(script.adding(facts(of: asked))).status == 0)
    }

    @Test("A database behind a link is replaced where it is, and the link stays")
    func links() throws {
        try Command.shell("mkdir data && mv app.db* data/ && ln -s data/app.db app.db", in: home)
        try Command.shell("chmod 640 data/app.db", in: home)
        #expect(try backUp().status == 0)
        try sql("INSERT INTO job VALUES ('later')", in: home + "/data/app.db")
        let (asked, done) = try restore()
        #expect(done?.status == 0, "\(done?.output ?? "")\(done?.errors ?? "")")
        let seen = try Command.shell("readlink app.db; stat -c %a data/app.db", in: home)
        #expect(seen == "data/app.db\n640\n")
        #expect(try sql("SELECT name FROM job", in: home + "/data/app.db") == "first")
        #expect(try goBack(after: asked).status == 0)
        #expect(try sql("SELECT count(*) FROM job", in: home + "/data/app.db") == "2")
    }

    @Test(
        "Cut off anywhere between two moves, forward or back, nothing committed is lost",
        arguments: 0..<8
    )
    func cutOff(_ moves: Int) throws {
        #expect(try backUp().status == 0)
        // A service that was killed leaves a log that holds what was committed last.
        let program = """
            import os, sqlite3, sys
            c = sqlite3.connect(sys.argv[1])
            c.execute("PRAGMA journal_mode = WAL"); c.execute("PRAGMA wal_autocheckpoint = 0")
            c.execute("INSERT INTO job VALUES ('committed')"); c.commit()
            os.kill(os.getpid(), 9)
            """
        _ = try Command.run([Self.python, "-c", program, database])
        #expect(FileManager.default.fileExists(atPath: database + "-wal"))
        let step = try step(RestoreStep.self)
        // `mv` that works so many times and then takes every shell with it.
        try Command.shell(
            """
            mkdir bin
            cat >bin/mv <<'END'
            #!/bin/sh
            n=$(cat "$HOME/moves"); [ "$n" -gt 0 ] || { kill -9 0; exit 1; }
            echo $((n - 1)) >"$HOME/moves"; exec /bin/mv "$@"
            END
            chmod +x bin/mv
            """,
            in: home
        )
        let asked = try run(try step.preflight(in: scope))
        func cutOff(_ action: Action?, after moves: Int) throws {
            let script = try bound(action, asked)
            try "\(moves)".write(toFile: home + "/moves", atomically: true, encoding: .utf8)
            _ = try Command.run(
                ["setsid", "-w", "dash", "-s"],
                environment: ["HOME": home, "PATH": home + "/bin:" + Self.path],
                input: script.runnableText
            )
        }
        try cutOff(try step.action(in: scope), after: moves % 4)
        let back = try step.revertAction(in: scope, isIdempotent: false)
        if moves >= 4 { try cutOff(back, after: 1) }
        let done = try run(bound(back, asked))
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        #expect(
            try sql("SELECT count(*) FROM job WHERE name = 'committed'") == "1",
            "after \(moves)"
        )
    }

    @Test(
        "Backups that are corrupt, missing, or of a newer schema are refused before anything is touched"
    )
    func refusals() throws {
        let none = try restore().preflight
        #expect(none.status == 1 && none.output.contains("E_NO_BACKUP"), "\(none.output)")
        #expect(try backUp().status == 0)
        let name = try #require(try backups().first)
        let path = home + "/backups/" + name
        for bad in ["../../etc/passwd", ".hidden", "20200101T000000Z_v1.gz"] {
            let asked = try restore(", from: \"\(bad)\"").preflight
            #expect(asked.status == 1 && asked.output.contains("E_NO_BACKUP"), "\(asked.output)")
        }
        let good = try Data(contentsOf: URL(fileURLWithPath: path))
        for place in [good.count / 3, good.count / 2, good.count - 5] {
            var bytes = good
            bytes[place] ^= 0xFF
            try bytes.write(to: URL(fileURLWithPath: path))
            let asked = try restore().preflight
            #expect(
                asked.status == 1 && asked.output.contains("E_BACKUP_CORRUPT"),
                "\(place): \(asked.output)"
            )
        }
        try good.prefix(good.count / 2).write(to: URL(fileURLWithPath: path))
        #expect(try restore().preflight.output.contains("E_BACKUP_CORRUPT"))
        try good.write(to: URL(fileURLWithPath: path))
        try sql("PRAGMA user_version = 2")
        let newer = try restore().preflight
        #expect(newer.status == 1 && newer.output.contains("E_SCHEMA_NEWER"), "\(newer.output)")
        #expect(try sql("SELECT name FROM job") == "first")
    }

    /// A step for data that only a command knows: a file that stands for a database server.
    private func commanded<T: StepKind>(_ type: T.Type, _ more: String) throws -> T {
        let text = "{ directory: ~/backups, check: \"grep -q '^END$'\", \(more) }"
        let reader = YAMLReader(file: "p", source: text)
        let step = type.init(try YAMLDocument.parse(text, file: "p"), reader: reader)
        try reader.finish()
        return try #require(step)
    }

    @Test("What a command writes is kept, checked, taken in by another one, and put back")
    func commands() throws {
        try Command.shell("printf 'one\\nEND\\n' >data", in: home)
        let backup = try commanded(BackupStep.self, "command: cat ~/data")
        let made = try run(try backup.action(in: scope))
        #expect(made.status == 0, "\(made.output)\(made.errors)")
        #expect(try backup.preflight(in: scope) == nil)
        try Command.shell("printf 'two\\nEND\\n' >data", in: home)

        let restore = try commanded(
            RestoreStep.self,
            "command: 'cat >~/data.new && mv ~/data.new ~/data', save: cat ~/data"
        )
        let asked = try run(try restore.preflight(in: scope))
        #expect(asked.status == 0, "\(asked.output)\(asked.errors)")
        let done = try run(bound(try restore.action(in: scope), asked))
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        #expect(directory.read("data") == "one\nEND\n")
        #expect(try backups().count == 2, "what was replaced is kept beside it")
        for _ in 1...2 {
            let back = try run(
                bound(try restore.revertAction(in: scope, isIdempotent: false), asked)
            )
            #expect(back.status == 0, "\(back.output)\(back.errors)")
            #expect(directory.read("data") == "two\nEND\n")
        }
        // What an earlier restore had put aside is not put back over what came since.
        try Command.shell("printf 'three\\nEND\\n' >data", in: home)
        let later = try run(try restore.preflight(in: scope))
        let back = try restore.revertAction(in: scope, isIdempotent: false)
        #expect(try run(bound(back, later)).status == 0)
        #expect(directory.read("data") == "three\nEND\n")
    }

    @Test(
        "A check may stop reading when it has seen enough; a command of which a part fails backs nothing up"
    )
    func pipelines() throws {
        let line = "0123456789012345678901234567890123456789012345678901234567890123"
        try Command.shell("yes \(line) | head -n 20000 >data", in: home)
        let text =
            "{ directory: ~/backups, command: cat ~/data, check: \"cat | grep -q 0123\" }"
        let reader = YAMLReader(file: "p", source: text)
        let step = BackupStep(try YAMLDocument.parse(text, file: "p"), reader: reader)
        try reader.finish()
        let made = try run(try #require(step).action(in: scope))
        #expect(made.status == 0, "\(made.output)\(made.errors)")
        let failing = try commanded(BackupStep.self, "command: '(echo END; exit 3) | cat'")
        let result = try run(try failing.action(in: scope))
        #expect(result.status != 0, "\(result.output)")
        #expect(try backups().count == 1)
    }

    /// Row K2.
    @Test(
        "A command that fails, writes nothing, or half of it makes no backup and restores nothing",
        arguments: ["false", "'true'", "echo half"]
    )
    func badCommands(command: String) throws {
        let made = try run(try commanded(BackupStep.self, "command: \(command)").action(in: scope))
        #expect(made.status == 1 && made.output.contains("E_BACKUP"), "\(made.output)")
        #expect(try backups().isEmpty)
        try Command.shell("printf 'one\\nEND\\n' >data", in: home)
        let good = try commanded(BackupStep.self, "command: cat ~/data")
        #expect(try run(try good.action(in: scope)).status == 0)
        guard command != "echo half" else { return }
        let restore = try commanded(
            RestoreStep.self,
            "command: 'echo taken >~/data', save: \(command)"
        )
        let asked = try run(try restore.preflight(in: scope))
        let done = try run(bound(try restore.action(in: scope), asked))
        #expect(done.status == 1 && done.output.contains("nothing was restored"), "\(done.output)")
        #expect(directory.read("data") == "one\nEND\n")
    }

    @Test(
        "A database that a process has open is not replaced, whatever name the process has for it",
        arguments: [false, true]
    )
    func inUse(otherName: Bool) throws {
        #expect(try backUp().status == 0)
        let log = try LogPipe(home + "/service.log")
        let opened = otherName ? home + "/elsewhere/db" : database
        try Command.shell("mkdir elsewhere && ln '\(database)' elsewhere/db", in: home)
        let program =
            "import signal, sqlite3; c = sqlite3.connect('\(opened)'); "
            + "c.execute('SELECT 1 FROM job'); print('open', flush=True); signal.pause()"
        let service = try ChildProcess(
            [Self.python, "-c", program],
            files: ("/dev/null", log.entrance, home + "/service.err")
        )
        #expect(log.waits(for: "open"))
        let step = try step(RestoreStep.self)
        let asked = try run(try step.preflight(in: scope))
        let refused = try run(bound(try step.action(in: scope), asked))
        #expect(refused.status == 1 && refused.output.contains("E_IN_USE"), "\(refused.output)")
        #expect(try sql("SELECT name FROM job") == "first")
        kill(service.pid, SIGKILL)
        service.wait()
        let done = try run(bound(try step.action(in: scope), asked))
        #expect(done.status == 0, "\(done.output)\(done.errors)")
    }

    // MARK: Somebody else's directory

    /// The database in a directory of the application's, backed up by root into one of its own.
    private func inApplicationsDirectory() throws {
        try Command.shell(
            """
            chmod 755 .; mkdir app backups etc; mv app.db* app/; echo untouched >etc/victim
            cp app/app.db etc/other.db; chmod 600 etc/*; ln -s app current
            chown -hR 65534:65534 app current
            """,
            in: home
        )
    }

    private func asRoot<T: StepKind>(_ type: T.Type, _ fields: String) throws -> (T, StepScope) {
        let reader = YAMLReader(file: "p", source: fields)
        let step = type.init(try YAMLDocument.parse(fields, file: "p"), reader: reader)
        try reader.finish()
        var scope = scope
        scope.becomeUser = "root"
        return (try #require(step), scope)
    }

    /// Row H51.
    @Test(
        "A look at a database starts no command that the database names",
        arguments: ["both", "the program only"]
    )
    func expressions(tools: String) throws {
        // sqlite3's own function `edit` starts a program; this stands in for it where the table is made.
        try Command.shell(
            """
            \(Self.python) -c 'import sqlite3
            c = sqlite3.connect("app.db")
            c.create_function("edit", 2, lambda a, b: a)
            c.execute("CREATE TABLE trap (a CHECK (edit(a, \\"touch \(home)/ran; true\\") IS NOT NULL))")
            c.execute("INSERT INTO trap VALUES (1)")
            c.commit()'
            """,
            in: home
        )
        let script = """
            [ "\(tools)" = both ] || python=
            sound "$database" || exit 1
            [ "$(sql "$database" 'SELECT count(*) FROM trap')" = 1 ]
            """
        let scope = scope
        let (step, _) = try asRoot(BackupStep.self, "{ database: ~/app.db, directory: ~/backups }")
        _ = step
        let looked = try run(
            try scope.script(
                text: script,
                library: .backup,
                more: scope.placing() + [
                    EnvironmentVariable("FLEET_DATABASE", home + "/app.db"),
                    EnvironmentVariable("FLEET_DIRECTORY", home + "/backups"),
                ]
            )
        )
        #expect(looked.status == 0, "\(looked.output)\(looked.errors)")
        #expect(!FileManager.default.fileExists(atPath: home + "/ran"))
    }

    /// Row H51.
    @Test(
        "A restore writes as the application where the application's link led it",
        .enabled(if: getuid() == 0)
    )
    func restoreThroughALink() throws {
        try inApplicationsDirectory()
        let fields = "{ database: ~/app/app.db, directory: ~/backups }"
        let (backup, scope) = try asRoot(BackupStep.self, fields)
        #expect(try run(try backup.action(in: scope)).status == 0)
        try Command.shell(
            "mkdir etc/cron.d; rm app/app.db*; ln -s \(home)/etc/cron.d/job app/app.db; chown -h 65534 app/app.db",
            in: home
        )
        let (restore, _) = try asRoot(RestoreStep.self, fields)
        let seen = try run(try restore.preflight(in: scope))
        let done = try run(bound(try restore.action(in: scope), seen))
        #expect(done.status != 0, "\(done.output)\(done.errors)")
        #expect(try Command.shell("ls -A etc/cron.d", in: home) == "")
    }

    /// Row H51.
    @Test(
        "Who a link belongs to is not for that account's processes to say",
        .enabled(if: getuid() == 0)
    )
    func whoseLink() throws {
        try inApplicationsDirectory()
        // What the account's own shell answers, once it is a process of that account.
        try Command.shell(
            "mkdir tools; printf '#!/bin/sh\\ncase \"$*\" in *\" true\") exit ;; esac\\necho 0 \(home)/etc/x\\n' >tools/setpriv; chmod 755 tools/setpriv",
            in: home
        )
        let said = try run(
            Script(
                "fleet_functions=; PATH=\(home)/tools:$PATH\n" + SafePath.functions
                    + "strict=1; resolve \(home)/current/app.db"
            )
        )
        #expect(said.output.hasPrefix("65534 0 "), "\(said.output)\(said.errors)")
    }

    /// Row H51.
    @Test("What is restored has no special mode, whatever was there", .enabled(if: getuid() == 0))
    func restoredMode() throws {
        try inApplicationsDirectory()
        try Command.shell("chmod 4777 app/app.db", in: home)
        let fields = "{ database: ~/app/app.db, directory: ~/backups }"
        let (backup, scope) = try asRoot(BackupStep.self, fields)
        #expect(try run(try backup.action(in: scope)).status == 0)
        let (restore, _) = try asRoot(RestoreStep.self, fields)
        let seen = try run(try restore.preflight(in: scope))
        let done = try run(bound(try restore.action(in: scope), seen))
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        #expect(try Command.shell("stat -c '%u %a' app/app.db", in: home) == "65534 777\n")
    }

    /// Row H51.
    @Test(
        "A database that the application's own link leads to is backed up and put back, as the application",
        .enabled(if: getuid() == 0),
        arguments: ["app/app.db", "current/app.db"]
    )
    func applicationsDatabase(path: String) throws {
        try inApplicationsDirectory()
        let fields = "{ database: ~/\(path), directory: ~/backups }"
        let (backup, scope) = try asRoot(BackupStep.self, fields)
        let asked = try run(try backup.preflight(in: scope))
        #expect(asked.status == 0, "\(asked.output)\(asked.errors)")
        let made = try run(try backup.action(in: scope))
        #expect(made.status == 0, "\(made.output)\(made.errors)")
        // SQLite's own files are the application's, or it could not write any more.
        let owners = "find app -printf '%u\\n' | sort -u; stat -c '%u %a' backups/*; ls -A app"
        #expect(
            try Command.shell(owners, in: home)
                == "nobody\n0 600\n0 600\n"
                + (try Command.shell("ls -A app", in: home))
        )
        #expect(!(try Command.shell("ls -A app backups", in: home)).contains("fleet"))
        try Command.shell(
            "setpriv --reuid=65534 --clear-groups /usr/bin/python3 -c '\nimport sqlite3\nc = sqlite3.connect(\"app/app.db\")\nc.execute(\"DELETE FROM job\"); c.commit()'",
            in: home
        )
        let (restore, _) = try asRoot(RestoreStep.self, fields)
        let seen = try run(try restore.preflight(in: scope))
        #expect(seen.status == 0, "\(seen.output)\(seen.errors)")
        let done = try run(bound(try restore.action(in: scope), seen))
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        #expect(try sql("SELECT count(*) FROM job", in: home + "/app/app.db") == "1")
        #expect(try Command.shell("stat -c %u app/app.db", in: home) == "65534\n")
        var back = scope
        back.direction = .revert
        let undone = try run(
            bound(try restore.revertAction(in: back, isIdempotent: false), seen)
        )
        #expect(undone.status == 0, "\(undone.output)\(undone.errors)")
        #expect(try sql("SELECT count(*) FROM job", in: home + "/app/app.db") == "0")
    }

    /// Row H51.
    @Test(
        "SQLite never runs as root below a directory in which the application can change names",
        .enabled(if: getuid() == 0)
    )
    func rootsDatabaseBelow() throws {
        try inApplicationsDirectory()
        try Command.shell(
            "mkdir app/data; mv app/app.db app/data/; chown -R 0:0 app/data; chmod 600 app/data/app.db",
            in: home
        )
        let (backup, scope) = try asRoot(
            BackupStep.self,
            "{ database: ~/app/data/app.db, directory: ~/backups }"
        )
        let made = try run(try backup.action(in: scope))
        // As the application, which may not read it.
        #expect(made.status != 0, "\(made.output)")
        #expect(try Command.shell("ls backups", in: home) == "")
        // Where whoever it is cannot be told, it is refused.
        try Command.shell("chown 0:65534 app; chmod 2775 app", in: home)
        let refused = try run(try backup.action(in: scope))
        #expect(
            refused.status == 3 && refused.errors.contains("E_LINK others may put files"),
            "\(refused.errors)"
        )
    }

    /// Row H51.
    @Test(
        "Neither links beside the database nor in the place of the backups lead root elsewhere",
        .enabled(if: getuid() == 0),
        arguments: [
            (
                "app",
                "ln -s $T/victim app/app.db-journal; rm -f app/app.db-wal; ln -s $T/victim app/app.db-wal"
            ),
            ("app", "rm app/app.db; ln -s $T/other.db app/app.db"),
            ("app", "ln -s $T app/.app.db.fleet"),
            (
                "backups",
                "chown 65534 backups; for n in new scratch new.gz sum; do ln -s $T/victim backups/$n; done; ln -s $T backups/.fleet.web1"
            ),
            ("backups", "rmdir backups; ln -s $T backups; chown -h 65534 backups"),
        ]
    )
    func linksBesideTheDatabase(place: String, trap: String) throws {
        try inApplicationsDirectory()
        try Command.shell("T=\(home)/etc; \(trap); chown -hR 65534 app", in: home)
        let all = "ls -A etc; cat etc/victim; sha256sum etc/other.db; stat -c '%u %a' etc/*"
        let before = try Command.shell(all, in: home)
        let fields = "{ database: ~/app/app.db, directory: ~/backups }"
        let (backup, scope) = try asRoot(BackupStep.self, fields)
        let made = try run(try backup.action(in: scope))
        #expect(try Command.shell(all, in: home) == before, "\(made.output)\(made.errors)")
        let (restore, _) = try asRoot(RestoreStep.self, fields)
        let seen = try run(try restore.preflight(in: scope))
        if seen.status == 0 {
            _ = try run(bound(try restore.action(in: scope), seen))
        }
        #expect(try Command.shell(all, in: home) == before)
    }

    /// Row K1.
    @Test("Python reads no module from the directory that a step runs in")
    func plantedModule() throws {
        try Command.shell(
            "mkdir app; echo 'open(\"planted\", \"w\")' >app/sqlite3.py; cp app/sqlite3.py app/urllib.py",
            in: home
        )
        var scope = scope
        scope.directory = home + "/app"
        let made = try run(try step(BackupStep.self).action(in: scope))
        #expect(made.status == 0, "\(made.output)\(made.errors)")
        #expect(!FileManager.default.fileExists(atPath: home + "/app/planted"))
    }

    // MARK: What stays

    /// Row K2.
    @Test(
        "A database that another account's process has open is not replaced, although that process cannot be seen",
        .enabled(if: getuid() == 0)
    )
    func inUseByAnotherAccount() throws {
        #expect(try backUp().status == 0)
        try Command.shell("chmod 755 .; chown -R 65534:65534 .", in: home)
        let holder = Process()
        holder.executableURL = URL(fileURLWithPath: Self.python)
        holder.arguments = [
            "-c",
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM job').fetchall(); print('open', flush=True); sys.stdin.read()",
            database,
        ]
        let (input, output) = (Pipe(), Pipe())
        holder.standardInput = input
        holder.standardOutput = output
        try holder.run()
        defer {
            kill(holder.processIdentifier, SIGKILL)
            holder.waitUntilExit()
        }
        #expect(!output.fileHandleForReading.availableData.isEmpty)
        let step = try step(RestoreStep.self)
        let asked = try run(try step.preflight(in: scope))
        func restored() throws -> Command {
            try Command.run(
                ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "dash", "-s"],
                environment: ["HOME": home, "PATH": Self.path],
                input: bound(try step.action(in: scope), asked).runnableText
            )
        }
        try Command.shell("chown -R 65534:65534 .", in: home)
        let refused = try restored()
        #expect(
            refused.status == 1 && refused.output.contains("E_IN_USE"),
            "\(refused.output)\(refused.errors)"
        )
        input.fileHandleForWriting.closeFile()
        holder.waitUntilExit()
        try Command.shell("chown -R 65534:65534 .", in: home)
        let done = try restored()
        #expect(done.status == 0, "\(done.output)\(done.errors)")
    }

    @Test("Old backups go by age, never the newest ones, never those of the release that runs")
    func retention() throws {
        try Command.shell(
            """
            git init -q app && cd app && git -c user.name=t -c user.email=t@t commit -q --allow-empty -m x
            git tag v2.0.0
            mkdir -p ../backups && cd ../backups
            for name in 20200101T000000Z_v1.0.0 20200102T000000Z_v2.0.0 20200103T000000Z_v1.1.0 \
                20200104T000000Z_v1.1.1; do
                touch -d 2020-01-01 $name.gz $name.gz.sum
            done
            touch notes.txt 20200105T000000Z_v1.2.0.gz
            """,
            in: home
        )
        let made = try backUp(", app: ~/app, keep: 2, older_than: 10d")
        #expect(made.status == 0, "\(made.output)\(made.errors)")
        let left = try backups()
        // The new one and the one of today are the newest two; v2.0.0 runs.
        #expect(left.count == 3, "\(left)")
        #expect(left[0] == "20200102T000000Z_v2.0.0.gz" && left[1] == "20200105T000000Z_v1.2.0.gz")
        #expect(left[2].hasSuffix("_v2.0.0.gz"))
        #expect(FileManager.default.fileExists(atPath: home + "/backups/notes.txt"))
    }

    /// Row K2.
    @Test(
        "Databases and hosts that share a directory keep their backups apart, and none is overwritten"
    )
    func sharedDirectory() throws {
        try sql("CREATE TABLE other (x); INSERT INTO other VALUES (1)", in: home + "/z.db")
        func make(_ database: String, on host: String = "web1") throws -> Command {
            var scope = scope
            scope.endpoint = HostEndpoint(name: HostName(host))
            let text = "{ database: ~/\(database), directory: ~/backups }"
            let reader = YAMLReader(file: "p", source: text)
            let step = BackupStep(try YAMLDocument.parse(text, file: "p"), reader: reader)
            return try run(try #require(step).action(in: scope))
        }
        for (database, host) in [("app.db", "web1"), ("z.db", "web1"), ("app.db", "web2")] {
            let made = try make(database, on: host)
            #expect(made.status == 0, "\(made.output)\(made.errors)")
        }
        #expect(try backups().count == 3)
        try sql("DELETE FROM job")
        let (asked, done) = try restore()
        #expect(done?.status == 0, "\(asked.output)\(String(describing: done))")
        #expect(try sql("SELECT name FROM job") == "first")
        let name = try #require(done?.output.firstMatch(of: /restored (\S+);/)?.1)
        #expect(directory.read("backups/\(name).sum")?.contains(" host=web1") == true)
        // Nothing of its own: nothing is restored.
        try Command.shell(
            "cd backups; for f in *.sum; do grep -q host=web2 $f || rm $f ${f%.sum}; done",
            in: home
        )
        let (none, nothing) = try restore()
        #expect(
            nothing == nil && none.output.contains("of other databases or hosts only"),
            "\(none.output)"
        )
        let named = try restore(", from: \(try backups()[0])")
        #expect(named.action?.status == 0, "\(named.preflight.output)")
    }

    /// Row K8.
    @Test("The newest backup is the one that was made last, whatever the clock said")
    func clockAhead() throws {
        #expect(try backUp().status == 0)
        let name = try #require(try backups().first)
        try Command.shell(
            "mv \(name) 20991231T000000Z_none.gz; mv \(name).sum 20991231T000000Z_none.gz.sum",
            in: home + "/backups"
        )
        try sql("INSERT INTO job VALUES ('later')")
        let made = try backUp()
        #expect(made.status == 0)
        try sql("DELETE FROM job")
        let (asked, done) = try restore()
        #expect(done?.status == 0, "\(asked.output)")
        #expect(try sql("SELECT name FROM job") == "first\nlater")
    }

    /// Row K2.
    @Test(
        "Every line of a command counts, and every part of a pipeline",
        arguments: ["dash", "bash"]
    )
    func severalLines(shell: String) throws {
        let text = "{ directory: ~/backups, command: \"no-such-dump main\\necho second\" }"
        let reader = YAMLReader(file: "p", source: text)
        let step = try #require(BackupStep(try YAMLDocument.parse(text, file: "p"), reader: reader))
        let made = try run(try step.action(in: scope), shell)
        #expect(made.status == 1 && made.output.contains("E_BACKUP"), "\(made.output)")
        #expect(try backups().isEmpty)
        let check = "{ directory: ~/backups, command: echo one, check: \"no-such-check\\ntrue\" }"
        let second = YAMLReader(file: "p", source: check)
        let bad = try #require(BackupStep(try YAMLDocument.parse(check, file: "p"), reader: second))
        #expect(try run(try bad.action(in: scope), shell).status == 1)
    }

    /// Row H51.
    @Test(
        "What the application's repository names is not run as root to find out what runs",
        .enabled(if: getuid() == 0)
    )
    func repositoryOfTheApplication() throws {
        try Command.shell(
            """
            chmod 755 .
            git init -q app && cd app && git -c user.name=t -c user.email=t@t commit -q --allow-empty -m x
            git tag v2.0.0
            chown -R 65534:65534 .
            """,
            in: home
        )
        let made = try backUp(", app: ~/app")
        #expect(made.output.contains("_v2.0.0.gz"), "\(made.output)\(made.errors)")
        // An object that is missing is fetched, says its configuration, by a command.
        try Command.shell(
            """
            cd app
            c() { git config -f .git/config "$@"; }; c core.repositoryFormatVersion 1; c extensions.partialClone origin
            c remote.origin.url "$PWD"; c remote.origin.promisor true
            c remote.origin.uploadpack "touch \(home)/open/pwned;"
            rm -f .git/objects/??/*; mkdir -m 777 ../open
            """,
            in: home
        )
        let again = try backUp(", app: ~/app")
        #expect(again.status == 0, "\(again.output)\(again.errors)")
        #expect(!FileManager.default.fileExists(atPath: home + "/open/pwned"))
    }

    /// Row K2.
    @Test("Where git cannot tell what runs, nothing old is removed")
    func unknownRelease() throws {
        try Command.shell(
            "mkdir -p backups app/.git; touch -d 2020-01-01 backups/20200101T000000Z_v1.0.0.gz",
            in: home
        )
        let made = try backUp(", app: ~/app, keep: 1, older_than: 1d")
        #expect(
            made.status == 0 && made.output.contains("nothing old is removed"),
            "\(made.output)"
        )
        #expect(try backups().count == 2)
    }

    @Test("A database that is not sound, or not there, makes no backup, and old ones stay")
    func noBackup() throws {
        #expect(try backUp().status == 0)
        let before = try backups()
        try Command.shell(
            "dd if=/dev/urandom of=app.db bs=1k count=8 2>/dev/null; rm -f app.db-*",
            in: home
        )
        let bad = try backUp(", keep: 1, older_than: 1d")
        #expect(bad.status == 1 && bad.output.contains("E_BACKUP"), "\(bad.output)\(bad.errors)")
        #expect(try backups() == before)
        try Command.shell("rm app.db", in: home)
        let gone = try backUp()
        #expect(gone.status == 1 && gone.output.contains("E_NO_DATABASE"), "\(gone.output)")
        #expect(!FileManager.default.fileExists(atPath: database), "asking made no database")
        let asked = try run(try step(BackupStep.self).preflight(in: scope))
        #expect(asked.status == 1 && asked.output.contains("E_NO_DATABASE"))
        let litter = try Command.shell("ls -A backups | grep '^[.]' || true", in: home)
        #expect(litter.isEmpty, "\(litter)")
    }
}
