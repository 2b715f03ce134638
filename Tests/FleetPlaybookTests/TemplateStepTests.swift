import FleetTestSupport
import FleetTransport
import FleetYAML
import Foundation
import Testing

@testable import FleetPlaybook

/// `template`: what a host's file becomes, and the scripts that put it there.
@Suite(.serialized) struct TemplateStepTests {
    private let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
        try FileManager.default.createDirectory(
            atPath: directory.path + "/home",
            withIntermediateDirectories: true
        )
    }

    private func scope(_ text: String, _ variables: [String: String] = [:]) -> StepScope {
        StepScope(
            environment: "test",
            endpoint: HostEndpoint(name: "web1"),
            variables: variables,
            release: (tag: "v1.0.0", commit: String(repeating: "a", count: 40)),
            files: [
                "app.conf": LocalFile(path: "app.conf", sizeBytes: 1, sha256: "0", text: text)
            ]
        )
    }

    private func step(_ more: String = "") throws -> TemplateStep {
        let text = "{ source: app.conf, destination: ~/etc/app.conf\(more) }"
        let reader = YAMLReader(file: "p", source: text)
        let step = TemplateStep(try YAMLDocument.parse(text, file: "p"), reader: reader)
        try reader.finish()
        return try #require(step)
    }

    private func run(_ script: Script?, facts: [String: String] = [:]) throws -> Command {
        let script = try #require(script).adding(
            facts.map { EnvironmentVariable("FLEET_SNAPSHOT_\($0.key.uppercased())", $0.value) }
        )
        return try Command.run(
            ["dash", "-s"],
            environment: ["HOME": directory.path + "/home"],
            input: script.runnableText
        )
    }

    private func run(_ action: Action?, facts: [String: String] = [:]) throws -> Command {
        guard case .script(let script) = action else {
            throw Command.Failed(description: "no script")
        }
        return try run(script, facts: facts)
    }

    /// What the file says on the host after the step.
    private func installed(_ text: String, _ variables: [String: String] = [:]) throws -> String? {
        try Command.shell("mkdir -p home/etc", in: directory.path)
        let done = try run(try step().action(in: scope(text, variables)))
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        return directory.read("home/etc/app.conf")
    }

    @Test("Every name that a playbook knows, byte for byte, nothing escaped")
    func names() throws {
        let text = try installed(
            """
            listen {{vars.address}}:{{ vars.port }};  # {{host.name}} of {{environment.name}}
            release "{{release.tag}}" {{release.commit}}
            {{! nobody sees this }}motto = {{vars.motto}} and {{{vars.motto}}}
            $HOME `id` \\n 'quoted'


            """,
            ["address": "::1", "port": "80", "motto": "<a & \"b\"> ' $(id)"]
        )
        #expect(
            text == """
                listen ::1:80;  # web1 of test
                release "v1.0.0" \(String(repeating: "a", count: 40))
                motto = <a & "b"> ' $(id) and <a & "b"> ' $(id)
                $HOME `id` \\n 'quoted'


                """
        )
    }

    @Test(
        "A section stands for a value that says yes",
        arguments: [
            ("yes", "on"), ("7", "on"), ("", "off"), ("false", "off"), ("no", "off"),
            ("False", "off"), ("NO", "off"), ("off", "off"), ("0", "off"), ("none", "on"),
        ]
    )
    func sections(value: String, expected: String) throws {
        let text = "{{#vars.tls}}on{{/vars.tls}}{{^vars.tls}}off{{/vars.tls}}"
        #expect(try installed(text, ["tls": value]) == expected)
    }

    @Test(
        "Lines that hold nothing but a mark vanish, the first one, too",
        arguments: [
            ("{{! managed }}\n#!/bin/sh\n", "#!/bin/sh\n"), ("\n\nfoo\n", "\n\nfoo\n"),
            ("{{#vars.a}}\nyes (really)\n{{/vars.a}}\nend\n", "yes (really)\nend\n"),
            ("{{#host}}{{vars.a}} {{name}}{{/host}}", "1 web1"),
        ]
    )
    func lines(text: String, expected: String) throws {
        #expect(try installed(text, ["a": "1"]) == expected)
    }

    @Test("A name inside a section is looked up where it would be outside")
    func insideSections() throws {
        let text = "{{#vars.tls}}{{vars.port}} {{text}}{{/vars.tls}}"
        #expect(throws: UndefinedReference.self) {
            try step().action(in: scope(text, ["tls": "yes", "port": "1"]))
        }
        let good = "{{#vars.tls}}{{vars.port}}{{/vars.tls}}"
        #expect(try installed(good, ["tls": "yes", "port": "1"]) == "1")
    }

    @Test(
        "What stands for nothing is refused before any host is asked, with the name",
        arguments: [
            ("{{vars.prot}}", "`app.conf`: `vars.prot` has no value on web1"),
            ("{{#vars.prot}}x{{/vars.prot}}", "`app.conf`: `vars.prot` has no value on web1"),
            ("{{^vars.prot}}x{{/vars.prot}}", "`app.conf`: `vars.prot` has no value on web1"),
            ("{{port}}", "`app.conf`: `{{port}}` refers to nothing"),
            ("{{release.date}}", "`app.conf`: `{{release.date}}` refers to nothing"),
            ("{{host}}", "`app.conf`: `{{host}}` refers to nothing"),
            ("{{.}}", "`app.conf`: `{{.}}` refers to nothing"),
            ("{{vars.port.zzz}}", "`app.conf`: `{{vars.port.zzz}}` refers to nothing"),
            (
                "{{upper(vars.port)}}",
                "`app.conf` calls a function (`{{upper(vars.port)}}`), which is not supported"
            ), ("{{=<% %>=}}", "`app.conf` changes its marks (`{{=`), which is not supported"),
            ("{{> head}}", "`app.conf` includes another template (`{{>`), which is not supported"),
        ]
    )
    func missing(text: String, message: String) throws {
        let step = try step()
        let error = #expect(throws: UndefinedReference.self) {
            try step.preflight(in: scope(text, ["port": "80"]))
        }
        #expect(error?.message == message)
    }

    @Test("A template that is none is refused with its line")
    func broken() throws {
        let error = #expect(throws: UndefinedReference.self) {
            try step().action(in: scope("ok\n{{#vars.a}}\n", ["a": "1"]))
        }
        #expect(error?.message.hasPrefix("`app.conf`, line 3: ") == true, "\(error?.message ?? "")")
        #expect(throws: UndefinedReference.self) {
            try step().action(
                in: scope(String(repeating: "x", count: TemplateStep.limitBytes + 1))
            )
        }
    }

    @Test("Put in place with its mode, verified, not written twice, and put back")
    func wholeLife() throws {
        try Command.shell("mkdir -p home/etc; echo old >home/etc/app.conf", in: directory.path)
        let new = scope("port {{vars.port}}\n", ["port": "80"])
        let step = try step(", mode: \"0640\"")
        let asked = try run(try step.preflight(in: new))
        #expect(asked.status == 0, "\(asked.output)\(asked.errors)")
        let facts = Dictionary(
            uniqueKeysWithValues: asked.output.split(separator: "\n").map { line in
                let parts = line.split(separator: "=", maxSplits: 1)
                return (String(parts[0]), String(parts[1]))
            }
        )
        #expect(try run(try step.verification(in: new)).status != 0)
        for _ in 1...2 {
            let done = try run(try step.action(in: new))
            #expect(done.status == 0, "\(done.output)\(done.errors)")
            #expect(directory.read("home/etc/app.conf") == "port 80\n")
            #expect(try run(try step.verification(in: new)).status == 0)
            let mode = try Command.run(["stat", "-c", "%a", directory.path + "/home/etc/app.conf"])
            #expect(mode.output == "640\n")
        }
        var back = new
        back.direction = .revert
        #expect(try run(try step.verification(in: back), facts: facts).status != 0)
        let undone = try run(
            try step.revertAction(in: back, isIdempotent: true),
            facts: facts
        )
        #expect(undone.status == 0, "\(undone.output)\(undone.errors)")
        #expect(directory.read("home/etc/app.conf") == "old\n")
        let mode = try Command.run(["stat", "-c", "%a", directory.path + "/home/etc/app.conf"])
        #expect(mode.output == "\(facts["mode"] ?? "")\n", "as it was before")
        #expect(try run(try step.verification(in: back), facts: facts).status == 0)
        let left = try Command.run(["ls", directory.path + "/home/etc"]).output
        #expect(left == "app.conf\n")
    }
}
