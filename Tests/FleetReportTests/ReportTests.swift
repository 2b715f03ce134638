import FleetPlan
import FleetReport
import FleetRollout
import FleetTransport
import Testing

struct ReportTests {
    private let plan: Plan

    init() {
        let names: [HostName] = ["web1", "web2", "web3"]
        let commit = String(repeating: "b", count: 40)
        plan = Plan(
            kind: .deploy,
            environment: "production",
            title: "Deploy app",
            release: Release(tag: "v2.0.0", commit: commit),
            releaseStep: "pull",
            fanout: 2,
            maxFailures: 0,
            onFailure: .revert,
            batches: [["web1"], ["web2", "web3"]],
            hosts: names.map { name in
                PlannedHost(
                    endpoint: HostEndpoint(name: name),
                    release: Release(tag: "v2.0.0", commit: commit),
                    steps: [
                        PlannedStep(
                            name: "pull",
                            kind: "checkout",
                            action: .script(
                                Script(
                                    "git checkout \"$X\"",
                                    environment: [EnvironmentVariable("X", "it's")]
                                )
                            )
                        )
                    ],
                    checks: [
                        PlannedCheck(
                            name: "health",
                            action: .http(HTTPProbe(host: "127.0.0.1", port: 80, target: "/health"))
                        )
                    ],
                    revertSteps: [
                        PlannedStep(
                            name: "pull",
                            kind: "checkout",
                            action: .script(Script("git checkout back"))
                        )
                    ],
                    revertChecks: [
                        PlannedCheck(name: "verify pull", action: .script(Script("check")))
                    ]
                )
            }
        )
    }

    /// Plays events and gives back every line.
    private func lines(_ events: [RolloutEvent]) throws -> [String] {
        var text = ProgressText(plan: plan, style: .plain)
        var rollout = Rollout(plan: plan)
        let id = try #require(RolloutID("r1"))
        var sequence = 0
        var lines: [String] = []
        func take(_ body: JournalEntry.Body) {
            sequence += 1
            let entry = JournalEntry(
                rollout: id,
                sequence: sequence,
                elapsedMilliseconds: sequence * 100,
                unixMilliseconds: 0,
                body: body
            )
            lines += text.lines(for: entry).map(\.text)
        }
        for event in events {
            take(.event(event))
            for effect in rollout.handle(event, at: sequence * 100) { take(.effect(effect)) }
        }
        return lines
    }

    private var failedCanary: [RolloutEvent] {
        let old = Snapshot(facts: [
            "pull": ["commit": String(repeating: "a", count: 40), "tag": "v1.0.0"]
        ])
        return [.started]
            + ["web1", "web2", "web3"].map { .hostChecked(host: $0, outcome: .ready(old)) }
            + [
                .stepEnded(
                    host: "web1",
                    step: StepReference(.forward, 0),
                    attempt: 1,
                    outcome: .failed(Failure("exited 1", excerpt: "line one\nfatal: \u{1B}[2Jno")),
                    outputBytes: 5
                ),
                .stepEnded(
                    host: "web1",
                    step: StepReference(.revert, 0),
                    attempt: 1,
                    outcome: .succeeded,
                    outputBytes: 0
                ),
                .probed(host: "web1", check: 0, verdict: .pass),
            ]
    }

    @Test func tellsARolloutLineByLine() throws {
        let lines = try lines(failedCanary).joined(separator: "\n")
        for part in [
            "preflight of 3 hosts, read-only", "ready: web[1-3], running v1.0.0",
            "batch 1 of 2: web1",
            "web1  pull failed: exited 1\n           │ line one",
            "HALT after web1: exited 1. Nothing new starts.",
            "decision: revert (exited 1)", "web1  revert pull ok", "web1  reverted",
        ] {
            #expect(lines.contains(part), "\(part) is missing in\n\(lines)")
        }
        #expect(!lines.contains("\u{1B}"), "what a host prints never reaches the terminal as it is")
    }

