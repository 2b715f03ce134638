import ArgumentParser
import FleetDigest
import FleetJournal
import FleetOperations
import FleetPlan
import FleetProject
import FleetReport
import FleetRollout

/// `fleet releases`.
struct ReleasesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "releases",
        _superCommandName: Fleet.name,
        abstract: "List the releases, and where each one is live or was taken back.",
        discussion: "From the tags of this clone and the journal. Contacts no host."
    )

    @Option(name: [.customShort("c"), .long], help: "How many.")
    var count = 20
    @OptionGroup var common: CommonOptions

    private struct Line: Encodable {
        let release: String
        let commit: String
        let live: [String]
        let quarantined: [String]
        let superseded: [String]
        let date: String
    }

    func run() async throws {
        let (_, journal) = try common.openJournal()
        let tags = try await tags()
        let lines: [Line]
        do {
            let environments = try journal.environments()
            let live = try environments.compactMap { environment in
                try journal.live(in: environment).map { (environment, $0.release.commit) }
            }
            lines = try tags.map { tag in
                let here = live.filter { $0.1 == tag.commit }.map(\.0)
                let back = try environments.filter {
                    try journal.reverted(tag.commit, in: $0) != nil
                }
                let before = try environments.filter { environment in
                    guard !here.contains(environment), !back.contains(environment) else {
                        return false
                    }
                    return try journal.succeeded(tag.commit, in: environment) != nil
                }
                return Line(
                    release: tag.name,
                    commit: tag.commit,
                    live: here,
                    quarantined: back,
                    superseded: before,
                    date: tag.date
                )
            }
        } catch let error as JournalError {
            throw OperationFailure(error)
        }
        if common.output == .json {
            for line in lines {
                common.print(String(decoding: CanonicalJSON.encode(line), as: UTF8.self))
            }
        } else if lines.isEmpty {
            common.print("no release yet: `fleet release minor` makes the first one")
        } else {
            show(lines)
        }
    }

    private func show(_ lines: [Line]) {
        let style = common.standardOutputStyle
        let rows = lines.map { line in
            [
                line.release, String(line.commit.prefix(12)), line.date,
                style.green(line.live.joined(separator: ", ")),
                style.red(line.quarantined.joined(separator: ", ")),
                style.dim(line.superseded.joined(separator: ", ")),
            ]
        }
        common.print(
            Table.lines(
                header: ["release", "commit", "tagged", "live on", "taken back from", "was on"],
                rows: rows,
                style: style,
                indent: ""
            ).joined(separator: "\n")
        )
    }

    /// The newest versions that are tagged in this clone.
    private func tags() async throws -> [(name: String, commit: String, date: String)] {
        do {
            let repository = try await GitRepository(
                containing: common.project ?? Surroundings.workingDirectory
            )
            // Of an annotated tag the commit is what it points at.
            let format = "%(refname:strip=2) %(objectname) %(*objectname) %(creatordate:short)"
            let listed = try await repository.git("for-each-ref", "--format=\(format)", "refs/tags")
            let tags = listed.split(whereSeparator: \.isNewline).compactMap { line in
                let words = line.split(separator: " ", omittingEmptySubsequences: false)
                return words.count == 4
                    ? SemanticVersion(String(words[0])).map { (version: $0, words: words) } : nil
            }
            return tags.sorted { $0.version > $1.version }.prefix(max(1, count)).map { _, words in
                (
                    String(words[0]), String(words[2].isEmpty ? words[1] : words[2]),
                    String(words[3])
                )
            }
        } catch {
            throw OperationFailure(
                .refused,
                "`\(error.command)`: \(Sanitizer.safe(error.message))",
                hints: ["run it in a clone of the application's repository"]
            )
        }
    }
}
