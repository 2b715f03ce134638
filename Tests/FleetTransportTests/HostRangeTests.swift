import FleetTransport
import Testing

struct HostRangeTests {
    @Test(arguments: [
        ("web", ["web"]),
        ("web[1:3]", ["web1", "web2", "web3"]),
        ("web[08-10]", ["web08", "web09", "web10"]),
        ("web[1,3,5-6].example.com", ["web1", "web3", "web5", "web6"].map { $0 + ".example.com" }),
        ("db-[a:c]", ["db-a", "db-b", "db-c"]),
        ("r[1:2]n[1:2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
    ])
    func expands(_ text: String, _ names: [String]) throws {
        #expect(try HostRange.expand(text) == names)
    }

    @Test(arguments: [
        "web[", "web]", "web[]", "web[3:1]", "web[1:2:3]", "web[ab:c]", "web[1:199999]",
        "[::1]", "[2001:db8::1]", "web[1:]", "web[:3]", "web[1-]",
    ])
    func refuses(_ text: String) {
        var isRefused = false
        do { _ = try HostRange.expand(text) } catch { isRefused = true }
        #expect(isRefused)
    }

    @Test func foldsNamesThatDifferInTheirNumber() {
        let names: [HostName] = ["web2", "web1", "web3", "web10", "db1", "lonely", "web05"]
        #expect(HostRange.fold(names) == "db1, lonely, web05, web[1-3,10]")
    }

    @Test func foldsAcrossDomainsOnlyWhereTheyAreTheSame() {
        let names: [HostName] = ["web1.a.com", "web2.a.com", "web1.b.com", "10.0.0.1", "10.0.0.2"]
        #expect(HostRange.fold(names) == "10.0.0.[1-2], web1.b.com, web[1-2].a.com")
    }

    @Test func foldsAddressesByTheirLastNumber() {
        let names: [HostName] = ["10.0.0.9", "10.0.0.10", "10.0.1.1", "10.0.0.300", "10.0.0.010"]
        #expect(HostRange.fold(names) == "10.0.0.010, 10.0.0.300, 10.0.0.[9-10], 10.0.1.1")
    }

    @Test func unfoldsWhatItFolds() throws {
        for text in ["web[01-12]", "a[1-3,7,9-10].x.org", "solo", "n[098-102]"] {
            let names = try HostRange.expand(text).map { HostName($0) }
            let again = try HostRange.folded(names).flatMap { try HostRange.expand($0) }
            #expect(Set(again) == Set(names.map(\.text)))
        }
    }

    @Test func countsAsPeopleDo() {
        let names: [HostName] = ["web10", "web9", "web1", "web10a"]
        #expect(names.sorted() == ["web1", "web9", "web10", "web10a"])
        let more: [HostName] = ["b", "a2b10", "a2b9", "a02b9", "a", "10.0.0.2", "10.0.0.10"]
        #expect(more.sorted() == ["10.0.0.2", "10.0.0.10", "a", "a02b9", "a2b9", "a2b10", "b"])
    }
}
