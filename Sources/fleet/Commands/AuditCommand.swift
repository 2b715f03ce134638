import ArgumentParser
import FleetDigest
import FleetJournal
import FleetOperations
import FleetPlan
import FleetReport
import FleetRollout

/// `fleet audit [ENV]`.
struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        _superCommandName: Fleet.name,
        abstract: "Who did what, when, why and with which plan, from the journal.",
        discussion: """
            Deploys, hotfixes, overridden rules, approvals and broken locks, the newest first. The
            records are chained by their hashes: `fleet journal verify` shows that none was changed.
            """
    )

    @Argument(help: "Only this environment.")
    var environment: String?
    @Option(name: [.customShort("c"), .long], help: "How many lines.")
    var count = 50
    @OptionGroup var common: CommonOptions

    /// What was done once.
    private struct Line: Encodable {
        let name: String
        let unixMilliseconds: Int
        let environment: String
        let who: String
        let what: String
        /// The playbook's name.
        var title: String?
        var release: String?
        var commit: String?
        var outcome: String?
        var why: String?
        var overridden: [String]?
        var planDigest: String?
    }

    func validate() throws {
        if !(1...100_000).contains(count) {
            throw ValidationError("--count must be from 1 to 100000")
        }
    }

    func run() async throws {
        let (_, journal) = try common.openJournal()
        let lines: [Line]
        do {
            lines = try journal.beginnings(limit: environment == nil ? count : 100_000)
                .compactMap { try line($0, journal) }
                .filter { environment == nil || $0.environment == environment }
        } catch let error as JournalError {
            throw OperationFailure(error)
        }
        if common.output == .json {
            for line in lines.prefix(count) {
                common.print(String(decoding: CanonicalJSON.encode(line), as: UTF8.self))
            }
        } else if lines.isEmpty {
            common.print("nothing was done yet")
        } else {
            show(Array(lines.prefix(count)))
        }
    }

    private func line(_ entry: JournalEntry, _ journal: Journal) throws -> Line? {
        let name = entry.rollout.description
        let time = entry.unixMilliseconds
        switch entry.body {
        case .planned(let plan, let origin):
            guard plan.kind != .exec else { return nil }
            let outcome = try journal.entries(of: entry.rollout).reversed().lazy.compactMap {
                if case .effect(.finish(let outcome)) = $0.body { outcome.rawValue } else { nil }
            }.first
            return Line(
                name: name,
                unixMilliseconds: time,
                environment: plan.environment,
                who: "\(origin.user)@\(origin.machine)",
                what: origin.isHotfix ? "hotfix" : plan.kind.rawValue,
                title: plan.title,
                release: plan.release?.label,
                commit: plan.release?.commit,
                outcome: outcome ?? "unfinished",
                why: origin.reason,
                overridden: origin.overridden,
                planDigest: plan.digest
            )
        case .approved(let approval):
            return Line(
                name: name,
                unixMilliseconds: time,
                environment: approval.environment,
                who: "\(approval.approver)@\(approval.machine)",
                what: "approval",
                release: approval.release.label,
                commit: approval.release.commit,
                why: approval.note,
                planDigest: approval.planDigest
            )
        case .remarked(let remark):
            return Line(
                name: name,
                unixMilliseconds: time,
                environment: remark.environment,
                who: "\(remark.user)@\(remark.machine)",
                what: remark.what,
                why: remark.reason
            )
        case .event, .effect: return nil
        }
    }

    private func show(_ lines: [Line]) {
        let style = common.standardOutputStyle
        let rows = lines.map { line in
            let outcome = line.outcome ?? "-"
            let why =
                (line.overridden.map { ["overrides \($0.joined(separator: ", "))"] } ?? [])
                + (line.why.map { ["“\(Sanitizer.line($0))”"] } ?? [])
            return [
                DurationText.utc(unixMilliseconds: line.unixMilliseconds),
                line.environment, Sanitizer.line(line.who),
                line.what == "hotfix" ? style.yellow(line.what) : Sanitizer.line(line.what),
                line.release ?? line.title.map { Sanitizer.line($0) } ?? "-",
                RolloutOutcome(rawValue: outcome).map { OutcomeText.styled($0, style) } ?? outcome,
                line.planDigest.map { String($0.prefix(12)) } ?? "-",
                why.joined(separator: " "),
            ]
        }
        common.print(
            Table.lines(
                header: [
                    "when (UTC)", "environment", "who", "what", "release or playbook", "outcome",
                    "plan", "why",
                ],
                rows: rows,
                style: style,
                indent: ""
            ).joined(separator: "\n")
        )
    }
}
