import FleetPlan
import FleetReport
import FleetTransport
import Testing

struct OutlookTests {
    private func host(
        _ steps: [PlannedStep],
        smoke: [String] = ["health"],
        name: HostName = "web1"
    ) -> PlannedHost {
        PlannedHost(
            endpoint: HostEndpoint(name: name),
            steps: steps,
            checks: smoke.map {
                PlannedCheck(
                    name: $0,
                    action: .http(HTTPProbe(host: "127.0.0.1", port: 80, target: "/"))
                )
            }
        )
    }

    private func step(_ name: String, _ text: String = "true", _ values: [String: String] = [:])
        -> PlannedStep
    {
        PlannedStep(
            name: name,
            kind: "run",
            action: .script(
                Script(
                    text,
                    environment: values.sorted { $0.key < $1.key }.map {
                        EnvironmentVariable($0.key, $0.value)
                    }
                )
            )
        )
    }

    private func envFile(_ keys: String, sha256: String) -> PlannedStep {
        PlannedStep(
            name: "env",
            kind: "env_file",
            action: .upload(
                Upload(
                    source: "config/.env.production",
                    sizeBytes: 10,
                    sha256: sha256,
                    prepare: Script("true"),
                    finish: Script(
                        "true",
                        environment: [EnvironmentVariable("FLEET_KEYS", keys)]
                    )
                )
            )
        )
    }

    private func plan(_ hosts: [PlannedHost]) -> Plan {
        Plan(
            kind: .deploy,
            environment: "production",
            title: "Deploy app",
            release: nil,
            releaseStep: nil,
            fanout: 1,
            maxFailures: 0,
            onFailure: .revert,
            batches: [hosts.map(\.name)],
            hosts: hosts
        )
    }

    private func lines(_ new: [PlannedStep], since old: [PlannedStep]) -> [String] {
        PlanComparison.lines(plan([host(new)]), since: plan([host(old)]))
    }

    // MARK: Plans

    @Test func theSamePlanDoesTheSame() {
        let steps = [
            step("pull", "git", ["FLEET_TAG": "v1", "FLEET_COMMIT": "x"]), step("install"),
        ]
        let next = [
            step("pull", "git", ["FLEET_TAG": "v2", "FLEET_COMMIT": "y"]), step("install"),
        ]
        #expect(lines(steps, since: steps).isEmpty)
        #expect(lines(next, since: steps).isEmpty, "another release is no other plan")
    }

