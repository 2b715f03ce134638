import FleetInventory
import FleetTransport
import Testing

struct HostPatternTests {
    private let inventory = Inventory(
        environment: "production",
        hosts: (1...4).map {
            Host(name: HostName("web0\($0)"), groups: $0 < 3 ? ["eu", "web"] : ["us", "web"])
        } + [Host(name: "db1", groups: ["db", "eu"])]
    )

    @Test(arguments: [
        ("web", ["web01", "web02", "web03", "web04"]),
        ("web:!web03", ["web01", "web02", "web04"]),
        ("web[01:02]", ["web01", "web02"]),
        ("web:&eu", ["web01", "web02"]),
        ("*", ["web01", "web02", "web03", "web04", "db1"]),
        ("all:!eu", ["web03", "web04"]),
        ("!eu", ["web03", "web04"]),
        ("db1,web04", ["web04", "db1"]),
        ("web?1:db*", ["web01", "db1"]),
    ])
    func selects(_ pattern: String, _ names: [String]) throws {
        let hosts = try HostPattern(pattern).select(from: inventory)
        #expect(hosts.map(\.name.text) == names)
    }

    @Test(arguments: ["", " ", ":", ",,", "!"])
    func anEmptyPatternIsAnError(_ pattern: String) {
        #expect(throws: HostPattern.Unmatched.self) { try HostPattern(pattern) }
    }

    @Test func aTermThatMatchesNothingIsAnErrorWithASuggestion() throws {
        let error = #expect(throws: HostPattern.Unmatched.self) {
            try HostPattern("web:!wbe03").select(from: inventory)
        }
        #expect(error?.message == "`wbe03` matches no host or group of production")
        #expect(error?.hints.first == "did you mean `web03`?")
    }

    @Test func nothingLeftIsAnError() throws {
        let error = #expect(throws: HostPattern.Unmatched.self) {
            try HostPattern("web01:!web").select(from: inventory)
        }
        #expect(error?.message == "`web01:!web` leaves no host of production")
    }
}
