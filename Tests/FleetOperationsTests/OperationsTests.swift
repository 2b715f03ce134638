import FleetOperations
import FleetPlan
import FleetProject
import FleetRollout
import FleetSSH
import FleetTestSupport
import FleetTransport
import Foundation
import Synchronization
import Testing

/// The engine as a library: no terminal, no arguments, no process that ends; the host is this machine.
struct OperationsTests {
    /// Somebody who answers, or nobody.
    private struct Somebody: Asker {
        var answer: Bool?
        func agrees(to question: Question) async -> Bool? { answer }
    }

    private let directory: TemporaryDirectory
    private let controller: Controller
    private var home: String { directory.path + "/home" }

    init() throws {
        directory = try TemporaryDirectory()
        try Command.shell("mkdir -m 700 home", in: directory.path)
        try directory.write(
            "ssh: { client: local }\nhosts: [here]\n",
            to: "project/inventory/production.yml"
        )
        try directory.write(
            """
            name: Touch
            steps:
              - { name: first, run: "echo one >>~/said" }
              - { name: second, run: "echo two >>~/said" }
            """,
            to: "project/playbooks/touch.yml"
        )
        controller = try Controller(
            Controller.Settings(
                stateDirectory: directory.path + "/state",
                ssh: SSHTransport.Environment(
                    home: directory.path + "/home",
                    user: NSUserName(),
                    agentSocket: nil
                ),
                variables: [
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": directory.path + "/home",
                ],
                prompt: { _ in .unavailable(reason: "nobody is there") }
            )
        )
    }

    private func operations(
        _ answer: Bool? = nil,
        tell: @escaping @Sendable (Happening) -> Void = { _ in }
    ) -> Operations {
        Operations(
            controller: controller,
            project: Project(root: directory.path + "/project").trusting(.all),
            initiator: Initiator(user: "ann", machine: "m", command: "a test", version: "0"),
            asker: Somebody(answer: answer),
            tell: tell
        )
    }

    private func touch(on environment: String = "production") -> RunRequest {
        RunRequest("touch", on: HostSelection(environment), choice: RolloutChoice())
    }

    private func refusal(_ body: () async throws -> Void) async throws -> OperationFailure {
        let error = await #expect(throws: OperationFailure.self) { try await body() }
        return try #require(error)
    }

    @Test("A few lines are enough: prepare, start, follow, read the end")
    func wholeWay() async throws {
        let operations = operations()
        let prepared = try await operations.prepare(touch())
        #expect(prepared.plan.hosts.map(\.name.text) == ["here"])
        #expect(try await operations.objections(to: prepared).isEmpty)
        let running = try await operations.start(prepared)
        var bodies: [JournalEntry.Body] = []
        for try await entry in running.events() { bodies.append(entry.body) }
        let end = try await running.end()
        #expect(end.status == .succeeded && end.rollout.outcome == .succeeded)
        guard case .planned(let plan, let origin) = bodies.first else {
            return #expect(Bool(false), "\(bodies)")
        }
        #expect(plan.digest == prepared.plan.digest && origin.user == "ann")
        guard case .effect(.finish(.succeeded)) = bodies.last else {
            return #expect(Bool(false), "\(bodies)")
        }
        #expect(try String(contentsOfFile: home + "/said", encoding: .utf8) == "one\ntwo\n")
        // Whoever comes late reads the same, from where they like.
        var late: [Int] = []
        for try await entry in running.events(from: bodies.count) { late.append(entry.sequence) }
        #expect(late == [bodies.count])
    }

    @Test("What needs a confirmation is refused where nobody can be asked, and holds nothing")
    func nobodyToAsk() async throws {
        try directory.write(
            "ssh: { client: local }\nhosts: [here]\npolicy: { protected: true }\n",
            to: "project/inventory/production.yml"
        )
        for (answer, words) in [(Bool?.none, "needs a confirmation"), (false, "not confirmed")] {
            let operations = operations(answer)
            let prepared = try await operations.prepare(touch())
            let failure = try await refusal { _ = try await operations.start(prepared) }
            #expect(failure.status == .refused && failure.message.contains(words), "\(failure)")
        }
        #expect(!FileManager.default.fileExists(atPath: home + "/.fleet"))
        let operations = operations(true)
        let running = try await operations.start(try await operations.prepare(touch()))
        #expect(try await running.end().status == .succeeded)
    }

