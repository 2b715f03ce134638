import FleetTestSupport
import Foundation
import Testing

/// Whether this machine lets us make file systems.
let canMount =
    ((try? Command.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]))?.status ?? 1)
    == 0

/// A disk that is really full: the state directory on a file system of its own.
@Suite(.serialized, .enabled(if: canMount)) struct FullDiskTests {
    private let fleet: HoldingFleet

    init() throws { fleet = try HoldingFleet() }

    /// Makes the state directory of a machine so large.
    private func mount(_ machine: String, kilobytes: Int) throws -> String {
        let path = fleet.fixture.directory.path + "/" + machine
        try Command.shell(
            "mkdir -m 700 -p '\(path)' && mount -t tmpfs -o mode=700,size=\(kilobytes)k none '\(path)'",
            in: "/"
        )
        return path
    }

    private func unmount(_ path: String) {
        // What is left is lost with the test's directory.
        _ = try? Command.run(["umount", "-l", path])
    }

    @Test("O8: without room for the journal nothing begins")
    func fullBefore() throws {
        let path = try mount("small", kilobytes: 400)
        defer { unmount(path) }
        let refused = try fleet.run("small", "deploy", "production", "--tag", "v1.0.0")
        #expect(refused.status == 73, "\(refused.output)\(refused.errors)")
        #expect(refused.errors.contains("reserve"), "\(refused.errors)")
        #expect(fleet.file("holding", 0) == nil)
    }

    @Test("O9: a disk that fills up in mid-rollout: everything is put back, and recorded")
    func fullInTheMiddle() async throws {
        let path = try mount("a", kilobytes: 12_000)
        defer { unmount(path) }
        try fleet.letGo()
        #expect(try fleet.run("a", "deploy", "production", "--tag", "v1.0.0").status == 0)
        for server in fleet.fixture.servers {
            try Command.shell("rm -f go holding", in: server.home)
        }
        let controller = try fleet.start("a", "deploy", "production", "--tag", "v1.1.0")
        try await eventually("both hosts are at it") {
            fleet.file("holding", 0) != nil && fleet.file("holding", 1) != nil
        }
        try Command.shell("dd if=/dev/zero of=filler bs=4k 2>/dev/null || true", in: path)
        try fleet.letGo()
        #expect(controller.wait() == 10, "\(fleet.said("a"))")
        #expect(fleet.said("a").contains("E_JOURNAL"), "\(fleet.said("a"))")
        for index in 0..<2 { #expect(try fleet.fixture.tag(index) == "v1.0.0") }
        try Command.shell("rm filler", in: path)
        #expect(try fleet.run("a", "journal", "verify", "production").status == 0)
        let again = try fleet.run(
            "a",
            "deploy",
            "production",
            "--tag",
            "v1.1.0",
            "--force-quarantined",
            "the disk was full"
        )
        #expect(again.status == 0, "\(again.output)\(again.errors)")
    }
}
