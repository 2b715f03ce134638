import FleetReactor
import FleetTransport
import Synchronization
import Testing

/// Names of hosts, asked for as often as they have to be.
struct ResolverTests {
    /// Counts questions.
    private final class Count: Sendable {
        let asked = Mutex(0)
    }

    private func resolver(_ lifetime: Int, _ count: Count, fails: Bool = false) throws -> Resolver {
        let address = try #require(HostAddress(literal: "192.0.2.7", port: 22))
        return Resolver(lifetimeMilliseconds: lifetime) { name, _, _ throws(TransportError) in
            count.asked.withLock { $0 += 1 }
            if fails { throw .nameNotFound(name: name, reason: "nobody knows it") }
            return [address]
        }
    }

    @Test("A thousand hosts of one name ask for it once")
    func once() async throws {
        let count = Count()
        let resolver = try resolver(3_600_000, count)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<1_000 {
                group.addTask {
                    let found = try await resolver.addresses(of: "web.test", port: 22, family: 0)
                    #expect(found.count == 1)
                }
            }
            try await group.waitForAll()
        }
        #expect(count.asked.withLock { $0 } == 1)
        _ = try await resolver.addresses(of: "other.test", port: 22, family: 0)
        #expect(count.asked.withLock { $0 } == 2)
    }

    @Test(
        "What is old is asked for anew, and so is what was not found; an address is never asked for"
    )
    func anew() async throws {
        let count = Count()
        let short = try resolver(0, count)
        for _ in 0..<3 { _ = try await short.addresses(of: "web.test", port: 22, family: 0) }
        #expect(count.asked.withLock { $0 } == 3)
        let failing = Count()
        let unknown = try resolver(3_600_000, failing, fails: true)
        for _ in 0..<2 {
            await #expect(throws: TransportError.self) {
                _ = try await unknown.addresses(of: "web.test", port: 22, family: 0)
            }
        }
        #expect(failing.asked.withLock { $0 } == 2)
        _ = try await short.addresses(of: "192.0.2.9", port: 22, family: 0)
        #expect(count.asked.withLock { $0 } == 3)
    }
}
