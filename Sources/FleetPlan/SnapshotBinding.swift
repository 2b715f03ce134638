internal import FleetPlaybook
public import FleetTransport

extension Action {
    /// Returns the action with the values from the snapshot filled in.
    ///
    /// A script gets the facts of its own step as `FLEET_SNAPSHOT_NAME` variables, and
    /// ``SnapshotToken``s are replaced by the release that the host ran before.
    ///
    /// - Parameters:
    ///   - snapshot: What the host ran before the rollout touched it.
    ///   - step: The step whose facts the scripts see.
    ///   - releaseStep: The step whose facts say what the host ran.
    /// - Returns: The same action, without open values.
    public func bound(to snapshot: Snapshot, step: String, releaseStep: String?) -> Action {
        if case .deadman(.arm(let milliseconds, let back)) = self {
            let bound = back.map { back in
                guard
                    case .script(let script) = Action.script(back.script).bound(
                        to: snapshot,
                        step: back.factsOf,
                        releaseStep: releaseStep
                    )
                else { preconditionFailure("a script stays a script") }
                return DeadMan.Step(
                    name: back.name,
                    script: script,
                    factsOf: back.factsOf,
                    timeoutMilliseconds: back.timeoutMilliseconds
                )
            }
            let runsSomething = releaseStep.map { snapshot.release(of: $0) != nil } ?? true
            return .deadman(.arm(milliseconds: milliseconds, back: runsSomething ? bound : []))
        }
        let release = releaseStep.flatMap { snapshot.release(of: $0) }
        let facts = snapshot.facts[step] ?? [:]
        let variables = facts.sorted { $0.key < $1.key }.map {
            EnvironmentVariable("FLEET_SNAPSHOT_\($0.key.uppercased())", $0.value)
        }
        func fill(_ text: String) -> String {
            guard text.contains("${{") else { return text }
            return text.replacing(SnapshotToken.commit, with: release?.commit ?? "")
                .replacing(SnapshotToken.tag, with: release?.tag ?? "")
        }
        func bind(_ script: Script) -> Script {
            // A script that was bound to an earlier rollout's snapshot keeps that: facts of two
            // snapshots must not mix.
            let isBound = script.environment.contains { $0.name.hasPrefix("FLEET_SNAPSHOT_") }
            return Script(
                script.text,
                environment: script.environment.map {
                    EnvironmentVariable($0.name, fill($0.value), isExported: $0.isExported)
                } + (isBound ? [] : variables),
                directory: script.directory.map(fill),
                becomeUser: script.becomeUser,
                library: script.library
            ).claiming(script.lock)
        }
        switch self {
        case .script(let script):
            return .script(bind(script))
        case .upload(let upload):
            return .upload(
                Upload(
                    source: upload.source,
                    sizeBytes: upload.sizeBytes,
                    sha256: upload.sha256,
                    handOver: upload.handOver.map(bind),
                    prepare: bind(upload.prepare),
                    finish: bind(upload.finish)
                )
            )
        case .http(var probe):
            probe.contains = probe.contains.map(fill)
            return .http(probe)
        case .tcp, .deadman:
            return self
        }
    }
}
