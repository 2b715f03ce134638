import FleetTestSupport
import FleetTransport
import Synchronization
import Testing

@testable import FleetRunner

struct BudgetTests {
    @Test("H20: many outputs together wait for the disk sooner than one alone")
    func manyOutputs() {
        #expect(OutputCapture.lagBytes(beside: 1 << 20) == 256 << 10)
        #expect(OutputCapture.lagBytes(beside: 100 << 20) == 16 << 10)
    }

    @Test("A source that waits is let go on, also when others used the budget up while it gathered")
    func gatheringBesideOthers() async throws {
        let directory = try TemporaryDirectory()
        let capture = OutputCapture(keeping: .spool, in: directory.path)
        // 64 KiB stay in memory; the rest is too little for the disk to be asked yet.
        let bytes = [UInt8](repeating: 65, count: 164_000)
        bytes.withUnsafeBytes { capture.write($0) }
        SpoolQueue.shared.waitingBytes.add(100 << 20, ordering: .relaxed)
        defer { SpoolQueue.shared.waitingBytes.subtract(100 << 20, ordering: .relaxed) }
        let resumed = Mutex(false)
        #expect(capture.isFull { resumed.withLock { $0 = true } })
        try await eventually("there is room again") { resumed.withLock { $0 } }
        #expect(!capture.isFull {})
        await capture.settle()
        #expect(capture.read(0..<164_000) == bytes)
    }

    @Test("A buffer takes what there is from anywhere, in memory and on the disk")
    func reading() async throws {
        let directory = try TemporaryDirectory()
        let bytes = (0..<400_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
        for place in [directory.path, nil] {
            let size = place == nil ? 500 : bytes.count
            let capture = OutputCapture(keeping: .spool, in: place)
            bytes[..<size].withUnsafeBytes { capture.write($0) }
            await capture.settle()
            for start in [0, 1, size / 2, size - 1, size] {
                var buffer = [UInt8](repeating: 0, count: 70_000)
                let count = buffer.withUnsafeMutableBytes { capture.read(from: start, into: $0) }
                #expect(count == min(70_000, size - start))
                #expect(buffer[..<count] == bytes[start..<start + count])
            }
        }
    }

    @Test("Outputs are the same if every byte is, however long they are")
    func comparing() async throws {
        let directory = try TemporaryDirectory()
        func output(changing place: Int?) async -> OutputCapture {
            var bytes = [UInt8](repeating: 66, count: 300_001)
            if let place { bytes[place] = 67 }
            let capture = OutputCapture(keeping: .spool, in: directory.path)
            bytes.withUnsafeBytes { capture.write($0) }
            await capture.settle()
            return capture
        }
        let one = await output(changing: nil)
        #expect(one.isSame(as: await output(changing: nil)))
        for place in [0, 65_535, 65_536, 131_072, 300_000] {
            #expect(!one.isSame(as: await output(changing: place)))
        }
        #expect(OutputCapture().isSame(as: OutputCapture()))
    }
}

/// Row H29: what a host lacks is found before anything is touched, or something else does it.
struct HostToolsTests {
    private let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
        try Command.shell(
            "mkdir bin; for p in date df cat cut; do ln -s $(command -v $p) bin/; done",
            in: directory.path
        )
    }

    private func run(_ script: String) throws -> Command {
        try Command.run(
            ["/bin/dash", "-s"],
            environment: ["PATH": directory.path + "/bin", "HOME": directory.path],
            input: script
        )
    }

    @Test("H29: preflight refuses a host on which a step could not be ended for certain")
    func noSetsid() throws {
        let lock = HostLock(environment: "e", owner: "r1", description: "d")
        let refused = try run(lock.question.shellText)
        #expect(refused.status == 1 && refused.output.contains("E_SETSID"), "\(refused.output)")
        try Command.shell("ln -s $(command -v setsid) bin/", in: directory.path)
        let asked = try run(lock.question.shellText)
        #expect(asked.status == 0 && asked.output.contains("generation=0"), "\(asked.output)")
    }

    @Test(
        "H29: SHA-256 by whatever computes it, or a refusal",
        arguments: ["sha256sum", "shasum", "openssl"]
    )
    func digests(program: String) throws {
        let script =
            HostTools.sha256 + "! no_sha || exit 1; printf abc >f; $sha <f | cut -c1-64; $sha f"
        let refused = try run("cd; " + script)
        #expect(refused.status == 1 && refused.output.contains("E_SHA256"), "\(refused.output)")
        try Command.shell(
            "ln -s $(command -v \(program)) bin/; ln -s $(command -v perl) bin/",
            in: directory.path
        )
        let done = try run("cd; " + script)
        // FIPS 180-2, appendix B.1.
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        #expect(
            done.status == 0 && done.output.hasPrefix("\(hash)\n\(hash) "),
            "\(done.output)\(done.errors)"
        )
    }
}