    @Test func theSummaryNamesEveryStateAndTheNextCommand() throws {
        var rollout = Rollout(plan: plan)
        for (index, event) in failedCanary.enumerated() {
            _ = rollout.handle(event, at: index * 100)
        }
        let text = RolloutText.summary(
            rollout,
            id: try #require(RolloutID("r1")),
            at: 2500,
            style: .plain
        )
        #expect(
            text == """
                reverted  v2.0.0 failed, and every touched host of production is verified back  2.5s

                  hosts     state      runs    what was seen
                  web1      reverted   v1.0.0  exited 1: fatal: ␛[2Jno
                  web[2-3]  untouched  v1.0.0

                going back took 0.2s

                next: fleet show r1    what happened, with the hosts' output
                """
        )
    }

    @Test(
        "Where hosts may outnumber the sessions of ssh, the plan says how they are shared",
        arguments: [
            (HostClient.openssh, "at most 2 sessions at once" as String?, "of the 3 hosts"),
            (.auto, "at most 2 sessions at once", "of those hosts that only `ssh` reaches"),
            (.libssh2, nil, ""),
        ]
    )
    func sharedSessions(_ client: HostClient, _ limit: String?, _ which: String) {
        let plan = plan.with(batches: [
            plan.hosts.map { host in
                var ssh = SSHSettings()
                (ssh.client, ssh.openSSHSessions) = (client, 2)
                return PlannedHost(
                    endpoint: HostEndpoint(name: host.name, ssh: ssh),
                    release: host.release,
                    steps: host.steps,
                    checks: host.checks,
                    revertSteps: host.revertSteps,
                    revertChecks: host.revertChecks
                )
            }
        ])
        let text = PlanText.shown(plan, .overview, style: .plain)
        let line = text.split(separator: "\n").first { $0.hasPrefix("ssh ") }
        guard let limit else {
            #expect(line == nil)
            return
        }
        #expect(line?.contains(limit) ?? false && line?.contains(which) ?? false, "\(text)")
        #expect(!PlanText.shown(self.plan, .overview, style: .plain).contains("openssh_sessions"))
    }

    @Test("The plan says which client reaches which hosts")
    func clients() {
        func line(_ clients: [HostName: HostClient]) -> Substring? {
            PlanText.shown(plan, .overview, clients: clients, style: .plain).split(separator: "\n")
                .first {
                    $0.hasPrefix("client ")
                }
        }
        #expect(line([:]) == nil)
        #expect(line(["web1": .libssh2, "web2": .libssh2]) == "client     libssh2")
        #expect(
            line(["web1": .libssh2, "web2": .openssh, "web3": .openssh, "here": .local])
                == "client     libssh2: web1; ssh: web[2-3]; this machine itself: here"
        )
        #expect(
            line(["web1": .auto, "web2": .auto]) == "client     libssh2, or ssh where that cannot"
        )
    }

    @Test func thePlanShowsWhatWouldRunAndTheWayBack() {
        let text = PlanText.shown(plan, .scripts, style: .plain)
        for part in [
            "deploy v2.0.0 (bbbbbbbbbbbb) to production: 3 hosts in batches of 1, 2",
            "batch 1 of 2, the canary  web1", "batch 2 of 2  web[2-3]",
            "digest     sha256:\(plan.digest)",
            "1. pull  checkout; timeout 10m00s", "│ X='it'\\''s'", "│ git checkout \"$X\"",
            "GET http://127.0.0.1:80/health: status 200, within 5.0s", "way back",
            "│ git checkout back",
        ] {
            #expect(text.contains(part), "\(part) is missing in\n\(text)")
        }
    }

    private func host(_ number: Int, port: Int = 80) -> PlannedHost {
        PlannedHost(
            endpoint: HostEndpoint(name: HostName("web\(number)")),
            release: plan.release,
            steps: [
                PlannedStep(
                    name: "settings",
                    kind: "run",
                    action: .script(
                        Script(
                            "write \"$PORT\"",
                            environment: [EnvironmentVariable("FLEET_VAR_port", "\(port)")]
                        )
                    )
                )
            ],
            checks: plan.hosts[0].checks,
            revertSteps: plan.hosts[0].revertSteps,
            revertChecks: []
        )
    }

    private func plan(of hosts: [PlannedHost], batches: [[HostName]]) -> Plan {
        Plan(
            kind: .deploy,
            environment: "production",
            title: "Deploy app",
            release: plan.release,
            releaseStep: "pull",
            fanout: 2,
            maxFailures: 0,
            onFailure: .revert,
            batches: batches,
            hosts: hosts
        )
    }

    @Test("A plan for 600 hosts is one screen, and says which values differ by host")
    func thePlanIsOneScreen() {
        let hosts = (1...600).map { host($0, port: $0 < 600 ? 80 : 81) }
        let names = hosts.map(\.name)
        let batches =
            [Array(names[..<1])]
            + stride(from: 1, to: 600, by: 10).map { Array(names[$0..<min(600, $0 + 10)]) }
        let big = plan(of: hosts, batches: batches)
        let lines = PlanText.shown(big, .overview, style: .plain).split(separator: "\n")
        #expect(lines.count < 24, "\(lines.joined(separator: "\n"))")
        #expect(lines.allSatisfy { $0.count <= 120 || $0.hasPrefix("ssh ") })
        for part in [
            "batch 1, the canary   web1", "batches 2 to 60       10 hosts each: web[2-591]",
            "batch 61              web[592-600]", "web[1-600]",
            "  1.  settings  run, vars.port by host",
            "  gate      health", "  way back  pull",
        ] {
            #expect(lines.contains { $0 == part }, "\(part)\n\(lines.joined(separator: "\n"))")
        }
        #expect(!lines.contains { $0.contains("write") }, "no script")
    }

    @Test("A step's name cannot move the cursor, at any depth")
    func namesAreSafe() {
        let step = PlannedStep(name: "a\u{1B}[2J", kind: "run", action: .script(Script("true")))
        let check = PlannedCheck(name: "b\u{1B}[2J", action: plan.hosts[0].checks[0].action)
        let host = PlannedHost(
            endpoint: HostEndpoint(name: "web1"),
            release: plan.release,
            steps: [step],
            checks: [check],
            revertSteps: [step],
            revertChecks: []
        )
        let plan = plan(of: [host], batches: [["web1"]])
        for depth in [PlanText.Depth.overview, .steps, .scripts] {
            #expect(!PlanText.shown(plan, depth, style: .plain).contains("\u{1B}"))
        }
    }

    @Test(
        "Steps show values without scripts, scripts show everything, and a host can be looked at alone"
    )
    func depths() {
        let plan = plan(of: [host(1), host(2, port: 81)], batches: [["web1"], ["web2"]])
        let steps = PlanText.shown(plan, .steps, style: .plain)
        #expect(steps.contains("FLEET_VAR_port=80") && steps.contains("FLEET_VAR_port=81"))
        #expect(!steps.contains("write"))
        let one = PlanText.shown(plan, .scripts, only: ["web2"], style: .plain)
        #expect(one.contains("FLEET_VAR_port=81") && one.contains("write \"$PORT\""))
        #expect(!one.contains("FLEET_VAR_port=80") && !one.contains("batch 1 of 2"))
    }

    @Test func theLiveViewFitsTheTerminal() {
        var rollout = Rollout(plan: plan)
        for (index, event) in failedCanary.dropLast(2).enumerated() {
            _ = rollout.handle(event, at: index)
        }
        for width in [20, 40, 100] {
            for isColored in [true, false] {
                let lines = LiveFrame.lines(
                    rollout,
                    at: 5000,
                    width: width,
                    height: 10,
                    style: Style(isColored: isColored)
                )
                #expect(lines.count <= 10)
                for line in lines {
                    let visible = line.replacing(/\u{1B}\[[0-9]*m/, with: "")
                    #expect(visible.count <= width, "\(visible)")
                }
            }
        }
    }

    @Test func theLiveViewFoldsManyHosts() {
        let names = (1...500).map { HostName("web\($0)") }
        let big = Plan(
            kind: .exec,
            environment: "e",
            title: "t",
            release: nil,
            releaseStep: nil,
            fanout: 200,
            maxFailures: 500,
            onFailure: .report,
            batches: [names],
            hosts: names.map {
                PlannedHost(
                    endpoint: HostEndpoint(name: $0),
                    steps: [PlannedStep(name: "exec", kind: "run", action: .script(Script("x")))]
                )
            }
        )
        var rollout = Rollout(plan: big)
        _ = rollout.handle(.started, at: 0)
        let lines = LiveFrame.lines(rollout, at: 10, width: 80, height: 12, style: .plain)
        #expect(lines.count <= 13)
        #expect(lines.contains { $0.contains("and 191 more") })
        #expect(lines.last?.contains("waiting: web[201-500]") ?? false)
    }

    @Test func identicalOutputIsShownOnce() {
        let outputs: [HostName: String] = [
            "web1": "up\n", "web2": "up\n", "web3": "up\n", "web5": "no\n", "web4": "down\n",
            "db1": "",
        ]
        let answers = outputs.keys.sorted().map { host in
            FoldedOutput.Answer(
                host: host,
                status: host == "web4" ? "exited 1" : "ok",
                isGood: host != "web4",
                outputBytes: outputs[host]?.utf8.count ?? 0
            )
        }
        let groups = FoldedOutput.groups(answers) { outputs[$0] == outputs[$1] }
        #expect(
            groups.map { $0.header(style: .plain) } == [
                "web[1-3] (3)  ok", "db1  ok", "web5  ok", "web4  exited 1",
            ]
        )
    }

    /// Row H22.
    @Test func bytesAreMadeSafeWhateverTheyAre() {
        #expect(Array("plain\ttext\n".utf8).withUnsafeBytes { Sanitizer.isPlain($0) })
        let bytes: [UInt8] = [0x61, 0x1B, 0xFF]
        #expect(!bytes.withUnsafeBytes { Sanitizer.isPlain($0) })
        #expect(Sanitizer.safe(String(decoding: bytes, as: UTF8.self)) == "a\u{241B}\u{FFFD}")
    }

    @Test("One unsafe byte is found wherever it stands, and plain bytes never change")
    func unsafeBytesAreFoundEverywhere() {
        for size in [1, 31, 32, 33, 64, 95] {
            let plain = (0..<size).map { $0 % 7 == 0 ? 0x0A : UInt8(0x20 + $0 % 0x5F) }
            #expect(plain.withUnsafeBytes { Sanitizer.isPlain($0) })
            for place in plain.indices {
                for byte in [0x00, 0x08, 0x0B, 0x1B, 0x1F, 0x7F, 0x80, 0xFF] as [UInt8] {
                    var bytes = plain
                    bytes[place] = byte
                    let isPlain = bytes.withUnsafeBytes { Sanitizer.isPlain($0) }
                    #expect(!isPlain, "\(byte) at \(place) of \(size)")
                }
            }
        }
    }

    @Test(arguments: [
        ("plain ünïcode ✓\ttab\n", "plain ünïcode ✓\ttab\n"), ("\u{1B}[31mred", "␛[31mred"),
        ("a\rb\u{8}", "a␍b␈"), ("\u{9B}2J\u{7F}", "\u{FFFD}2J\u{FFFD}"),
        ("x\u{202E}y", "x\u{FFFD}y"),
    ])
    func hostTextIsMadeSafe(_ text: String, _ safe: String) {
        #expect(Sanitizer.safe(text) == safe)
        #expect(Sanitizer.safe(safe) == safe)
    }

    @Test(arguments: [
        (0, "0.0s"), (350, "0.3s"), (59_999, "59.9s"), (125_000, "2m05s"), (3_720_000, "1h02m"),
    ])
    func durationsReadWell(_ milliseconds: Int, _ text: String) {
        #expect(DurationText.short(milliseconds: milliseconds) == text)
    }

    @Test(arguments: [
        (0, "1970-01-01 00:00:00"), (951_782_400_000, "2000-02-29 00:00:00"),
        (1_795_374_312_000, "2026-11-22 19:05:12"),
    ])
    func timesAreCivil(_ milliseconds: Int, _ text: String) {
        #expect(DurationText.utc(unixMilliseconds: milliseconds) == text)
    }

    @Test func tablesAlignWithAndWithoutColour() {
        let style = Style(isColored: true)
        let lines = Table.lines(
            header: ["a", "b"],
            rows: [[style.green("long one"), "x"], ["y", "z"]],
            style: style,
            indent: ""
        )
        #expect(lines[1] == "\u{1B}[32mlong one\u{1B}[0m  x")
        #expect(lines[2] == "y         z")
    }
}
