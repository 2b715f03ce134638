import ArgumentParser
import FleetInventory
import FleetJournal
import FleetPlan
import FleetProject
import FleetReport
import FleetRollout
import FleetRunner
import FleetTransport

/// `fleet resume [ROLLOUT]`.
struct ResumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume",
        _superCommandName: Fleet.name,
        abstract: "Take up a rollout that was interrupted, or whose controller was killed.",
        discussion: """
            Goes on as it was planned then: forward, or back if that was decided. Every step whose
            answer was lost is asked about first; none is started twice. With --back nothing more
            goes forward, and the touched hosts are put back.
            """
    )

    @Argument(help: "The rollout; by default the one that has not come to its end.")
    var rollout: String?
    @Flag(help: "Put the touched hosts back instead of going on.")
    var back = false
    @Flag(name: [.customShort("y"), .customLong("yes")], help: "Do not ask.")
    var isConfirmed = false
    @Option(
        name: .customLong("force-missing-records"),
        help: ArgumentHelp(
            "Go on although hosts know of records that this journal lacks; the reason is recorded.",
            valueName: "reason"
        )
    )
    var missingRecordsReason: String?
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let id = try rollout.map(RolloutLookup.id) ?? onlyOne()
        try await Resumption(
            common: common,
            direction: back ? .back : .onward,
            isConfirmed: isConfirmed,
            missingRecordsReason: missingRecordsReason
        ).run(id)
    }

    private func onlyOne() throws -> RolloutID {
        let (_, journal) = try common.openJournal()
        var found: [RolloutRecord] = []
        do throws(JournalError) {
            let environments = Set(try journal.environments())
            for environment in environments.sorted() {
                if let record = try journal.unfinished(in: environment) { found.append(record) }
            }
        } catch {
            throw CommandFailure(error)
        }
        guard found.count <= 1 else {
            throw CommandFailure(
                .usage,
                "several rollouts have not come to their end",
                hints: found.map { "fleet resume \($0.id)    \($0.environment)" }
            )
        }
        guard let only = found.first else {
            throw CommandFailure(.usage, "every rollout has come to its end")
        }
        return only.id
    }
}

/// Takes a rollout up again, from its journal alone: what the files say by now does not matter.
struct Resumption {
    let common: CommonOptions
    let direction: ResumeDirection
    /// Whether a protected environment's name need not be typed.
    var isConfirmed = true
    /// Why it goes on although hosts know of records that the journal lacks.
    var missingRecordsReason: String?

    func run(_ id: RolloutID) async throws {
        let project = try await common.openProject()
        let (_, journal) = try common.openJournal()
        let earlier = try RolloutLookup.replay(id, in: journal)
        let plan = earlier.plan
        guard plan.kind != .exec else {
            throw CommandFailure(
                .usage,
                "rollout \(id) ran one command on every host; run it again if you want to"
            )
        }
        if let outcome = earlier.outcome, outcome != .interrupted {
            common.print("rollout \(id) has come to its end: \(outcome.rawValue)")
            let status = ExitStatus(outcome, of: plan.kind)
            if status != .succeeded { throw status }
            return
        }
        let hosts = plan.hosts.map { Host(name: $0.name, ssh: $0.endpoint.ssh) }
        let transport = try await common.openTransport(for: hosts, in: project)
        let session = RolloutSession(common: common, transport: transport)
        var options = ConfirmationOptions()
        options.isConfirmed = isConfirmed
        try session.confirm(
            plan,
            protected: try isProtected(plan.environment, in: project),
            mustAsk: false,
            options: options
        )
        if let reason = missingRecordsReason { try await record(reason, id, plan, in: journal) }
        let status = try await session.run(
            plan,
            resuming: (id, direction),
            despite: Exception(records: missingRecordsReason)
        )
        if status != .succeeded { throw status }
    }

    /// A rollout that was begun long since has its reasons already: this one stands beside it.
    private func record(_ reason: String, _ id: RolloutID, _ plan: Plan, in journal: Journal)
        async throws(CommandFailure)
    {
        let origin = Surroundings.origin
        let remark = Remark(
            environment: plan.environment,
            what: "took rollout \(id) up without records that hosts know of",
            reason: reason,
            user: origin.user,
            machine: origin.machine
        )
        do throws(JournalError) {
            try await journal.note(
                .remarked(remark),
                stamp: Surroundings.newRolloutID(),
                at: Surroundings.unixMilliseconds
            )
        } catch {
            throw CommandFailure(error)
        }
    }

    /// Whether the environment's name has to be typed; one whose file is gone by now is not protected.
    private func isProtected(_ environment: String, in project: Project) throws(CommandFailure)
        -> Bool
    {
        guard project.environments.contains(environment) else { return false }
        do throws(ProjectError) {
            return try project.inventoryAsWritten(environment).policy.isProtected
        } catch {
            throw CommandFailure(error)
        }
    }
}
