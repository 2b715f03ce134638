import FleetJournal
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

    @Test("The real journal says the same at the end, whenever its controller was killed")
    func realJournal() async throws {
        try await busily {
            for seed in 0..<40 as Range<UInt64> {
                let folder = try TemporaryDirectory()
                defer { withExtendedLifetime(folder) {} }
                let journal = try Journal(in: StateDirectory(path: folder.path + "/state"))
                var simulation = RunnerSimulation(seed: seed, journal: journal)
                do { _ = try simulation.run() } catch {
                    throw Command.Failed(description: "seed \(seed): \(error)")
                }
            }
        }
    }

    @Test(
        "A host that lets a controller of before in, or does not say what it knows, is found out",
        arguments: [(RunnerMutant.lowerEpochLetIn, 430..<440), (.stepsUntold, 405..<420)]
    )
    func mutants(_ mutant: RunnerMutant, _ seeds: Range<UInt64>) async throws {
        let found = try await busily {
            seeds.filter { seed in
                var simulation = RunnerSimulation(seed: seed, mutant: mutant)
                do { _ = try simulation.run() } catch { return true }
                return false
            }
        }
        // Without the mistake nothing is found there: ``manySeeds()`` and `scripts/simulate --runner`.
        #expect(!found.isEmpty, "\(mutant)")
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
