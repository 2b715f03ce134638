import FleetTestSupport
import Foundation
import Testing

/// Two controllers, each with a journal of its own, as on two machines.
@Suite(.serialized) struct LockTests {
    private let fixture: FleetFixture

    init() throws {
        fixture = try FleetFixture(hosts: 2)
        try fixture.directory.write(
            #"""
            name: Deploy app
            steps:
              - name: pull
                checkout: { path: ~/app, repository: "${{ vars.repository }}" }
              - name: hold
                run: |
                  echo "$FLEET_TAG" >>"$HOME/holding"
                  until [ -e "$HOME/go" ]; do sleep 0.02; done
                  echo "$FLEET_TAG" >>"$HOME/held"
            """#,
            to: "project/playbooks/deploy.yml"
        )
    }

    private func start(_ machine: String, _ arguments: String...) throws -> ChildProcess {
        for name in ["out", "err"] { try fixture.directory.write("", to: machine + name) }
        return try ChildProcess(
            [Package.binary] + arguments,
            in: fixture.directory.path + "/project",
            environment: [
                "FLEET_STATE_DIR": fixture.directory.path + "/" + machine,
                "HOME": fixture.directory.path, "SSH_AUTH_SOCK": "", "CI": "",
            ],
            files: (
                "/dev/null", fixture.directory.path + "/\(machine)out",
                fixture.directory.path + "/\(machine)err"
            )
        )
    }

    private func run(_ machine: String, _ arguments: String...) throws -> Command {
        try fixture.fleet(
            arguments,
            environment: ["FLEET_STATE_DIR": fixture.directory.path + "/" + machine]
        )
    }

    private func said(_ machine: String) -> String {
        (fixture.directory.read(machine + "out") ?? "")
            + (fixture.directory.read(machine + "err") ?? "")
    }

    private func file(_ name: String, _ host: Int) -> String? {
        try? String(contentsOfFile: fixture.servers[host].home + "/" + name, encoding: .utf8)
    }

    private func letGo() throws {
        for server in fixture.servers { try Command.shell("touch go", in: server.home) }
    }

    private func id(_ machine: String) throws -> String {
        let history = try run(machine, "history", "production", "-n", "1", "-o", "json").output
        let line = try JSONSerialization.jsonObject(with: Data(history.utf8)) as? [String: Any]
        return try #require(line?["rollout"] as? String)
    }

    @Test("O17: of two controllers one goes on, and the other touches nothing and says who it is")
    func twoControllers() async throws {
        let first = try start("a", "deploy", "production", "--tag", "v1.0.0")
        try await eventually("the first one is at it") {
            file("holding", 0) != nil && file("holding", 1) != nil
        }
        let second = try run("b", "deploy", "production", "--tag", "v1.1.0", "--limit", "web2")
        #expect(second.status == 75, "\(second.output)\(second.errors)")
        let id = try id("a")
        #expect(second.errors.contains("E_LOCKED production is locked by rollout \(id)"))
        let status = try run("b", "lock", "status", "production")
        #expect(status.status == 1)
        #expect(status.output.hasPrefix("web[1-2]  \(id) ("), "\(status.output)")
        try letGo()
        #expect(first.wait() == 0, "\(said("a"))")
        #expect(file("held", 1) == "v1.0.0\n")
        let free = try run("b", "lock", "status", "production")
        #expect(free.output == "web[1-2]  free\n")
        #expect(free.status == 0)
    }

    @Test("O16: of many controllers at once exactly one touches the hosts")
    func manyControllers() throws {
        try letGo()
        for round in 0..<4 {
            let tag = round % 2 == 0 ? "v1.0.0" : "v1.1.0"
            let before = file("held", 0) ?? ""
            // Half of them share a machine.
            let racers = try (0..<6).map { number in
                try start("r\(number / 2)", "deploy", "production", "--tag", tag)
            }
            let statuses = racers.map { $0.wait() }
            let winners = statuses.count { $0 == 0 }
            #expect(Set(statuses).isSubset(of: [0, 75, 11]), "\(statuses)")
            // They may also come one after the other.
            let runs = (file("held", 0) ?? "").dropFirst(before.count).split(separator: "\n").count
            #expect(runs == winners, "\(statuses)")
            #expect(try fixture.tag(0) == (winners > 0 ? tag : try fixture.tag(0)))
        }
        #expect(try run("z", "lock", "status", "production").status == 0)
    }

    @Test("O18: the lock of a killed controller is nobody else's, and its own when it is taken up")
    func staleLock() async throws {
        let first = try start("a", "deploy", "production", "--tag", "v1.0.0")
        try await eventually("the first one is at it") { file("holding", 1) != nil }
        kill(first.pid, SIGKILL)
        first.wait()
        let other = try run("b", "deploy", "production", "--tag", "v1.1.0")
        #expect(other.status == 75, "\(other.output)\(other.errors)")
        try letGo()
        let resumed = try run("a", "resume")
        #expect(resumed.status == 0, "\(resumed.output)\(resumed.errors)")
        #expect(file("held", 0) == "v1.0.0\n", "the step ran once")
        #expect(try run("b", "deploy", "production", "--tag", "v1.1.0").status == 0)
    }

    @Test("O19: a broken lock ends what runs, and the host refuses its old owner")
    func brokenLock() async throws {
        let first = try start("a", "deploy", "production", "--tag", "v1.0.0")
        try await eventually("the first one is at it") {
            file("holding", 0) != nil && file("holding", 1) != nil
        }
        let id = try id("a")
        let wrong = try run("b", "lock", "break", "production", "--owner", "x", "--reason", "r")
        #expect(wrong.status == 11)
        let broken = try run(
            "b",
            "lock",
            "break",
            "production",
            "--owner",
            id,
            "--reason",
            "it hangs"
        )
        #expect(broken.status == 0, "\(broken.output)\(broken.errors)")
        #expect(broken.output.contains("broken on web[1-2]"))
        #expect(first.wait() == 21, "\(said("a"))")
        #expect(said("a").contains("E_FENCED"))
        #expect(file("held", 0) == nil, "what ran was ended")
        try letGo()
        let second = try run("b", "deploy", "production", "--tag", "v1.1.0")
        #expect(second.status == 0, "\(second.output)\(second.errors)")
        #expect(try fixture.tag(0) == "v1.1.0")
        // The old owner has come to its end: there is nothing to take up.
        #expect(try run("a", "resume").status == 64)
    }

    @Test func aPersonMayHoldTheLocks() throws {
        try letGo()
        #expect(
            try run("a", "lock", "acquire", "production", "--reason", "kernel update").status == 0
        )
        let refused = try run("b", "deploy", "production", "--tag", "v1.0.0", "--lock-wait", "1s")
        #expect(refused.status == 75, "\(refused.output)\(refused.errors)")
        #expect(refused.errors.contains("kernel update"), "\(refused.errors)")
        #expect(try run("b", "lock", "release", "production").status == 0)
        #expect(try run("b", "deploy", "production", "--tag", "v1.0.0").status == 0)
    }

    @Test("O24: one machine under two names is refused")
    func duplicates() throws {
        try letGo()
        let inventory = try #require(fixture.directory.read("project/inventory/production.yml"))
        let alias = inventory.split(separator: "\n", omittingEmptySubsequences: false)
            .map(String.init)
        let first = try #require(alias.firstIndex { $0.contains("web1:") })
        let copy = alias[first..<first + 3].map {
            $0.replacingOccurrences(of: "web1:", with: "same:")
        }
        try fixture.directory.write(
            (alias[..<first] + copy + alias[first...]).joined(separator: "\n"),
            to: "project/inventory/production.yml"
        )
        let result = try run("a", "deploy", "production", "--tag", "v1.0.0")
        #expect(result.status == 11, "\(result.output)\(result.errors)")
        #expect(result.output.contains("E_DUPLICATE_HOST"), "\(result.output)")
    }

    @Test("O23: a rollout is taken up as it was planned, whatever the files say by now")
    func changedFiles() async throws {
        let first = try start("a", "deploy", "production", "--tag", "v1.0.0")
        try await eventually("the first one is at it") { file("holding", 0) != nil }
        kill(first.pid, SIGKILL)
        first.wait()
        try fixture.directory.write(
            "name: other\nsteps:\n  - run: exit 1\n",
            to: "project/playbooks/deploy.yml"
        )
        try letGo()
        let resumed = try run("a", "resume")
        #expect(resumed.status == 0, "\(resumed.output)\(resumed.errors)")
        #expect(file("held", 1) == "v1.0.0\n")
    }
}
