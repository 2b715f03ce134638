import FleetTestSupport
import Foundation
import Testing

/// Where programs are put that shall get no more memory; nil where this machine lets us make none.
private let memoryGroup: String? = {
    let script = """
        name=fleet-test-$$
        if [ -d /sys/fs/cgroup/memory ]; then
            mkdir /sys/fs/cgroup/memory/$name && echo /sys/fs/cgroup/memory/$name
        else
            mkdir /sys/fs/cgroup/$name && [ -e /sys/fs/cgroup/$name/memory.max ] &&
                echo /sys/fs/cgroup/$name
        fi
        """
    let made = try? Command.run(["sh", "-c", script])
    guard let made, made.status == 0 else { return nil }
    return made.output.trimmingCharacters(in: .newlines)
}()

/// What lets a program see another time of day, if it is installed.
let clockLibrary = ["x86_64", "aarch64"]
    .map { "/usr/lib/\($0)-linux-gnu/faketime/libfaketimeMT.so.1" }
    .first { FileManager.default.fileExists(atPath: $0) }

/// What the controller's own machine does to a rollout.
@Suite(.serialized) struct MachineTroubleTests {
    private let fleet: HoldingFleet

    init() throws { fleet = try HoldingFleet() }

    private func bothAreHolding() async throws {
        try await eventually("both hosts are at it") {
            fleet.file("holding", 0) != nil && fleet.file("holding", 1) != nil
        }
    }

    @Test(
        "O7: killed for want of memory, a rollout is taken up again",
        .enabled(if: memoryGroup != nil)
    )
    func outOfMemory() async throws {
        let group = try #require(memoryGroup)
        let controller = try fleet.start("a", "deploy", "production", "--tag", "v1.0.0")
        try await bothAreHolding()
        // What it has is counted elsewhere; the next page that it needs is one too many.
        try Command.shell(
            """
            for limit in memory.limit_in_bytes memory.max; do
                [ ! -e $limit ] || echo 0 >$limit
            done
            echo \(controller.pid) >cgroup.procs
            """,
            in: group
        )
        try fleet.letGo()
        #expect(controller.wait() == -SIGKILL, "\(fleet.said("a"))")
        try Command.shell("rmdir '\(group)'", in: "/")
        #expect(try fleet.run("a", "deploy", "production", "--tag", "v1.1.0").status == 75)
        let resumed = try fleet.run("a", "resume")
        #expect(resumed.status == 0, "\(resumed.output)\(resumed.errors)")
        for index in 0..<2 {
            #expect(try fleet.fixture.tag(index) == "v1.0.0")
            #expect(fleet.file("held", index) == "v1.0.0\n", "the step ran once")
        }
    }

    @Test(
        "O14: a clock that jumps by a year, either way, ends nothing early or late",
        .enabled(if: clockLibrary != nil),
        arguments: ["+366d", "-366d"]
    )
    func theClockJumps(_ jump: String) async throws {
        let library = try #require(clockLibrary)
        let file = fleet.fixture.directory.path + "/clock"
        try fleet.fixture.directory.write("+0d", to: "clock")
        // Only the time of day: the clock that deadlines go by has no date that could jump.
        let controller = try fleet.fixture.start(
            ["deploy", "production", "--tag", "v1.0.0"],
            on: "a",
            under: [
                "env", "LD_PRELOAD=\(library)", "FAKETIME_TIMESTAMP_FILE=\(file)",
                "FAKETIME_NO_CACHE=1", "DONT_FAKE_MONOTONIC=1", "FAKETIME_DISABLE_SHM=1",
            ]
        )
        try await bothAreHolding()
        try fleet.fixture.directory.write(jump, to: "clock")
        try fleet.letGo()
        #expect(controller.wait() == 0, "\(fleet.said("a"))")
        for index in 0..<2 { #expect(try fleet.fixture.tag(index) == "v1.0.0") }
        #expect(try fleet.run("a", "journal", "verify", "production").status == 0)
        let shown = try fleet.run("a", "show", try fleet.id("a"), "-o", "json")
        let years = Set(
            shown.output.split(separator: "\n").compactMap { line -> Int? in
                let entry =
                    try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
                return (entry?["time"] as? String).flatMap { Int($0.prefix(4)) }
            }
        )
        #expect(years.count > 1, "the jump is in the records, so it took place: \(years)")
    }

    @Test("A fleet that may open few files says so, and never ends by a signal")
    func fewDescriptors() throws {
        var ended: [Int: Int32] = [:]
        // With fewer than eight, libdispatch ends the process itself.
        for limit in Array(8...20) + [32] {
            let controller = try fleet.fixture.start(
                ["exec", "production", "--", "true"],
                on: "few",
                under: ["prlimit", "--nofile=\(limit)"]
            )
            let status = controller.wait()
            ended[limit] = status
            #expect(status >= 0, "with \(limit) files: \(fleet.said("few"))")
            let said = fleet.said("few")
            #expect(
                status == 0 || said.contains("open"),
                "with \(limit) files: \(said)"
            )
        }
        #expect(ended[32] == 0 && ended[8] != 0, "\(ended)")
    }
}
