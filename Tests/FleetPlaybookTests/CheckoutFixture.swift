import FleetTestSupport
import FleetTransport
import FleetYAML
import Foundation
import Testing

@testable import FleetPlaybook

/// A bare repository with v1 and v2, and a host's home.
final class CheckoutFixture {
    let directory: TemporaryDirectory
    let v1: String
    let v2: String

    /// More variables of the account's.
    let environment: [String: String]
    /// Whether root runs scripts as an account that may not write everywhere.
    let isNobody: Bool

    init(environment: [String: String] = [:], asNobody isNobody: Bool = false) throws {
        self.environment = environment
        self.isNobody = isNobody && getuid() == 0
        directory = try TemporaryDirectory()
        let log = try Command.shell(
            """
            export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t
            export GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t
            git init -q --bare -b main origin.git
            git init -q -b main work
            cd work
            echo one >file; git add .; git commit -qm one; git tag -a v1.0.0 -m one
            echo two >file; git add .; git commit -qm two; git tag v2.0.0
            git push -q ../origin.git main --tags
            git rev-parse v1.0.0^{commit} v2.0.0^{commit}
            mkdir ../home
            """,
            in: directory.path
        )
        let lines = log.split(separator: "\n").map(String.init)
        v1 = lines[0]
        v2 = lines[1]
    }

    var app: String { directory.path + "/home/my app" }

    func git(_ command: String) throws -> String {
        String(
            try Command.shell("git -c safe.directory='*' \(command)", in: app)
                .split(separator: "\n").first ?? ""
        )
    }

    func scope(_ tag: String, _ commit: String, back: Bool = false) -> StepScope {
        StepScope(
            environment: "test",
            endpoint: HostEndpoint(name: "web1"),
            variables: [:],
            release: (tag: tag, commit: commit),
            direction: back ? .revert : .forward
        )
    }

    func step(repository: Bool = true, dirty: String? = nil) throws -> CheckoutStep {
        let text =
            "{ path: \"~/my app\"" + (dirty.map { ", dirty: \($0)" } ?? "")
            + (repository ? ", repository: \"\(directory.path)/origin.git\" }" : " }")
        let reader = YAMLReader(file: "p", source: text)
        let step = CheckoutStep(try YAMLDocument.parse(text, file: "p"), reader: reader)
        try reader.finish()
        return try #require(step)
    }

    /// Runs a script as a host would, with a snapshot's facts.
    func run(_ script: Script?, snapshot: [String: String] = [:]) throws -> Command {
        let facts = snapshot.map {
            EnvironmentVariable("FLEET_SNAPSHOT_\($0.uppercased())", $1)
        }
        let nobody = [
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all",
        ]
        return try Command.run(
            (isNobody ? nobody : []) + ["sh", "-s"],
            in: directory.path + "/home",
            environment: ["HOME": directory.path + "/home", "GIT_CONFIG_GLOBAL": "/dev/null"]
                .merging(environment) { $1 },
            input: try #require(script).adding(facts).runnableText
        )
    }

    func script(_ action: Action?) throws -> Script {
        guard case .script(let script) = action else {
            throw Command.Failed(description: "no script")
        }
        return script
    }

    /// Makes a release in the developer's clone and publishes it.
    ///
    /// - Returns: Its commit.
    func release(_ tag: String, _ script: String) throws -> String {
        try Command.shell(
            """
            export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t
            export GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t
            \(script)
            git add -A; git commit -q --allow-empty -m \(tag); git tag \(tag)
            git push -q ../origin.git main --tags
            git rev-parse HEAD
            """,
            in: directory.path + "/work"
        ).trimmingCharacters(in: .newlines)
    }

    /// Lets everything here belong to the account that runs scripts.
    func handOver() throws {
        guard isNobody else { return }
        try Command.shell("chown -R 65534:65534 home origin.git; chmod 755 .", in: directory.path)
    }

    func deployed(_ tag: String, _ commit: String) throws -> [String: String] {
        let scope = scope(tag, commit)
        let facts = try run(step().preflight(in: scope))
        guard facts.status == 0 else {
            throw Command.Failed(description: facts.output + facts.errors)
        }
        let snapshot = Self.facts(facts.output)
        let result = try run(script(step().action(in: scope)), snapshot: snapshot)
        guard result.status == 0 else {
            throw Command.Failed(description: result.output + result.errors)
        }
        return snapshot
    }

    /// The forward step, up to the moment before git writes the first file.
    func begin(_ tag: String, _ commit: String, _ snapshot: [String: String]) throws {
        let gate = directory.path + "/gate"
        try directory.write(
            "#!/bin/sh\ncase \" $* \" in *' checkout '*) exit 9 ;; esac\nPATH=${PATH#*:}\nexec git \"$@\"\n",
            to: "gate/git",
            mode: 0o755
        )
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        let script = try script(step().action(in: scope(tag, commit)))
            .adding([EnvironmentVariable("PATH", gate + ":" + path)])
        guard try run(script, snapshot: snapshot).status != 0 else {
            throw Command.Failed(description: "git checked it out")
        }
    }

    static func facts(_ output: String) -> [String: String] {
        var facts: [String: String] = [:]
        for line in output.split(separator: "\n") {
            let parts = line.split(
                separator: "=",
                maxSplits: 1,
                omittingEmptySubsequences: false
            )
            if parts.count == 2 { facts[String(parts[0])] = String(parts[1]) }
        }
        return facts
    }
}

extension Script {
    /// The complete text, as a host is given it.
    var runnableText: String { completed(by: ScriptLibrary.texts).shellText }
}
