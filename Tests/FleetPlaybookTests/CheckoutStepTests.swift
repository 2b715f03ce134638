import FleetTestSupport
import FleetTransport
import FleetYAML
import Foundation
import Testing

@testable import FleetPlaybook

/// The checkout step's scripts against real repositories, run by a real shell.
struct CheckoutStepTests {
    /// Row K2.
    @Test(
        "The repository that the playbook names counts, also where the clone was made from another one"
    )
    func aChangedRepository() throws {
        let fixture = try CheckoutFixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        try Command.shell(
            """
            git clone -q --bare origin.git old.git
            git -C "home/my app" remote set-url origin "$PWD/old.git"
            """,
            in: fixture.directory.path
        )
        let v3 = try fixture.release("v3.0.0", "echo three >file")
        _ = try fixture.deployed("v3.0.0", v3)
        #expect(try fixture.git("rev-parse HEAD") == v3)
        let listed = try fixture.run(fixture.step().listing(in: fixture.scope("", "")))
        #expect(listed.output.contains("refs/tags/v3.0.0"), "\(listed.output)")
        // Without one, it is the clone's own.
        let own = try fixture.run(
            fixture.step(repository: false).listing(in: fixture.scope("", ""))
        )
        #expect(own.status == 0 && !own.output.contains("refs/tags/v3.0.0"), "\(own.output)")
    }

    /// Row K3.
    @Test("A fresh host whose remote does not have the release refuses before anything is there")
    func aFreshHostWithoutTheTag() throws {
        let fixture = try CheckoutFixture()
        let other = String(repeating: "a", count: 40)
        for (tag, commit) in [("v9.0.0", fixture.v1), ("v1.0.0", fixture.v2), ("v2.0.0", other)] {
            let asked = try fixture.run(fixture.step().preflight(in: fixture.scope(tag, commit)))
            #expect(asked.status == 1 && asked.output.hasPrefix("E_TAG_DIFFERS"), "\(asked.output)")
        }
        // As if it had gone after that: nothing is left that would be in the way.
        let scope = fixture.scope("v2.0.0", other)
        let done = try fixture.run(
            fixture.script(fixture.step().action(in: scope)),
            snapshot: ["state": "absent"]
        )
        #expect(done.status == 1 && done.output.contains("E_TAG_MISSING"), "\(done.output)")
        #expect(try fixture.deployed("v2.0.0", fixture.v2) == ["state": "absent"])
        #expect(try fixture.git("rev-parse HEAD") == fixture.v2)
    }

    /// Row K2.
    @Test(
        "What the bad release has left compiled is not taken for the old one's: no second is used twice"
    )
    func bytecodeOfTheSameSecond() throws {
        let fixture = try CheckoutFixture()
        let good = try fixture.release(
            "v3.0.0",
            "echo 'word = \"good\"' >shop.py; echo __pycache__ >.gitignore"
        )
        let evil = try fixture.release("v4.0.0", "echo 'word = \"evil\"' >shop.py")
        func said() throws -> String {
            try Command.shell(
                "/usr/bin/python3 -c 'import shop; print(shop.word)'",
                in: fixture.app
            )
        }
        for _ in 1...3 {
            _ = try fixture.deployed("v3.0.0", good)
            #expect(try said() == "good\n")
            let snapshot = try fixture.deployed("v4.0.0", evil)
            #expect(try said() == "evil\n")
            let second = try Command.shell("stat -c %Y shop.py", in: fixture.app)
            let back = fixture.scope("v4.0.0", evil, back: true)
            let action = try fixture.step().revertAction(in: back, isIdempotent: true)
            let done = try fixture.run(fixture.script(action), snapshot: snapshot)
            #expect(done.status == 0, "\(done.output)")
            #expect(try Command.shell("stat -c %Y shop.py", in: fixture.app) != second)
            #expect(try said() == "good\n")
        }
    }

    @Test func clonesOnAHostThatHasNothing() throws {
        let fixture = try CheckoutFixture()
        #expect(try fixture.deployed("v1.0.0", fixture.v1) == ["state": "absent"])
        #expect(try fixture.git("rev-parse HEAD") == fixture.v1)
        #expect(try fixture.git("status --porcelain") == "")
    }

