import FleetRollout
import FleetSimulator
import FleetTestSupport
import Testing

/// A thousand rollouts by seed: the real machine, simulated hosts, faults of every kind.
///
/// A failure prints the seed; `scripts/simulate --seed N` plays it again, line by line. `scripts/test`
/// plays a hundred thousand with the optimised build.
struct SimulationTests {
    /// Rows H31, H35, H36, N12, N19.
    @Test func everyRolloutEndsInANamedStateThatTheHostsConfirm() async throws {
        let outcomes = try await busily {
            try Set(
                (0..<1_000 as Range<UInt64>).map { seed in
                    var simulation = Simulation(Scenario(seed: seed))
                    return try simulation.run()
                }
            )
        }
        // The weather is bad enough to see the bad ends too.
        #expect(outcomes.isSuperset(of: [.succeeded, .reverted, .held, .unknown, .interrupted]))
    }

    @Test func aSeedPlaysTheSameAgain() async throws {
        for seed: UInt64 in [1, 17, 4242] {
            let traces = try await busily {
                try (0..<2).map { _ in
                    var simulation = Simulation(Scenario(seed: seed), keepsTrace: true)
                    return try simulation.trace + ["\(simulation.run())"] + simulation.trace
                }
            }
            #expect(traces[0] == traces[1] && traces[0].count > 1)
        }
    }
}
