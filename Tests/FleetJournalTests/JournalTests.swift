import FleetPlan
import FleetRollout
import FleetTestSupport
import FleetTransport
import Foundation
import GRDB
import Synchronization
import Testing

@testable import FleetJournal

struct JournalTests {
    private let directory: TemporaryDirectory
    private let state: StateDirectory
    private var path: String { state.path + "/journal.sqlite" }

    init() throws {
        directory = try TemporaryDirectory()
        state = try StateDirectory(path: directory.path + "/state/fleet")
    }

    static let plan = Plan(
        kind: .deploy,
        environment: "production",
        title: "deploy",
        release: Release(tag: "v1", commit: String(repeating: "a", count: 40)),
        releaseStep: "pull",
        fanout: 1,
        maxFailures: 0,
        onFailure: .revert,
        batches: [["web1"]],
        hosts: [
            PlannedHost(
                endpoint: HostEndpoint(name: "web1"),
                steps: [PlannedStep(name: "pull", kind: "checkout", action: .script(Script("x")))]
            )
        ]
    )

    @Test("A task that was cancelled has its records written all the same")
    func cancelled() async throws {
        let journal = try Journal(in: state)
        let id = try Self.id("r1")
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await journal.append(Self.entries(id))
        }
        #expect(try await task.value?.sequence == Self.entries(id).last?.sequence)
        #expect(try await journal.entries(of: id).count == Self.entries(id).count)
    }

    @Test("Whoever trims the journal waits for others again afterwards")
    func trimmed() async throws {
        let journal = try Journal(in: state)
        for number in 0..<80 {
            let id = try Self.id("r\(number)")
            try await journal.append(
                Self.entries(id),
                outputs: [
                    StoredOutput(
                        host: "web1",
                        key: ActionKey("f0-1"),
                        bytes: [UInt8](repeating: 0x78, count: 8_000),
                        totalBytes: 8_000,
                        droppedBytes: 0
                    )
                ]
            )
        }
        journal.trim()
        let wait = try await journal.writing { try Int.fetchOne($0, sql: "PRAGMA busy_timeout") }
        #expect(wait == 10_000)
    }

    @Test("Room that was given up is kept again for the next rollout, once there is more of it")
    func reserveAgain() throws {
        let reserve = JournalReserve(in: directory.path)
        let path = directory.path + "/reserve"
        #expect(reserve.arm() && FileManager.default.fileExists(atPath: path))
        #expect(reserve.giveUp() && reserve.isUsed)
        #expect(!reserve.giveUp() && !FileManager.default.fileExists(atPath: path))
        #expect(reserve.arm() && !reserve.isUsed && FileManager.default.fileExists(atPath: path))
    }

    @Test("A right that was given back is free at once, although somebody still holds on to it")
    func released() async throws {
        let leases = FileLeases(in: state)
        let first = try await leases.acquire("production", for: "ann")
        first.release()
        let second = try await leases.acquire("production", for: "bob")
        #expect(try leases.holder(of: "production") == "bob")
        withExtendedLifetime((first, second)) {}
    }

    private final class Flag: Sendable { let isOver = Mutex(false) }

    @Test("Whoever asks who holds an environment keeps nobody from taking it")
    func lookingIsNoHolding() async throws {
        let leases = FileLeases(in: state)
        let flag = Flag()
        let lookers = (0..<2).map { _ in
            Task.detached {
                while !flag.isOver.withLock({ $0 }) {
                    _ = try leases.holder(of: "production")
                    // No event: people look again and again, but not without a pause.
                    usleep(1_000)
                }
            }
        }
        for _ in 0..<300 {
            let lease = try await leases.acquire("production", for: "ann")
            #expect(try leases.holder(of: "production") == "ann")
            withExtendedLifetime(lease) {}
        }
        flag.isOver.withLock { $0 = true }
        for looker in lookers { try await looker.value }
        #expect(try leases.holder(of: "production") == nil)
    }

    static func id(_ text: String) throws -> RolloutID { try #require(RolloutID(text)) }

    /// The records of a rollout from its plan to its end.
    static func entries(_ id: RolloutID, outcome: RolloutOutcome = .succeeded) -> [JournalEntry] {
        let origin = RolloutOrigin(user: "u", machine: "m", command: "deploy", version: "0")
        let bodies: [JournalEntry.Body] = [
            .planned(plan: plan, origin: origin), .event(.started),
            .effect(.check(host: "web1")), .effect(.finish(outcome)),
        ]
        return bodies.enumerated().map { index, body in
            JournalEntry(
                rollout: id,
                sequence: index + 1,
                elapsedMilliseconds: index,
                unixMilliseconds: 1_700_000_000_000 + index,
                body: body
            )
        }
    }

    @Test func givesBackWhatWasWritten() async throws {
        let journal = try Journal(in: state)
        let id = try Self.id("r1")
        let output = StoredOutput(
            host: "web1",
            key: ActionKey("f0-1"),
            bytes: [0, 255, 10],
            totalBytes: 9,
            droppedBytes: 6
        )
        try await journal.append(Self.entries(id), outputs: [output])
        #expect(try await journal.entries(of: id) == Self.entries(id))
        #expect(try await journal.outputs(of: id) == [output])
        #expect(try await journal.entries(of: Self.id("other")).isEmpty)
        let record = try #require(try await journal.rollouts(RolloutQuery()).first)
        #expect(record.outcome == .succeeded)
        #expect(record.release == "v1")
        #expect(try await journal.rollouts(RolloutQuery(environment: "staging")).isEmpty)
        #expect(try await journal.verify() == 4)
    }

    @Test func everyOpenIsDurable() throws {
        _ = try Journal(in: state)
        _ = try Journal(in: state)
        var configuration = Configuration()
        configuration.readonly = true
        let mode = try DatabaseQueue(path: path, configuration: configuration).read {
            try String.fetchOne($0, sql: "PRAGMA journal_mode")
        }
        #expect(mode == "wal")
    }

    @Test(arguments: [
        "UPDATE entry SET body = x'00'", "DELETE FROM entry", "DELETE FROM outcome",
        "UPDATE rollout SET user = 'x'",
    ])
    func nothingIsChangedOrRemoved(_ sql: String) async throws {
        let journal = try Journal(in: state)
        try await journal.append(Self.entries(Self.id("r1")))
        let other = try DatabaseQueue(path: path)
        #expect(throws: DatabaseError.self) { try other.write { try $0.execute(sql: sql) } }
        #expect(try await journal.verify() == 4)
    }

    /// Row O12.
    @Test func findsARecordThatWasChangedBehindItsBack() async throws {
        let journal = try Journal(in: state)
        try await journal.append(Self.entries(Self.id("r1")))
        try await journal.append(Self.entries(Self.id("r2")))
        let other = try DatabaseQueue(path: path)
        try await other.write { database in
            try database.execute(sql: "DROP TRIGGER entry_keeps_update")
            try database.execute(sql: "UPDATE entry SET body = x'7b7d' WHERE id = 3")
        }
        await #expect(
            throws: JournalError.corrupt(
                sequence: 3,
                reason: "its hash does not follow from the one before"
            )
        ) {
            try await journal.verify()
        }
    }

    /// Row K8.
    @Test(
        "The tables beside the records say what the records say, or `verify` finds it",
        arguments: [
            "UPDATE ending SET outcome = 'held'", "UPDATE rollout SET user = 'alice'",
            "UPDATE rollout SET release = 'v9.9.9'", "UPDATE rollout SET environment = 'staging'",
            "DELETE FROM ending",
            "INSERT INTO ending (rollout, outcome, ended) SELECT id, 'succeeded', 0 FROM rollout",
            "INSERT INTO rollout SELECT 'x', environment, kind, title, release, hosts, user, started FROM rollout",
            "UPDATE entry SET rollout = 'gone' WHERE id = 1",
            "UPDATE aim SET release = 'x'", "UPDATE aim SET undoes = 'r0'",
            "UPDATE aim SET body = x'7b7d'",
            "DELETE FROM aim", "UPDATE decision SET asked = 1", "DELETE FROM decision",
            "INSERT INTO decision VALUES ('r1', 'commit', 0)", "DELETE FROM request",
            "UPDATE request SET rollout = 'r2'",
            "INSERT INTO request (rollout, entry) VALUES ('r1', 1)",
            "UPDATE output SET bytes = x'00'", "UPDATE output SET total = 1", "DELETE FROM output",
            "INSERT INTO output VALUES ('r1', 'web1', 'f0-1', x'00', 1, 0, NULL)",
            "INSERT INTO output VALUES ('r1', 'web1', 'f0-1', x'00', 1, 0, 1)",
            "UPDATE output SET entry = 1", "UPDATE output SET rollout = 'r0'",
            "UPDATE entry SET chain = 'staging'", "UPDATE entry SET chain = NULL",
            "UPDATE entry SET outputs = ''", "UPDATE head SET entry = 1", "DELETE FROM head",
            "UPDATE head SET hash = ''", "DELETE FROM entry WHERE id = (SELECT max(id) FROM entry)",
            "DELETE FROM beginning", "UPDATE beginning SET entry = 3",
        ]
    )
    func findsAChangedTable(_ sql: String) async throws {
        let journal = try Journal(in: state)
        let id = try Self.id("r1")
        var entries = Self.entries(id)
        entries.insert(
            JournalEntry(
                rollout: id,
                sequence: 9,
                elapsedMilliseconds: 0,
                unixMilliseconds: 0,
                body: .effect(.decide(.commit, reason: "every host is verified"))
            ),
            at: 3
        )
        let output = StoredOutput(
            host: "web1",
            key: ActionKey("f0-1"),
            bytes: [1, 2, 3],
            totalBytes: 3,
            droppedBytes: 0
        )
        try await journal.append(entries, outputs: [output])
        let request = StopRequest(id, after: .step, user: "u", machine: "m")
        try await journal.note(.askedToStop(request), stamp: id, at: 1)
        #expect(try await journal.verify() == 6)
        let other = try DatabaseQueue(path: path)
        try await other.writeWithoutTransaction { database in
            try database.execute(sql: "PRAGMA foreign_keys = OFF")
            try database.execute(sql: "PRAGMA ignore_check_constraints = ON")
            for name in try String.fetchAll(
                database,
                sql: "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            ) {
                try database.execute(sql: "DROP TRIGGER \(name)")
            }
            try database.execute(sql: sql)
        }
        await #expect(throws: JournalError.self) { try await journal.verify() }
    }

    /// Row O20.
    @Test("A state directory on a file system of several machines is known, wherever it is mounted")
    func networkFileSystems() {
        let mounts = #"""
            22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
            40 22 0:40 / /home rw,relatime shared:20 - nfs4 server:/home rw
            41 40 8:2 / /home/local rw - xfs /dev/sdb rw
            42 22 0:42 / /mnt/my\040share rw - cifs //server/share rw
            43 22 0:43 / /mnt/over rw - nfs server:/x rw
            44 22 8:3 / /mnt/over rw - ext4 /dev/sdc rw

            """#
        for (path, type) in [
            ("/home/ann/.local/state/fleet", "nfs4"), ("/home", "nfs4"),
            ("/mnt/my share/fleet", "cifs"),
        ] {
            #expect(StateDirectory.networkFileSystem(of: path, mounts: mounts) == type)
        }
        for path in ["/homes/x", "/home/local/fleet", "/mnt/over/fleet", "/var/lib/fleet"] {
            #expect(StateDirectory.networkFileSystem(of: path, mounts: mounts) == nil)
        }
    }

    /// Row K8.
    @Test("The last answer is the one that was kept last, whatever the clock said")
    func newestSampleByOrder() async throws {
        let journal = try Journal(in: state)
        for (time, state) in [(2_000_000, HealthSample.State.unhealthy), (1_000_000, .healthy)] {
            try await journal.keep(
                [
                    HealthSample(
                        host: "web1",
                        check: "up",
                        unixMilliseconds: time,
                        latencyMilliseconds: 1,
                        state: state,
                        reason: ""
                    )
                ],
                of: "production"
            )
        }
        #expect(try await journal.newestSamples(of: "production").map(\.state) == [.healthy])
    }

    @Test func findsARecordThatWasRemoved() async throws {
        let journal = try Journal(in: state)
        try await journal.append(Self.entries(Self.id("r1")))
        let other = try DatabaseQueue(path: path)
        try await other.write { database in
            try database.execute(sql: "DROP TRIGGER entry_keeps_delete")
            try database.execute(sql: "DELETE FROM entry WHERE id = 2")
        }
        await #expect(throws: JournalError.self) { try await journal.verify() }
    }

    /// Row O11.
    @Test func aTransactionIsWrittenWholeOrNotAtAll() async throws {
        let journal = try Journal(in: state)
        let id = try Self.id("r1")
        try await journal.append(Self.entries(id))
        // The same sequence again cannot be: the whole append is refused.
        await #expect(throws: JournalError.self) { try await journal.append(Self.entries(id)) }
        #expect(try await journal.verify() == 4)
    }

    @Test func anUnfinishedRolloutIsSeen() async throws {
        let journal = try Journal(in: state)
        try await journal.append(Array(Self.entries(Self.id("r1")).dropLast()))
        #expect(try await journal.rollouts(RolloutQuery()).first?.outcome == nil)
    }

    @Test func aJournalOfTheFirstSchemaIsReadAndGoesOn() async throws {
        let directory = try TemporaryDirectory()
        // It goes with its last use, and its files with it.
        defer { withExtendedLifetime(directory) {} }
        let state = try StateDirectory(path: directory.path + "/state")
        let database = try DatabaseQueue(path: state.path + "/journal.sqlite")
        try await database.write { database in
            try database.execute(
                sql: """
                    CREATE TABLE entry (id INTEGER PRIMARY KEY AUTOINCREMENT, rollout TEXT NOT NULL,
                        sequence INTEGER NOT NULL, body BLOB NOT NULL, hash TEXT NOT NULL,
                        UNIQUE (rollout, sequence)) STRICT;
                    CREATE TABLE rollout (id TEXT PRIMARY KEY, environment TEXT NOT NULL,
                        kind TEXT NOT NULL, title TEXT NOT NULL, release TEXT NOT NULL,
                        hosts INTEGER NOT NULL, user TEXT NOT NULL, started INTEGER NOT NULL) STRICT;
                    CREATE TABLE outcome (rollout TEXT PRIMARY KEY REFERENCES rollout (id),
                        outcome TEXT NOT NULL, ended INTEGER NOT NULL) STRICT;
                    CREATE TABLE output (rollout TEXT NOT NULL, host TEXT NOT NULL, key TEXT NOT NULL,
                        bytes BLOB NOT NULL, total INTEGER NOT NULL, dropped INTEGER NOT NULL) STRICT;
                    CREATE TRIGGER outcome_keeps_delete BEFORE DELETE ON outcome
                    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
                    INSERT INTO rollout VALUES ('r1', 'production', 'deploy', 't', 'v1', 3, 'ann', 7);
                    INSERT INTO outcome VALUES ('r1', 'reverted', 9);
                    PRAGMA user_version = 1;
                    """
            )
        }
        try database.close()
        let journal = try Journal(in: state)
        let record = try #require(try await journal.rollouts(RolloutQuery()).first)
        #expect(record.outcome == .reverted)
        #expect(record.endedUnixMilliseconds == 9)
        #expect(
            try await Journal(in: state).rollouts(RolloutQuery()).count == 1,
            "it is brought up to date once"
        )
    }

    /// Row O13.
    @Test func aNewerJournalIsLeftAlone() throws {
        _ = try Journal(in: state)
        let other = try DatabaseQueue(path: path)
        try other.write { try $0.execute(sql: "PRAGMA user_version = 99") }
        #expect(throws: JournalError.newerSchema(found: 99, known: Journal.schema)) {
            try Journal(in: state)
        }
    }

    // MARK: The state directory

    @Test func theDirectoryIsPrivate() throws {
        let attributes = try FileManager.default.attributesOfItem(atPath: state.path)
        #expect(attributes[.posixPermissions] as? Int == 0o700)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: state.path)
        let error = #expect(throws: JournalError.self) { try StateDirectory(path: state.path) }
        #expect(error?.hint == "chmod 700 \(state.path)")
    }

    @Test func aDirectoryThatCannotBeMadeIsNamed() throws {
        try directory.write("a file", to: "blocked")
        let error = #expect(throws: JournalError.self) {
            try StateDirectory(path: directory.path + "/blocked/fleet")
        }
        #expect(error?.message.contains("/blocked/fleet") ?? false)
    }

    @Test("A lock that is refused closes its file once: the number may be another file's by then")
    func aRefusedLockClosesNothingElse() async throws {
        let leases = FileLeases(in: try StateDirectory(path: directory.path + "/locks"))
        let held = try await leases.acquire("e", for: "one")
        let isOver = Mutex(false)
        let lost = Mutex(0)
        let finished = DispatchSemaphore(value: 0)
        let thread = Thread {
            while !isOver.withLock({ $0 }) {
                let file = open("/dev/null", O_RDONLY | O_CLOEXEC)
                if fcntl(file, F_GETFD) < 0 { lost.withLock { $0 += 1 } }
                if close(file) != 0 { lost.withLock { $0 += 1 } }
            }
            finished.signal()
        }
        thread.start()
        for _ in 0..<20_000 {
            await #expect(throws: JournalError.self) {
                _ = try await leases.acquire("e", for: "two")
            }
        }
        isOver.withLock { $0 = true }
        try await eventually("the thread has ended") {
            finished.wait(timeout: .now()) == .success
        }
        #expect(lost.withLock { $0 } == 0)
        withExtendedLifetime(held) {}
    }

    @Test func onlyOneFleetChangesAnEnvironment() async throws {
        let leases = FileLeases(in: state)
        var lease: (any EnvironmentLease)? = try await leases.acquire("production", for: "first")
        #expect(lease != nil)
        await #expect(throws: JournalError.locked(environment: "production", owner: "first")) {
            _ = try await leases.acquire("production", for: "second")
        }
        _ = try await leases.acquire("staging", for: "second")
        lease = nil
        // A process that another test starts just now holds our descriptors until it runs.
        try await eventually("the lease is free again") {
            (try? await leases.acquire("production", for: "third")) != nil
        }
    }
}
