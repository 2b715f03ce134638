import FleetTestSupport
import FleetTransport
import FleetYAML
import Foundation
import Testing

@testable import FleetPlaybook

/// The checkout step's scripts against real repositories, run by a real shell.
struct CheckoutStepTests {
    /// A bare repository with v1 and v2, and a host's home.
    private final class Fixture {
        let directory: TemporaryDirectory
        let v1: String
        let v2: String

        init() throws {
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
            String(try Command.shell("git \(command)", in: app).split(separator: "\n").first ?? "")
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
            return try Command.run(
                ["sh", "-s"],
                in: directory.path + "/home",
                environment: ["HOME": directory.path + "/home", "GIT_CONFIG_GLOBAL": "/dev/null"],
                input: try #require(script).adding(facts).shellText
            )
        }

        func script(_ action: Action?) throws -> Script {
            guard case .script(let script) = action else {
                throw Command.Failed(description: "no script")
            }
            return script
        }

        func deployed(_ tag: String, _ commit: String) throws -> [String: String] {
            let scope = scope(tag, commit)
            let facts = try run(step().preflight(in: scope))
            guard facts.status == 0 else { throw Command.Failed(description: facts.output) }
            let snapshot = Self.facts(facts.output)
            let result = try run(script(step().action(in: scope)), snapshot: snapshot)
            guard result.status == 0 else { throw Command.Failed(description: result.output) }
            return snapshot
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

    @Test func clonesOnAHostThatHasNothing() throws {
        let fixture = try Fixture()
        #expect(try fixture.deployed("v1.0.0", fixture.v1) == ["state": "absent"])
        #expect(try fixture.git("rev-parse HEAD") == fixture.v1)
        #expect(try fixture.git("status --porcelain") == "")
    }

    @Test("Local changes are set aside if the playbook says so, and are back with the way back")
    func stashes() throws {
        let fixture = try Fixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        try Command.shell("echo mine >file; echo other >new; git add new", in: fixture.app)
        let step = try fixture.step(dirty: "stash")
        let scope = fixture.scope("v2.0.0", fixture.v2)
        let back = fixture.scope("v2.0.0", fixture.v2, back: true)
        let asked = try fixture.run(step.preflight(in: scope))
        let snapshot = Fixture.facts(asked.output)
        #expect(asked.status == 0 && snapshot["dirty"] == "yes", "\(asked.output)")
        #expect(
            try Command.shell("cat file new", in: fixture.app) == "mine\nother\n",
            "nothing is touched yet"
        )
        // Going back before anything was done changes nothing.
        let revert = try fixture.script(step.revertAction(in: back, isIdempotent: true))
        #expect(try fixture.run(revert, snapshot: snapshot).status == 0)
        #expect(try Command.shell("cat file new", in: fixture.app) == "mine\nother\n")

        for _ in 0..<2 {
            let done = try fixture.run(fixture.script(step.action(in: scope)), snapshot: snapshot)
            #expect(done.status == 0, "\(done.output)\(done.errors)")
        }
        #expect(try Command.shell("cat file; git status --porcelain", in: fixture.app) == "two\n")
        // A stash of somebody else's comes on top.
        try Command.shell(
            "echo x >>file; git -c user.name=t -c user.email=t@t stash -q",
            in: fixture.app
        )
        for _ in 0..<2 {
            let done = try fixture.run(revert, snapshot: snapshot)
            #expect(done.status == 0, "\(done.output)\(done.errors)")
            #expect(try fixture.git("rev-parse HEAD") == fixture.v1)
            #expect(try Command.shell("cat file new", in: fixture.app) == "mine\nother\n")
        }
        #expect(
            try Command.shell("git stash list", in: fixture.app).split(separator: "\n").count == 1
        )
        #expect(throws: Diagnostics.self) { _ = try fixture.step(dirty: "ignore") }
    }

