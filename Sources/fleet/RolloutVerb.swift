import FleetClients
import FleetInventory
import FleetPlan
import FleetProject
import FleetReport
import FleetRollout
import FleetRunner
import FleetTransport
import FleetYAML

/// What the verbs share that carry a playbook out: from the command line to a plan, and on to its
/// end.
struct RolloutVerb {
    let kind: Plan.Kind
    let playbook: String
    let hosts: HostOptions
    let choice: RolloutChoice
    /// When it begins and why it may; nil where the policy has no say.
    var policy: PolicyOptions?
    let confirmation: ConfirmationOptions
    /// Why it is an emergency; nil if it is none.
    var hotfixReason: String?
    /// Whether it puts something in the place of people's data, which is always asked.
    var replacesData = false
    let common: CommonOptions

    func run() async throws {
        let project = try await common.openProject()
        let (inventory, selected) = try hosts.select(in: project)
        let (_, journal) = try common.openJournal()
        let check = PolicyCheck(
            project: project,
            journal: journal,
            environment: inventory.environment,
            policy: inventory.policy
        )
        let transport = try await common.openTransport(for: selected, in: project)
        let plan = try await plan(project, transport)
        let exception = Exception(
            quarantine: confirmation.quarantineReason,
            override: policy?.overrideReason,
            hotfix: hotfixReason,
            records: confirmation.missingRecordsReason
        )
        if confirmation.isDryRun {
            common.print(try await text(of: plan, transport))
            for refusal in try await check.refusals(to: plan, isHotfix: choice.isHotfix) {
                Terminal.standardError.write("note: \(refusal.message)\n")
            }
            return
        }
        // Everything that can be known or asked comes before the wait: nobody may be there afterwards.
        let until = try start(check)
        _ = try await check.admit(plan, despite: exception, atAnyTime: until != nil)
        let session = RolloutSession(common: common, transport: transport)
        try session.confirm(
            plan,
            protected: inventory.policy.isProtected,
            mustAsk: replacesData || plan.release != nil && choice.release == nil,
            options: confirmation
        )
        if let until { try await wait(until: until, check) }
        if let wait = confirmation.lockWait.flatMap(YAMLReader.milliseconds) {
            try await LockKeeper(hosts, common).wait(milliseconds: wait)
        }
        // Asking and waiting may have taken hours: the policy is what holds now.
        let overridden = try await check.now().admit(plan, despite: exception)
        let status = try await session.run(plan, despite: exception, overridden: overridden)
        if status != .succeeded { throw status }
    }

    func printPlan() async throws {
        let project = try await common.openProject()
        let (_, selected) = try hosts.select(in: project)
        let transport = try await common.openTransport(for: selected, in: project)
        let plan = try await plan(project, transport)
        common.print(common.output == .json ? plan.json : try await text(of: plan, transport))
    }

    private func text(of plan: Plan, _ transport: ClientTransport) async throws(CommandFailure)
        -> String
    {
        PlanText.full(
            plan,
            clients: try await common.clients(of: plan, transport),
            style: common.standardOutputStyle
        )
    }

    /// The plan, with its release resolved on the first host that answers.
    func plan(_ project: Project, _ transport: any Transport) async throws(CommandFailure) -> Plan {
        let maker = PlanMaker(
            project: project,
            transport: transport,
            archives: common.archives,
            note: note
        )
        return try await maker.plan(kind: kind, playbook: playbook, hosts: hosts, choice: choice).0
    }

    /// When it shall begin, in seconds since 1970; nil for at once.
    private func start(_ check: PolicyCheck) throws(CommandFailure) -> Int? {
        guard let text = policy?.at else { return nil }
        let offset = try check.offset()
        let now = Surroundings.unixMilliseconds / 1000
        let local = LocalTime(unixSeconds: now, offsetSeconds: offset(now))
        guard let time = LocalTime(text, after: local) else { return nil }
        let until = time.unixSeconds(after: now, offset: offset)
        guard until > now else {
            throw CommandFailure(
                .refused,
                "`--at \(text)` is over (\(check.policy.timeZone))",
                hints: ["nothing was changed"]
            )
        }
        return until
    }

    /// Waits in the foreground.
    private func wait(until: Int, _ check: PolicyCheck) async throws {
        let offset = try check.offset()(until)
        let shown = DurationText.utc(unixMilliseconds: (until + offset) * 1000).dropLast(3)
        let minutes = abs(offset) / 60
        let hour = minutes / 60 < 10 ? "0\(minutes / 60)" : "\(minutes / 60)"
        let rest = minutes % 60 < 10 ? "0\(minutes % 60)" : "\(minutes % 60)"
        common.tell(
            "waiting until \(shown) (\(check.policy.timeZone), UTC\(offset < 0 ? "-" : "+")\(hour):\(rest)); "
                + "Ctrl-C ends that"
        )
        // In short stretches: a laptop that slept, or a clock that was set, is noticed.
        while case let left = until - Surroundings.unixMilliseconds / 1000, left > 0 {
            try await Task.sleep(for: .seconds(min(left, 5)))
        }
    }

    private func note(_ text: String) {
        guard !common.quiet, Terminal.standardError.isInteractive else { return }
        Terminal.standardError.write(common.standardErrorStyle.dim(text) + "\n")
    }
}
