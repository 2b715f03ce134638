import FleetRollout
import FleetRunnerSimulator
import Testing

/// The real runner under a seed's weather: lost questions and answers, reboots, kills at any write.
struct RunnerSimulationTests {
    @Test("Every rollout ends, as the hosts and the journal say, with every byte of output once")
    func manySeeds() throws {
        var outcomes: [String: Int] = [:]
        var kills = 0
        var fair = 0
        for seed in 0..<1_500 as Range<UInt64> {
            var simulation = RunnerSimulation(seed: seed)
            do {
                outcomes[try simulation.run().rawValue, default: 0] += 1
            } catch {
                Issue.record(
                    "seed \(seed): \(error)\n\(simulation.trace.suffix(60).joined(separator: "\n"))"
                )
                return
            }
            kills += simulation.killCount
            fair += simulation.wasFair ? 1 : 0
        }
        // The weather must be worth it.
        #expect(
            outcomes.count >= 5 && kills > 300 && fair > 100,
            "\(outcomes), \(kills) kills, \(fair) fair"
        )
    }

    @Test("The same seed is the same story")
    func sameSeed() throws {
        for seed in 0..<40 as Range<UInt64> {
            var one = RunnerSimulation(seed: seed)
            var other = RunnerSimulation(seed: seed)
            _ = try? one.run()
            _ = try? other.run()
            #expect(one.trace == other.trace, "seed \(seed)")
        }
    }
}
