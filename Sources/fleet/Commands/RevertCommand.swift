import ArgumentParser
import FleetInventory
import FleetJournal
import FleetPlan
import FleetPlaybook
import FleetProject
import FleetReport
import FleetRollout
import FleetRunner
import FleetTransport
import FleetYAML

/// `fleet revert ENV`.
struct RevertCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revert",
        _superCommandName: Fleet.name,
        abstract: "Put hosts back on what they ran before a rollout, or on a tag.",
        discussion: """
            Without a rollout, the newest one that changed the environment is undone: exactly the
            hosts that it touched, each back to the commit recorded before it was touched.
            """,
        aliases: ["rollback"]
    )

    @OptionGroup var hosts: HostOptions
    @Option(help: "Go to this tag instead of what each host ran before.")
    var to: String?
    @Option(help: "Undo this rollout.")
    var rollout: String?
    @Option(
        name: [.short, .long],
        help:
            "The playbook that deployed what is taken back, or with --to the one that deploys it (`deploy`)."
    )
    var playbook: String?
    @Option(help: "Why; recorded, and said to whoever wants to deploy the release again.")
    var reason: String?
    @Flag(
        name: .customLong("no-quarantine"),
        help: "Let the release be deployed again without being forced: nothing is wrong with it."
    )
    var sparesRelease = false
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var common: CommonOptions

    /// The playbook's own name; nil for whatever was deployed last.
    private var title: String?

    private enum CodingKeys: CodingKey {
        case hosts, to, rollout, playbook, reason, sparesRelease, confirmation, common
    }

    func validate() throws {
        if to != nil, rollout != nil {
            throw ValidationError("give only one of --to and --rollout")
        }
        if playbook != nil, rollout != nil {
            throw ValidationError(
                "give only one of --playbook and --rollout: a rollout has its own"
            )
        }
    }

    mutating func run() async throws {
        let project = try await common.openProject()
        let (inventory, selected) = try hosts.select(in: project)
        title = try playbook.map { name throws(CommandFailure) in
            do throws(ProjectError) { return try project.playbook(name).name } catch {
                throw CommandFailure(error)
            }
        }
        if to == nil, let unfinished = try unfinishedRollout() {
            // What has not come to its end goes back by itself.
            let (_, journal) = try common.openJournal()
            let begun = try RolloutLookup.replay(unfinished, in: journal)
            guard title == nil || title == begun.plan.title else {
                throw CommandFailure(
                    .locked,
                    "rollout \(unfinished) of `\(Sanitizer.line(begun.plan.title))` has not come to its end",
                    hints: [
                        "fleet resume \(unfinished) --back    takes it back first",
                        "nothing was changed",
                    ]
                )
            }
            let chosen = Set(selected.map(\.name))
            let others = begun.hosts.filter { $0.isTouched && !chosen.contains($0.name) }
            guard others.isEmpty else {
                throw CommandFailure(
                    .usage,
                    "rollout \(unfinished) has not come to its end, and goes back as a whole: it "
                        + "touched \(HostRange.fold(others.map(\.name))), too",
                    hints: ["leave out --limit", "nothing was changed"]
                )
            }
            if confirmation.isDryRun {
                let touched = begun.hosts.filter(\.isTouched).map(\.name)
                common.print(
                    "rollout \(unfinished) would be taken up again, and go back on "
                        + (touched.isEmpty ? "no host" : HostRange.fold(touched))
                )
                return
            }
            let session = RolloutSession(
                common: common,
                transport: common.transport(in: project)
            )
            try session.confirm(
                begun.plan,
                protected: inventory.policy.isProtected,
                mustAsk: rollout == nil,
                options: confirmation
            )
            do {
                return try await Resumption(
                    common: common,
                    direction: .back,
                    isConfirmed: confirmation.isConfirmed
                ).run(unfinished)
            } catch ExitStatus.reverted {
                // That is what was asked for.
                return
            }
        }
        let transport = try await common.openTransport(for: selected, in: project)
        let plan: Plan
        if let to {
            let maker = PlanMaker(project: project, transport: transport, archives: common.archives)
            { _ in }
            (plan, _) = try await maker.plan(
                kind: .revert,
                playbook: playbook ?? "deploy",
                hosts: hosts,
                choice: RolloutChoice(release: .tag(to))
            )
        } else {
            plan = try undo(in: inventory, on: Set(selected.map(\.name)))
        }
        if confirmation.isDryRun {
            let clients = try await common.clients(of: plan, transport)
            common.print(
                PlanText.full(plan, clients: clients, style: common.standardOutputStyle)
            )
            return
        }
        if let wait = confirmation.lockWait.flatMap(YAMLReader.milliseconds) {
            try await LockKeeper(hosts, common).wait(milliseconds: wait)
        }
        if to != nil, let release = plan.release {
            try await admit(release, plan, project, inventory)
        }
        let session = RolloutSession(common: common, transport: transport)
        try session.confirm(
            plan,
            protected: inventory.policy.isProtected,
            mustAsk: rollout == nil && to == nil,
            options: confirmation
        )
        // The question may have stood there for hours.
        if to == nil {
            let now = try undo(in: inventory, on: Set(selected.map(\.name)))
            guard now.digest == plan.digest else {
                throw CommandFailure(
                    .refused,
                    "what would go back has changed while you were asked",
                    hints: [
                        "fleet revert \(hosts.environment)    asks again", "nothing was changed",
                    ]
                )
            }
        }
        let status = try await session.run(
            plan,
            despite: Exception(
                quarantine: confirmation.quarantineReason,
                revert: reason,
                records: confirmation.missingRecordsReason
            ),
            overridden: sparesRelease ? [RolloutOrigin.quarantineRule] : []
        )
        if status != .succeeded { throw status }
    }

    /// Going back to what has run here is always allowed; what never has is a release like any other.
    private func admit(
        _ release: Release,
        _ plan: Plan,
        _ project: Project,
        _ inventory: Inventory
    ) async throws(CommandFailure) {
        let (_, journal) = try common.openJournal()
        do {
            let ran = try journal.succeeded(release.commit, in: inventory.environment)
            let wasTakenBack = try journal.reverted(release.commit, in: inventory.environment)
            guard ran == nil, wasTakenBack == nil else { return }
        } catch {
            throw CommandFailure(error)
        }
        let check = PolicyCheck(
            project: project,
            journal: journal,
            environment: inventory.environment,
            policy: inventory.policy
        )
        _ = try await check.admit(plan, despite: Exception())
    }

    /// The rollout that is meant, if it has not come to its end.
    private func unfinishedRollout() throws(CommandFailure) -> RolloutID? {
        let (_, journal) = try common.openJournal()
        do throws(JournalError) {
            guard let found = try journal.unfinished(in: hosts.environment),
                rollout == nil || rollout == found.id.description
            else { return nil }
            return found.id
        } catch {
            throw CommandFailure(error)
        }
    }

    private func undo(in inventory: Inventory, on selected: Set<HostName>) throws(CommandFailure)
        -> Plan
    {
        let (directory, journal) = try common.openJournal()
        do {
            // A rollout that is under way touches more hosts while we look.
            let lock = try EnvironmentLock(
                environment: hosts.environment,
                owner: "fleet revert",
                in: directory
            )
            defer { withExtendedLifetime(lock) {} }
            let id = try rollout.map(RolloutLookup.id) ?? newest(in: journal)
            let earlier = try RolloutLookup.replay(id, in: journal)
            guard earlier.plan.environment == inventory.environment else {
                throw CommandFailure(
                    .usage,
                    "rollout \(id) was for \(earlier.plan.environment)",
                    hints: ["fleet revert \(earlier.plan.environment) --rollout \(id)"]
                )
            }
            var snapshots: [HostName: Snapshot] = [:]
            for host in earlier.hosts where host.isTouched && selected.contains(host.name) {
                snapshots[host.name] = host.snapshot ?? Snapshot()
            }
            let well = Set(earlier.hosts.filter { $0.outcome == .succeeded }.map(\.name))
            let plan = try RevertPlanner.plan(
                undoing: earlier.plan,
                of: id.description,
                snapshots: snapshots,
                well: well
            )
            let leftOut = Set(snapshots.keys).subtracting(plan.hosts.map(\.name))
            if !leftOut.isEmpty {
                Terminal.standardError.write(
                    "fleet: warning: \(HostRange.fold(leftOut)) ran nothing before rollout \(id) "
                        + "and cannot be put back\n"
                )
            }
            return plan
        } catch let failure as CommandFailure {
            throw failure
        } catch let error as ReleaseRefused {
            throw CommandFailure(error)
        } catch let error as JournalError {
            throw CommandFailure(error)
        } catch {
            throw CommandFailure(.internalError, "\(error)")
        }
    }

    /// The newest deploy that left something changed.
    private func newest(in journal: Journal) throws -> RolloutID {
        let records = try journal.history(
            environment: hosts.environment,
            limit: nil,
            changesOnly: true
        )
        let found = try records.first { record in
            guard title == nil || title == record.title, record.kind != .exec,
                record.kind != .revert, record.outcome != .refused,
                record.outcome != .reverted
            else { return false }
            return try RolloutLookup.replay(record.id, in: journal).hosts.contains(
                where: \.isTouched
            )
        }
        guard let found else {
            throw CommandFailure(
                .refused,
                "no rollout of \(title.map { "`\(Sanitizer.line($0))` on " } ?? "")\(hosts.environment) left anything "
                    + "to put back",
                hints: ["see `fleet history \(hosts.environment)`", "nothing was changed"]
            )
        }
        return found.id
    }
}

