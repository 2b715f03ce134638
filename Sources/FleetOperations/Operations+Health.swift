internal import FleetFiles
internal import FleetInventory
internal import FleetJournal
internal import FleetPlan
internal import FleetProject
internal import FleetReport
public import FleetRollout
internal import FleetRunner
internal import FleetTransport
internal import FleetYAML

/// The result of asking every smoke test of an environment once.
public struct HealthRound: Sendable {
    /// The answers of this round.
    public let newest: [HealthSample]
    /// All answers since ``sinceUnixMilliseconds``, including those of this round.
    public let history: [HealthSample]
    /// The beginning of the history, in milliseconds since 1970.
    public let sinceUnixMilliseconds: Int
    /// The time of this round, in milliseconds since 1970.
    public let unixMilliseconds: Int
    /// Whether all answers of this round are healthy.
    public let isHealthy: Bool
    /// Whether the environment became unhealthy or recovered since the previous round.
    public let hasChanged: Bool
    /// The round in one line.
    public let summary: String
}

/// Runs the smoke tests of an environment, once or repeatedly; changes nothing on the hosts.
public struct HealthWatch: Sendable {
    let survey: HealthSurvey
    let environment: String
    let journal: Journal

    /// Asks every smoke test once and stores the answers in the journal.
    ///
    /// - Parameter milliseconds: The length of the history to return, in milliseconds.
    /// - Returns: The answers, and the history.
    /// - Throws: ``OperationFailure`` if the journal cannot be read or written.
    public func ask(sinceMilliseconds milliseconds: Int) async throws(OperationFailure)
        -> HealthRound
    {
        let newest = await survey.ask()
        let now = WallClock.unixMilliseconds()
        let isHealthy = newest.allSatisfy { $0.state == .healthy }
        do throws(JournalError) {
            let wasHealthy = try await lastState(before: newest)
            try await journal.keep(newest, of: environment)
            return HealthRound(
                newest: newest,
                history: try await journal.samples(of: environment, since: now - milliseconds),
                sinceUnixMilliseconds: now - milliseconds,
                unixMilliseconds: now,
                isHealthy: isHealthy,
                // The first answer ever is no change, unless something is wrong.
                hasChanged: isHealthy != (wasHealthy ?? true),
                summary: HealthText.summary(newest, environment: environment)
            )
        } catch {
            throw OperationFailure(error)
        }
    }

    /// Writes a round in Prometheus' text format, whole or not at all: a collector may read the file at any moment.
    ///
    /// - Throws: ``OperationFailure`` if the file cannot be written.
    public func export(_ round: HealthRound, to path: String) throws(OperationFailure) {
        let text = HealthText.prometheus(round.newest, environment: environment)
        do throws(WholeFile.Failure) {
            try WholeFile.write(Array(text.utf8), to: path, mode: 0o644)
        } catch {
            throw OperationFailure(
                .stateDirectory,
                "\(path): \(error.reason)",
                hints: ["name a file in a directory that can be written to"]
            )
        }
    }

    /// Whether everything was healthy when it was asked last; nil if it never was.
    private func lastState(before newest: [HealthSample]) async throws(JournalError) -> Bool? {
        let known = Set(newest.map { [$0.host.text, $0.check] })
        let last = try await journal.newestSamples(of: environment)
            .filter { known.contains([$0.host.text, $0.check]) }
        return last.isEmpty ? nil : last.allSatisfy { $0.state == .healthy }
    }
}

extension Operations {
    /// Prepares to run an environment's smoke tests.
    ///
    /// - Parameters:
    ///   - selection: The hosts.
    ///   - playbook: The playbook that defines the smoke tests.
    ///   - slowMilliseconds: The time, in milliseconds, beyond which an answer counts as unhealthy.
    /// - Returns: A watch that runs the smoke tests.
    /// - Throws: ``OperationFailure`` if a file is invalid or the playbook has no smoke test.
    public func health(of selection: HostSelection, playbook: String, slowMilliseconds: Int)
        async throws(OperationFailure) -> HealthWatch
    {
        let (inventory, hosts) = try selection.hosts(of: project)
        let plan: Plan
        do {
            plan = try Planner.health(
                PlanRequest(
                    kind: .run,
                    inventory: inventory,
                    hosts: hosts,
                    playbook: try project.playbook(playbook)
                )
            )
        } catch let error as Diagnostics {
            throw OperationFailure(project.withSources(error))
        } catch let error as ProjectError {
            throw OperationFailure(error)
        } catch {
            preconditionFailure("nothing else is thrown there")
        }
        guard plan.hosts.contains(where: { !$0.revertChecks.isEmpty }) else {
            throw OperationFailure(
                .usage,
                "the playbook `\(playbook)` has no smoke test that could be asked",
                hints: ["add `smoke:` to it, or name another one with --playbook"]
            )
        }
        return HealthWatch(
            survey: HealthSurvey(
                of: plan,
                transport: try await controller.openTransport(for: hosts, in: project),
                slowMilliseconds: slowMilliseconds
            ),
            environment: inventory.environment,
            journal: controller.journal
        )
    }

    /// Notifies the configured commands that an environment became unhealthy or recovered.
    ///
    /// - Parameters:
    ///   - round: The round in which the health changed.
    ///   - environment: The environment.
    ///   - command: A local command to run in addition to those of the environment's `notify`; nil for none.
    public func tellOfChange(_ round: HealthRound, of environment: String, command: String?) async {
        await tell(.health(of: environment, round.summary))
        guard let command else { return }
        let variables = [
            "FLEET_HEALTH": round.isHealthy ? "healthy" : "unhealthy",
            "FLEET_ENVIRONMENT": environment, "FLEET_SUMMARY": round.summary,
        ]
        do throws(LocalCommand.Failure) {
            let told = try await LocalCommand.run(command, in: project.root, with: variables)
            guard !told.isSuccess else { return }
            tell(.warning("the command of --on-change failed: \(Sanitizer.line(told.reason))"))
        } catch {
            tell(.warning("the command of --on-change cannot be run: \(error.reason)"))
        }
    }
}
