import FleetTestSupport
import FleetTransport
import FleetYAML
import Foundation
import Testing

@testable import FleetPlaybook

/// The scripts of `releases` and `switch` against real repositories, run by a real shell.
@Suite(.serialized) struct ReleasesStepTests {
    private let directory: TemporaryDirectory
    /// v1.0.0 … v1.0.7 and their commits.
    private let commits: [String]
    private var root: String { directory.path + "/home/my app" }

    init() throws {
        directory = try TemporaryDirectory()
        let log = try Command.shell(
            """
            export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t
            export GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t
            git init -q --bare -b main origin.git && git init -q -b main work && mkdir home
            cd work
            mkdir -p instance tests && echo first >instance/data && echo t >tests/t
            echo 'tests export-ignore' >.gitattributes
            for i in 0 1 2 3 4 5 6 7; do
                echo $i >file; git add .; git commit -qm $i; git tag -a v1.0.$i -m $i
            done
            git push -q ../origin.git main --tags
            for i in 0 1 2 3 4 5 6 7; do git rev-parse v1.0.$i^{commit}; done
            """,
            in: directory.path
        )
        commits = log.split(separator: "\n").map(String.init)
    }

    private func scope(_ number: Int, back: Bool = false) -> StepScope {
        StepScope(
            environment: "test",
            endpoint: HostEndpoint(name: "web1"),
            variables: [:],
            release: (tag: "v1.0.\(number)", commit: commits[number]),
            direction: back ? .revert : .forward
        )
    }

    private func step<T: StepKind>(_ type: T.Type, _ text: String) throws -> T {
        let reader = YAMLReader(file: "p", source: text)
        let step = type.init(try YAMLDocument.parse(text, file: "p"), reader: reader)
        try reader.finish()
        return try #require(step)
    }

    private func releases() throws -> ReleasesStep {
        try step(
            ReleasesStep.self,
            "{ path: \"~/my app\", repository: \"\(directory.path)/origin.git\", shared: [instance, .env] }"
        )
    }

    private func switching(keep: Int = 5) throws -> SwitchStep {
        try step(SwitchStep.self, "{ path: \"~/my app\", keep: \(keep) }")
    }

    private func run(_ script: Script?, facts: [String: String] = [:]) throws -> Command {
        let script = try #require(script).completed(by: ScriptLibrary.texts)
        let bound = Script(
            script.text,
            environment: script.environment.map {
                EnvironmentVariable(
                    $0.name,
                    $0.value.replacing(SnapshotToken.commit, with: facts["commit"] ?? "")
                        .replacing(SnapshotToken.tag, with: facts["tag"] ?? "")
                )
            }
                + facts.map {
                    EnvironmentVariable("FLEET_SNAPSHOT_\($0.key.uppercased())", $0.value)
                },
            directory: script.directory
        )
        return try Command.run(
            ["dash", "-s"],
            environment: ["HOME": directory.path + "/home", "GIT_CONFIG_GLOBAL": "/dev/null"],
            input: bound.runnableText
        )
    }

    private func run(_ action: Action?, facts: [String: String] = [:]) throws -> Command {
        guard case .script(let script) = action else {
            throw Command.Failed(description: "no script")
        }
        return try run(script, facts: facts)
    }

    private func facts(_ text: String) -> [String: String] {
        Dictionary(
            text.split(separator: "\n").compactMap { line in
                let parts = line.split(
                    separator: "=",
                    maxSplits: 1,
                    omittingEmptySubsequences: false
                )
                return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
            }
        ) { $1 }
    }

    private func deploy(_ number: Int, keep: Int = 5) throws {
        let asked = try run(try releases().preflight(in: scope(number)))
        #expect(asked.status == 0, "\(asked.output)\(asked.errors)")
        let facts = facts(asked.output)
        for action in [
            try releases().action(in: scope(number)),
            try switching(keep: keep).action(in: scope(number)),
        ] {
            let done = try run(action, facts: facts)
            #expect(done.status == 0, "\(done.output)\(done.errors)")
        }
        let verified = try run(try releases().verification(in: scope(number)))
        #expect(verified.status == 0, "\(verified.output)")
    }

