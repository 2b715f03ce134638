import FleetTestSupport
import Foundation
import Testing

/// A team's way from a feature to production, told with the built program and real hosts: web1 is
/// staging, web2 and web3 are production.
@Suite(.serialized) struct ProcessTests {
    private let fixture: FleetFixture

    init() throws {
        fixture = try FleetFixture(hosts: 3)
        try fixture.directory.write(
            fixture.inventory(hosts: 0..<1),
            to: "project/inventory/staging.yml"
        )
        try policy(
            "require: [staged, approved], approval: { expires: 1h, by_another: true }",
            "notify: [{ command: \"cat >>../told; echo \\\"$FLEET_TEXT\\\" >>../told.txt\", on: [failed, health] }]"
        )
        // The playbooks that ship, for this fleet's paths and its own service manager.
        for name in ["backup", "restore"] {
            let text = try String(
                contentsOfFile: Package.root + "/playbooks/\(name).yml",
                encoding: .utf8
            )
            try fixture.directory.write(text, to: "project/playbooks/\(name).yml")
        }
        // The project is a clone of the repository, as a team's is.
        try Command.shell(
            """
            git init -q -b main . && git remote add origin ../origin.git && git fetch -q --tags origin
            git config user.email qa@example.com && git config user.name QA
            """,
            in: fixture.directory.path + "/project"
        )
    }

    private func policy(_ text: String, _ more: String = "") throws {
        let variables =
            "vars: { app_dir: ~/app, database: ~/jobs.sqlite3, backup_dir: ~/backups, service: app, "
            + "service_control: ~/appctl, service_user: '',"
        try fixture.directory.write(
            fixture.inventory(hosts: 1..<3).replacing("vars: { repo", with: variables + " repo")
                + "policy: { \(text) }\n\(more)\n",
            to: "project/inventory/production.yml"
        )
    }

    /// Runs fleet in the project.
    private func fleet(_ arguments: String...) throws -> Command {
        try fixture.fleet(arguments, environment: [:])
    }

    /// Runs fleet in the developer's clone.
    private func develop(_ arguments: String...) throws -> Command {
        try fixture.fleet(arguments, environment: ["GIT_CONFIG_GLOBAL": "/dev/null"], in: "work")
    }

    /// A change on the release branch, pushed.
    private func commit(_ version: String, health: String = "ok") throws {
        try Command.shell(
            """
            export GIT_CONFIG_GLOBAL=/dev/null
            echo '\(version)' >VERSION; echo '\(health)' >HEALTH
            git add -A && git commit -qm 'Serve \(version)' && git push -q origin main
            """,
            in: fixture.directory.path + "/work"
        )
    }

    private func fetchTags() throws {
        try Command.shell("git fetch -q --tags origin", in: fixture.directory.path + "/project")
    }

    private func expect(
        _ command: Command,
        _ status: Int32,
        _ texts: String...,
        at location: SourceLocation = #_sourceLocation
    ) {
        let said = command.output + command.errors
        #expect(command.status == status, "\(said)", sourceLocation: location)
        for text in texts {
            #expect(said.contains(text), "\(text) in \(said)", sourceLocation: location)
        }
    }

    private func setUpDeveloper() throws {
        try Command.shell(
            """
            git remote add origin ../origin.git && git fetch -q origin
            git config user.email dev@example.com && git config user.name Dev
            git branch -q --set-upstream-to=origin/main main
            """,
            in: fixture.directory.path + "/work"
        )
    }

