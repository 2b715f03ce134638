import FleetTestSupport
import FleetTransport
import Foundation
import Testing

@testable import FleetRunner

/// A process group is known by its boot and its start, never by its number alone.
struct HostIdentityTests {
    private let home: TemporaryDirectory

    init() throws {
        home = try TemporaryDirectory()
        try Command.shell("mkdir -p .fleet/runs/r1/f0-1 .fleet/locks/production", in: home.path)
        try home.write("r1\nann\nnow\n", to: ".fleet/locks/production/owner")
    }

    private func run(_ script: Script) throws -> Command {
        try Command.run(
            ["sh", "-s"],
            in: home.path,
            environment: ["HOME": home.path],
            input: script.shellText
        )
    }

    /// A process group of somebody else's, and what `pid` would say of it.
    private func stranger() throws -> (
        process: ChildProcess, pid: Int32, start: String, boot: String
    ) {
        let process = try ChildProcess(["setsid", "sleep", "600"])
        var start = ""
        while start.isEmpty {
            let stat = try String(contentsOfFile: "/proc/\(process.pid)/stat", encoding: .utf8)
            let words = stat.split(separator: ")").last?.split(separator: " ") ?? []
            if words.count > 19, stat.contains("(sleep)") { start = String(words[19]) }
        }
        let boot = try String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)
        return (process, process.pid, start, boot.trimmingCharacters(in: .newlines))
    }

    private var lock: HostLock {
        HostLock(environment: "production", owner: "r2", description: "bob")
    }

    /// Row H17.
    @Test(
        "A home directory that is not there, or in which nothing can be kept, is named before anything is done",
        arguments: [
            ("rm -rf .fleet; echo >.fleet", "E_HOME", "/.fleet is no directory"),
            ("rm -rf .fleet; ln -s nowhere .fleet", "E_HOME", "/.fleet is no directory"),
            ("rm -rf .fleet/locks; echo >.fleet/locks", "E_HOME", "/.fleet/locks is no directory"),
            ("rm -rf .fleet", "", ""), ("true", "", ""),
        ]
    )
    func home(change: String, token: String, words: String) throws {
        unlink(home.path + "/.fleet/locks/production/owner")
        try Command.shell(change, in: home.path)
        let found = try run(lock.question)
        #expect(found.status == (token.isEmpty ? 0 : 1), "\(found.output)")
        #expect(token.isEmpty || found.output.contains(token) && found.output.contains(words))
        let missing = try Command.run(
            ["sh", "-s"],
            environment: ["HOME": home.path + "/nowhere"],
            input: lock.question.shellText
        )
        #expect(missing.output.contains("E_HOME") && missing.output.contains("is not there"))
    }

    /// Row K2.
    @Test("Two hosts with one home directory are told from one that is asked twice")
    func sharedHome() throws {
        func lock(_ host: String, owner: String = "r2", adopts: String? = nil) -> HostLock {
            HostLock(
                environment: "production",
                owner: owner,
                description: "bob",
                adopts: adopts,
                host: host
            )
        }
        unlink(home.path + "/.fleet/locks/production/owner")
        for _ in 1...2 { #expect(try run(lock("web1").taking(generation: nil)).status == 0) }
        for other in [lock("web2"), lock("web2", owner: "r3", adopts: "r2")] {
            let taken = try run(other.taking(generation: nil))
            #expect(
                taken.status == 1 && taken.output.hasPrefix("E_SHARED_HOME web2 and web1"),
                "\(taken.output)"
            )
        }
        #expect(
            try run(lock("web1", owner: "r3", adopts: "r2").taking(generation: nil)).status == 0
        )
        // A lock of a fleet that did not write the host is nobody else's for that.
        try home.write("r2\nbob\nnow\n", to: ".fleet/locks/production/owner")
        #expect(try run(lock("web2").taking(generation: nil)).status == 0)
    }

    @Test(
        "A count of rollouts that a crash has emptied is no reason to ask less",
        arguments: ["", "x"]
    )
    func brokenGeneration(_ text: String) throws {
        unlink(home.path + "/.fleet/locks/production/owner")
        try home.write(text, to: ".fleet/locks/production/generation")
        let asked = try run(lock.question)
        #expect(asked.output.contains("generation=broken\n"), "\(asked.output)")
        #expect(try run(lock.taking(generation: "broken")).status == 0)
        #expect(try run(lock.giving()).status == 0)
        // Whoever asked before is told that somebody was here.
        let next = HostLock(environment: "production", owner: "r3", description: "ann")
        let late = try run(next.taking(generation: "broken"))
        #expect(late.status == 1 && late.output.contains("E_CHANGED"), "\(late.output)")
        let count = home.read(".fleet/locks/production/generation") ?? ""
        #expect(Int(count.trimmingCharacters(in: .newlines)) ?? 0 > 1_700_000_000, "\(count)")
    }

    /// Row K9.
    @Test("A lock whose file is empty is somebody's, is shown, and can be broken")
    func emptyLock() throws {
        try home.write("", to: ".fleet/locks/production/owner")
        #expect(try run(lock.question).output.contains("E_LOCKED"))
        #expect(try run(lock.status).output.contains("owner=unknown\n"))
        let broken = try run(lock.breaking("unknown"))
        #expect(broken.status == 0, "\(broken.output)\(broken.errors)")
        #expect(try run(lock.question).status == 0)
    }

    @Test(
        "A number that was given to somebody else since is neither reported as running nor ended",
        arguments: ["boot", "start"]
    )
    func reused(what: String) throws {
        let other = try stranger()
        defer {
            kill(other.pid, SIGKILL)
            other.process.wait()
        }
        let start = what == "start" ? "1" : other.start
        let boot = what == "boot" ? "another-boot" : other.boot
        try home.write("\(other.pid) \(start) \(boot)\n", to: ".fleet/runs/r1/f0-1/pid")
        #expect(try !run(lock.status).output.contains("running="))
        #expect(try run(lock.ledger).output.contains("unended=r1/f0-1"))
        let broken = try run(lock.breaking("r1"))
        #expect(broken.status == 0, "\(broken.output)")
        #expect(kill(other.pid, 0) == 0, "it is nobody's business")
    }

    @Test("A dead-man switch is armed as long as somebody waits at it", arguments: [true, false])
    func deadMan(waits: Bool) throws {
        let other = try stranger()
        try Command.shell("mkdir .fleet/runs/r1/switch; : >.fleet/runs/r1/armed", in: home.path)
        try home.write(
            "\(other.pid) \(other.start) \(other.boot)\n",
            to: ".fleet/runs/r1/switch/pid"
        )
        defer {
            kill(other.pid, SIGKILL)
            other.process.wait()
        }
        if !waits {
            kill(other.pid, SIGKILL)
            other.process.wait()
        }
        let told = try run(lock.ledger).output
        #expect(told.contains("armed=r1\n") == waits, "\(told)")
        #expect(told.contains("unwatched=r1\n") == !waits, "\(told)")
    }

    @Test("A step is looked for in the home of the account that logs in, and in no other one's")
    func otherHomes() throws {
        let other = try stranger()
        defer {
            kill(other.pid, SIGKILL)
            other.process.wait()
        }
        try home.write("\(other.pid) \(other.start) \(other.boot)\n", to: ".fleet/runs/r1/f0-1/pid")
        try home.write("", to: ".fleet/runs/r1/f0-1/go")
        let busy = try run(RunDirectory.stillRunning)
        #expect(busy.status == 1 && busy.output.contains("E_BUSY"), "\(busy.output)")
        // As the documentation says: one login account for an environment.
        try Command.shell("mkdir elsewhere", in: home.path)
        let elsewhere = try Command.run(
            ["sh", "-s"],
            environment: ["HOME": home.path + "/elsewhere"],
            input: RunDirectory.stillRunning.shellText
        )
        #expect(elsewhere.status == 0 && elsewhere.output.isEmpty, "\(elsewhere.output)")
    }

    @Test("The one that was started is reported, and ended with its group")
    func own() throws {
        let other = try stranger()
        defer { other.process.wait() }
        try home.write("\(other.pid) \(other.start) \(other.boot)\n", to: ".fleet/runs/r1/f0-1/pid")
        #expect(try run(lock.status).output.contains("running=f0-1"))
        #expect(try run(lock.ledger).output.contains("running=r1/f0-1"))
        #expect(try run(lock.breaking("r1")).status == 0)
    }
}
