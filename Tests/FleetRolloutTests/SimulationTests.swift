import FleetRollout
import FleetSimulator
import Testing

/// Ten thousand rollouts by seed: the real machine, simulated hosts, faults of every kind.
///
/// A failure prints the seed; `scripts/simulate --seed N` plays it again, line by line.
struct SimulationTests {
    /// Rows H31, H35, H36, N12, N19.
    @Test(arguments: 0..<10)
    func everyRolloutEndsInANamedStateThatTheHostsConfirm(_ part: UInt64) throws {
        var outcomes: Set<RolloutOutcome> = []
        for seed in part * 1000..<part * 1000 + 1000 {
            var simulation = Simulation(Scenario(seed: seed))
            outcomes.insert(try simulation.run())
        }
        // The weather is bad enough to see the bad ends too.
        #expect(outcomes.isSuperset(of: [.succeeded, .reverted, .held, .unknown, .interrupted]))
    }

    @Test func aSeedPlaysTheSameAgain() throws {
        for seed: UInt64 in [1, 17, 4242] {
            var first = Simulation(Scenario(seed: seed), keepsTrace: true)
            var second = Simulation(Scenario(seed: seed), keepsTrace: true)
            #expect(try first.run() == second.run())
            #expect(first.trace == second.trace)
        }
    }
}