    @Test func goesForwardAndBackToTheRecordedCommit() throws {
        let fixture = try Fixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        let snapshot = try fixture.deployed("v2.0.0", fixture.v2)
        #expect(snapshot["commit"] == fixture.v1)
        #expect(snapshot["tag"] == "v1.0.0")
        #expect(try fixture.git("rev-parse HEAD") == fixture.v2)
        // A deleted tag must not be needed on the way back.
        _ = try fixture.git("tag -d v1.0.0")
        let back = fixture.scope("v2.0.0", fixture.v2, back: true)
        let step = try fixture.step()
        let result = try fixture.run(
            fixture.script(step.revertAction(in: back, isIdempotent: true)),
            snapshot: snapshot
        )
        #expect(result.status == 0, "\(result.output)")
        #expect(try fixture.git("rev-parse HEAD") == fixture.v1)
        #expect(try fixture.run(step.verification(in: back), snapshot: snapshot).status == 0)
        #expect(
            try fixture.run(step.verification(in: fixture.scope("v2.0.0", fixture.v2))).status == 1
        )
    }

    /// Row H14.
    @Test func aLockThatAKilledGitLeftDoesNotStopTheWayBack() throws {
        let fixture = try Fixture()
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

    @Test func aBrokenOffCloneIsTakenForWhatItIs() throws {
        let fixture = try Fixture()
        try Command.shell(
            "git clone -q --no-checkout origin.git 'home/my app'",
            in: fixture.directory.path
        )
        let preflight = try fixture.run(
            fixture.step().preflight(in: fixture.scope("v1.0.0", fixture.v1))
        )
        // Everything looks deleted in the work tree: it is said, not guessed at.
        #expect(
            preflight.status == 0 || preflight.output.hasPrefix("E_DIRTY"),
            "\(preflight.output)"
        )
    }

    /// Row H14.
    @Test func goingBackRestoresTheBranch() throws {
        let fixture = try Fixture()
        try Command.shell("git clone -q origin.git 'home/my app'", in: fixture.directory.path)
        let head = try fixture.git("rev-parse HEAD")
        let snapshot = try fixture.deployed("v1.0.0", fixture.v1)
        #expect(snapshot["ref"] == "refs/heads/main")
        let back = fixture.scope("v1.0.0", fixture.v1, back: true)
        let action = try fixture.step().revertAction(in: back, isIdempotent: true)
        #expect(try fixture.run(fixture.script(action), snapshot: snapshot).status == 0)
        #expect(try fixture.git("symbolic-ref HEAD") == "refs/heads/main")
        #expect(try fixture.git("rev-parse HEAD") == head)
    }

    @Test func goingBackLosesNoChangeThatAStepMade() throws {
        let fixture = try Fixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        let snapshot = try fixture.deployed("v2.0.0", fixture.v2)
        try fixture.directory.write("made by a step\n", to: "home/my app/file")
        let back = fixture.scope("v2.0.0", fixture.v2, back: true)
        let action = try fixture.step().revertAction(in: back, isIdempotent: true)
        let result = try fixture.run(
            fixture.script(action),
            snapshot: snapshot.merging(["unused": ""]) { $1 }
        )
        #expect(result.status == 0, "\(result.output) \(result.errors)")
        #expect(try fixture.git("rev-parse HEAD") == fixture.v1)
        #expect(try fixture.git("stash list").contains("found while reverting"))
    }

    /// Row H13.
    @Test func refusesADirtyTreeAndNamesTheFiles() throws {
        let fixture = try Fixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        try fixture.directory.write("changed\n", to: "home/my app/file")
        let result = try fixture.run(
            fixture.step().preflight(in: fixture.scope("v2.0.0", fixture.v2))
        )
        #expect(result.status == 1)
        #expect(result.output.hasPrefix("E_DIRTY"))
        #expect(result.output.contains("M file"))
        #expect(fixture.directory.read("home/my app/file") == "changed\n")
    }

    @Test("An ignored file that the release would bring along is in its way")
    func ignoredFiles() throws {
        let fixture = try Fixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        let v3 = try Command.shell(
            """
            export GIT_CONFIG_GLOBAL=/dev/null
            echo theirs >.env; git add -f .env
            git -c user.name=t -c user.email=t@t commit -qm three; git tag v3.0.0
            git push -q ../origin.git main --tags; git rev-parse HEAD
            """,
            in: fixture.directory.path + "/work"
        ).trimmingCharacters(in: .newlines)
        try Command.shell("echo .env >.git/info/exclude; echo secret >.env", in: fixture.app)
        let scope = fixture.scope("v3.0.0", v3)
        let asked = try fixture.run(fixture.step().preflight(in: scope))
        #expect(asked.status == 1 && asked.output.contains("E_UNTRACKED .env"), "\(asked.output)")
        // The step itself does not overwrite it either.
        let snapshot = ["commit": fixture.v1]
        let done = try fixture.run(
            fixture.script(fixture.step().action(in: scope)),
            snapshot: snapshot
        )
        #expect(done.status != 0)
        #expect(fixture.directory.read("home/my app/.env") == "secret\n")
        try Command.shell("rm .env", in: fixture.app)
        let again = try fixture.run(fixture.step().preflight(in: scope))
        #expect(again.status == 0, "\(again.output)")
    }

    @Test("Taken down twice, what the service wrote the first time is still there")
    func removedTwice() throws {
        let fixture = try Fixture()
        for data in ["first", "second"] {
            _ = try fixture.deployed("v1.0.0", fixture.v1)
            try Command.shell("echo \(data) >data", in: fixture.app)
            let gone = try fixture.run(
                fixture.script(fixture.step().removal(in: fixture.scope("", "", back: true))),
                snapshot: ["state": "absent"]
            )
            #expect(gone.status == 0, "\(gone.output)")
        }
        let kept = try Command.shell(
            "cat 'my app.fleet-removed'*/data | sort",
            in: fixture.directory.path + "/home"
        )
        #expect(kept == "first\nsecond\n")
    }

    @Test("Back to nothing there is no commit to look for")
    func backToNothing() throws {
        let fixture = try Fixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        let script = try #require(try fixture.step().preflight(in: fixture.scope("", "")))
        let asked = try fixture.run(script.adding([EnvironmentVariable("FLEET_GOING_BACK", "1")]))
        #expect(
            asked.status == 0 && asked.output.contains("commit=\(fixture.v1)"),
            "\(asked.output)"
        )
    }

    @Test func leavesUntrackedFilesAlone() throws {
        let fixture = try Fixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        try fixture.directory.write("mine\n", to: "home/my app/.venv/x")
        _ = try fixture.deployed("v2.0.0", fixture.v2)
        #expect(fixture.directory.read("home/my app/.venv/x") == "mine\n")
    }

    /// Row H11.
    @Test func refusesAMovedTag() throws {
        let fixture = try Fixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        _ = try fixture.git("tag -f v2.0.0 \(fixture.v1)")
        let result = try fixture.run(
            fixture.step().preflight(in: fixture.scope("v2.0.0", fixture.v2))
        )
        #expect(result.status == 1)
        #expect(result.output.hasPrefix("E_TAG_MOVED"))
    }

    /// Row H8.
    @Test func refusesWhatIsNoRepository() throws {
        let fixture = try Fixture()
        let scope = fixture.scope("v1.0.0", fixture.v1)
        let absent = try fixture.run(fixture.step(repository: false).preflight(in: scope))
        #expect(absent.status == 1)
        #expect(absent.output.hasPrefix("E_GIT_REPOSITORY"))
        try fixture.directory.write("x", to: "home/my app/file")
        let full = try fixture.run(fixture.step().preflight(in: scope))
        #expect(full.output.contains("not a git repository and not empty"))
    }

    @Test func refusesAnUnfinishedMerge() throws {
        let fixture = try Fixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        try fixture.directory.write("", to: "home/my app/.git/MERGE_HEAD")
        let result = try fixture.run(
            fixture.step().preflight(in: fixture.scope("v2.0.0", fixture.v2))
        )
        #expect(result.output.hasPrefix("E_GIT_BUSY"))
    }

    /// Row H17.
    @Test func refusesAHostThatChangedSinceItWasAsked() throws {
        let fixture = try Fixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        let action = try fixture.step().action(in: fixture.scope("v2.0.0", fixture.v2))
        let result = try fixture.run(
            fixture.script(action),
            snapshot: ["state": "present", "commit": String(repeating: "d", count: 40)]
        )
        #expect(result.status == 1)
        #expect(result.output.hasPrefix("E_HOST_CHANGED"))
        #expect(try fixture.git("rev-parse HEAD") == fixture.v1)
    }

    @Test func hooksOfTheRepositoryDoNotRun() throws {
        let fixture = try Fixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        try fixture.directory.write(
            "#!/bin/sh\ntouch \"$HOME/hooked\"\n",
            to: "home/my app/.git/hooks/post-checkout",
            mode: 0o755
        )
        _ = try fixture.deployed("v2.0.0", fixture.v2)
        #expect(!fixture.directory.has("home/hooked"))
    }

    @Test func listsReleasesWithAndWithoutAClone() throws {
        let fixture = try Fixture()
        let scope = fixture.scope("", "")
        let remote = try fixture.run(fixture.step().listing(in: scope))
        #expect(remote.output.contains("\(fixture.v1)\trefs/tags/v1.0.0^{}"))
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        #expect(
            try fixture.run(fixture.step(repository: false).listing(in: scope)).output
                == remote.output
        )
    }
}
