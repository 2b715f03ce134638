import FleetPlan
import FleetSimulator
import FleetTestSupport
import FleetTransport
import Testing

@testable import FleetRollout

/// Tests of the tests: mistakes that others have made, planted one at a time.
///
/// The simulation must
/// catch each of them.
struct MutantTests {
    /// Plays seeds until something is noticed.
    private func isCaught(_ mutant: Mutant, within seeds: UInt64) async throws -> String? {
        var mutant = mutant
        mutant.isNone = false
        return try await busily { [mutant] in
            for seed in 0..<seeds {
                var simulation = Simulation(Scenario(seed: seed), mutant: mutant)
                do throws(Violation) {
                    _ = try simulation.run()
                } catch {
                    return error.what
                }
            }
            return nil
        }
    }

    @Test func withoutAMistakeNothingIsCaught() async throws {
        #expect(try await isCaught(Mutant(), within: 300) == nil)
    }

    @Test(
        "A seed that fails shrinks to a small scenario that breaks the same invariant, every time"
    )
    func shrinking() async throws {
        var mutant = Mutant()
        mutant.adoptsWithoutKilling = true
        mutant.isNone = false
        let found = try await busily { [mutant] in try Self.shrunk(mutant) }
        #expect(found.count == 3 && found.savedHosts > 0 && found.different.isEmpty, "\(found)")
        #expect(try await busily { Shrinking(Scenario(seed: 1)) == nil })
    }

    /// What came of shrinking the first seeds that fail.
    private struct Shrunk: Sendable {
        var count = 0
        var savedHosts = 0
        /// Seeds that shrank to something else the second time, or to what does not fail.
        var different: [UInt64] = []
    }

    private static func shrunk(_ mutant: Mutant) throws -> Shrunk {
        var result = Shrunk()
        for seed in 0..<10_000 as Range<UInt64> where result.count < 3 {
            guard Scenario(seed: seed).plan.hosts.count > 3,
                let found = Shrinking(Scenario(seed: seed), mutant: mutant)
            else { continue }
            result.count += 1
            result.savedHosts +=
                Scenario(seed: seed).plan.hosts.count - found.scenario.plan.hosts.count
            let again = Shrinking(Scenario(seed: seed), mutant: mutant)
            var replayed = Simulation(found.scenario, mutant: mutant)
            let isSame =
                again?.summary == found.summary
                && again?.violation.what == found.violation.what
            do {
                _ = try replayed.run()
                result.different.append(seed)
            } catch {
                if !isSame { result.different.append(seed) }
            }
        }
        return result
    }

    @Test func goingBackBesideAStepThatStillRuns() async throws {
        var mutant = Mutant()
        mutant.adoptsWithoutKilling = true
        #expect(try await isCaught(mutant, within: 10_000) != nil)
    }

    @Test func filesAreBelievedToBeWhatHeadSays() async throws {
        var mutant = Mutant()
        mutant.skipsFiles = true
        #expect(try await isCaught(mutant, within: 10_000) != nil)
    }

    @Test func noAnswerCountsAsSuccess() async throws {
        var mutant = Mutant()
        mutant.event = { event in
            guard case .stepEnded(let host, let step, let attempt, .lost, let bytes) = event else {
                return event
            }
            return .stepEnded(
                host: host,
                step: step,
                attempt: attempt,
                outcome: .succeeded,
                outputBytes: bytes
            )
        }
        #expect(try await isCaught(mutant, within: 10_000) != nil)
    }

    @Test func stepsStartWhoeverHoldsTheLock() async throws {
        var mutant = Mutant()
        mutant.ignoresFence = true
        #expect(try await isCaught(mutant, within: 10_000) != nil)
    }

    @Test func touchedIsJudgedByResults() async throws {
        var mutant = Mutant()
        mutant.after = { rollout, event, _, _ in
            // A step whose answer was lost counts as never begun.
            guard case .stepEnded(let host, let step, _, .lost, _) = event, step.index == 0,
                let index = rollout.hosts.firstIndex(where: { $0.name == host })
            else { return }
            rollout.hosts[index].isTouched = false
        }
        #expect(try await isCaught(mutant, within: 10_000) != nil)
    }

    @Test func onlyFailedHostsGoBack() async throws {
        var mutant = Mutant()
        mutant.after = { rollout, _, effects, now in
            guard rollout.phase == .reverting else { return }
            for index in rollout.hosts.indices where rollout.hosts[index].stage == .verified {
                rollout.hosts[index].enter(.concluded(.untouched), at: now)
                effects.append(
                    .conclude(host: rollout.hosts[index].name, outcome: .untouched)
                )
            }
        }
        #expect(try await isCaught(mutant, within: 10_000) != nil)
    }

    @Test func theSnapshotIsTakenAnewWhenARolloutIsTakenUpAgain() async throws {
        var mutant = Mutant()
        mutant.beforeResume = { rollout, commit in
            for index in rollout.hosts.indices where rollout.hosts[index].snapshot != nil {
                let facts = ["commit": commit(rollout.hosts[index].name)]
                rollout.hosts[index].snapshot = Snapshot(facts: ["pull": facts])
            }
        }
        #expect(try await isCaught(mutant, within: 20_000) != nil)
    }

    @Test func theDecisionIsNotWrittenDown() async throws {
        var mutant = Mutant()
        mutant.beforeResume = { rollout, _ in
            guard rollout.phase == .reverting else { return }
            rollout.forgetDecision()
        }
        #expect(try await isCaught(mutant, within: 20_000) != nil)
    }

    @Test func unknownCountsAsReverted() async throws {
        var mutant = Mutant()
        mutant.after = { _, _, effects, _ in
            effects = effects.map { effect in
                switch effect {
                case .conclude(let host, .unknown): .conclude(host: host, outcome: .reverted)
                case .finish(.unknown): .finish(.reverted)
                default: effect
                }
            }
        }
        #expect(try await isCaught(mutant, within: 10_000) != nil)
    }

    @Test func locksAreForgottenAtTheEnd() async throws {
        var mutant = Mutant()
        mutant.after = { rollout, _, effects, _ in
            guard case .closing(let outcome) = rollout.phase else { return }
            // As if the end were written down before the locks went back, and then the power cut.
            effects.removeAll { if case .unlock = $0 { true } else { false } }
            rollout.phase = .finished(outcome)
            effects.append(.finish(outcome))
        }
        #expect(try await isCaught(mutant, within: 10_000) != nil)
    }
}

extension Rollout {
    /// As if the record of it were lost.
    fileprivate mutating func forgetDecision() {
        phase = .rolling(batch: 0)
        decision = nil
        halted = nil
    }
}
