import FleetTestSupport
import Foundation
import Testing

@testable import FleetPlaybook

/// git's lock of its index: one that a git has left is removed, one that a git may hold is not.
///
/// One after the other: a git of one test is a git that runs for the next one.
@Suite(.serialized) struct IndexLockTests {
    /// Row H14.
    @Test func aLockThatAKilledGitLeftDoesNotStopTheWayBack() throws {
        let fixture = try CheckoutFixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        let snapshot = try fixture.deployed("v2.0.0", fixture.v2)
        try fixture.directory.write("", to: "home/my app/.git/index.lock")
        let back = fixture.scope("v2.0.0", fixture.v2, back: true)
        let result = try fixture.run(
            fixture.script(fixture.step().revertAction(in: back, isIdempotent: true)),
            snapshot: snapshot
        )
        #expect(result.status == 0, "\(result.output)")
        #expect(result.output.contains("which a git that ended had left"))
        #expect(try fixture.git("rev-parse HEAD") == fixture.v1)
    }

    @Test(
        "A git of this account counts where it works in the repository or was told of it, and nowhere else",
        arguments: [("", "", false), ("home/my app", "", true), ("", "home/my app/.git", true)]
    )
    func gitsElsewhere(folder: String, told: String, holds: Bool) async throws {
        let fixture = try CheckoutFixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        let snapshot = try fixture.deployed("v2.0.0", fixture.v2)
        try fixture.directory.write("", to: "home/my app/.git/index.lock")
        try Command.shell("cp \"$(command -v sleep)\" git", in: fixture.directory.path)
        let other = try ChildProcess(
            [fixture.directory.path + "/git", "600"],
            in: fixture.directory.path + "/" + folder,
            environment: told.isEmpty ? [:] : ["GIT_DIR": told]
        )
        defer {
            kill(other.pid, SIGKILL)
            other.wait()
        }
        try await eventually("it runs") {
            try String(contentsOfFile: "/proc/\(other.pid)/comm", encoding: .utf8) == "git\n"
        }
        let back = fixture.scope("v2.0.0", fixture.v2, back: true)
        let result = try fixture.run(
            fixture.script(fixture.step().revertAction(in: back, isIdempotent: true)),
            snapshot: snapshot
        )
        #expect((result.status != 0) == holds, "\(result.output)")
        #expect(result.output.contains("E_GIT_BUSY") == holds, "\(result.output)")
    }

    @Test(
        "A lock of git's stays where a git of another account may hold it",
        .enabled(if: getuid() == 0)
    )
    func indexLockOfAnotherAccount() async throws {
        let fixture = try CheckoutFixture(asNobody: true)
        try fixture.handOver()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        let snapshot = try fixture.deployed("v2.0.0", fixture.v2)
        try Command.shell(
            ": >'home/my app/.git/index.lock'; chown 65534:65534 'home/my app/.git/index.lock'; "
                + "cp \"$(command -v sleep)\" git",
            in: fixture.directory.path
        )
        let other = try ChildProcess([fixture.directory.path + "/git", "600"])
        defer {
            kill(other.pid, SIGKILL)
            other.wait()
        }
        try await eventually("it runs") {
            try String(contentsOfFile: "/proc/\(other.pid)/comm", encoding: .utf8) == "git\n"
        }
        let back = fixture.scope("v2.0.0", fixture.v2, back: true)
        let result = try fixture.run(
            fixture.script(fixture.step().revertAction(in: back, isIdempotent: true)),
            snapshot: snapshot
        )
        #expect(result.status != 0 && result.output.contains("E_GIT_BUSY"), "\(result.output)")
        #expect(fixture.directory.has("home/my app/.git/index.lock"))
    }
}
