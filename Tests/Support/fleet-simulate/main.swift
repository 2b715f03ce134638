import FleetJournal
import FleetRollout
import FleetRunnerSimulator
import FleetSimulator
import FleetTestSupport
import Glibc

/// Plays simulated rollouts: `fleet-simulate --seeds N [--from N]`, or `--seed N` with every line.
///
/// `--shrink N` plays as little of a seed that fails as still does. With `--runner` the real runner
/// performs what is decided, over a simulated transport, store and clock; `--sqlite` keeps a real journal beside the
/// store, and `--mutant NAME` makes a mistake that must be found.
struct Arguments {
    var seed: UInt64?
    var shrunk: UInt64?
    var count: UInt64 = 10_000
    var first: UInt64 = 0
    var playsRunner = false
    var mutant: RunnerMutant?
    var keepsJournal = false

    init?(_ words: [String]) {
        var rest = words[...]
        while let word = rest.popFirst() {
            if word == "--runner" {
                playsRunner = true
                continue
            }
            if word == "--sqlite" {
                keepsJournal = true
                continue
            }
            if word == "--mutant" {
                guard let name = rest.popFirst(), let mutant = RunnerMutant(rawValue: name) else {
                    return nil
                }
                self.mutant = mutant
                continue
            }
            guard let number = rest.popFirst().flatMap({ UInt64($0) }) else { return nil }
            switch word {
            case "--seed": seed = number
            case "--shrink": shrunk = number
            case "--seeds": count = number
            case "--from": first = number
            default: return nil
            }
        }
    }
}

guard let arguments = Arguments(Array(CommandLine.arguments.dropFirst())) else {
    print(
        "usage: scripts/simulate [--runner] [--seeds COUNT] [--from SEED] | --seed SEED | --shrink SEED"
    )
    exit(64)
}

/// Prints what is left of a seed that fails, and how it still does.
func printShrunk(_ seed: UInt64) -> Bool {
    guard let shrunk = Shrinking(Scenario(seed: seed)) else { return false }
    print("shrunk to \(shrunk.summary)\n\(shrunk.violation)")
    return true
}

/// Plays the runner's seeds; says and shows which one breaks something.
func playRunner(
    _ seeds: Range<UInt64>,
    _ mutant: RunnerMutant?,
    keepsJournal: Bool,
    isShown: Bool
) -> Bool {
    var outcomes: [String: Int] = [:]
    var kills = 0
    var splits = 0
    for seed in seeds {
        var directory: TemporaryDirectory?
        defer { withExtendedLifetime(directory) {} }
        var journal: Journal?
        if keepsJournal {
            do {
                let folder = try TemporaryDirectory()
                directory = folder
                journal = try Journal(in: StateDirectory(path: folder.path + "/state"))
            } catch {
                print("no journal: \(error)")
                return false
            }
        }
        var simulation = RunnerSimulation(seed: seed, mutant: mutant, journal: journal)
        do {
            outcomes[try simulation.run().rawValue, default: 0] += 1
            kills += simulation.killCount
            splits += simulation.splitCount
            if isShown { for line in simulation.trace { print(line) } }
        } catch {
            for line in simulation.trace { print(line) }
            print("seed \(seed): \(error)\n  replay: scripts/simulate --runner --seed \(seed)")
            return false
        }
    }
    let summary = outcomes.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
    print(
        "\(seeds.count) rollouts by the runner, \(kills) kills, \(splits) controllers thought dead that were not: "
            + "\(summary.joined(separator: ", "))"
    )
    return true
}

if arguments.playsRunner {
    let first = arguments.seed ?? arguments.first
    let count = arguments.seed == nil ? arguments.count : 1
    let isGood = playRunner(
        first..<first + count,
        arguments.mutant,
        keepsJournal: arguments.keepsJournal,
        isShown: arguments.seed != nil
    )
    exit(isGood ? 0 : 1)
}

if let seed = arguments.shrunk {
    guard printShrunk(seed) else {
        print("seed \(seed) breaks nothing")
        exit(0)
    }
    exit(1)
}

if let seed = arguments.seed {
    var simulation = Simulation(Scenario(seed: seed), keepsTrace: true)
    do {
        let outcome = try simulation.run()
        for line in simulation.trace { print(line) }
        print("seed \(seed): \(outcome.rawValue) after \(simulation.eventCount) events")
    } catch {
        print(error)
        exit(1)
    }
} else {
    var outcomes: [String: Int] = [:]
    var events = 0
    for seed in arguments.first..<arguments.first + arguments.count {
        var simulation = Simulation(Scenario(seed: seed))
        do {
            outcomes[try simulation.run().rawValue, default: 0] += 1
            events += simulation.eventCount
        } catch {
            if !printShrunk(seed) { print(error) }
            exit(1)
        }
    }
    let summary = outcomes.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
    print("\(arguments.count) rollouts, \(events) events: \(summary.joined(separator: ", "))")
}
