import FleetTestSupport
import FleetTransport
import Foundation
import Testing

@testable import FleetPlaybook

/// What "verified" means of a work tree: the bytes that git would write, whatever git says by itself.
struct TreeProofTests {
    private func forward(_ fixture: CheckoutFixture, _ tag: String, _ commit: String) throws
        -> Command
    {
        try fixture.run(
            fixture.script(fixture.step().action(in: fixture.scope(tag, commit))),
            snapshot: ["commit": fixture.git("rev-parse HEAD"), "state": "present"]
        )
    }

    private func verified(_ fixture: CheckoutFixture, _ tag: String, _ commit: String) throws
        -> Command
    {
        try fixture.run(fixture.step().verification(in: fixture.scope(tag, commit)))
    }

    /// Rows K3, K10.
    @Test("A file that the account cannot replace refuses in preflight, and fails the checkout")
    func unreplaceable() throws {
        let fixture = try CheckoutFixture(asNobody: true)
        let v3 = try fixture.release("v3.0.0", "mkdir zzz; echo three >zzz/f")
        let v4 = try fixture.release("v4.0.0", "echo four >zzz/f; echo new >aaa")
        try fixture.handOver()
        _ = try fixture.deployed("v3.0.0", v3)
        try Command.shell("chmod a-w zzz", in: fixture.app)
        let asked = try fixture.run(fixture.step().preflight(in: fixture.scope("v4.0.0", v4)))
        #expect(asked.status == 1 && asked.output.hasPrefix("E_UNWRITABLE"), "\(asked.output)")
        #expect(asked.output.contains("    zzz/f"))
        // As if that had come after preflight: git says so and exits with 0.
        let done = try forward(fixture, "v4.0.0", v4)
        #expect(done.status == 1, "\(done.output)\(done.errors)")
        #expect(done.output.contains("E_CHECKOUT") && done.output.contains("zzz/f (content)"))
        try Command.shell("chmod u+w zzz", in: fixture.app)
    }

    @Test("The way back fails, too, where a file of the bad release stays")
    func unreplaceableBack() throws {
        let fixture = try CheckoutFixture(asNobody: true)
        let v3 = try fixture.release("v3.0.0", "mkdir zzz; echo three >zzz/f")
        let v4 = try fixture.release("v4.0.0", "echo four >zzz/f")
        try fixture.handOver()
        _ = try fixture.deployed("v3.0.0", v3)
        let snapshot = try fixture.deployed("v4.0.0", v4)
        try Command.shell("chmod a-w zzz", in: fixture.app)
        let back = fixture.scope("v4.0.0", v4, back: true)
        let action = try fixture.step().revertAction(in: back, isIdempotent: true)
        let done = try fixture.run(fixture.script(action), snapshot: snapshot)
        #expect(done.status == 1 && done.output.contains("zzz/f (content)"), "\(done.output)")
        let seen = try fixture.run(fixture.step().verification(in: back), snapshot: snapshot)
        #expect(seen.status != 0 || seen.output.contains("changed content"), "\(seen.output)")
        try Command.shell("chmod u+w zzz", in: fixture.app)
    }

