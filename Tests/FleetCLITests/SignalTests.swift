import FleetTestSupport
import Foundation
import Testing

/// What is done to the controller while it works: signals, sleep, a terminal that goes away.
@Suite(.serialized) struct SignalTests {
    private let fleet: HoldingFleet

    init() throws { fleet = try HoldingFleet() }

    private func startHolding() async throws -> ChildProcess {
        let process = try fleet.start("a", "deploy", "production", "--tag", "v1.0.0")
        try await eventually("both hosts are at it") {
            fleet.file("holding", 0) != nil && fleet.file("holding", 1) != nil
        }
        return process
    }

    /// Takes it up again, and every step has run once.
    private func resumes() throws {
        try fleet.letGo()
        let resumed = try fleet.run("a", "resume")
        #expect(resumed.status == 0, "\(resumed.output)\(resumed.errors)")
        for host in 0..<2 {
            #expect(fleet.file("held", host) == "v1.0.0\n")
            #expect(fleet.file("holding", host) == "v1.0.0\n")
        }
        #expect(try fleet.run("a", "lock", "status", "production").status == 0)
    }

    @Test("O2: the second Ctrl-C leaves at once, and the rollout can be taken up again")
    func twice() async throws {
        let process = try await startHolding()
        kill(process.pid, SIGINT)
        try await eventually("the first one is seen") {
            fleet.said("a").contains("interrupted (signal 2)")
        }
        kill(process.pid, SIGINT)
        #expect(process.wait() == 130)
        #expect(fleet.said("a").contains("left at once"))
        try resumes()
    }

    @Test("O3: SIGTERM finishes what is in flight and starts nothing")
    func terminated() async throws {
        let process = try await startHolding()
        kill(process.pid, SIGTERM)
        try await eventually("it is seen") { fleet.said("a").contains("interrupted (signal 15)") }
        try fleet.letGo()
        #expect(process.wait() == 30, "\(fleet.said("a"))")
        try resumes()
    }

    @Test("O4: a terminal that goes away changes nothing")
    func hungUp() async throws {
        let process = try await startHolding()
        kill(process.pid, SIGHUP)
        kill(process.pid, SIGPIPE)
        try fleet.letGo()
        #expect(process.wait() == 0, "\(fleet.said("a"))")
    }

    @Test("O5, O15: stopped in mid-step and woken, it goes on")
    func stopped() async throws {
        let process = try await startHolding()
        kill(process.pid, SIGSTOP)
        // The hosts lose patience with it meanwhile.
        for server in fleet.fixture.servers { server.dropConnections() }
        try fleet.letGo()
        kill(process.pid, SIGCONT)
        #expect(process.wait() == 0, "\(fleet.said("a"))")
        for host in 0..<2 { #expect(fleet.file("held", host) == "v1.0.0\n") }
    }

    @Test("O22: a reader that stops reading holds up nothing but the end of the program")
    func blockedReader() async throws {
        try fleet.letGo()
        let pipe = fleet.fixture.directory.path + "/pipe"
        #expect(mkfifo(pipe, 0o600) == 0)
        let reader = open(pipe, O_RDWR)
        defer { close(reader) }
        // So small that the first record fills it.
        // F_SETPIPE_SZ, which Glibc hides.
        let size = fcntl(reader, 1031, 4096)
        #expect(size > 0)
        let process = try fleet.fixture.start(
            ["deploy", "production", "--tag", "v1.0.0", "-o", "json"],
            on: "a",
            output: pipe
        )
        try await eventually("the rollout is at its end although nobody reads") {
            let history = try fleet.run("a", "history", "production", "-n", "1", "-o", "json")
            return history.output.contains("\"outcome\":\"succeeded\"")
        }
        #expect(process.isRunning)
        let drain = Thread {
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while read(reader, &buffer, buffer.count) > 0 {}
        }
        drain.start()
        #expect(process.wait() == 0)
    }

    @Test("H30: an sshd that is restarted in mid-step costs nothing")
    func serverRestarts() async throws {
        let process = try await startHolding()
        for server in fleet.fixture.servers { server.dropConnections() }
        try await eventually("it is noticed") { fleet.said("a").contains("looking for hold again") }
        try fleet.letGo()
        #expect(process.wait() == 0, "\(fleet.said("a"))")
        for host in 0..<2 { #expect(fleet.file("held", host) == "v1.0.0\n") }
    }

    @Test("H49: a lock that vanished is not ours any more")
    func lockVanishes() async throws {
        let process = try await startHolding()
        let owner = fleet.fixture.servers[1].home + "/.fleet/locks/production/owner"
        try FileManager.default.removeItem(atPath: owner)
        // The step that runs goes on; the check passes; nothing more is to be started. So another
        // rollout of the same controller finds the host free, and the old one gives back what it has.
        try fleet.letGo()
        #expect(process.wait() == 0, "\(fleet.said("a"))")
        #expect(try fleet.run("a", "lock", "status", "production").status == 0)
    }

    @Test("H12: a release whose tag was deleted since is gone back to by its commit")
    func tagIsGone() throws {
        try fleet.letGo()
        #expect(try fleet.run("a", "deploy", "production", "--tag", "v1.0.0").status == 0)
        for server in fleet.fixture.servers {
            try Command.shell(
                "git -C app tag -d v1.0.0; git -C app gc -q --prune=now",
                in: server.home
            )
        }
        try Command.shell("git -C origin.git tag -d v1.0.0", in: fleet.fixture.directory.path)
        let playbook = try #require(fleet.fixture.directory.read("project/playbooks/deploy.yml"))
        try fleet.fixture.directory.write(
            playbook + "\n  - { name: bad, run: exit 1 }\n",
            to: "project/playbooks/deploy.yml"
        )
        let failed = try fleet.run("a", "deploy", "production", "--tag", "v1.1.0")
        #expect(failed.status == 10, "\(failed.output)\(failed.errors)")
        for server in fleet.fixture.servers {
            let version = try Command.shell("cat app/VERSION", in: server.home)
            #expect(version == "v1.0.0\n")
        }
    }
}