    @Test("An engine that is called wrongly says so, and does nothing")
    func wrongCalls() async throws {
        let operations = operations()
        let unknown = try await refusal { _ = try await operations.prepare(touch(on: "prod")) }
        #expect(unknown.status == .usage && unknown.message.contains("there is no environment"))
        let nobody = HostSelection("production", limit: "web9")
        let pattern = try await refusal {
            _ = try await operations.prepare(
                RunRequest("touch", on: nobody, choice: RolloutChoice())
            )
        }
        #expect(pattern.status == .usage, "\(pattern)")
        let nothing = try await refusal {
            _ = try await operations.prepare(ResumeRequest(nil, .onward))
        }
        #expect(nothing.status == .usage && nothing.message.contains("has come to its end"))
        let never = try await refusal {
            _ = try await operations.prepare(
                PromoteRequest(
                    from: "staging",
                    deploy: DeployRequest(to: HostSelection("production"), choice: RolloutChoice())
                )
            )
        }
        #expect(never.status == .refused && never.message.contains("E_NOT_STAGED"))
        let back = try await refusal {
            _ = try await operations.prepare(
                RevertRequest(HostSelection("production"), to: .newest)
            )
        }
        #expect(back.status == .refused && back.message.contains("left anything"), "\(back)")
        #expect(!FileManager.default.fileExists(atPath: home + "/.fleet"))
    }

    @Test("Of two starts of one preparation, one is let in")
    func twoStarts() async throws {
        try directory.write(
            "name: Hold\nsteps:\n  - run: \"until [ -e ~/go ]; do sleep 0.02; done\"\n",
            to: "project/playbooks/touch.yml"
        )
        let operations = operations()
        let prepared = try await operations.prepare(touch())
        let running = try await operations.start(prepared)
        let second = try await refusal { _ = try await operations.start(prepared) }
        #expect(second.status == .locked, "\(second)")
        // Cancelling whoever waits for the end ends nothing.
        let waiter = Task { try await running.end() }
        waiter.cancel()
        try Command.shell("touch go", in: home)
        #expect(try await running.end().status == .succeeded)
    }

    @Test("Twenty rollouts in twenty environments, some of them stopped, end as they do one by one")
    func twentyAtOnce() async throws {
        let names = (1...20).map { "env\($0)" }
        for name in names {
            try directory.write(
                "ssh: { client: local }\nhosts: [\(name)]\n",
                to: "project/inventory/\(name).yml"
            )
        }
        try directory.write(
            """
            name: Touch
            steps:
              - name: first
                run: |
                  echo one >>~/said.$FLEET_ENVIRONMENT
                  case $FLEET_ENVIRONMENT in *5) until [ -e ~/go.$FLEET_ENVIRONMENT ]; do sleep 0.02; done ;; *7) exit 3 ;; esac
              - { name: second, run: "echo two >>~/said.$FLEET_ENVIRONMENT" }
            """,
            to: "project/playbooks/touch.yml"
        )
        let operations = operations()
        var ends: [String: FleetRollout.ExitStatus] = [:]
        try await withThrowingTaskGroup(of: (String, FleetRollout.ExitStatus).self) { group in
            for name in names {
                group.addTask {
                    let running = try await operations.start(
                        operations.prepare(touch(on: name))
                    )
                    if name.hasSuffix("5") {
                        for try await entry in running.events() {
                            guard case .effect(.perform) = entry.body else { continue }
                            running.stop()
                            try Command.shell("touch go.\(name)", in: home)
                            break
                        }
                    }
                    return (name, try await running.end().status)
                }
            }
            for try await (name, status) in group { ends[name] = status }
        }
        for name in names {
            #expect(ends[name] != .refused, "\(name): \(ends)")
            let said = try String(contentsOfFile: home + "/said.\(name)", encoding: .utf8)
            switch name.last {
            case "5":
                #expect(ends[name] == .interrupted, "\(name)")
                #expect(said == "one\n")
            case "7":
                #expect(ends[name] == .held || ends[name] == .reverted, "\(name): \(ends)")
                #expect(said == "one\n")
            default:
                #expect(ends[name] == .succeeded, "\(name)")
                #expect(said == "one\ntwo\n")
            }
        }
        // What was stopped is taken up again, one by one.
        for name in names where name.hasSuffix("5") {
            let back = try await operations.prepare(RevertRequest(HostSelection(name), to: .newest))
            #expect(back.resumed != nil)
            let id = try #require(back.resumed?.id)
            guard
                case .begun(let prepared) = try await operations.prepare(ResumeRequest(id, .onward))
            else { return #expect(Bool(false), "it has come to its end") }
            let resumed = try await operations.start(prepared)
            #expect(try await resumed.end().status == .succeeded)
        }
    }
}
