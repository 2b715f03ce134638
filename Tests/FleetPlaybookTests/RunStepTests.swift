import FleetTestSupport
import FleetTransport
import FleetYAML
import Foundation
import Testing

@testable import FleetPlaybook

/// What `run` and `wait` take for success; by real shells.
struct RunStepTests {
    private let home: TemporaryDirectory

    init() throws { home = try TemporaryDirectory() }

    private func scope(back: Bool = false) -> StepScope {
        var scope = StepScope(
            environment: "test",
            endpoint: HostEndpoint(name: "web1"),
            variables: [:],
            release: nil,
            direction: back ? .revert : .forward
        )
        scope.directoryBefore = nil
        return scope
    }

    private func step<T: StepKind>(_ type: T.Type, _ text: String) throws -> T {
        let reader = YAMLReader(file: "p", source: text)
        let step = type.init(try YAMLDocument.parse(text, file: "p"), reader: reader)
        try reader.finish()
        return try #require(step)
    }

    private func run(_ script: Script?, _ facts: [String: String] = [:]) throws -> Command {
        try Command.run(
            ["sh", "-s"],
            in: home.path,
            environment: [
                "HOME": home.path, "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "",
            ],
            input: try #require(script).adding(
                facts.map { EnvironmentVariable("FLEET_SNAPSHOT_\($0.key)", $0.value) }
            ).runnableText
        )
    }

    @Test(
        "A pipeline is its last command, as in every `sh`: what fails before it is seen only where a step asks"
    )
    func pipelines() throws {
        func status(_ script: String) throws -> Int32 {
            let step = try step(RunStep.self, "{ script: \"\(script)\" }")
            guard case .script(let script) = try step.action(in: scope()) else { return -1 }
            return try run(script).status
        }
        #expect(try status("false | cat") == 0)
        #expect(try status("{ false || touch failed; } | cat; [ ! -e failed ]") == 1)
        #expect(try status("false; true") == 1)
    }

    /// Row K2.
    @Test(
        "A digest that could not be asked is no proof that nothing has changed",
        arguments: ["no-such-pip freeze", "no-such-pip freeze | sort", "no-such-pip\necho x"]
    )
    func digests(command: String) throws {
        let text = "{ script: \"true\", digest: \"\(command.replacing("\n", with: "\\n"))\" }"
        let step = try step(RunStep.self, text)
        let asked = try run(step.preflight(in: scope()))
        #expect(asked.status == 0 && !asked.output.contains("digest="), "\(asked.output)")
        let seen = try run(step.verification(in: scope(back: true)))
        #expect(
            seen.status == 0 && seen.output.contains("note=nobody knows whether"),
            "\(seen.output)"
        )
        let lost = try run(step.verification(in: scope(back: true)), ["DIGEST": "x"])
        #expect(lost.status == 1)
    }

    /// Row K2.
    @Test("A digest is the same as before, or the way back has not been all the way")
    func digestsCompared() throws {
        try home.write("a\nb\n", to: "list")
        let step = try step(RunStep.self, "{ script: \"true\", digest: \"sort list | uniq\" }")
        let asked = try run(step.preflight(in: scope()))
        let digest = try #require(asked.output.firstMatch(of: /digest=([0-9a-f]{64})/)?.1)
        func back() throws -> Int32 {
            try run(step.verification(in: scope(back: true)), ["DIGEST": String(digest)]).status
        }
        #expect(try back() == 0)
        try home.write("a\nc\n", to: "list")
        #expect(try back() == 1)
        // A part that stops reading is no failure of the one before it.
        let long = try self.step(
            RunStep.self,
            "{ script: \"true\", digest: \"seq 1 100000 | head -n 1\" }"
        )
        for _ in 1...5 { #expect(try run(long.preflight(in: scope())).output.hasPrefix("digest=")) }
        // Where the release is, is where its directory is counted from.
        var inside = scope()
        (inside.directory, inside.directoryBefore) = ("app", "app")
        try Command.shell("mkdir app; echo x >app/own", in: home.path)
        let own = try self.step(RunStep.self, "{ script: \"true\", digest: \"cat own\" }")
        #expect(try run(own.preflight(in: inside)).output.hasPrefix("digest="))
        inside.direction = .revert
        #expect(try run(own.verification(in: inside), ["DIGEST": "other"]).status == 1)
    }

    /// Row K2.
    @Test("A condition of several lines holds only if all of them do")
    func conditions() throws {
        func ends(_ condition: String, within seconds: Int) throws -> Bool {
            let step = try step(WaitStep.self, "{ until: \"\(condition)\", every: 1s }")
            guard case .script(let script) = try step.action(in: scope()) else { return false }
            let done = try Command.run(
                ["timeout", String(seconds), "sh", "-s"],
                in: home.path,
                environment: ["PATH": "/usr/bin:/bin"],
                input: script.runnableText
            )
            return done.status == 0
        }
        #expect(try ends("test -d /\\ntrue", within: 60))
        #expect(try !ends("test -f /nowhere\\necho looked", within: 2))
    }
}