    @Test(
        "From a feature to production: staged, approved, promoted, reverted, mended, backed up, restored, watched, audited"
    )
    func theWholeWay() async throws {
        try setUpDeveloper()
        // A feature is merged and goes to staging by its branch.
        try commit("v1.3.0")
        expect(try fleet("deploy", "staging", "--branch", "main"), 0)

        // It becomes a release.
        expect(
            try develop("release", "minor", "--yes"),
            0,
            "v1.3.0 pushed to origin",
            "Serve v1.3.0 (Dev)",
            "fleet deploy staging --tag v1.3.0"
        )
        try fetchTags()

        // Production takes it only when somebody else has signed it off.
        expect(
            try fleet("deploy", "production", "--tag", "v1.3.0"),
            11,
            "E_NOT_APPROVED",
            "fleet approve"
        )
        expect(
            try fleet("approve", "v1.3.0", "production", "--note", "looks good"),
            0,
            "v1.3.0",
            "approved for production by qa@example.com"
        )
        // What somebody did by hand on staging is not asked, and not said to be otherwise.
        let staging = fixture.servers[0].home + "/app"
        try Command.shell("git checkout -q v1.0.0", in: staging)
        expect(
            try fleet("promote", "staging", "production"),
            0,
            "the release that succeeded last on staging is",
            "production runs",
            "verified on all 2 hosts"
        )
        #expect(try fixture.tag(1) == "v1.3.0" && fixture.tag(2) == "v1.3.0")
        try Command.shell("git checkout -q -", in: staging)

        // A bad one: it fails on staging, and production never hears of it.
        try commit("v1.4.0", health: "error")
        expect(try develop("release", "minor", "--yes"), 0, "v1.4.0 pushed")
        try fetchTags()
        expect(try fleet("deploy", "staging", "--tag", "v1.4.0"), 10, "reverted")
        expect(try fleet("deploy", "production", "--tag", "v1.4.0"), 11, "E_NOT_STAGED v1.4.0")
        expect(try fleet("approve", "v1.4.0", "production", "--note", "I know better"), 0)
        expect(
            try fleet("deploy", "production", "--tag", "v1.4.0", "--override", "the boss said so"),
            10,
            "reverted"
        )
        #expect(try fixture.tag(1) == "v1.3.0" && fixture.tag(2) == "v1.3.0")

        // An emergency.
        try commit("v1.4.1")
        expect(try develop("release", "patch", "--yes"), 0, "v1.4.1 pushed")
        try fetchTags()
        expect(
            try fleet("hotfix", "production", "--tag", "v1.4.1", "--reason", "queue is stuck"),
            0,
            "verified on all 2 hosts"
        )
        expect(
            try fleet("status", "production"),
            0,
            "reminder: production runs the hotfix v1.4.1 (“queue is stuck”",
            "staging does not have it yet"
        )
        expect(try fleet("deploy", "staging", "--tag", "v1.4.1"), 0)
        let status = try fleet("status", "production")
        #expect(!(status.output + status.errors).contains("reminder"), "\(status.errors)")

        // The data are backed up, lost, and brought back; health is watched meanwhile.
        for index in 1...2 {
            try fixture.sql("CREATE TABLE job (name); INSERT INTO job VALUES ('a')", on: index)
        }
        expect(try fleet("backup", "production"), 0)
        expect(try fleet("health", "production"), 0)
        for index in 1...2 { try fixture.sql("DELETE FROM job", on: index) }
        expect(try fleet("restore", "production", "--from", "newest", "--yes"), 0)
        for index in 1...2 { #expect(try fixture.sql("SELECT name FROM job", on: index) == "a") }
        try fixture.control("stop", on: 2)
        expect(try fleet("health", "production"), 1, "web3")
        try fixture.control("start", on: 2)
        try await eventually("web3 is well again") { try fleet("health", "production").status == 0 }

        // Those who wanted to be told of trouble were, and of the emergency at its beginning, too.
        let told = try #require(fixture.directory.read("told.txt")).split(separator: "\n")
        let wanted = [
            "v1.4.0 failed, and every touched host of production is verified back",
            "HOTFIX production: v1.4.1 begins on web[2-3] (",
            "HOTFIX production runs v1.4.1, verified on all 2 hosts (",
            "production unhealthy: web3",
            "production healthy",
        ]
        #expect(told.count == wanted.count, "\(told)")
        for (line, text) in zip(told, wanted) { #expect(line.contains(text), "\(line)") }
        let facts = try #require(fixture.directory.read("told")).split(separator: "\n")
        let emergency =
            try JSONSerialization.jsonObject(with: Data(facts[2].utf8)) as? [String: Any]
        #expect(emergency?["reason"] as? String == "queue is stuck")
        #expect(emergency?["tag"] as? String == "v1.4.1")
        #expect((emergency?["hosts"] as? [String: [String]])?["succeeded"] == ["web2", "web3"])

        // What happened can be told.
        expect(
            try fleet("releases"),
            0,
            "production, staging",
            "v1.4.0"
        )
        let audit = try fleet("audit", "production")
        expect(
            audit,
            0,
            "hotfix",
            "“queue is stuck”",
            "overrides staged",
            "“the boss said so”",
            "approval",
            "“looks good”",
            "qa@example.com"
        )
        let lines = try fleet("audit", "production", "-o", "json").output.split(separator: "\n")
        let entries = try lines.map {
            try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
        }
        let hotfixes = entries.filter { $0?["what"] as? String == "hotfix" }
        #expect(hotfixes.count == 1 && hotfixes[0]?["planDigest"] as? String != nil)
        expect(try fleet("journal", "verify"), 0)
    }

    @Test("An approval is for one commit, one environment, for a while, and not by the author")
    func approvals() throws {
        try policy("require: [approved], approval: { expires: 1h, by_another: true }")
        expect(
            try fleet("approve", "v1.0.0", "staging", "--note", "x"),
            0,
            "does not ask for approvals"
        )
        expect(try fleet("deploy", "production", "--tag", "v1.0.0"), 11, "E_NOT_APPROVED")
        expect(try fleet("revert", "production", "--to", "v1.0.0", "--yes"), 11, "E_NOT_APPROVED")
        expect(try fleet("approve", "v1.1.0", "production", "--note", "x"), 0)
        expect(
            try fleet("deploy", "production", "--tag", "v1.0.0"),
            11,
            "E_NOT_APPROVED",
            "is for v1.1.0"
        )
        // The tags were made by t@t.
        let project = fixture.directory.path + "/project"
        try Command.shell("git config user.email T@t", in: project)
        expect(try fleet("approve", "v1.0.0", "production", "--note", "mine"), 0)
        expect(try fleet("deploy", "production", "--tag", "v1.0.0"), 11, "E_OWN_APPROVAL")
        try policy("require: [approved], approval: { expires: 1s }")
        try Command.shell("git config user.email qa@example.com", in: project)
        expect(try fleet("approve", "v1.0.0", "production", "--note", "quick"), 0)
        try policy("require: [approved]")
        // What was looked at is what may be done.
        let playbook = "project/playbooks/deploy.yml"
        let text = try #require(fixture.directory.read(playbook))
        try fixture.directory.write(
            text.replacing("steps:\n", with: "steps:\n  - { name: more, run: 'true' }\n"),
            to: playbook
        )
        expect(
            try fleet("deploy", "production", "--tag", "v1.0.0"),
            11,
            "E_APPROVED_OTHER",
            "they have changed since"
        )
        try fixture.directory.write(text, to: playbook)
        expect(try fleet("deploy", "production", "--tag", "v1.0.0"), 0)
    }

    @Test(
        "Whoever wrote any of what is new may not approve it, and who that is nobody knows in half a history"
    )
    func allAuthors() throws {
        try policy("require: [approved], approval: { by_another: true, all_authors: true }")
        try Command.shell(
            """
            export GIT_CONFIG_GLOBAL=/dev/null GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t
            for who in ann bob; do
                echo $who >>VERSION; git add -A
                git commit -q --author="$who <$who@example.com>" -m "by $who"
            done
            git -c user.name=t -c user.email=t@t tag -a v1.3.0 -m v1.3.0
            git push -q ../origin.git main --tags
            """,
            in: fixture.directory.path + "/work"
        )
        try fetchTags()
        let project = fixture.directory.path + "/project"
        try Command.shell("git config user.email ann@example.com", in: project)
        expect(try fleet("approve", "v1.3.0", "production", "--note", "mine"), 0)
        expect(try fleet("deploy", "production", "--tag", "v1.3.0"), 11, "E_OWN_APPROVAL")
        try Command.shell("git config user.email qa@example.com", in: project)
        expect(try fleet("approve", "v1.3.0", "production", "--note", "read"), 0)
        // Both ends are there, and what is between is not.
        try Command.shell(
            "git fetch -q --depth 1 origin tag v1.3.0; git rev-parse --is-shallow-repository | grep -qx true",
            in: project
        )
        expect(try fleet("deploy", "production", "--tag", "v1.3.0"), 11, "E_AUTHOR")
        try Command.shell("git fetch -q --unshallow origin", in: project)
        let admitted = try fleet("deploy", "production", "--tag", "v1.3.0")
        #expect(!admitted.output.contains("E_AUTHOR"), "\(admitted.output)")
        #expect(!admitted.output.contains("E_OWN_APPROVAL"), "\(admitted.output)")
        // A commit of somebody without a name, which git itself makes none of.
        try Command.shell(
            """
            tree=$(git rev-parse 'HEAD^{tree}') head=$(git rev-parse HEAD)
            made=$(printf 'tree %s\\nparent %s\\nauthor  <> 1700000000 +0000\\ncommitter  <> 1700000000 +0000\\n\\nx\\n' \
                "$tree" "$head" | git hash-object -t commit -w --stdin --literally)
            git -c user.name=t -c user.email=t@t tag -a v1.3.1 -m v1.3.1 "$made" && git push -q ../origin.git v1.3.1
            """,
            in: fixture.directory.path + "/work"
        )
        try fetchTags()
        expect(try fleet("approve", "v1.3.1", "production", "--note", "read"), 0)
        expect(try fleet("deploy", "production", "--tag", "v1.3.1"), 11, "E_AUTHOR_UNKNOWN")
    }

    /// Row H52.
    @Test("A tag that is called as the branch is no other branch")
    func branchAndTag() throws {
        try setUpDeveloper()
        try commit("v1.3.0")
        try Command.shell(
            "git tag main; git tag origin/main",
            in: fixture.directory.path + "/work"
        )
        expect(try develop("release", "minor", "--yes"), 0, "v1.3.0 pushed to origin")
    }

    @Test("A freeze refuses, says when it is over, and gives way to a recorded reason or a hotfix")
    func freeze() throws {
        try policy("freeze: [\"2020-01-01 - 2120-01-01\"], time_zone: Europe/Berlin")
        let refused = try fleet("deploy", "production", "--tag", "v1.0.0")
        expect(refused, 11, "E_FROZEN production is frozen", "Europe/Berlin", "nothing was changed")
        expect(
            try fleet("deploy", "production", "--tag", "v1.0.0", "--override", "customer waits"),
            0
        )
        expect(
            try fleet("hotfix", "production", "--tag", "v1.1.0", "--reason", "fire", "--yes"),
            0
        )
        expect(try fleet("audit"), 0, "overrides window", "“customer waits”", "“fire”")
        try policy("windows: [\"daily 00:00-24:00\"]")
        expect(
            try fleet("deploy", "production", "--tag", "v1.0.0", "--override", "no fire after all"),
            0
        )
        try policy("freeze: [\"sometimes\"]")
        expect(try fleet("deploy", "production"), 65, "`sometimes` is not a stretch of time")
        try policy("windows: [\"daily 00:00-24:00\"], time_zone: Mars/Olympus")
        expect(
            try fleet("deploy", "production", "--tag", "v1.0.0"),
            11,
            "E_TIME_ZONE",
            "no time zone `Mars/Olympus`"
        )
        expect(
            try fleet("hotfix", "production", "--tag", "v1.1.0", "--reason", "fire", "--yes"),
            0
        )
    }

    /// Row K4.
    @Test(
        "A release without the hotfix that runs is refused by name; one that has it, or the same change, comes in"
    )
    func lostHotfix() throws {
        try policy("protected: false")
        expect(try fleet("deploy", "production", "--tag", "v1.0.0"), 0)
        // The fix is made on the release that runs; v1.1.0 was made before.
        let work = fixture.directory.path + "/work"
        let git =
            "export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t; "
        try Command.shell(
            git + """
                git checkout -q -b fix v1.0.0; echo fixed >fix; echo v1.0.1 >VERSION; git add -A
                git commit -qm 'Mend the queue'; git tag -a v1.0.1 -m v1.0.1; git push -q ../origin.git v1.0.1
                """,
            in: work
        )
        try fetchTags()
        expect(
            try fleet(
                "hotfix",
                "production",
                "--tag",
                "v1.0.1",
                "--reason",
                "queue is stuck",
                "--yes"
            ),
            0
        )
        let refused = try fleet("deploy", "production", "--tag", "v1.1.0")
        expect(
            refused,
            11,
            "E_HOTFIX_LOST production runs the hotfix v1.0.1 (“queue is stuck”), and v1.1.0 does not have it",
            "--override REASON"
        )
        #expect(try fixture.tag(1) == "v1.0.1")
        // A clone that cannot tell says that.
        try Command.shell("mv .git .git-away", in: fixture.directory.path + "/project")
        expect(try fleet("deploy", "production", "--tag", "v1.1.0"), 11, "nobody can tell")
        try Command.shell("mv .git-away .git", in: fixture.directory.path + "/project")
        // The same change, picked onto the branch that releases are made from.
        try Command.shell(
            git + """
                git checkout -q -b next v1.0.0; echo other >other; git add -A; git commit -qm other
                git cherry-pick fix >/dev/null; echo v1.2.1 >VERSION; git commit -qam 'Serve v1.2.1'
                git tag -a v1.2.1 -m v1.2.1; git push -q ../origin.git v1.2.1
                """,
            in: work
        )
        try fetchTags()
        expect(try fleet("deploy", "production", "--tag", "v1.2.1"), 0)
        expect(try fleet("deploy", "production", "--tag", "v1.1.0"), 0)
    }

    @Test(
        "With --at it waits in the foreground, and the policy of that time holds",
        .enabled(if: clockLibrary != nil)
    )
    func waiting() throws {
        let library = try #require(clockLibrary)
        // The program's clock starts when it does, so that no load makes it late: at the beginning of a
        // minute for a deploy that is too early, and near its end for one that waits. Hosts see the truth,
        // and may differ by five minutes.
        let minute = Int(Date().timeIntervalSince1970) / 60
        // A window that begins at midnight and ends there is always open.
        guard (minute + 1) % 1_440 != 0 else { return }
        let calendar = DateFormatter()
        calendar.timeZone = TimeZone(identifier: "UTC")
        func text(_ format: String, _ seconds: Int) -> String {
            calendar.dateFormat = format
            return calendar.string(from: Date(timeIntervalSince1970: TimeInterval(seconds)))
        }
        func fake(startingAt seconds: Int) -> [String: String] {
            [
                "LD_PRELOAD": library, "FAKETIME": text("'@'yyyy-MM-dd HH:mm:ss", seconds),
                "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DISABLE_SHM": "1", "TZ": "UTC",
            ]
        }
        let at = text("HH:mm", (minute + 1) * 60)
        try policy("windows: [\"daily \(at)-24:00\"], time_zone: UTC")
        let early = try fixture.fleet(
            "deploy",
            "production",
            "--tag",
            "v1.0.0",
            environment: fake(startingAt: minute * 60)
        )
        expect(early, 11, "E_FROZEN")
        let start = ContinuousClock.now
        let done = try fixture.fleet(
            "deploy",
            "production",
            "--tag",
            "v1.0.0",
            "--at",
            at,
            environment: fake(startingAt: minute * 60 + 55)
        )
        expect(done, 0)
        #expect(ContinuousClock.now - start > .seconds(1), "it waited")
        let over = try fixture.fleet(
            "deploy",
            "production",
            "--tag",
            "v1.0.0",
            "--at",
            "2020-01-01 10:00",
            environment: fake(startingAt: minute * 60 + 55)
        )
        expect(over, 11, "is over")
    }

    @Test("Signed tags: made by fleet release, verified with their name and their signer")
    func signedTags() throws {
        try setUpDeveloper()
        try Command.shell(
            """
            ssh-keygen -q -t ed25519 -N '' -C dev -f key
            echo "dev@example.com $(cut -d' ' -f1,2 key.pub)" >signers
            for clone in work project; do
                git -C $clone config gpg.format ssh
                git -C $clone config user.signingKey "$PWD/key"
                git -C $clone config gpg.ssh.allowedSignersFile "$PWD/signers"
            done
            """,
            in: fixture.directory.path
        )
        try policy("require: [signed], signers: [dev@example.com]")
        expect(try fleet("deploy", "production", "--tag", "v1.0.0"), 11, "E_NOT_SIGNED v1.0.0")
        try commit("v1.3.0")
        expect(try develop("release", "v1.3.0", "--sign", "--yes"), 0, "v1.3.0 pushed")
        try fetchTags()
        expect(try fleet("deploy", "production", "--tag", "v1.3.0"), 0)
        try policy("require: [signed], signers: [lead@example.com]")
        expect(
            try fleet("deploy", "production", "--tag", "v1.3.0"),
            11,
            "E_SIGNER",
            "dev@example.com"
        )
        // The same signed object under another name.
        try policy("require: [signed]")
        try Command.shell(
            "git update-ref refs/tags/v9.9.9 $(git rev-parse refs/tags/v1.3.0) && git push -q origin v9.9.9",
            in: fixture.directory.path + "/work"
        )
        try fetchTags()
        expect(
            try fleet("deploy", "production", "--tag", "v9.9.9"),
            11,
            "E_NOT_SIGNED v9.9.9",
            "another tag's signature"
        )
    }

    @Test("Releases are refused that are dirty, unpushed, elsewhere, lower, reused or moved")
    func badReleases() throws {
        try setUpDeveloper()
        let work = fixture.directory.path + "/work"
        expect(try develop("release", "v1.2.0", "--yes"), 11, "E_TAGGED")
        try commit("v1.3.0")
        expect(
            try develop("release", "v1.2.0", "--yes"),
            11,
            "E_TAG_EXISTS",
            "v1.2.1, v1.3.0, v2.0.0"
        )
        expect(try develop("release", "v1.1.9", "--yes"), 11, "E_VERSION_LOWER")
        expect(try develop("release", "v1.3", "--yes"), 64, "is not a version")
        expect(try develop("release"), 11, "needs a confirmation")
        expect(
            try develop("release", "--yes", "--ci-status", "test \"$FLEET_COMMIT\" = red"),
            11,
            "E_CI"
        )
        try Command.shell("echo x >stray", in: work)
        expect(try develop("release", "--yes"), 11, "E_DIRTY", "stray")
        try Command.shell("rm stray; git switch -q -c feature", in: work)
        expect(try develop("release", "--yes"), 11, "E_BRANCH feature")
        // What the remote says today is its release branch, not what a clone has found once.
        try Command.shell(
            "git push -q origin main:trunk; git remote set-head origin main; "
                + "git -C ../origin.git symbolic-ref HEAD refs/heads/trunk",
            in: work
        )
        expect(try develop("release", "--yes"), 11, "releases are made from trunk")
        try Command.shell("git -C ../origin.git symbolic-ref HEAD refs/heads/main", in: work)
        try Command.shell("git switch -q main; git commit -q --allow-empty -m more", in: work)
        expect(try develop("release", "--yes"), 11, "E_NOT_PUSHED")
        try Command.shell("git push -q origin main", in: work)
        expect(try develop("release", "--dry-run"), 0, "v1.2.1 would be pushed")
        expect(
            try develop("release", "minor", "--prerelease", "rc", "--yes"),
            0,
            "v1.3.0-rc.1 pushed"
        )
        expect(try develop("release", "minor", "--yes"), 0, "v1.3.0 pushed")
        // Somebody moves a published tag.
        try Command.shell(
            "git clone -q ../origin.git ../other 2>/dev/null; cd ../other; git tag -f v1.0.0 HEAD; "
                + "git push -q -f origin refs/tags/v1.0.0",
            in: work
        )
        try commit("v1.4.0")
        expect(try develop("release", "--yes"), 11, "E_TAG_MOVED", "nothing was published")
    }

    /// Row K6.
    @Test(
        "A release is neither derived from half a history nor said to be unpublished where it is not"
    )
    func releasesThatAreNot() throws {
        try setUpDeveloper()
        let root = fixture.directory.path
        func release(in folder: String, _ words: String...) throws -> Command {
            try fixture.fleet(
                ["release"] + words,
                environment: ["GIT_CONFIG_GLOBAL": "/dev/null"],
                in: folder
            )
        }
        try Command.shell("git clone -q --depth 1 file://$PWD/origin.git shallow", in: root)
        let shallow = try release(in: "shallow", "minor", "--yes")
        expect(shallow, 11, "E_SHALLOW", "git fetch --unshallow", "nothing was published")
        // A tracking branch that no fetch brings up to date any more.
        try Command.shell(
            """
            git -C origin.git branch other main
            git clone -q origin.git stale
            git -C stale config remote.origin.fetch '+refs/heads/other:refs/remotes/origin/other'
            """,
            in: root
        )
        try commit("v1.3.0")
        expect(try release(in: "stale", "minor", "--branch", "main", "--yes"), 11, "E_NOT_PUSHED")
        // One of two addresses takes it.
        try Command.shell(
            "git remote set-url --add --push origin $PWD/../origin.git; git remote set-url --add --push origin $PWD/../nowhere.git",
            in: root + "/work"
        )
        let half = try develop("release", "minor", "--yes")
        expect(half, 11, "E_PARTLY_PUBLISHED", "v1.3.0 is published")
        #expect(!half.errors.contains("nothing was published"), "\(half.errors)")
        #expect(
            try Command.shell(
                "git -C work tag -l v1.3.0; git -C origin.git tag -l v1.3.0",
                in: root
            ) == "v1.3.0\nv1.3.0\n"
        )
    }
}
