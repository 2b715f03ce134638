import FleetInventory
import FleetTestSupport
import FleetTransport
import FleetYAML
import Foundation
import Testing

struct InventoryReaderTests {
    private func read(_ text: String) throws -> Inventory {
        try InventoryReader.read(text, file: "inventory/test.yml", environment: "test")
    }

    private func messages(_ text: String) -> [String] {
        do {
            _ = try read(text)
            return []
        } catch let error as Diagnostics {
            return error.all.map(\.message)
        } catch {
            return ["\(error)"]
        }
    }

    /// Row H52.
    @Test(
        "Nothing but names stands on a way: a user is put into a ProxyCommand of the operator's as `%r`",
        arguments: [
            ("x -F /tmp/conf@gw1", false), ("a;b@gw1", false), ("-oX@gw1", false), ("gw 1", false),
            ("a@b@gw1", true), ("gw/1", false), ("[gw1", false), ("gw1,,gw2", false),
            ("x@[::1]:22", true),
            ("ssh://me@gw1:22/", true), ("gw1, me@gw2:2200", true), ("none", true),
        ]
    )
    func ways(jump: String, isTaken: Bool) {
        let found = messages("hosts: [a]\nssh: { jump: \"\(jump)\" }")
        #expect(found.isEmpty == isTaken, "\(found)")
    }

