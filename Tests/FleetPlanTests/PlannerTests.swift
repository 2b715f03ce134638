import FleetInventory
import FleetPlan
import FleetPlaybook
import FleetTransport
import FleetYAML
import Testing

struct PlannerTests {
    /// A deploy of some release, by a playbook to an inventory.
    private static func deploy(_ playbook: String, to inventory: String) throws -> PlanRequest {
        let playbook = try PlaybookReader.read(playbook, file: "p.yml", defaultName: "p")
        let inventory = try InventoryReader.read(inventory, file: "i.yml", environment: "test")
        var request = PlanRequest(
            kind: .deploy,
            inventory: inventory,
            hosts: inventory.hosts,
            playbook: playbook
        )
        request.release = Release(tag: "v1.0.0", commit: commit)
        return request
    }

    /// Row K3.
    @Test("A host cannot go back by itself where sudo wants a password", arguments: [true, false])
    func deadmanWithAPassword(hasPassword: Bool) throws {
        let request = try Self.deploy(
            "deadman: 1m\nsteps:\n  - { name: pull, checkout: { path: ~/app } }\n  - { name: restart, sudo: true, service: { name: app } }\n",
            to:
                "hosts: [web1]\nssh: { \(hasPassword ? "become_password: { env: PW }" : "port: 22") }\n"
        )
        do throws(Diagnostics) {
            _ = try Planner.plan(request)
            #expect(!hasPassword)
        } catch {
            #expect(
                hasPassword && error.rendered.contains("sudo wants a password there for `restart`"),
                "\(error.rendered)"
            )
        }
    }

    /// Row K2.
    @Test(
        "Where nothing looks at the process that answers, the release's check says so",
        arguments: [
            ("run: systemctl restart app", "http: { url: \"http://127.0.0.1:1/\" }", true),
            ("run: systemctl restart app", "tcp: { port: 1 }", true),
            (
                "run: systemctl restart app",
                "http: { url: \"http://127.0.0.1:1/\", contains: \"${{ release.tag }}\" }", false
            ),
            ("service: { name: app }", "http: { url: \"http://127.0.0.1:1/\" }", false),
            ("run: \"true\"", "command: \"true\"", false),
        ]
    )
    func unseenProcess(step: String, smoke: String, isUnseen: Bool) throws {
        let request = try Self.deploy(
            "steps:\n  - { name: pull, checkout: { path: ~/app } }\n  - \(step)\nsmoke:\n  - { name: health, \(smoke) }\n",
            to: "hosts: [web1]\n"
        )
        let host = try Planner.plan(request).hosts[0]
        for checks in [host.checks, host.revertChecks] {
            guard case .script(let script) = checks.first(where: { $0.step == "pull" })?.action
            else {
                return #expect(Bool(false))
            }
            #expect(script.text.contains("unknown=no step controls a service") == isUnseen)
        }
    }

    static let commit = String(repeating: "b", count: 40)

    private let inventory = Inventory(
        environment: "production",
        hosts: [
            Host(name: "web1", groups: ["web"], variables: ["port": "5001", "dir": "/srv/one"]),
            Host(name: "web2", groups: ["web"], variables: ["port": "5002", "dir": "/srv/two"]),
            Host(name: "db1", groups: ["db"], variables: ["port": "5003", "dir": "/srv/db"]),
        ]
    )

    private func playbook(_ text: String) throws -> Playbook {
        try PlaybookReader.read(text, file: "playbooks/test.yml", defaultName: "test")
    }

    private func request(_ text: String) throws -> PlanRequest {
        PlanRequest(
            kind: .deploy,
            inventory: inventory,
            hosts: inventory.hosts,
            playbook: try playbook(text),
            release: Release(tag: "v1.0.0", commit: Self.commit)
        )
    }

    private static let deploy = """
        vars: { extra: from-playbook, port: "1" }
        serial: [1, "100%"]
        steps:
          - name: pull
            checkout: { path: "${{ vars.dir }}" }
          - name: install
            run: install ${{ vars.extra }}
            idempotent: true
          - name: test
            run: test
          - name: migrate
            run: migrate
            run_once: true
            irreversible: true
          - name: restart
            service: { name: app }
            when: web
        smoke:
          - name: health
            http: { url: "http://127.0.0.1:${{ vars.port }}/health", contains: "${{ release.commit }}" }
        """

    @Test func resolvesEveryStepForEveryHost() throws {
        let plan = try Planner.plan(request(Self.deploy))
        #expect(plan.batches == [["web1"], ["web2", "db1"]])
        #expect(
            plan.hosts.map { $0.steps.map(\.name) } == [
                ["pull", "install", "test", "migrate", "restart"],
                ["pull", "install", "test", "restart"],
                ["pull", "install", "test"],
            ]
        )
        #expect(plan.hosts[2].checks.map(\.name) == ["verify pull", "health"])
        #expect(
            plan.hosts[1].checks.map(\.name)
                == ["verify pull", "verify restart", "health", "watch restart"]
        )
        guard case .script(let install) = plan.hosts[1].steps[1].action,
            case .http(let health) = plan.hosts[1].checks[2].action
        else { return #expect(Bool(false)) }
        #expect(install.directory == "/srv/two", "later steps run in the work tree")
        #expect(
            install.environment.contains(EnvironmentVariable("FLEET_VAR_extra", "from-playbook"))
        )
        #expect(install.text == "set -e\ninstall \"${FLEET_VAR_extra}\"")
        #expect(health.port == 5002, "a host's variable wins over the playbook's")
        #expect(health.contains == Self.commit)
    }

    @Test func theWayBackRepeatsOnlyWhatMayBeRepeated() throws {
        let plan = try Planner.plan(request(Self.deploy))
        #expect(plan.hosts[0].revertSteps.map(\.name) == ["pull", "install", "restart"])
        #expect(plan.onFailure == .revert)
    }

    @Test func aPlaybookMayWriteItsOwnWayBack() throws {
        let text =
            Self.deploy
            + "\nrevert:\n  - name: pull\n    checkout: { path: \"${{ vars.dir }}\" }\n  - name: undo\n    run: undo\n"
        let plan = try Planner.plan(request(text))
        #expect(plan.hosts[0].revertSteps.map(\.name) == ["pull", "undo"])
    }

    @Test func withoutAReleaseThereIsNoWayBack() throws {
        let plan = try Planner.plan(request("steps:\n  - service: { name: app }\n"))
        #expect(plan.onFailure == .hold)
    }

    @Test func theDigestIsAFunctionOfEverything() throws {
        let first = try Planner.plan(request(Self.deploy))
        #expect(first.digest == (try Planner.plan(request(Self.deploy))).digest)
        #expect(first.digest.count == 64)
        var digests = [first.digest]
        for change in [
            ("install ${{", "Install ${{"), ("/health", "/healthz"),
            ("[1, \"100%\"]", "[2, \"100%\"]"),
            ("run: test", "run: test\n    timeout: 9s"), ("when: web", "when: db"),
        ] {
            let text = Self.deploy.replacing(change.0, with: change.1)
            digests.append(try Planner.plan(request(text)).digest)
        }
        var other = try request(Self.deploy)
        other.release = Release(tag: "v1.0.0", commit: String(repeating: "c", count: 40))
        digests.append(try Planner.plan(other).digest)
        other = try request(Self.deploy)
        other.variables = ["extra": "from-command-line"]
        digests.append(try Planner.plan(other).digest)
        #expect(Set(digests).count == digests.count)
    }

    @Test func saysOnceWhatDoesNotFitTheHosts() throws {
        let text = """
            steps:
              - run: echo ${{ vars.missing }}
                when: wbe
            """
        let error = #expect(throws: Diagnostics.self) { try Planner.plan(request(text)) }
        #expect(error?.all.count == 1)
        #expect(error?.all.first?.message == "`when: wbe` names no group of production")
        #expect(error?.all.first?.hints == ["did you mean `web`?"])
        let missing = #expect(throws: Diagnostics.self) {
            try Planner.plan(request("steps:\n  - run: echo ${{ vars.missing }}\n"))
        }
        #expect(missing?.all.map(\.message) == ["`vars.missing` has no value on web1"])
    }

    @Test func execIsAPlanToo() {
        let plan = Planner.exec(
            command: "uptime",
            inventory: inventory,
            hosts: inventory.hosts,
            fanout: 2,
            timeoutMilliseconds: 1000
        )
        #expect(plan.batches == [["web1", "web2", "db1"]])
        #expect(plan.onFailure == .report)
        #expect(!plan.checksFirst)
    }

    // MARK: Snapshots

    @Test func factsAreReadFromLinesAndNothingElse() {
        let facts = Snapshot.facts(
            from: "commit=\(Self.commit)\nnoise\nref=\nbad name=x\n=y\na=b=c\n"
        )
        #expect(facts == ["commit": Self.commit, "ref": "", "a": "b=c"])
    }

    @Test func aSnapshotWithoutAProperCommitIsNone() {
        for text in ["", "HEAD", "$(id)", "abc"] {
            #expect(Snapshot(facts: ["pull": ["commit": text]]).release(of: "pull") == nil)
        }
        let snapshot = Snapshot(facts: ["pull": ["commit": Self.commit, "tag": "$(id)"]])
        #expect(snapshot.release(of: "pull") == Release(tag: nil, commit: Self.commit))
    }

    @Test func undoingARolloutGoesToEachHostsOwnCommit() throws {
        let plan = try Planner.plan(request(Self.deploy))
        let old = String(repeating: "1", count: 40)
        let older = String(repeating: "2", count: 40)
        let back = try RevertPlanner.plan(
            undoing: plan,
            of: "r1",
            snapshots: [
                "web1": Snapshot(facts: ["pull": ["commit": old, "tag": "v0.9.0", "ref": ""]]),
                "db1": Snapshot(facts: ["pull": ["commit": older, "tag": "", "ref": ""]]),
            ]
        )
        #expect(back.kind == .revert)
        #expect(back.batches == [["web1", "db1"]], "an untouched host stays as it is")
        #expect(back.maxFailures == 2, "one host that cannot go back does not stop the others")
        #expect(back.hosts.map { $0.release?.commit } == [old, older])
        #expect(back.onFailure == .hold, "a revert is never itself reverted")
        // What the later rollout finds must not replace what the earlier one recorded.
        let now = Snapshot(facts: ["pull": ["commit": Self.commit, "tag": "v1.0.0", "ref": ""]])
        guard
            case .script(let script) = back.hosts[0].steps[0].action.bound(
                to: now,
                step: "pull",
                releaseStep: "pull"
            ),
            case .http(let health) = back.hosts[0].checks[2].action
        else { return #expect(Bool(false)) }
        #expect(
            script.environment.filter { $0.name == "FLEET_SNAPSHOT_COMMIT" }.map(\.value) == [old]
        )
        #expect(script.environment.first { $0.name == "FLEET_COMMIT" }?.value == old)
        #expect(health.contains == old)
        #expect(
            back.hosts[0].preflight[1].script.environment.contains(
                EnvironmentVariable("FLEET_COMMIT", old)
            )
        )
    }
}
