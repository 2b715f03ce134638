internal import FleetInventory
internal import FleetJournal
internal import FleetPlan
internal import FleetPlaybook
internal import FleetProject
public import FleetReport
internal import FleetRollout
internal import FleetRunner
internal import FleetTransport
internal import FleetYAML

/// What an environment's hosts run, compared with what the journal says.
public struct EnvironmentStatus: Sendable {
    /// The state of every host that was asked.
    public let hosts: [HostStatus]
    /// The newest rollout, commands of `exec` not counted; nil if there is none.
    public let last: HistoryLine?
    /// Whether somebody is changing the environment from this machine now.
    public let isRunning: Bool
    /// A reminder of a hotfix that is not yet in staging or in the release branch; nil if there is none.
    public let reminder: String?
}

extension Operations {
    /// Asks every host which release it runs; changes nothing.
    ///
    /// - Parameters:
    ///   - selection: The hosts.
    ///   - playbook: The playbook that says where the release is installed.
    /// - Returns: The answers of the hosts, compared with the journal.
    /// - Throws: ``OperationFailure`` if a file is invalid, the playbook deploys no release, or the journal cannot be
    ///   read.
    public func status(of selection: HostSelection, playbook: String = "deploy")
        async throws(OperationFailure) -> EnvironmentStatus
    {
        let (inventory, hosts) = try selection.hosts(of: project)
        let questions = try questions(playbook, inventory, hosts)
        let expected = try await expectations(
            at: questions.map { ($0.host.name, ReleasePlace.path(in: $0.script)) },
            in: inventory.environment
        )
        let transport = try await controller.openTransport(for: hosts, in: project)
        let answers = await Survey(transport: transport).ask(questions)
        let holder: String?
        do {
            holder = try controller.leases.holder(of: inventory.environment)
        } catch {
            throw OperationFailure(error)
        }
        return EnvironmentStatus(
            hosts: hosts.map { line($0.name, answers[$0.name], expected[$0.name]) },
            last: try await controller.records.lastChange(of: inventory.environment),
            isRunning: holder != nil,
            reminder: try await hotfixReminder(of: inventory)
        )
    }

    private func questions(_ playbook: String, _ inventory: Inventory, _ selected: [Host])
        throws(OperationFailure) -> [(host: Host, script: Script)]
    {
        do {
            let request = PlanRequest(
                kind: .run,
                inventory: inventory,
                hosts: selected,
                playbook: try project.playbook(playbook)
            )
            return try selected.map { host in
                guard let script = try Planner.script(.reading, on: host, for: request) else {
                    throw OperationFailure(
                        .usage,
                        "the playbook `\(playbook)` deploys no release",
                        hints: ["name one that has a `checkout` step: --playbook NAME"]
                    )
                }
                return (host, script)
            }
        } catch let error as ProjectError {
            throw OperationFailure(error)
        } catch let error as Diagnostics {
            throw OperationFailure(project.withSources(error))
        } catch let failure as OperationFailure {
            throw failure
        } catch {
            throw OperationFailure(.internalError, "\(error)")
        }
    }

    /// What the journal says of a host.
    enum Expectation {
        case release(Release)
        /// A rollout touched it and came to no verified end.
        case unsettled(RolloutID)
    }

    /// What the newest rollouts left on each host, at the place that is looked at.
    func expectations(
        at places: [(host: HostName, path: String?)],
        in environment: String
    ) async throws(OperationFailure) -> [HostName: Expectation] {
        let journal = controller.journal
        let records: [RolloutRecord]
        do {
            records = try await journal.rollouts(
                RolloutQuery(environment: environment, limit: nil, changesOnly: true)
            )
        } catch {
            throw OperationFailure(error)
        }
        var expected: [HostName: Expectation] = [:]
        var open = Dictionary(uniqueKeysWithValues: places)
        // The newest that says something about a host counts, however many came after it that do not.
        for record in records
        where !open.isEmpty && (record.kind == .deploy || record.kind == .revert) {
            let rollout = try await RolloutLookup.replay(record.id, in: journal)
            for (host, planned) in zip(rollout.hosts, rollout.plan.hosts) {
                guard let place = open[host.name] else { continue }
                // Another application's rollout says nothing about this one.
                let there = planned.preflight.first { $0.step == rollout.plan.releaseStep }
                    .flatMap { ReleasePlace.path(in: $0.script) }
                if let place, let there, place != there { continue }
                switch host.outcome {
                case .succeeded: expected[host.name] = planned.release.map { .release($0) }
                case .reverted:
                    expected[host.name] = rollout.plan.releaseStep.flatMap {
                        host.snapshot?.release(of: $0)
                    }.map { .release($0) }
                case .removed: break
                case .untouched: continue
                default:
                    guard host.isTouched else { continue }
                    expected[host.name] = .unsettled(record.id)
                }
                open[host.name] = nil
            }
        }
        return expected
    }

    private func line(
        _ name: HostName,
        _ answer: Result<Survey.Answer, TransportError>?,
        _ known: Expectation?
    ) -> HostStatus {
        let expected: Release? = if case .release(let release) = known { release } else { nil }
        func bad(_ state: String) -> HostStatus {
            HostStatus(
                host: name.text,
                runs: "?",
                commit: "",
                expected: expected?.label ?? "",
                state: state,
                isGood: false
            )
        }
        switch answer {
        case .none: return bad("not asked")
        case .failure(let error): return bad("\(error.token): \(error.message)")
        case .success(let answer):
            guard answer.status == 0 else {
                return bad(
                    Sanitizer.line(
                        answer.text.split(whereSeparator: \.isNewline).last.map(String.init)
                            ?? "failed"
                    )
                )
            }
            let snapshot = Snapshot(facts: ["it": Snapshot.facts(from: answer.text)])
            guard let release = snapshot.release(of: "it") else {
                return bad("nothing is deployed")
            }
            var state = "as deployed"
            var isGood = true
            if snapshot.facts["it"]?["state"] == "dirty" {
                state = "has local changes"
                isGood = false
            } else if let expected, expected.commit != release.commit {
                state = "drifted: the last rollout left \(expected.label) here"
                isGood = false
            } else if case .unsettled(let id) = known {
                state = "left by rollout \(id), which came to no verified end"
                isGood = false
            } else if expected == nil {
                state = "no rollout of this journal"
            }
            return HostStatus(
                host: name.text,
                // The name that it was deployed by; a host may have others for the same commit.
                runs: expected?.commit == release.commit
                    ? expected?.label ?? release.label : release.label,
                commit: release.commit,
                expected: expected?.label ?? "",
                state: state,
                isGood: isGood
            )
        }
    }
}
