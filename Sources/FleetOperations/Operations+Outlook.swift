internal import FleetInventory
internal import FleetJournal
internal import FleetPlan
internal import FleetPlaybook
internal import FleetProject
public import FleetReport
internal import FleetRollout
internal import FleetTransport

extension Operations {
    /// Works out what a prepared rollout means for its environment; contacts no host.
    ///
    /// What hosts run is what the journal says; a clone of the application's repository, if the project is in one or
    /// names one as the release's source, says what is between.
    ///
    /// - Parameter prepared: The rollout.
    /// - Returns: The outlook.
    /// - Throws: ``OperationFailure`` if the journal cannot be read.
    public func outlook(of prepared: PreparedRollout) async throws(OperationFailure) -> PlanOutlook
    {
        let plan = prepared.plan
        let earlier = try await lastDeploy(like: plan)
        return PlanOutlook(
            moves: plan.releaseStep == nil ? [] : try await moves(of: plan),
            since: earlier?.id,
            differences: earlier.map { PlanComparison.lines(plan, since: $0.plan) } ?? [],
            usual: try await controller.records.expectedMilliseconds(of: plan)
        )
    }

    private func moves(of plan: Plan) async throws(OperationFailure) -> [PlanOutlook.Move] {
        let known = try await expectations(
            at: plan.hosts.map { host in
                let there = host.preflight.first { $0.step == plan.releaseStep }
                return (host.name, there.flatMap { ReleasePlace.path(in: $0.script) })
            },
            in: plan.environment
        )
        var groups: [(from: Release?, to: Release?, hosts: [HostName])] = []
        for host in plan.hosts where host.release != nil || plan.release != nil {
            let from: Release? =
                if case .release(let release)? = known[host.name] { release } else { nil }
            let to = host.release ?? plan.release
            if let place = groups.firstIndex(where: { $0.from == from && $0.to == to }) {
                groups[place].hosts.append(host.name)
            } else {
                groups.append((from, to, [host.name]))
            }
        }
        let clones = await clones()
        var moves: [PlanOutlook.Move] = []
        for group in groups.sorted(by: { $0.hosts.count > $1.hosts.count }) {
            var change: ReleaseChange?
            if let from = group.from?.commit, let to = group.to?.commit, from != to {
                for clone in clones where change == nil {
                    change = await Self.change(from, to, in: clone)
                }
            }
            moves.append(
                PlanOutlook.Move(hosts: group.hosts, from: group.from, to: group.to, change: change)
            )
        }
        return moves
    }

    /// The clones of the application's repository that are here.
    private func clones() async -> [GitRepository] {
        do { return [try await GitRepository(containing: project.root)] } catch {
            // A project may be anywhere; then nothing is said about what is between.
            return []
        }
    }

    /// What is between two commits; nil if the clone does not have both.
    private static func change(_ from: String, _ to: String, in clone: GitRepository) async
        -> ReleaseChange?
    {
        let range = "\(from)..\(to)"
        guard
            let coming = await clone.answer("rev-list", "--count", range, "--"),
            let going = await clone.answer("rev-list", "--count", "\(to)..\(from)", "--"),
            let log = await clone.lines([
                "log", "--format=%h%x09%an%x09%s", "--max-count=\(ReleaseChange.limit)", range,
                "--",
            ]),
            let files = await clone.answer(
                "diff-tree",
                "-r",
                "--numstat",
                "-z",
                "--no-renames",
                "--no-ext-diff",
                "--no-textconv",
                from,
                to,
                "--"
            ),
            let coming = Int(coming), let going = Int(going)
        else { return nil }
        return ReleaseChange(
            commits: ReleaseChange.commits(fromLog: log),
            coming: coming,
            going: going,
            files: ReleaseChange.files(fromNumstat: files)
        )
    }

    /// The newest rollout of the same playbook that succeeded, and its plan.
    private func lastDeploy(like plan: Plan) async throws(OperationFailure)
        -> (id: RolloutID, plan: Plan)?
    {
        guard plan.kind == .deploy || plan.kind == .run else { return nil }
        do throws(JournalError) {
            let records = try await controller.journal.rollouts(
                RolloutQuery(environment: plan.environment, limit: 200, changesOnly: true)
            )
            let last = records.first {
                $0.kind == plan.kind && $0.title == plan.title && $0.outcome == .succeeded
            }
            guard let last else { return nil }
            let first = try await controller.journal.beginning(of: last.id)
            guard case .planned(let earlier, _) = first?.body else { return nil }
            return (last.id, earlier)
        } catch {
            throw OperationFailure(error)
        }
    }
}
