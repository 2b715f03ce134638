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
