import ArgumentParser
import FleetDigest
import FleetJournal
import FleetOperations
import FleetPlan
import FleetReport
import FleetRollout

/// `fleet history [ENV]`.
struct HistoryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history",
        _superCommandName: Fleet.name,
        abstract: "List rollouts, the newest first."
    )

    @Argument(help: "Only this environment.")
    var environment: String?
    @Option(name: [.customShort("n"), .long], help: "The most rollouts to list.")
    var count = 20
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let (_, journal) = try common.openJournal()
        let records: [RolloutRecord]
        do {
            records = try journal.history(environment: environment, limit: max(1, count))
        } catch {
            throw OperationFailure(error)
        }
        if common.output == .json {
            for record in records {
                common.print(String(decoding: CanonicalJSON.encode(Line(record)), as: UTF8.self))
            }
            return
        }
        guard !records.isEmpty else {
            common.print("no rollout yet")
            return
        }
        let style = common.standardOutputStyle
        let rows = records.map { record in
            let took = record.endedUnixMilliseconds.map {
                DurationText.short(milliseconds: max(0, $0 - record.startedUnixMilliseconds))
            }
            return [
                record.id.description,
                DurationText.utc(unixMilliseconds: record.startedUnixMilliseconds),
                record.environment,
                record.kind.rawValue,
                record.release.isEmpty ? Style.short(Sanitizer.line(record.title)) : record.release,
                record.outcome.map { OutcomeText.styled($0, style) } ?? style.yellow("unfinished"),
                took ?? "-", Sanitizer.line(record.user),
            ]
        }
        common.print(
            Table.lines(
                header: [
                    "rollout", "started (UTC)", "environment", "kind", "what", "outcome", "took",
                    "by",
                ],
                rows: rows,
                style: style,
                indent: ""
            ).joined(separator: "\n")
        )
    }

    private struct Line: Encodable {
        let rollout: String
        let environment: String
        let kind: String
        let title: String
        let release: String
        let hosts: Int
        let user: String
        let startedUnixMilliseconds: Int
        let endedUnixMilliseconds: Int?
        let outcome: String?

        init(_ record: RolloutRecord) {
            rollout = record.id.description
            environment = record.environment
            kind = record.kind.rawValue
            title = record.title
            release = record.release
            hosts = record.hostCount
            user = record.user
            startedUnixMilliseconds = record.startedUnixMilliseconds
            endedUnixMilliseconds = record.endedUnixMilliseconds
            outcome = record.outcome?.rawValue
        }
    }
}