    @Test("How many sessions of ssh are open is said for all hosts together")
    func openSSHSessions() throws {
        let inventory = try read("hosts: [a, b]\nssh: { openssh_sessions: 8 }")
        #expect(inventory.hosts.map(\.ssh.openSSHSessions) == [8, 8])
        #expect(
            messages("hosts: { a: { ssh: { openssh_sessions: 8 } } }") == [
                "`openssh_sessions` is for all hosts together"
            ]
        )
        #expect(messages("hosts: [a]\nssh: { openssh_sessions: 0 }").count == 1)
    }

    @Test("Who is told of what, and of everything in an emergency")
    func notifications() throws {
        let inventory = try read(
            """
            hosts: [a]
            notify:
              - command: ./tell
              - { command: ./page, on: [failed] }
            """
        )
        #expect(
            inventory.notifications == [
                NotificationRule(command: "./tell", events: [.succeeded, .failed, .health]),
                NotificationRule(command: "./page", events: [.failed]),
            ]
        )
        let pager = inventory.notifications[1]
        #expect(pager.wants(.failed, isHotfix: false) && !pager.wants(.started, isHotfix: false))
        #expect(pager.wants(.started, isHotfix: true))
        #expect(
            messages("hosts: [a]\nnotify: [{ on: [fialed] }]") == [
                "a notification needs `command`", "`fialed` is nothing that happens",
            ]
        )
    }

    @Test func theNarrowerLevelWins() throws {
        let inventory = try read(
            """
            ssh: { user: deploy, port: 22 }
            vars: { level: environment, only_environment: a }
            groups:
              all_web: { children: [web], vars: { level: parent, only_parent: b } }
              web:
                vars: { level: group }
                ssh: { port: 2200 }
                hosts:
                  web1: { vars: { level: host }, ssh: { user: root } }
                  web2:
            """
        )
        #expect(inventory.hosts.map(\.name) == ["web1", "web2"])
        #expect(
            inventory.hosts[0].variables == [
                "level": "host", "only_environment": "a", "only_parent": "b",
            ]
        )
        #expect(inventory.hosts[1].variables["level"] == "group")
        #expect(inventory.hosts[0].groups == ["all_web", "web"])
        #expect(inventory.hosts[0].ssh.user == "root")
        #expect(inventory.hosts[0].ssh.port == 2200)
        #expect(inventory.hosts[1].ssh.user == "deploy")
    }

    @Test func aHostInSeveralGroupsIsOneHost() throws {
        let inventory = try read(
            """
            groups:
              web: { hosts: ["h[1:3]"] }
              eu: { hosts: [h2] }
            hosts: [extra]
            """
        )
        #expect(inventory.hosts.map(\.name) == ["extra", "h1", "h2", "h3"])
        #expect(inventory.hosts[2].groups == ["eu", "web"])
    }

    @Test func reportsEverythingAtOnce() {
        let found = messages(
            """
            ssh: { port: 99999, user: -oProxyCommand=x, host_keys: off }
            groups:
              web: { hosts: ["web[3:1]", "a b"], children: [webb] }
              all: { hosts: [x] }
            strange: 1
            """
        )
        #expect(found.count == 8)
        #expect(found.contains("`port` must be a whole number from 1 to 65535, not `99999`"))
        #expect(found.contains("`-oProxyCommand=x` cannot be a user"))
        #expect(found.contains("`host_keys` is `strict` or `accept-new`, not `off`"))
        #expect(found.contains("`web[3:1]`: `[3:1]` runs backwards"))
        #expect(found.contains("`a b` is not a host name"))
        #expect(found.contains("group `webb` is not defined"))
        #expect(found.contains("`all` cannot name a group"))
        #expect(found.contains("unknown key `strange` in an inventory"))
    }

    @Test func refusesAGroupThatContainsItself() {
        let found = messages(
            """
            hosts: [x]
            groups:
              a: { children: [b] }
              b: { children: [a] }
            """
        )
        #expect(found.contains("group `a` contains itself"))
    }

    @Test func refusesAnInventoryWithoutHosts() {
        for text in ["{}", "groups: { web: { hosts: [] } }", "vars: { a: b }"] {
            #expect(messages(text) == ["the inventory holds no host"])
        }
        #expect(messages("") == ["an inventory must be a mapping, not nothing"])
    }

    @Test func readsTheInventoriesThatShip() throws {
        for name in ["staging", "production"] {
            let path = Package.root + "/inventory/\(name).yml"
            let text = try String(contentsOfFile: path, encoding: .utf8)
            let inventory = try InventoryReader.read(text, file: path, environment: name)
            #expect(inventory.policy.isProtected == (name == "production"))
            #expect(!inventory.hosts.isEmpty)
        }
    }

    @Test(
        "What other tools take for a host is refused where it stands, with what to write",
        arguments: [
            ("deploy@10.0.0.1:2222", "`10.0.0.1: { ssh: { user: deploy, port: 2222 } }`"),
            ("web1:22", "`web1: { ssh: { port: 22 } }`"), ("deploy@web1", "ssh: { user: deploy }"),
            ("[::1]", "hostname: \"::1\""), ("[2001:db8::1]:22", "hostname: \"2001:db8::1\""),
        ]
    )
    func othersHosts(text: String, hint: String) {
        do {
            _ = try read("hosts: [\"\(text)\"]")
            #expect(Bool(false), "taken")
        } catch let error as Diagnostics {
            #expect(error.all.first?.location?.line == 1)
            #expect(error.all.first?.hints.first?.contains(hint) ?? false, "\(error.all)")
        } catch {
            #expect(Bool(false), "\(error)")
        }
    }

    /// Row K5.
    @Test("A byte order mark and line ends of another system change nothing")
    func textAsItComes() throws {
        let text = "\u{FEFF}vars: { a: b }\r\nhosts:\r\n  web1:\r\n    ssh: { port: 2222 }\r\n"
        let inventory = try read(text)
        #expect(inventory.hosts.map(\.name) == ["web1"] && inventory.hosts[0].ssh.port == 2222)
        #expect(inventory.hosts[0].variables == ["a": "b"])
    }

    @Test("Twenty thousand hosts with settings of their own are read")
    func manyHosts() throws {
        let lines = (1...20_000).map {
            "  web\($0): { ssh: { hostname: 10.0.0.1, user: deploy, port: 2222 } }"
        }
        #expect(try read("hosts:\n" + lines.joined(separator: "\n")).hosts.count == 20_000)
    }
}
