import FleetRollout
import FleetRunnerSimulator
import FleetTestSupport
import Testing

/// The real runner under a seed's weather: lost questions and answers, reboots, kills at any write.
struct RunnerSimulationTests {
    /// What became of many seeds.
    private struct Weather: Sendable {
        var outcomes: [String: Int] = [:]
        var kills = 0
        var fair = 0
    }

    @Test("Every rollout ends, as the hosts and the journal say, with every byte of output once")
    func manySeeds() async throws {
        let weather = try await busily {
            var weather = Weather()
            for seed in 0..<400 as Range<UInt64> {
                var simulation = RunnerSimulation(seed: seed)
                do {
                    weather.outcomes[try simulation.run().rawValue, default: 0] += 1
                } catch {
                    let end = simulation.trace.suffix(60).joined(separator: "\n")
                    throw Command.Failed(description: "seed \(seed): \(error)\n\(end)")
                }
                weather.kills += simulation.killCount
                weather.fair += simulation.wasFair ? 1 : 0
            }
            return weather
        }
        // The weather must be worth it.
        #expect(
            weather.outcomes.count >= 5 && weather.kills > 80 && weather.fair > 25,
            "\(weather)"
        )
    }

    @Test("The same seed is the same story")
    func sameSeed() async throws {
        let different = try await busily {
            (0..<20 as Range<UInt64>).filter { seed in
                var one = RunnerSimulation(seed: seed)
                var other = RunnerSimulation(seed: seed)
                _ = try? one.run()
                _ = try? other.run()
                return one.trace != other.trace || one.trace.isEmpty
            }
        }
        #expect(different.isEmpty)
    }
}
