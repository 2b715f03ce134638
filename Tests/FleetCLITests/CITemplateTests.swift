import FleetTestSupport
import Foundation
import Testing

/// The shell parts of the GitHub Action and the GitLab template, run as the runners run them.
@Suite(.serialized) struct CITemplateTests {
    private let fixture: FleetFixture

    init() throws { fixture = try FleetFixture(hosts: 1) }

    private func run(_ script: String, shell: [String], _ environment: [String: String]) throws
        -> Command
    {
        try fixture.directory.write(script, to: "job")
        return try Command.run(
            shell + [fixture.directory.path + "/job"],
            in: fixture.directory.path + "/project",
            environment: fixture.surroundings(of: "state").merging(environment) { $1 }
        )
    }

    /// The block of text that stands below a line of a file, as YAML's `|` has it.
    private func block(below line: String, in file: String) throws -> String {
        let text = try String(contentsOfFile: Package.root + "/" + file, encoding: .utf8)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let start = try #require(lines.firstIndex { $0 == line })
        let depth = lines[start + 1].prefix { $0 == " " }.count
        let body = lines[(start + 1)...].prefix { line in
            line.isEmpty || line.prefix { $0 == " " }.count >= depth
        }
        return body.map { String($0.dropFirst(depth)) }.joined(separator: "\n")
    }

    private func file(_ name: String) -> String {
        (try? String(contentsOfFile: fixture.directory.path + "/" + name, encoding: .utf8)) ?? ""
    }

    @Test("The GitHub Action deploys, and hands on the rollout, its outcome and the report")
    func action() throws {
        let script = try block(below: "      run: |", in: "action.yml")
        #expect(!script.contains("${{"), "an input in the script's text would be part of it")
        // As the runner starts `shell: bash`.
        let bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail"]
        var environment = [
            "GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": fixture.directory.path + "/output",
            "FLEET_PROGRAM": Package.binary, "FLEET_COMMAND": "deploy",
            "FLEET_ENVIRONMENT_NAME": "production", "FLEET_REPORT": "report.html",
            "FLEET_ARGUMENTS": "--tag 'v1.0.0' --yes",
        ]
        let result = try run(script, shell: bash, environment)
        #expect(result.status == 0, "\(result.output)\(result.errors)")
        let outputs = file("output").split(separator: "\n").map { $0.split(separator: "=")[0] }
        #expect(outputs == ["rollout", "outcome", "report"])
        let declared = try block(below: "outputs:", in: "action.yml").split(separator: "\n").filter
        {
            !$0.hasPrefix(" ")
        }
        #expect(declared.map { $0.dropLast() } == outputs)
        #expect(file("project/report.html").contains("verified on its one host"))
        // What cannot be split into words is refused, and not carried out in part.
        environment["FLEET_ARGUMENTS"] = "--yes --tag v1.0.0 --override it's --limit nobody"
        #expect(try run(script, shell: bash, environment).status == 64)
        // What somebody puts into an input is words, and nothing else.
        environment["FLEET_ARGUMENTS"] =
            "--tag '$(touch \(fixture.directory.path)/pwned)' `touch x` ; touch y"
        let bad = try run(script, shell: bash, environment)
        #expect(bad.status == 64, "\(bad.errors)")
        #expect(
            file("pwned").isEmpty
                && !FileManager.default.fileExists(atPath: fixture.directory.path + "/pwned")
        )
    }

    @Test("The GitLab template deploys, and leaves a report, test cases and variables")
    func gitlab() throws {
        let script = try block(below: "    - |", in: "ci/gitlab.yml")
        let environment = [
            "GITLAB_CI": "true", "FLEET_PROGRAM": Package.binary, "FLEET_COMMAND": "deploy",
            "FLEET_TARGET": "production", "FLEET_ARGUMENTS": "--tag v1.0.0 --yes",
        ]
        let result = try run(script, shell: ["sh"], environment)
        #expect(result.status == 0, "\(result.output)\(result.errors)")
        let template = try String(
            contentsOfFile: Package.root + "/ci/gitlab.yml",
            encoding: .utf8
        )
        let files = ["fleet-report.html", "fleet-junit.xml", "fleet.env"]
        for name in files { #expect(template.components(separatedBy: name).count == 3) }
        for name in files { #expect(!file("project/\(name)").isEmpty, "\(name)") }
        #expect(file("project/fleet.env").contains("FLEET_OUTCOME=succeeded"))
        let bad = try run(
            script,
            shell: ["sh"],
            environment.merging(["FLEET_ARGUMENTS": "--tag v9.9.9 --yes"]) { $1 }
        )
        // The exit code is fleet's own, as docs/ci.md promises.
        #expect(bad.status == 11, "\(bad.status) \(bad.errors)")
        let unclear = try run(
            script,
            shell: ["sh"],
            environment.merging(["FLEET_ARGUMENTS": "it's"]) { $1 }
        )
        #expect(unclear.status == 64)
    }
}
