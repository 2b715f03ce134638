import FleetJournal
import FleetPlan
import FleetProject
import FleetReport
import FleetRollout
import FleetSSH
import FleetTestSupport
import FleetTransport
import Foundation
import Synchronization
import Testing

@testable import FleetOperations

/// The engine as a library: no terminal, no arguments, no process that ends; the host is this machine.
struct OperationsTests {
    /// Somebody who answers, or nobody.
    private struct Somebody: Asker {
        var answer: Bool?
        func agrees(to question: Question) async -> Bool? { answer }
    }

    private let directory: TemporaryDirectory
    private let settings: Controller.Settings
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
        settings = Controller.Settings(
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
        controller = try Controller(settings)
    }

    private func operations(
        _ answer: Bool? = nil,
        by other: Controller? = nil,
        tell: @escaping @Sendable (Happening) -> Void = { _ in }
    ) -> Operations {
        Operations(
            controller: other ?? controller,
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

    @Test("A server file in a project is checked with it, and against its environments")
    func serverFile() async throws {
        func check() async throws -> ProjectCheck {
            try await UnrecordedOperations(
                settings,
                project: Project(root: directory.path + "/project").trusting(.all)
            ).check(only: nil)
        }
        #expect(try await check().server == nil)
        let file = """
            public_url: https://fleet.example.com
            project: { repository: /srv/x.git }
            accounts: { ada: { role: { production: deploy } } }
            """
        try directory.write(file, to: "project/server.yml")
        let found = try #require(try await check().server)
        #expect(found.accounts == 1 && found.hooks == 0)
        try directory.write(
            file.replacing("production", with: "prodution"),
            to: "project/server.yml"
        )
        let missing = try await refusal { _ = try await check() }
        #expect(missing.message.contains("`prodution`") && missing.status == .invalidFiles)
        try directory.write("public_url: x\n", to: "project/server.yml")
        let invalid = try await refusal { _ = try await check() }
        #expect(invalid.message.contains("server.yml:1:1"), "\(invalid.message)")
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

    /// A lease that is everybody's.
    private struct NoLeases: EnvironmentLeases {
        private struct Nothing: EnvironmentLease { func release() {} }
        func acquire(_ environment: String, for owner: String) async throws(JournalError)
            -> any EnvironmentLease
        { Nothing() }
        func holder(of environment: String) throws(JournalError) -> String? { nil }
    }

    @Test("Where leases hold nobody back, the hosts' locks still do: no step runs twice")
    func leaseIgnored() async throws {
        let servers = try startThreeHosts()
        defer { withExtendedLifetime(servers) {} }
        let open = operations(by: try Controller(settings, leases: NoLeases()))
        let first = try await open.start(try await open.prepare(touch()))
        try await untilSaid("one")
        // The journal knows of the first one, unless it is another machine's.
        let known = try await refusal { _ = try await open.start(try await open.prepare(touch())) }
        #expect(known.status == .locked && known.message.contains("has not come to its end"))
        var elsewhere = settings
        elsewhere.stateDirectory = directory.path + "/elsewhere"
        let other = operations(by: try Controller(elsewhere, leases: NoLeases()))
        let second = try await other.start(try await other.prepare(touch()))
        #expect(try await second.end().status == .locked)
        try Command.shell("touch go", in: home)
        #expect(try await first.end().status == .succeeded)
        #expect(try said() == "one\ntwo\nthree\n")
    }

    @Test("Twenty rollouts in twenty environments, some of them stopped, end as they do one by one")
    func twentyAtOnce() async throws {
        let names = (1...20).map { "env\($0)" }
        // A host of its own for each: on one host, one environment's rollout waits for another one's steps.
        let servers = try names.map { _ in try SSHDServer() }
        defer { withExtendedLifetime(servers) {} }
        for (name, server) in zip(names, servers) {
            try directory.write(
                "hosts:\n" + Self.line(name, server),
                to: "project/inventory/\(name).yml"
            )
        }
        try directory.write(
            """
            name: Touch
            steps:
              - name: first
                run: |
                  echo one >>\(home)/said.$FLEET_ENVIRONMENT
                  case $FLEET_ENVIRONMENT in *5) until [ -e \(home)/go.$FLEET_ENVIRONMENT ]; do sleep 0.02; done ;; *7) exit 3 ;; esac
              - { name: second, run: "echo two >>\(home)/said.$FLEET_ENVIRONMENT" }
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
                    let end = try await running.end()
                    let failures = end.rollout.hosts.compactMap(\.failure)
                    #expect(end.status != .refused, "\(name): \(failures)")
                    return (name, end.status)
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

    // MARK: Stopping

    /// A host in an inventory.
    private static func line(_ name: String, _ server: SSHDServer) -> String {
        "  \(name): { ssh: { hostname: 127.0.0.1, port: \(server.port), identity_file: \(server.keyFile), "
            + "known_hosts: \(server.knownHostsFile) } }\n"
    }

    /// Three hosts, one after the other, each of which waits until it may go on.
    private func startThreeHosts() throws -> [SSHDServer] {
        let servers = try (0..<3).map { _ in try SSHDServer() }
        let hosts = zip(["one", "two", "three"], servers).map(Self.line)
        try directory.write(
            "hosts:\n" + hosts.joined(),
            to: "project/inventory/production.yml"
        )
        try directory.write(
            """
            name: Touch
            serial: [1]
            steps:
              - name: first
                run: |
                  echo $FLEET_HOST >>"\(home)/said"
                  until [ -e "\(home)/go" ]; do sleep 0.02; done
            """,
            to: "project/playbooks/touch.yml"
        )
        return servers
    }

    private func said() throws -> String {
        try String(contentsOfFile: home + "/said", encoding: .utf8)
    }

    private func untilSaid(_ host: String) async throws {
        try await eventually("\(host) has begun") {
            (try? said().contains(host)) ?? false
        }
    }

    @Test("The engine as a library: plan, start, follow, stop after a batch, read the end")
    func stopAfterABatch() async throws {
        let servers = try startThreeHosts()
        defer { withExtendedLifetime(servers) {} }
        let operations = operations()
        let prepared = try await operations.prepare(touch())
        #expect(prepared.plan.batches.map(\.count) == [1, 1, 1])
        let running = try await operations.start(prepared)
        var last: JournalEntry.Body?
        var hasAsked = false
        for try await entry in running.events() {
            if case .effect(.perform) = entry.body, !hasAsked {
                hasAsked = true
                running.stop(after: .batch, reason: "lunch", by: operations.initiator)
                try Command.shell("touch go", in: home)
            }
            last = entry.body
        }
        #expect(last == .effect(.finish(.interrupted)))
        let end = try await running.end()
        #expect(end.status == .interrupted && end.rollout.stopRequest?.reason == "lunch")
        #expect(end.rollout.hosts.map(\.isTouched) == [true, false, false])
        #expect(try said() == "one\n")
        guard case .begun(let rest) = try await operations.prepare(ResumeRequest(nil, .onward))
        else { return #expect(Bool(false), "it has come to its end") }
        #expect(try await operations.start(rest).end().status == .succeeded)
        #expect(try said() == "one\ntwo\nthree\n")
    }

    /// Another process of this machine, by the same state directory.
    private func another() throws -> Controller { try Controller(settings) }

    /// Row O28.
    @Test(
        "Another process asks a rollout to stop, and is told once it has heard",
        arguments: [true, false]
    )
    func stopFromOutside(now: Bool) async throws {
        let servers = try startThreeHosts()
        defer { withExtendedLifetime(servers) {} }
        let operations = operations()
        let running = try await operations.start(try await operations.prepare(touch()))
        try await untilSaid("one")
        let stopping = try await another().askToStop(
            nil,
            after: now ? .now : .step,
            reason: "it is late",
            by: Initiator(user: "bob", machine: "m2", command: "stop", version: "0")
        )
        #expect(stopping.rollout == running.id)
        try await stopping.requireHeard(within: 20_000)
        if !now { try Command.shell("touch go", in: home) }
        let end = try await running.end()
        #expect(end.status == .interrupted)
        #expect(end.rollout.stopRequest?.user == "bob")
        // Nobody carries it out any more.
        let late = try await refusal {
            _ = try await another().askToStop(
                running.id,
                after: .now,
                reason: nil,
                by: operations.initiator
            )
        }
        #expect(late.status == .refused && late.message.contains("has stopped already"), "\(late)")
        if now { try Command.shell("touch go", in: home) }
        guard case .begun(let rest) = try await operations.prepare(ResumeRequest(nil, .onward))
        else { return #expect(Bool(false), "it has come to its end") }
        let resumed = try await operations.start(rest)
        #expect(try await resumed.end().status == .succeeded)
        // What was asked of the controller before is not asked of this one, and each step ran once.
        #expect(try said() == "one\ntwo\nthree\n")
        // The same words were heard once, by another controller: that is no answer now.
        let asked = Controller.Stopping(
            rollout: running.id,
            request: stopping.request,
            journal: controller.journal,
            environment: "production",
            askedAfter: try await controller.journal.entries(of: running.id).count
        )
        let unheard = try await refusal { try await asked.requireHeard(within: 300) }
        #expect(unheard.message.contains("has not heard it"), "\(unheard)")
        let over = try await refusal {
            _ = try await another().askToStop(
                running.id,
                after: .now,
                reason: nil,
                by: operations.initiator
            )
        }
        #expect(over.message.contains("has come to its end: succeeded"), "\(over)")
        let lines = try await controller.records.audit(of: "production", limit: 10)
        #expect(lines.contains { $0.what.contains("to stop after") && $0.why == "it is late" })
    }

    // MARK: Called wrongly

    /// Somebody who is asked and never says anything.
    private struct Silent: Asker {
        func agrees(to question: Question) async -> Bool? {
            // No event: whoever was asked has gone away.
            do { try await Task.sleep(for: .seconds(3600)) } catch { return nil }
            return true
        }
    }

    @Test("A face that never answers holds nothing, and goes away when it is cancelled")
    func neverAnswers() async throws {
        try directory.write(
            "ssh: { client: local }\nhosts: [here]\npolicy: { protected: true }\n",
            to: "project/inventory/production.yml"
        )
        let silent = Operations(
            controller: controller,
            project: Project(root: directory.path + "/project").trusting(.all),
            initiator: Initiator(user: "ann", machine: "m", command: "a test", version: "0"),
            asker: Silent(),
            tell: { _ in }
        )
        let prepared = try await silent.prepare(touch())
        let waiting = Task { () -> OperationFailure? in
            do throws(OperationFailure) {
                _ = try await silent.start(prepared)
                return nil
            } catch { return error }
        }
        let operations = operations(true)
        let running = try await operations.start(try await operations.prepare(touch()))
        #expect(try await running.end().status == .succeeded)
        waiting.cancel()
        #expect(await waiting.value?.status == .refused)
        #expect(try controller.leases.holder(of: "production") == nil)
    }

    @Test("A follower that never reads keeps nothing, and nobody waits for it")
    func neverReads() async throws {
        let operations = operations()
        let running = try await operations.start(try await operations.prepare(touch()))
        var follower = running.events().makeAsyncIterator()
        #expect(try await follower.next()?.sequence == 1)
        #expect(try await running.end().status == .succeeded)
        // It finds everything when it comes back.
        var count = 1
        while try await follower.next() != nil { count += 1 }
        #expect(count == (try await controller.journal.entries(of: running.id).count))
    }

    // MARK: Followers

    /// Puts the beginning of a rollout into the journal, as a controller that was killed behind it leaves it.
    private func begin(_ name: String, _ environment: String, then events: [RolloutEvent] = [])
        async throws -> RolloutID
    {
        let plan = try await operations().prepare(touch(on: environment)).plan
        let id = try #require(RolloutID(name))
        let origin = RolloutOrigin(user: "ann", machine: "m", command: "a test", version: "0")
        let bodies =
            [.planned(plan: plan, origin: origin)] + events.map { JournalEntry.Body.event($0) }
        try await controller.journal.append(
            bodies.enumerated().map {
                JournalEntry(
                    rollout: id,
                    sequence: $0.offset + 1,
                    elapsedMilliseconds: $0.offset,
                    unixMilliseconds: 1_700_000_000_000 + $0.offset,
                    body: $0.element
                )
            }
        )
        return id
    }

    @Test("A rollout is followed to its end from another controller, and again afterwards")
    func followed() async throws {
        let running = try await operations().start(operations().prepare(touch()))
        var events = running.events().makeAsyncIterator()
        // Its plan is durable now, so others know it.
        _ = try await events.next()
        let followed = try await another().followed(running.id.description)
        var seen: [Int] = []
        #expect(try await followed.follow { seen += $0.map(\.sequence) } == .over(.succeeded))
        #expect(seen == Array(1...seen.count))
        _ = try await running.end()
        var rest: [Int] = []
        let end = try await another().followed("last").follow(after: 3) {
            rest += $0.map(\.sequence)
        }
        #expect(end == .over(.succeeded) && rest == Array(4...seen.count))
    }

    @Test("A rollout that nobody carries out any more is given up, and one that runs comes first")
    func abandoned() async throws {
        try directory.write(
            "ssh: { client: local }\nhosts: [here]\n",
            to: "project/inventory/staging.yml"
        )
        let older = try await begin("20260101-000000-aaaa", "production", then: [.started])
        let newer = try await begin("20260102-000000-bbbb", "staging", then: [.started])
        #expect(try await controller.followed(nil).id == newer)
        var count = 0
        #expect(try await controller.followed(nil).follow { count += $0.count } == .abandoned)
        #expect(count == 2)
        let lease = try await another().leases.acquire("production", for: "somebody")
        #expect(try await controller.followed(nil).id == older)
        lease.release()
        #expect(try await controller.followed("last").id == newer)
        #expect(
            try await refusal { _ = try await controller.followed("nope") }.message.contains("nope")
        )
    }

    @Test("Records that do not fit their plan are an error to whoever follows them, and no trap")
    func misfit() async throws {
        let id = try await begin(
            "20260101-000000-cccc",
            "production",
            then: [.started, .locked(host: "elsewhere", outcome: .done)]
        )
        let followed = try await controller.followed(id.description)
        let failure = try await refusal { _ = try await followed.follow { _ in } }
        #expect(failure.message.hasPrefix("E_CORRUPT the journal of rollout \(id)"))
        #expect(failure.status == .journal)
        let report = try await refusal {
            _ = try await controller.records.report(of: id, zone: .utc)
        }
        #expect(report.message.hasPrefix("E_CORRUPT"))
    }

    @Test("What was prepared in one project is not started in another one")
    func otherProject() async throws {
        let prepared = try await operations().prepare(touch())
        try Command.shell("cp -r project other", in: directory.path)
        let other = Operations(
            controller: controller,
            project: Project(root: directory.path + "/other").trusting(.all),
            initiator: Initiator(user: "ann", machine: "m", command: "a test", version: "0"),
            asker: Somebody(),
            tell: { _ in }
        )
        let failure = try await refusal { _ = try await other.start(prepared) }
        #expect(failure.status == .usage && failure.message.contains("is not started in"))
        #expect(try controller.leases.holder(of: "production") == nil)
        #expect(!FileManager.default.fileExists(atPath: home + "/.fleet"))
    }

    // MARK: Kept for later

    @Test("What was kept is carried out as it was, or not at all")
    func kept() async throws {
        let operations = operations(true)
        let prepared = try await operations.prepare(touch())
        let bytes = try await operations.save(prepared).bytes
        let saved = try SavedPreparation(bytes)
        #expect(saved.digest == prepared.plan.digest && saved.preparedBy.hasPrefix("ann@m"))
        let again = try await operations.prepare(saved)
        #expect(again.plan == prepared.plan)
        // Somebody always has to agree to it.
        let nobody = try await refusal { _ = try await self.operations().start(again) }
        #expect(nobody.message.contains("needs a confirmation"), "\(nobody)")
        let running = try await operations.start(again)
        #expect(try await running.end().status == .succeeded)
        let entries = try await controller.journal.entries(of: running.id)
        guard case .planned(let plan, _) = entries.first?.body else {
            return #expect(Bool(false), "no plan")
        }
        #expect(plan.digest == saved.digest)
        // Neither anew, nor by whoever was asked before it began.
        let second = try await refusal { _ = try await operations.start(again) }
        #expect(second.message.contains("carried out already"), "\(second)")
        let twice = try await refusal { _ = try await operations.prepare(saved, isConfirmed: true) }
        #expect(twice.message.contains("carried out already, by rollout \(running.id)"), "\(twice)")

        let playbook = directory.path + "/project/playbooks/touch.yml"
        let text = try String(contentsOfFile: playbook, encoding: .utf8)
        for (change, place) in [
            (text.replacing("echo two", with: "echo zwei"), "the step `second` of here"),
            (text.replacing("name: first", with: "name: erste"), "the steps of here"),
        ] {
            try directory.write(text, to: "project/playbooks/touch.yml")
            let saved = try await operations.save(operations.prepare(touch()))
            try directory.write(change, to: "project/playbooks/touch.yml")
            let stale = try await refusal {
                _ = try await operations.prepare(saved, isConfirmed: true)
            }
            #expect(stale.status == .refused)
            #expect(
                stale.message
                    == "E_STALE what would be done has changed since it was saved: \(place)"
            )
        }
        try directory.write(text, to: "project/playbooks/touch.yml")
        let late = try await operations.save(operations.prepare(touch()))
        try directory.write(
            "ssh: { client: local }\nhosts: [there]\n",
            to: "project/inventory/production.yml"
        )
        let moved = try await refusal { _ = try await operations.prepare(late, isConfirmed: true) }
        #expect(moved.message.hasSuffix("the hosts"), "\(moved)")
        #expect(try said() == "one\ntwo\n")
    }

    @Test("What is no saved plan, or none of this fleet's, is refused")
    func notKept() async throws {
        let operations = operations(true)
        let prepared = try await operations.prepare(touch())
        let saved = try await operations.save(prepared)
        let text = String(decoding: saved.bytes, as: UTF8.self)
        let newer = text.replacing("\"form\":1", with: "\"form\":2")
        for (bytes, words) in [
            ("", "no plan that fleet has saved"), ("{}", "no plan that fleet has saved"),
            (String(text.prefix(text.count / 2)), "no plan that fleet has saved"),
            (newer, "in form 2"),
        ] {
            let failure = try await refusal { _ = try SavedPreparation(Array(bytes.utf8)) }
            #expect(failure.status == .usage && failure.message.contains(words), "\(failure)")
        }
        // Whoever writes another digest into it, or another plan, gets nothing carried out.
        let forged = text.replacing(saved.digest, with: String(repeating: "0", count: 64))
        let other = text.replacing("echo two", with: "echo zwei")
        for bytes in [forged, other] {
            let failure = try await refusal { _ = try SavedPreparation(Array(bytes.utf8)) }
            #expect(failure.message.contains("somebody has changed it"), "\(failure)")
        }
        let command = try await operations.prepare(
            ExecRequest("true", on: HostSelection("production"))
        )
        let exec = try await refusal {
            _ = try await operations.save(command)
        }
        #expect(exec.status == .usage)
    }
}