    @Test("Local changes are set aside if the playbook says so, and are back with the way back")
    func stashes() throws {
        let fixture = try CheckoutFixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        try Command.shell("echo mine >file; echo other >new; git add new", in: fixture.app)
        let step = try fixture.step(dirty: "stash")
        let scope = fixture.scope("v2.0.0", fixture.v2)
        let back = fixture.scope("v2.0.0", fixture.v2, back: true)
        let asked = try fixture.run(step.preflight(in: scope))
        let snapshot = CheckoutFixture.facts(asked.output)
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
        let fixture = try CheckoutFixture()
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

    @Test("A clone without its files that cannot get them any more is no success")
    func partialClone() throws {
        let fixture = try CheckoutFixture()
        try Command.shell(
            "git -C origin.git config uploadpack.allowFilter true; "
                + "git clone -q --no-checkout --filter=blob:none \"file://$PWD/origin.git\" 'home/my app'; "
                + "git -C 'home/my app' checkout -q v1.0.0",
            in: fixture.directory.path
        )
        try Command.shell(
            "mv origin.git gone; cd 'home/my app'; git cat-file -e v2.0.0^{commit}; "
                + "git cat-file -p v2.0.0:file >/dev/null 2>&1 && exit 3; :",
            in: fixture.directory.path
        )
        let step = try fixture.step(repository: false)
        let scope = fixture.scope("v2.0.0", fixture.v2)
        let asked = try fixture.run(step.preflight(in: scope))
        // Whoever notices first: the commit is there, and its files are not.
        guard asked.status == 0 else { return }
        let result = try fixture.run(
            fixture.script(step.action(in: scope)),
            snapshot: CheckoutFixture.facts(asked.output)
        )
        #expect(result.status != 0, "\(result.output)\(result.errors)")
        let check = try fixture.run(
            step.verification(in: scope),
            snapshot: CheckoutFixture.facts(asked.output)
        )
        #expect(check.status != 0, "\(check.output)\(check.errors)")
    }

    @Test func aBrokenOffCloneIsTakenForWhatItIs() throws {
        let fixture = try CheckoutFixture()
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
        let fixture = try CheckoutFixture()
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
        let fixture = try CheckoutFixture()
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
        let fixture = try CheckoutFixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        try fixture.directory.write("changed\n", to: "home/my app/file")
        let result = try fixture.run(
            fixture.step().preflight(in: fixture.scope("v2.0.0", fixture.v2))
        )
        #expect(result.status == 1)
        #expect(result.output.hasPrefix("E_DIRTY"))
        #expect(result.output.contains("    file (content)"))
        #expect(fixture.directory.read("home/my app/file") == "changed\n")
    }

    @Test("An ignored file that the release would bring along is in its way")
    func ignoredFiles() throws {
        let fixture = try CheckoutFixture()
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
        try Command.shell(
            "mkdir -p .git/info; echo .env >.git/info/exclude; echo secret >.env",
            in: fixture.app
        )
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
        let fixture = try CheckoutFixture()
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
        let fixture = try CheckoutFixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        let script = try #require(try fixture.step().preflight(in: fixture.scope("", "")))
        let asked = try fixture.run(script.adding([EnvironmentVariable("FLEET_GOING_BACK", "1")]))
        #expect(
            asked.status == 0 && asked.output.contains("commit=\(fixture.v1)"),
            "\(asked.output)"
        )
    }

    @Test("What is undone must run there, or what ran before it")
    func undoing() throws {
        let fixture = try CheckoutFixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        let script = try #require(
            try fixture.step().preflight(in: fixture.scope("v1.0.0", fixture.v1))
        )
        func asked(_ known: String) throws -> Command {
            try fixture.run(
                script.adding([
                    EnvironmentVariable("FLEET_GOING_BACK", "1"),
                    EnvironmentVariable("FLEET_UNDOES", known),
                ])
            )
        }
        #expect(try asked("\(fixture.v2) \(fixture.v1)").status == 0)
        #expect(try asked(fixture.v1).status == 0)
        // A clone that stopped before its first checkout has no index: it is torn down all the same.
        let index = fixture.app + "/.git/index"
        try Command.shell("mv '\(index)' '\(index).aside'")
        let half = try asked("")
        #expect(half.status == 0, "\(half.output)")
        try Command.shell("mv '\(index).aside' '\(index)'")
        let other = try asked(fixture.v2)
        #expect(other.status == 1 && other.output.contains("E_OTHER_RELEASE"), "\(other.output)")
        #expect(other.output.contains("is on v1.0.0"))
    }

    @Test func leavesUntrackedFilesAlone() throws {
        let fixture = try CheckoutFixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        try fixture.directory.write("mine\n", to: "home/my app/.venv/x")
        _ = try fixture.deployed("v2.0.0", fixture.v2)
        #expect(fixture.directory.read("home/my app/.venv/x") == "mine\n")
    }

    /// Row H11.
    @Test func refusesAMovedTag() throws {
        let fixture = try CheckoutFixture()
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
        let fixture = try CheckoutFixture()
        let scope = fixture.scope("v1.0.0", fixture.v1)
        let absent = try fixture.run(fixture.step(repository: false).preflight(in: scope))
        #expect(absent.status == 1)
        #expect(absent.output.hasPrefix("E_GIT_REPOSITORY"))
        try fixture.directory.write("x", to: "home/my app/file")
        let full = try fixture.run(fixture.step().preflight(in: scope))
        #expect(full.output.contains("not a git repository and not empty"))
    }

    @Test func refusesAnUnfinishedMerge() throws {
        let fixture = try CheckoutFixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        try fixture.directory.write("", to: "home/my app/.git/MERGE_HEAD")
        let result = try fixture.run(
            fixture.step().preflight(in: fixture.scope("v2.0.0", fixture.v2))
        )
        #expect(result.output.hasPrefix("E_GIT_BUSY"))
    }

    /// Row H17.
    @Test func refusesAHostThatChangedSinceItWasAsked() throws {
        let fixture = try CheckoutFixture()
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
        let fixture = try CheckoutFixture()
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
        let fixture = try CheckoutFixture()
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