    @Test func whatDiffersIsNamed() {
        #expect(lines([step("a"), step("b")], since: [step("a")]) == ["step added: b"])
        #expect(lines([step("a")], since: [step("a"), step("b")]) == ["step removed: b"])
        #expect(
            lines([step("b"), step("a")], since: [step("a"), step("b")])
                == ["the steps are in another order"]
        )
        #expect(lines([step("a", "x")], since: [step("a", "y")]) == ["a: another script"])
        #expect(
            lines(
                [step("a", "x", ["FLEET_VAR_port": "1", "HOME": "/a"])],
                since: [step("a", "x", ["FLEET_VAR_port": "2", "LANG": "C"])]
            ) == ["a: other values: vars.port, HOME, LANG"]
        )
    }

    @Test func keysOfAnEnvFileAreNamedAndTheirValuesNever() {
        #expect(
            lines(
                [envFile("A B D", sha256: "1")],
                since: [envFile("A B C", sha256: "2")]
            ) == ["env: keys added: D", "env: keys removed: C"]
        )
        #expect(
            lines([envFile("A", sha256: "1")], since: [envFile("A", sha256: "2")])
                == ["env: other values for the same keys"]
        )
    }

    @Test func hostsAreNamedWhereNotAllDiffer() {
        let old = plan([host([step("a")]), host([step("a")], name: "web2")])
        let new = plan([
            host([step("a")]),
            host([step("a"), step("b")], smoke: ["health", "version"], name: "web2"),
            host([step("a")], name: "web3"),
        ])
        #expect(
            PlanComparison.lines(new, since: old) == [
                "step added: b (web2)", "smoke test added: version (web2)",
                "was not in the last one (web3)",
            ]
        )
        #expect(
            PlanComparison.lines(plan([host([step("a")])]), since: old)
                == ["was in the last one and is not in this (web2)"]
        )
    }

    // MARK: Releases

    private let change = ReleaseChange(
        commits: ReleaseChange.commits(fromLog: [
            "a1b2c3d\tAnn\tMend the queue\twith a tab", "no commit", "b2c3d4e\tBen\t\u{1B}[2Jx",
        ]),
        coming: 12,
        going: 1,
        files: ReleaseChange.files(
            fromNumstat: "3\t1\tsrc/app.py\0-\t-\tlogo.png\0"
                + "10\t0\tapp/migrations/0042_add.py\00\t2\trequirements.txt\0odd\0"
        )
    )

    @Test func gitIsReadAsItIsPrinted() {
        #expect(change.commits.map(\.id) == ["a1b2c3d", "b2c3d4e"])
        #expect(change.commits[0].subject == "Mend the queue\twith a tab")
        #expect(change.files.count == 4)
        #expect(change.files[1].added == nil && change.files[0].added == 3)
        #expect(change.lockFiles == ["requirements.txt"])
        #expect(change.migrations == ["app/migrations/0042_add.py"])
        #expect(change.directories.map(\.name) == ["(top)", "app/", "src/"])
    }

    @Test(arguments: [
        ("db/migrate/20260101_x.rb", true), ("alembic/versions/1_x.py", true),
        ("prisma/migrations/1/migration.sql", true), ("db/schema.sql", true),
        ("docs/migrations.md", false), ("src/versions/x.py", false),
    ])
    func migrationsAreRecognised(path: String, isOne: Bool) {
        let file = ReleaseChange.File(path: path, added: 1, removed: 0)
        let change = ReleaseChange(commits: [], coming: 1, going: 0, files: [file])
        #expect(change.migrations.isEmpty != isOne)
    }

    @Test func thePlanSaysWhatRunsNowWhatComesAndHowLong() {
        let outlook = PlanOutlook(
            moves: [
                PlanOutlook.Move(
                    hosts: ["web1", "web2"],
                    from: Release(tag: "v1.0.0", commit: String(repeating: "a", count: 40)),
                    to: Release(tag: "v1.1.0", commit: String(repeating: "b", count: 40)),
                    change: change
                ),
                PlanOutlook.Move(
                    hosts: ["web3"],
                    from: nil,
                    to: Release(tag: "v1.1.0", commit: String(repeating: "b", count: 40)),
                    change: nil
                ),
            ],
            since: nil,
            differences: (1...9).map { "step added: \($0)" },
            usual: (95_000, 3)
        )
        let text = OutlookText.short(outlook, style: .plain).joined(separator: "\n")
        for part in [
            "changes    web[1-2]: v1.0.0 → v1.1.0",
            "12 commits by 2 people, 1 commit taken away, 4 files",
            "a1b2c3d Mend the queue", "and 10 more", "dependencies change: requirements.txt",
            "migrations: app/migrations/0042_add.py",
            "web3: nothing that this journal knows → v1.1.0", "and 4 more differences",
            "expected   1m35s (median of 3 rollouts on as many hosts)", "␛[2Jx",
        ] {
            #expect(text.contains(part), "\(part) is missing in\n\(text)")
        }
        let whole = OutlookText.whole(outlook, style: .plain)
        #expect(whole.contains("+3 -1") && whole.contains("src/app.py"))
        #expect(whole.contains("binary"))
    }

    @Test func aHostThatStaysSaysSo() {
        let release = Release(tag: "v1.0.0", commit: String(repeating: "a", count: 40))
        let move = PlanOutlook.Move(hosts: ["web1"], from: release, to: release, change: nil)
        let outlook = PlanOutlook(moves: [move], since: nil, differences: [], usual: nil)
        #expect(
            OutlookText.short(outlook, style: .plain) == [
                "changes    web1: v1.0.0, and stays there"
            ]
        )
    }
}