    /// Rows K2, K10.
    @Test("A git that only moves HEAD is found out")
    func lyingGit() throws {
        let bin = try TemporaryDirectory()
        let git = try Command.shell("command -v git").trimmingCharacters(in: .newlines)
        try bin.write(
            """
            #!/bin/sh
            case " $* " in
            *" checkout --quiet "*)
                for last do :; done
                exec \(git) -C "$HOME/my app" update-ref --no-deref HEAD "$last" ;;
            esac
            exec \(git) "$@"
            """,
            to: "git",
            mode: 0o755
        )
        let path = bin.path + ":" + (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")
        let honest = try CheckoutFixture()
        _ = try honest.deployed("v1.0.0", honest.v1)
        let fixture = try CheckoutFixture(environment: ["PATH": path])
        try Command.shell("cp -R '\(honest.app)' '\(fixture.app)'")
        let done = try forward(fixture, "v2.0.0", honest.v2)
        #expect(done.status == 1 && done.output.contains("E_CHECKOUT"), "\(done.output)")
        #expect(fixture.directory.read("home/my app/file") == "one\n", "it had lied")
    }

    @Test(
        "A change that git is told not to see is seen",
        arguments: ["--assume-unchanged", "--skip-worktree"]
    )
    func flags(flag: String) throws {
        let fixture = try CheckoutFixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        try Command.shell("git update-index \(flag) file; echo mine >file", in: fixture.app)
        #expect(try fixture.git("status --porcelain") == "")
        let asked = try fixture.run(
            fixture.step().preflight(in: fixture.scope("v2.0.0", fixture.v2))
        )
        #expect(asked.output.hasPrefix("E_DIRTY") && asked.output.contains("assume-unchanged"))
        let seen = try verified(fixture, "v1.0.0", fixture.v1)
        #expect(seen.output.contains("changed content") && seen.output.contains(" file\n"))
        // A flag alone stands in nobody's way, and the release is checked out all the same.
        try Command.shell("echo one >file", in: fixture.app)
        _ = try fixture.deployed("v2.0.0", fixture.v2)
        #expect(fixture.directory.read("home/my app/file") == "two\n")
    }

    @Test("A change of the same size and time is seen")
    func sameFacts() throws {
        let fixture = try CheckoutFixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        try Command.shell(
            "touch -r file ../stamp; printf 'ONE\\n' >file; touch -r ../stamp file",
            in: fixture.app
        )
        let seen = try verified(fixture, "v1.0.0", fixture.v1)
        #expect(seen.status == 0 && seen.output.contains("changed content"), "\(seen.output)")
    }

    /// Row K10.
    @Test("A repository that was told not to look at modes or links hides none")
    func modesAndLinks() throws {
        let fixture = try CheckoutFixture()
        let v3 = try fixture.release("v3.0.0", "echo run >start; chmod +x start; ln -s start link")
        _ = try fixture.deployed("v3.0.0", v3)
        try Command.shell(
            "git config core.fileMode false; git config core.symlinks false; chmod -x start; rm link; printf start >link",
            in: fixture.app
        )
        #expect(try fixture.git("status --porcelain") == "")
        let seen = try verified(fixture, "v3.0.0", v3)
        #expect(
            seen.output.contains("changed mode") && seen.output.contains(" start\n"),
            "\(seen.output)"
        )
        #expect(
            seen.output.contains("changed type") && seen.output.contains(" link\n"),
            "\(seen.output)"
        )
        try Command.shell("git checkout -q -f v1.0.0", in: fixture.app)
        _ = try fixture.deployed("v3.0.0", v3)
        #expect(try Command.shell("test -x start && readlink link", in: fixture.app) == "start\n")
    }

    @Test("Line ends that git would write and not take back are no local change, however often")
    func lineEnds() throws {
        let fixture = try CheckoutFixture()
        let v3 = try fixture.release(
            "v3.0.0",
            "printf 'a\\r\\nb\\r\\n' >dos; git -c core.autocrlf=false add dos"
        )
        let v4 = try fixture.release(
            "v4.0.0",
            "echo 'dos text eol=lf' >.gitattributes; git update-index --assume-unchanged dos"
        )
        let v5 = try fixture.release(
            "v5.0.0",
            """
            git update-index --no-assume-unchanged dos; printf 'c\\r\\n' >>dos
            git update-index --cacheinfo 100644,$(git hash-object -w --no-filters dos),dos
            git update-index --assume-unchanged dos
            """
        )
        _ = try fixture.deployed("v3.0.0", v3)
        _ = try fixture.deployed("v4.0.0", v4)
        try Command.shell("touch dos", in: fixture.app)
        #expect(try fixture.git("status --porcelain").contains("dos"), "git takes it for a change")
        let asked = try fixture.run(fixture.step().preflight(in: fixture.scope("v5.0.0", v5)))
        #expect(asked.status == 0 && !asked.output.contains("dirty"), "\(asked.output)")
        _ = try fixture.deployed("v5.0.0", v5)
        #expect(try verified(fixture, "v5.0.0", v5).output.contains("changed") == false)
        #expect(try fixture.git("rev-parse HEAD") == v5)
    }

    @Test("Line ends that git would not write are seen, although git takes them back as the same")
    func foreignLineEnds() throws {
        let fixture = try CheckoutFixture()
        let v3 = try fixture.release("v3.0.0", "echo '* text=auto' >.gitattributes; echo x >run.sh")
        _ = try fixture.deployed("v3.0.0", v3)
        #expect(try verified(fixture, "v3.0.0", v3).output.contains("changed") == false)
        try Command.shell("printf 'x\\r\\n' >run.sh", in: fixture.app)
        #expect(try fixture.git("diff --name-only") == "")
        let seen = try verified(fixture, "v3.0.0", v3)
        #expect(seen.output.contains("changed content") && seen.output.contains(" run.sh"))
    }

    @Test("Changed modes are called that")
    func modes() throws {
        let fixture = try CheckoutFixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        try Command.shell("chmod +x file", in: fixture.app)
        let asked = try fixture.run(
            fixture.step().preflight(in: fixture.scope("v2.0.0", fixture.v2))
        )
        #expect(asked.status == 1)
        #expect(asked.output.contains("modes were changed") && asked.output.contains("file (mode)"))
    }

    @Test("Every kind of difference is told: missing, other types, links, odd names")
    func kinds() throws {
        let fixture = try CheckoutFixture()
        let v3 = try fixture.release(
            "v3.0.0",
            """
            echo x >gone; echo x >'sp ace'; echo x >"$(printf 'new\\nline')"; ln -s a link; ln -s a link2
            mkdir dir other; echo x >dir/f; echo x >other/f; echo x >-dash; echo x >'quo"te'
            """
        )
        _ = try fixture.deployed("v3.0.0", v3)
        #expect(try verified(fixture, "v3.0.0", v3).output.contains("changed") == false)
        try Command.shell(
            """
            rm gone; echo y >'sp ace'; echo y >"$(printf 'new\\nline')"; ln -sfn b link; rm link2; echo a >link2
            mv dir moved; ln -s moved dir; rm -r other; mkdir other; mkdir other/f; echo y >./-dash
            echo y >'quo"te'
            """,
            in: fixture.app
        )
        let lines = try verified(fixture, "v3.0.0", v3).output.split(separator: "\n")
            .filter { $0.hasPrefix("changed ") }
            .map { line in
                let words = line.split(separator: " ", maxSplits: 3)
                return "\(words[1]) \(words[3])"
            }
        #expect(
            Set(lines) == [
                "missing gone", "content sp ace", "content new?line", "content link",
                "type link2", "type dir/f", "type other/f", "content -dash", "content quo\"te",
            ]
        )
    }

    @Test("What a checkout that failed half-way left is taken away on the way back")
    func leftovers() throws {
        let fixture = try CheckoutFixture()
        let v3 = try fixture.release("v3.0.0", "mkdir lib; echo a >lib/a; echo b >b; echo c >c")
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        let asked = try fixture.run(fixture.step().preflight(in: fixture.scope("v3.0.0", v3)))
        let snapshot = CheckoutFixture.facts(asked.output)
        try fixture.begin("v3.0.0", v3, snapshot)
        // Half of the release was written, and one file was changed by somebody since.
        try Command.shell("mkdir lib; echo a >lib/a; echo other >b", in: fixture.app)
        let back = fixture.scope("v3.0.0", v3, back: true)
        let action = try fixture.step().revertAction(in: back, isIdempotent: true)
        let done = try fixture.run(fixture.script(action), snapshot: snapshot)
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        #expect(!fixture.directory.has("home/my app/lib"))
        #expect(fixture.directory.read("home/my app/b") == "other\n")
        #expect(done.output.contains("left alone: b"))
    }

    @Test(
        "What was there before a checkout that failed is nobody's to take away, nor what a link leads to"
    )
    func notLeftovers() throws {
        let fixture = try CheckoutFixture()
        let v3 = try fixture.release("v3.0.0", "ln -s ../outside up")
        let v4 = try fixture.release(
            "v4.0.0",
            "rm up; mkdir up; echo logo >up/logo; echo own >own; echo n >new"
        )
        _ = try fixture.deployed("v3.0.0", v3)
        try Command.shell("mkdir ../outside; echo logo >../outside/logo", in: fixture.app)
        let asked = try fixture.run(fixture.step().preflight(in: fixture.scope("v4.0.0", v4)))
        #expect(asked.status == 0, "\(asked.output)")
        let snapshot = CheckoutFixture.facts(asked.output)
        // It came after preflight: git refuses to write over it.
        try Command.shell("echo own >own", in: fixture.app)
        let forward = try fixture.run(
            fixture.script(fixture.step().action(in: fixture.scope("v4.0.0", v4))),
            snapshot: snapshot
        )
        #expect(forward.status != 0, "\(forward.output)")
        let back = fixture.scope("v4.0.0", v4, back: true)
        let action = try fixture.step().revertAction(in: back, isIdempotent: true)
        let done = try fixture.run(fixture.script(action), snapshot: snapshot)
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        #expect(fixture.directory.read("home/my app/own") == "own\n")
        #expect(fixture.directory.read("home/outside/logo") == "logo\n")
    }

    @Test("A change that git was told not to see is set aside and put back like any other")
    func flaggedChange() throws {
        let fixture = try CheckoutFixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        try Command.shell("git update-index --skip-worktree file; echo mine >file", in: fixture.app)
        let step = try fixture.step(dirty: "stash")
        let scope = fixture.scope("v2.0.0", fixture.v2)
        let snapshot = CheckoutFixture.facts(try fixture.run(step.preflight(in: scope)).output)
        let forward = try fixture.run(fixture.script(step.action(in: scope)), snapshot: snapshot)
        #expect(forward.status == 0, "\(forward.output)\(forward.errors)")
        #expect(fixture.directory.read("home/my app/file") == "two\n")
        let backwards = fixture.scope("v2.0.0", fixture.v2, back: true)
        let back = try fixture.run(
            fixture.script(step.revertAction(in: backwards, isIdempotent: true)),
            snapshot: snapshot
        )
        #expect(back.status == 0, "\(back.output)\(back.errors)")
        #expect(fixture.directory.read("home/my app/file") == "mine\n")
        let seen = try fixture.run(step.verification(in: backwards), snapshot: snapshot)
        #expect(seen.status == 0, "\(seen.output)")
    }

    @Test("A way back brings back what this rollout set aside, never what an earlier one had")
    func othersAside() throws {
        let fixture = try CheckoutFixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        let step = try fixture.step(dirty: "stash")
        let scope = fixture.scope("v2.0.0", fixture.v2)
        try Command.shell("echo old >file", in: fixture.app)
        let first = CheckoutFixture.facts(try fixture.run(step.preflight(in: scope)).output)
        #expect(
            try fixture.run(fixture.script(step.action(in: scope)), snapshot: first).status == 0
        )
        try Command.shell("git checkout -q \(fixture.v1); echo today >file", in: fixture.app)
        let second = CheckoutFixture.facts(try fixture.run(step.preflight(in: scope)).output)
        #expect(first["look"] != nil && first["look"] != second["look"])
        // It goes back before it has set anything aside.
        let backwards = fixture.scope("v2.0.0", fixture.v2, back: true)
        let back = try fixture.run(
            fixture.script(step.revertAction(in: backwards, isIdempotent: true)),
            snapshot: second
        )
        #expect(back.status == 0, "\(back.output)\(back.errors)")
        #expect(fixture.directory.read("home/my app/file") == "today\n")
        #expect(try fixture.git("stash list").contains("set aside"), "the older one is still there")
    }

    @Test("What cannot be looked at is never taken for right")
    func missingTools() throws {
        let fixture = try CheckoutFixture()
        let tools = try TemporaryDirectory()
        try Command.shell(
            "ln -s /usr/bin/* . || :; ln -s /bin/* . 2>/dev/null || :; rm -f xargs; [ -e git ] && [ -e sh ]",
            in: tools.path
        )
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        try Command.shell("echo mine >file", in: fixture.app)
        let step = try fixture.step()
        let scope = fixture.scope("v1.0.0", fixture.v1)
        let path = [EnvironmentVariable("PATH", tools.path)]
        let asked = try fixture.run(#require(try step.preflight(in: scope)).adding(path))
        #expect(asked.status == 1 && asked.output.contains("without xargs"), "\(asked.output)")
        let seen = try fixture.run(#require(try step.verification(in: scope)).adding(path))
        #expect(seen.status == 1 && seen.output.contains("E_TREE"), "\(seen.output)")
    }

    @Test("Line ends that git would not write are seen where it writes CR LF, too")
    func otherLineEnds() throws {
        let fixture = try CheckoutFixture()
        let v3 = try fixture.release(
            "v3.0.0",
            "echo '*.bat text eol=crlf' >.gitattributes; printf 'a\\r\\n' >ü.bat; echo x >'two\nlines.txt'"
        )
        _ = try fixture.deployed("v3.0.0", v3)
        #expect(fixture.directory.read("home/my app/ü.bat") == "a\r\n")
        #expect(try !verified(fixture, "v3.0.0", v3).output.contains("changed"))
        try Command.shell("printf 'a\\n' >ü.bat", in: fixture.app)
        let seen = try verified(fixture, "v3.0.0", v3)
        #expect(seen.output.contains("changed content") && seen.output.contains("ü.bat"))
    }

    @Test("A sparse checkout is refused before anything is touched, whatever shall be set aside")
    func sparse() throws {
        let fixture = try CheckoutFixture()
        let v3 = try fixture.release("v3.0.0", "mkdir d e; echo d >d/d; echo e >e/e")
        _ = try fixture.deployed("v3.0.0", v3)
        try Command.shell("git sparse-checkout set d", in: fixture.app)
        let step = try fixture.step(dirty: "stash")
        let asked = try fixture.run(step.preflight(in: fixture.scope("v2.0.0", fixture.v2)))
        #expect(asked.status == 1 && asked.output.contains("git sparse-checkout disable"))
    }

    @Test("What the commit holds decides: filters and submodules, not the names of files")
    func filters() throws {
        let fixture = try CheckoutFixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        func asked(_ tag: String, _ script: String) throws -> String {
            let commit = try fixture.release(tag, script)
            return try fixture.run(fixture.step().preflight(in: fixture.scope(tag, commit))).output
        }
        #expect(try asked("v3.0.0", ": >.gitmodules").contains("state=present"))
        // An attribute that no file of the release has is no reason.
        #expect(
            try asked("v4.0.0", "echo '*.psd filter=lfs' >.gitattributes").contains("state=present")
        )
        #expect(try asked("v5.0.0", "echo x >a.psd").contains("E_FILTER"))
        // Without a command for the way out git writes what the commit holds.
        #expect(
            try asked(
                "v5.1.0",
                "git rm -q a.psd; echo '*.nb filter=strip' >.gitattributes; echo x >a.nb"
            )
            .contains("state=present")
        )
        try Command.shell("git config filter.strip.required true", in: fixture.app)
        #expect(try asked("v5.2.0", ":").contains("E_FILTER"))
        try Command.shell("git config --remove-section filter.strip", in: fixture.app)
        _ = try asked(
            "v5.3.0",
            "git rm -q a.nb; echo '*.psd filter=lfs' >.gitattributes; echo x >a.psd"
        )
        #expect(
            try asked(
                "v6.0.0",
                "git rm -q --cached a.psd; rm a.psd .gitattributes; git init -q sub; "
                    + "git -C sub commit -q --allow-empty -m x; git add sub 2>/dev/null"
            ).contains("E_SUBMODULES")
        )
    }

    @Test("Local changes that were put back are the ones from before, byte for byte")
    func putBack() throws {
        let fixture = try CheckoutFixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        try Command.shell("echo mine >file", in: fixture.app)
        let step = try fixture.step(dirty: "stash")
        let asked = try fixture.run(step.preflight(in: fixture.scope("v2.0.0", fixture.v2)))
        let snapshot = CheckoutFixture.facts(asked.output)
        let back = fixture.scope("v2.0.0", fixture.v2, back: true)
        let same = try fixture.run(step.verification(in: back), snapshot: snapshot)
        #expect(same.status == 0 && same.output.contains("note=with the local changes"))
        try Command.shell("echo other >file", in: fixture.app)
        let other = try fixture.run(step.verification(in: back), snapshot: snapshot)
        #expect(other.status == 1 && other.output.contains("E_TREE"), "\(other.output)")
    }

    /// Row K1.
    @Test("A hostile gitconfig and environment change nothing")
    func hostileSurroundings() throws {
        let place = try TemporaryDirectory()
        let environment = try HostileSurroundings.write(to: place)
        let fixture = try CheckoutFixture(
            environment: environment.merging(["GIT_CONFIG_GLOBAL": place.path + "/.gitconfig"]) {
                $1
            }
        )
        let v3 = try fixture.release(
            "v3.0.0",
            "printf 'a\\r\\n' >dos; echo x >ünïcode; ln -s file link"
        )
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        let before = try fixture.deployed("v2.0.0", fixture.v2)
        #expect(before["commit"] == fixture.v1 && before["tag"] == "v1.0.0", "\(before)")
        let snapshot = try fixture.deployed("v3.0.0", v3)
        let seen = try verified(fixture, "v3.0.0", v3)
        #expect(
            seen.status == 0 && !seen.output.contains("changed"),
            "\(seen.output)\(seen.errors)"
        )
        #expect(
            try Command.shell("readlink link; cat file dos", in: fixture.app) == "file\ntwo\na\r\n"
        )
        let back = fixture.scope("v3.0.0", v3, back: true)
        let action = try fixture.step().revertAction(in: back, isIdempotent: true)
        let done = try fixture.run(fixture.script(action), snapshot: snapshot)
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        #expect(try fixture.git("rev-parse HEAD") == fixture.v2)
        let reading = try fixture.run(fixture.step().reading(in: fixture.scope("", "")))
        #expect(reading.output == "commit=\(fixture.v2)\ntag=v2.0.0\nstate=present\n")
        let listed = try fixture.run(fixture.step().listing(in: fixture.scope("", "")))
        #expect(listed.output.contains("\(fixture.v1)\trefs/tags/v1.0.0^{}"), "\(listed.output)")
    }

    @Test(
        "A host whose origin has another commit under the tag is named, also where it has the right one"
    )
    func otherOrigin() throws {
        let fixture = try CheckoutFixture()
        _ = try fixture.deployed("v1.0.0", fixture.v1)
        let scope = fixture.scope("v2.0.0", fixture.v2)
        #expect(try fixture.run(fixture.step().preflight(in: scope)).status == 0)
        // The host has the commit, and its origin is somebody else's by now.
        try Command.shell(
            "git -C ../origin.git tag -f v2.0.0 v1.0.0^{} >/dev/null",
            in: fixture.directory.path + "/work"
        )
        let asked = try fixture.run(fixture.step().preflight(in: scope))
        #expect(asked.status == 1 && asked.output.contains("E_TAG_DIFFERS"), "\(asked.output)")
        // What is there and right is enough where nobody can be asked.
        try Command.shell("mv ../origin.git ../gone.git", in: fixture.directory.path + "/work")
        let offline = try fixture.run(fixture.step().preflight(in: scope))
        #expect(offline.status == 0, "\(offline.output)")
    }
}