/// Finds rollouts in the journal.
enum RolloutLookup {
    static func id(_ text: String) throws -> RolloutID {
        guard let id = RolloutID(text) else {
            throw CommandFailure(
                .usage,
                "`\(Sanitizer.line(text))` is not a rollout's name",
                hints: ["see `fleet history`"]
            )
        }
        return id
    }

    /// A rollout as far as its journal goes.
    static func replay(_ id: RolloutID, in journal: Journal) throws -> Rollout {
        let entries = try journal.entries(of: id)
        guard case .planned(let plan, _) = entries.first?.body else {
            throw CommandFailure(
                .usage,
                "the journal knows no rollout \(id)",
                hints: ["see `fleet history`"]
            )
        }
        return try replay(plan, entries, id)
    }

    /// The same, of entries that were read already.
    static func replay(_ plan: Plan, _ entries: [JournalEntry], _ id: RolloutID)
        throws(CommandFailure) -> Rollout
    {
        do {
            return try Rollout.replay(plan, entries)
        } catch {
            let place = error.sequence.map { ", entry \($0)" } ?? ""
            throw CommandFailure(
                .journal,
                "E_CORRUPT the journal of rollout \(id) does not fit its plan\(place): \(error.reason)",
                hints: [
                    "fleet journal verify",
                    "fleet recover ENV    rebuilds it from what hosts have kept",
                ]
            )
        }
    }
}
