import FleetPlan
import FleetRollout
import FleetSimulator
import FleetTestSupport
import Testing

/// Journals as they may be found on a disk: whole, cut, mixed up, another plan's.
struct ReplayTests {
    private static func played(_ seed: UInt64) throws -> (plan: Plan, journal: [JournalEntry]) {
        let scenario = Scenario(seed: seed)
        var simulation = Simulation(scenario, keepsTrace: true)
        _ = try simulation.run()
        return (scenario.plan, simulation.journal)
    }

    @Test("A whole journal replays to its end, and so does every beginning of it")
    func whole() async throws {
        try await busily {
            for seed in 0..<40 as Range<UInt64> {
                let (plan, journal) = try Self.played(seed)
                #expect(try Rollout.replay(plan, journal).outcome != nil)
                for count in stride(from: 0, through: journal.count, by: 7) {
                    _ = try Rollout.replay(plan, Array(journal.prefix(count)))
                }
            }
        }
    }

    @Test(
        "A journal that something else has written is refused with its entry, and ends no process"
    )
    func unfit() async throws {
        let refused = try await busily {
            var refused = 0
            var random = SystemRandomNumberGenerator()
            for seed in 0..<60 as Range<UInt64> {
                let (plan, journal) = try Self.played(seed)
                let (other, _) = try Self.played(seed + 1)
                for _ in 0..<40 {
                    var spoilt = journal
                    for _ in 0...Int.random(in: 0..<3, using: &random) where spoilt.count > 1 {
                        let place = Int.random(in: 0..<spoilt.count, using: &random)
                        let there = Int.random(in: 0..<spoilt.count, using: &random)
                        switch Int.random(in: 0..<5, using: &random) {
                        case 0: spoilt.remove(at: place)
                        case 1: spoilt.insert(spoilt[place], at: there)
                        case 2: spoilt.swapAt(place, there)
                        case 3: spoilt.removeFirst(place)
                        default: spoilt.append(contentsOf: journal.dropFirst(place))
                        }
                    }
                    for plan in [plan, other] {
                        do throws(UnfitJournal) {
                            _ = try Rollout.replay(plan, spoilt)
                        } catch {
                            refused += 1
                            #expect(error.sequence != nil && !error.reason.isEmpty)
                        }
                    }
                }
            }
            return refused
        }
        #expect(refused > 2000, "\(refused) of 4800")
    }
}
