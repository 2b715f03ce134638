import FleetTestSupport
import Foundation
import Testing

/// Two hosts and a playbook whose second step waits until it is let go, so that a test can do
/// something in its middle; and any number of controllers, each with a journal of its own.
final class HoldingFleet {
    let fixture: FleetFixture

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

    func start(_ machine: String, _ arguments: String...) throws -> ChildProcess {
        try fixture.start(arguments, on: machine)
    }

    func run(_ machine: String, _ arguments: String...) throws -> Command {
        try run(machine, arguments)
    }

    func run(_ machine: String, _ arguments: [String]) throws -> Command {
        try fixture.fleet(
            arguments,
            environment: ["FLEET_STATE_DIR": fixture.directory.path + "/" + machine]
        )
    }

    func said(_ machine: String) -> String { fixture.said(machine) }

    func file(_ name: String, _ host: Int) -> String? {
        try? String(contentsOfFile: fixture.servers[host].home + "/" + name, encoding: .utf8)
    }

    func letGo() throws {
        for server in fixture.servers { try Command.shell("touch go", in: server.home) }
    }

    func id(_ machine: String) throws -> String {
        let history = try run(machine, "history", "production", "-n", "1", "-o", "json").output
        let line = try JSONSerialization.jsonObject(with: Data(history.utf8)) as? [String: Any]
        return try #require(line?["rollout"] as? String)
    }
}
