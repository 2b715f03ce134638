import FleetTestSupport
import FleetTransport
import Testing

@testable import FleetRunner

struct BudgetTests {
    @Test("H20: many outputs together wait for the disk sooner than one alone")
    func manyOutputs() {
        #expect(OutputCapture.lagBytes(beside: 1 << 20) == 256 << 10)
        #expect(OutputCapture.lagBytes(beside: 100 << 20) == 16 << 10)
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
