internal import FleetInventory
internal import FleetJournal
internal import FleetPlan
public import FleetRollout
internal import FleetRunner
public import FleetTransport

/// The rollouts that were missing in the journal and were recovered from the hosts.
public struct Recovery: Sendable {
    /// A rollout that was written to the journal again.
    public struct Found: Sendable {
        /// Its name.
        public let id: RolloutID
        /// The state of the rollout, as far as the hosts know it.
        public let rollout: Rollout
    }

    /// The rollouts, oldest first.
    public internal(set) var found: [Found] = []
    /// The hosts that could not be asked or whose records could not be understood, each with the reason.
    public internal(set) var problems: [(host: HostName, text: String)] = []
    /// Whether the journal already knew every rollout that the hosts remember.
    public internal(set) var isNothingLost = true
}

extension Operations {
    /// Restores missing journal records of unfinished rollouts from what the hosts keep; changes nothing on the hosts.
    ///
    /// - Throws: ``OperationFailure`` if a selected host does not exist, or the journal cannot be read or written.
    public func recover(_ selection: HostSelection) async throws(OperationFailure) -> Recovery {
        let (inventory, hosts) = try selection.hosts(of: project)
        let transport = try await controller.openTransport(for: hosts, in: project)
        let lock = HostLock(environment: inventory.environment, owner: "-", description: "")
        let answers = await Survey(transport: transport).ask(hosts.map { ($0, lock.records) })
        var recovery = Recovery()
        var reconstruction = Reconstruction()
        for host in hosts {
            switch answers[host.name] {
            case .success(let answer)?:
                let strange = reconstruction.add(
                    answer.text,
                    from: host.endpoint,
                    environment: inventory.environment
                )
                guard strange > 0 else { continue }
                recovery.problems.append(
                    (host.name, "\(strange) lines of what it has kept make no sense")
                )
            case .failure(let error)?:
                recovery.problems.append((host.name, "\(error.token): \(error.message)"))
            case nil: recovery.problems.append((host.name, "not asked"))
            }
        }
        do throws(JournalError) {
            let known = Set(
                try await controller.journal.rollouts(
                    RolloutQuery(environment: inventory.environment, limit: nil)
                )
                .map(\.id)
            )
            let lost = reconstruction.found.keys.filter { !known.contains($0) }
                .sorted { $0.description < $1.description }
            recovery.isNothingLost = lost.isEmpty
            for id in lost {
                guard
                    let rollout = try await reconstruction.write(
                        id,
                        by: initiator.origin,
                        to: controller.journal
                    )
                else { continue }
                recovery.found.append(Recovery.Found(id: id, rollout: rollout))
            }
        } catch {
            throw OperationFailure(error)
        }
        return recovery
    }
}