    private func file(_ name: String) -> String? {
        try? String(contentsOfFile: root + "/" + name, encoding: .utf8)
    }

    @Test(
        "A first release and the next one: what runs is not touched before the switch, shared files stay"
    )
    func deployTwice() throws {
        let first = try run(try releases().preflight(in: scope(0)))
        #expect(first.status == 0 && facts(first.output)["state"] == "absent", "\(first.output)")
        #expect(!FileManager.default.fileExists(atPath: root), "preflight changes nothing")
        try deploy(0)
        #expect(file("current/file") == "0\n")
        #expect(file("current/tests/t") == "t\n", "the whole commit, whatever archives leave out")
        try "mine".write(
            toFile: root + "/current/instance/data",
            atomically: false,
            encoding: .utf8
        )

        let asked = facts(try run(try releases().preflight(in: scope(1))).output)
        #expect(asked["commit"] == commits[0] && asked["tag"] == "v1.0.0")
        #expect(try run(try releases().action(in: scope(1)), facts: asked).status == 0)
        #expect(file("current/file") == "0\n", "not yet")
        #expect(
            try releases().directoryForLaterSteps(in: scope(1)) == "~/my app/releases/\(commits[1])"
        )
        #expect(try run(try releases().verification(in: scope(1))).status == 1)
        #expect(try run(try switching().action(in: scope(1)), facts: asked).status == 0)
        #expect(file("current/file") == "1\n")
        #expect(file("current/instance/data") == "mine", "shared between releases")
        #expect(facts(try run(try releases().reading(in: scope(1))).output)["commit"] == commits[1])
    }

    @Test("The way back is the link, and a release that is gone is unpacked again")
    func wayBack() throws {
        try deploy(0)
        let asked = facts(try run(try releases().preflight(in: scope(1))).output)
        try deploy(1)
        try Command.shell("rm -rf releases/\(commits[0])", in: root)
        let back = scope(1, back: true)
        for action in [
            try releases().revertAction(in: back, isIdempotent: true),
            try switching().revertAction(in: back, isIdempotent: true),
        ] {
            let done = try run(action, facts: asked)
            #expect(done.status == 0, "\(done.output)\(done.errors)")
        }
        #expect(file("current/file") == "0\n")
        #expect(try run(try releases().verification(in: back), facts: asked).status == 0)
        #expect(
            FileManager.default.fileExists(atPath: root + "/releases/\(commits[1])"),
            "kept, to be looked at"
        )
    }

    @Test(
        "Old releases go, but the newest good ones, the one that runs and the one to go back to stay"
    )
    func keeping() throws {
        for number in 0..<4 {
            try deploy(number)
            // The marks' times tell which is newer, to the second.
            guard number > 0 else { continue }
            try Command.shell(
                "touch -c -d '2026-01-0\(number)' releases/\(commits[number - 1])/.fleet-live",
                in: root
            )
        }
        // One that never ran.
        #expect(
            try run(try releases().action(in: scope(5)), facts: ["commit": commits[3]]).status == 0
        )
        try deploy(4, keep: 2)
        let left = Set(try FileManager.default.contentsOfDirectory(atPath: root + "/releases"))
        #expect(left == [commits[2], commits[3], commits[4]], "\(left)")
        #expect(file("current/file") == "4\n")
    }

    @Test("Marks with wrong times cost old releases, and never the one that runs or the one before")
    func keepingByWrongClocks() throws {
        for number in 0..<4 {
            try deploy(number)
            try Command.shell(
                "touch -c -d '202\(9 - number)-01-01' releases/\(commits[number])/.fleet-live",
                in: root
            )
        }
        try deploy(4, keep: 2)
        let left = Set(try FileManager.default.contentsOfDirectory(atPath: root + "/releases"))
        #expect(left.isSuperset(of: [commits[3], commits[4]]), "\(left)")
        #expect(left.count < 5 && file("current/file") == "4\n", "\(left)")
    }

    /// Row H51.
    @Test(
        "Links that the application puts into its directory lead root nowhere else",
        .enabled(if: getuid() == 0),
        arguments: [
            "ln -sf $T/victim fleet-switched", "mkdir x; ln -s $T/dir current.new",
            "ln -s $T/dir .current.fleet", "ln -s $T/dir releases/.new.fleet",
            "for n in releases/*; do ln -s $T/victim $n/.fleet-live; done",
            "mv shared s; ln -s $T shared", "rm -rf shared/instance; ln -s $T/dir shared/instance",
            "mv releases r; ln -s $T/dir releases", "ln -s $T/dir .repo.fleet",
        ]
    )
    func linksOfTheApplication(trap: String) throws {
        try deploy(0)
        try Command.shell(
            "mkdir etc etc/dir; echo untouched | tee etc/victim >etc/dir/file",
            in: directory.path
        )
        try Command.shell(
            "T=\(directory.path)/etc; \(trap); find . -path ./repo -prune -o -exec chown -h 65534 {} +",
            in: root
        )
        let all = "cd etc && find . -printf '%p %y %u %m\\n' | sort && cat victim dir/file"
        let before = try Command.shell(all, in: directory.path)
        let facts = facts(try run(try releases().preflight(in: scope(1))).output)
        let unpacked = try run(try releases().action(in: scope(1)), facts: facts)
        let switched = try run(try switching().action(in: scope(1)), facts: facts)
        #expect(
            try Command.shell(all, in: directory.path) == before,
            "\(unpacked.output)\(unpacked.errors)\(switched.output)\(switched.errors)"
        )
        // Either it did what it says, or it says so.
        #expect(switched.status != 0 || file("current/file") == "1\n")
    }

    /// Row H51.
    @Test(
        "Links in a commit are part of the release, and nothing is written through them",
        arguments: ["ln -s $T/victim .fleet-release", "rm -rf instance; ln -s $T instance"]
    )
    func linksInTheCommit(change: String) throws {
        try Command.shell("mkdir etc; echo untouched >etc/victim", in: directory.path)
        let commit = try Command.shell(
            """
            export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t
            export GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t
            T=\(directory.path)/etc; \(change)
            git add -A; git commit -qm links; git tag -a v2.0.0 -m links
            git push -q ../origin.git main --tags; git rev-parse HEAD
            """,
            in: directory.path + "/work"
        ).trimmingCharacters(in: .newlines)
        var scope = scope(0)
        scope.release = (tag: "v2.0.0", commit: commit)
        let step = try step(
            ReleasesStep.self,
            "{ path: \"~/my app\", repository: \"\(directory.path)/origin.git\", shared: [instance/victim] }"
        )
        let asked = facts(try run(try step.preflight(in: scope)).output)
        let done = try run(try step.action(in: scope), facts: asked)
        #expect(
            try Command.shell("cat victim; ls -A", in: directory.path + "/etc")
                == "untouched\nvictim\n"
        )
        if change.contains("instance") {
            #expect(
                done.status == 1
                    && done.output.contains("E_RELEASE instance/victim cannot be shared")
            )
        } else {
            #expect(done.status == 0, "\(done.output)\(done.errors)")
        }
    }

    @Test("Cut off right after the link was renamed, and run again, the old release is still there")
    func cutOffAfterTheRename() throws {
        try deploy(0)
        let asked = facts(try run(try releases().preflight(in: scope(1))).output)
        #expect(try run(try releases().action(in: scope(1)), facts: asked).status == 0)
        // `mv` that takes every shell with it once it has renamed the link.
        try Command.shell(
            "mkdir bin && printf '#!/bin/sh\n/bin/mv \"$@\"; case $* in *../current) kill -9 0 ;; esac\n' >bin/mv && chmod +x bin/mv",
            in: directory.path
        )
        guard case .script(let script) = try switching().action(in: scope(1)) else { return }
        _ = try Command.run(
            ["setsid", "-w", "dash", "-s"],
            environment: [
                "HOME": directory.path + "/home", "PATH": directory.path + "/bin:/usr/bin:/bin",
            ],
            input: script.runnableText
        )
        #expect(file("current/file") == "1\n", "it was cut off behind the rename")
        #expect(try run(try switching(keep: 1).action(in: scope(1)), facts: asked).status == 0)
        #expect(FileManager.default.fileExists(atPath: root + "/releases/\(commits[0])/file"))
    }

    @Test(
        "Directories of another kind, hosts that changed and commits that are not there are refused"
    )
    func refusals() throws {
        try deploy(0)
        let changed = try run(try releases().action(in: scope(2)), facts: ["commit": commits[1]])
        #expect(
            changed.status == 1 && changed.output.contains("E_HOST_CHANGED"),
            "\(changed.output)"
        )
        var missing = scope(2)
        missing.release = (tag: "v1.0.2", commit: String(repeating: "a", count: 40))
        let gone = try run(try releases().preflight(in: missing))
        #expect(gone.status == 1 && gone.output.contains("E_TAG_DIFFERS"), "\(gone.output)")
        let absent = try run(try switching().action(in: scope(7)))
        #expect(absent.status == 1 && absent.output.contains("E_RELEASE"), "\(absent.output)")
        try Command.shell("rm current && mkdir current", in: root)
        let strange = try run(try releases().preflight(in: scope(1)))
        #expect(strange.status == 1 && strange.output.contains("E_LAYOUT"), "\(strange.output)")
        #expect(throws: Diagnostics.self) {
            _ = try step(ReleasesStep.self, "{ path: x, repository: y, shared: [../etc] }")
        }
    }

    /// Row K2.
    @Test("Releases that another tool has put there are neither nothing nor removed")
    func anotherToolsReleases() throws {
        try Command.shell(
            """
            mkdir -p "$1/releases/20260101000000" "$1/releases/20260202000000"
            echo theirs >"$1/releases/20260202000000/file"
            ln -s releases/20260202000000 "$1/current"
            """.replacing("$1", with: root),
            in: directory.path
        )
        for script in [
            try releases().preflight(in: scope(0)), try releases().reading(in: scope(0)),
        ] {
            let asked = try run(script)
            #expect(asked.status == 1 && asked.output.contains("E_LAYOUT"), "\(asked.output)")
            #expect(asked.output.contains("leads to releases/20260202000000"))
        }
        let removed = try run(
            try releases().removal(in: scope(0, back: true)),
            facts: ["state": "absent"]
        )
        #expect(removed.status == 1 && removed.output.contains("E_LAYOUT"))
        // Once nothing of it runs, it stays all the same, and so does every file there.
        try Command.shell(
            "rm current; touch releases/notes; cp -r releases/20260101000000 releases/\(String(repeating: "b", count: 40))",
            in: root
        )
        try deploy(0)
        try deploy(1)
        for name in [
            "20260101000000", "20260202000000", "notes", String(repeating: "b", count: 40),
        ] {
            #expect(FileManager.default.fileExists(atPath: root + "/releases/\(name)"), "\(name)")
        }
    }

    /// Row K2.
    @Test(
        "A link that leads elsewhere, whatever is written there, is not the release that was compared"
    )
    func aLinkElsewhere() throws {
        try deploy(0)
        try Command.shell("cp -a releases/\(commits[0]) hot; echo evil >hot/file", in: root)
        for link in ["hot", root + "/hot"] {
            try Command.shell("ln -sfn '\(link)' current", in: root)
            let verified = try run(try releases().verification(in: scope(0)))
            #expect(
                verified.status == 1 && verified.output.contains("E_TREE"),
                "\(verified.output)"
            )
            let read = try run(try releases().reading(in: scope(0)))
            #expect(read.status == 1 && read.output.contains("E_LAYOUT"), "\(read.output)")
        }
        try Command.shell(
            "rm current; mv releases/\(commits[0]) r; ln -s ../hot releases/\(commits[0]); ln -s releases/\(commits[0]) current",
            in: root
        )
        #expect(try run(try releases().verification(in: scope(0))).status == 1)
    }

    /// Row K2.
    @Test(
        "A changed file of the release that runs is seen by status and in preflight, and is no fault of the way back"
    )
    func changedWhileItRuns() throws {
        try deploy(0)
        #expect(!(try run(try releases().reading(in: scope(0)))).output.contains("dirty"))
        try Command.shell("echo mine >current/instance/data; echo patched >current/file", in: root)
        let read = try run(try releases().reading(in: scope(0)))
        #expect(facts(read.output)["state"] == "dirty", "\(read.output)")
        let again = try run(try releases().preflight(in: scope(0)))
        #expect(again.status == 1 && again.output.contains("E_DIRTY"), "\(again.output)")
        #expect(again.output.contains("    file (content)"))
        let asked = facts(try run(try releases().preflight(in: scope(1))).output)
        for action in [
            try releases().action(in: scope(1)), try switching().action(in: scope(1)),
            try switching().revertAction(in: scope(1, back: true), isIdempotent: true),
        ] {
            _ = try run(action, facts: asked.merging(["revert": "1"]) { $1 })
        }
        try Command.shell("ln -sfn releases/\(commits[0]) current", in: root)
        func back() throws -> Command {
            let script = try #require(try releases().verification(in: scope(1, back: true)))
            return try run(
                script.adding([EnvironmentVariable("FLEET_REVERT", "1")]),
                facts: asked
            )
        }
        let same = try back()
        #expect(
            same.status == 0 && same.output.contains("note=with the local changes"),
            "\(same.output)"
        )
        #expect(!same.output.contains("changed "))
        try Command.shell("echo 'patched again' >current/file", in: root)
        #expect(try back().output.contains("changed content"))
        // On the way back, before the link is, what it goes back to is left alone.
        try Command.shell(
            "ln -sfn releases/\(commits[1]) current; echo data >releases/\(commits[0])/.env.local",
            in: root
        )
        let kept = try #require(
            try releases().revertAction(in: scope(1, back: true), isIdempotent: true)
        )
        guard case .script(let script) = kept else { return }
        let unpacked = try run(
            script.adding([EnvironmentVariable("FLEET_REVERT", "1")]),
            facts: asked
        )
        #expect(unpacked.status == 0, "\(unpacked.output)")
        #expect(file("releases/\(commits[0])/file") == "patched again\n")
        #expect(file("releases/\(commits[0])/.env.local") == "data\n")
        try Command.shell("ln -sfn releases/\(commits[0]) current; echo 0 >current/file", in: root)
        let lost = try back()
        #expect(lost.status == 1 && lost.output.contains("are gone"), "\(lost.output)")
        // What does not run is unpacked anew.
        try Command.shell("echo broken >releases/\(commits[1])/file", in: root)
        let done = try run(try releases().action(in: scope(1)), facts: asked)
        #expect(done.status == 0, "\(done.output)")
        #expect(file("releases/\(commits[1])/file") == "1\n")
    }

    @Test func aFirstDeployIsTakenDownWhole() throws {
        try deploy(0)
        let back = scope(0, back: true)
        #expect(try run(try releases().absence(in: back)).status == 1)
        let refused = try run(try releases().removal(in: back), facts: ["commit": commits[0]])
        #expect(refused.status == 1)
        #expect(try run(try releases().removal(in: back), facts: ["state": "absent"]).status == 0)
        #expect(try run(try releases().absence(in: back)).status == 0)
        let left = try FileManager.default.contentsOfDirectory(atPath: directory.path + "/home")
        let moved = try #require(left.first { $0.hasPrefix("my app.fleet-removed-") })
        #expect(
            FileManager.default.fileExists(atPath: directory.path + "/home/\(moved)/current/file")
        )
    }
}
