import ArgumentParser
import FleetOperations
import FleetPlan
import FleetPlaybook
import FleetProject
import FleetReport
import FleetRollout

/// `fleet release [PART|VERSION]`.
struct ReleaseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "release",
        _superCommandName: Fleet.name,
        abstract: "Tag the next version of what is pushed on the release branch, and push the tag.",
        discussion: """
            Run it in a clone of the application's repository. The work tree must be clean, the
            release branch checked out and pushed. A published tag is never moved, reused or passed
            by a lower version. Contacts no host.
            """
    )

    @Argument(help: "major, minor, patch, or a version as in v1.4.0.")
    var version = "patch"
    @Option(help: ArgumentHelp("Make a pre-release with this label.", valueName: "label"))
    var prerelease: String?
    @Option(help: "The release branch; by default the remote's own, or main.")
    var branch: String?
    @Option(help: "The remote that the tag is pushed to.")
    var remote = "origin"
    @Flag(help: "Sign the tag, as git is configured to.")
    var sign = false
    @Option(
        name: .customLong("ci-status"),
        help: ArgumentHelp(
            "A command that exits 0 if CI is green for $FLEET_COMMIT; also FLEET_CI_STATUS.",
            valueName: "command"
        )
    )
    var ciStatus: String?
    @Flag(
        name: [.customShort("n"), .customLong("dry-run")],
        help: "Say what would be done, and stop."
    )
    var isDryRun = false
    @Flag(name: [.customShort("y"), .customLong("yes")], help: "Do not ask.")
    var isConfirmed = false
    @OptionGroup var common: CommonOptions

    func validate() throws {
        let isPart = SemanticVersion.Part(rawValue: version) != nil
        if !isPart, SemanticVersion(version) == nil {
            throw ValidationError(
                "`\(version)` is not a version: write major, minor, patch, or v1.4.0"
            )
        }
        if !isPart, prerelease != nil {
            throw ValidationError("write the label into the version: \(version)-rc.1")
        }
        if let prerelease, SemanticVersion("0.0.0-\(prerelease)") == nil || prerelease.contains(".")
        {
            throw ValidationError("`\(prerelease)` is not a label: write letters, as in rc")
        }
    }

    func run() async throws {
        do {
            try await release(
                in: GitRepository(containing: common.project ?? Surroundings.workingDirectory)
            )
        } catch let failure as GitRepository.Failure {
            throw OperationFailure(
                .refused,
                "`\(failure.command)`: \(Sanitizer.safe(failure.message))",
                hints: ["nothing was published"]
            )
        }
    }

    private func release(in repository: GitRepository) async throws {
        let commit = try await publishedCommit(of: repository)
        try await requireGreen(commit, in: repository)
        let next: ReleaseNaming.Next
        let tags = try await tags(behind: commit, in: repository)
        do throws(ReleaseRefused) {
            next = try ReleaseNaming(tags: tags).next(asked)
        } catch {
            throw OperationFailure(
                .refused,
                error.message,
                hints: error.hints + ["nothing was published"]
            )
        }
        let tag = next.tag
        let range = next.since.map { "refs/tags/\($0)..\(commit)" } ?? commit
        let changes = try await repository.git("log", "--no-merges", "--format=%s (%aN)", range)
            .split(whereSeparator: \.isNewline).map {
                let line = Sanitizer.line(String($0))
                return line.count > Self.changeCharacters
                    ? line.prefix(Self.changeCharacters) + "…" : line
            }

        let style = common.standardErrorStyle
        let since = next.since.map { " since \($0)" } ?? ""
        common.tell("\(style.bold(tag)) on \(commit.prefix(12)), \(changes.count) changes\(since)")
        for change in changes.prefix(Self.shownChanges) { common.tell("  \(change)") }
        if changes.count > Self.shownChanges {
            common.tell("  … and \(changes.count - Self.shownChanges) more")
        }
        if let higher = next.higherElsewhere {
            common.tell(
                "note: \(higher) is on another line, which this commit does not have behind it"
            )
        }
        guard !isDryRun else { return common.print("\(tag) would be pushed to \(remote)") }
        try confirm(tag)
        var message = [tag, ""] + changes.prefix(Self.recordedChanges).map { "- \($0)" }
        if changes.count > Self.recordedChanges {
            message.append("- … and \(changes.count - Self.recordedChanges) more")
        }
        // A message may be longer than a command line.
        try await repository.git(
            ["tag", sign ? "-s" : "-a", "--cleanup=whitespace", "-F", "-", tag, commit],
            reading: message.joined(separator: "\n") + "\n"
        )
        do {
            // Without force: git refuses to move what others may have already.
            try await repository.git("push", "--quiet", remote, "refs/tags/\(tag):refs/tags/\(tag)")
        } catch {
            let failure = error
            // The answer may have been lost, and of several addresses some may have taken it.
            let object = await repository.answer("rev-parse", "refs/tags/\(tag)") ?? ""
            let urls =
                await repository.lines(["remote", "get-url", "--push", "--all", remote]) ?? [remote]
            var places: [String] = []
            for url in urls {
                guard let seen = await repository.lines(["ls-remote", url, "refs/tags/\(tag)"])
                else {
                    places.append("\(Self.withoutSecrets(url)) (cannot be asked)")
                    continue
                }
                if !object.isEmpty, seen.contains("\(object)\trefs/tags/\(tag)") {
                    places.append(Self.withoutSecrets(url))
                }
            }
            guard places.isEmpty else {
                throw OperationFailure(
                    .refused,
                    "E_PARTLY_PUBLISHED `\(failure.command)`: \(Sanitizer.safe(failure.message))",
                    hints: [
                        "\(tag) is published, or may be: \(places.map(Sanitizer.line).joined(separator: ", "))",
                        "it stays here, too; `git push \(remote) \(tag)` goes on",
                    ]
                )
            }
            // Nobody has seen it yet.
            try await repository.git("tag", "-d", tag)
            throw failure
        }
        common.print("\(tag) pushed to \(remote)")
        common.tell("\(style.dim("next:")) fleet deploy staging --tag \(tag)")
    }

    /// An address without the login that may stand in it.
    private static func withoutSecrets(_ url: String) -> String {
        url.replacing(/^([a-z+]+:\/\/)[^@\/]*@/) { String($0.1) }
    }

    private static let shownChanges = 30
    /// How many changes go into the tag, and how much of each, in characters.
    private static let recordedChanges = 300
    private static let changeCharacters = 160

    private func refuse(_ message: String, _ hints: String...) -> OperationFailure {
        OperationFailure(.refused, message, hints: hints + ["nothing was published"])
    }

    /// The commit that is checked out, once it is known to be what the remote has.
    private func publishedCommit(of repository: GitRepository) async throws -> String {
        guard await repository.answer("rev-parse", "--is-shallow-repository") == "false" else {
            throw refuse(
                "E_SHALLOW this clone does not have the whole history, so nobody can tell which release comes next",
                "git fetch --unshallow --tags \(remote)"
            )
        }
        let dirty = try await repository.git("status", "--porcelain").split(
            whereSeparator: \.isNewline
        )
        guard dirty.isEmpty else {
            let files = dirty.prefix(5).map { Sanitizer.line(String($0.dropFirst(3))) }
            throw refuse(
                "E_DIRTY the work tree has changes: \(files.joined(separator: ", "))",
                "commit or stash them"
            )
        }
        do throws(GitRepository.Failure) {
            try await repository.git("fetch", "--tags", remote)
        } catch {
            guard error.message.contains("would clobber existing tag") else { throw error }
            throw refuse(
                "E_TAG_MOVED \(remote) has another commit under a tag that is here",
                "a published tag must not move; find out who moved it"
            )
        }
        // The remote's own word: `refs/remotes/REMOTE/HEAD` is what `git clone` found once.
        let told = try await repository.git("ls-remote", "--symref", remote, "HEAD")
        let head = told.split(whereSeparator: \.isNewline).first {
            $0.hasPrefix("ref: refs/heads/")
        }
        .map { String($0.dropFirst("ref: refs/heads/".count).prefix { $0 != "\t" }) }
        let wanted = branch ?? head ?? "main"
        let checkedOut = await repository.answer("symbolic-ref", "HEAD") ?? "refs/heads/no branch"
        let current = String(checkedOut.dropFirst("refs/heads/".count))
        guard current == wanted else {
            throw refuse(
                "E_BRANCH \(Sanitizer.line(current)) is checked out, and releases are made from "
                    + Sanitizer.line(wanted),
                "git switch \(Sanitizer.line(wanted)), or name another one with --branch"
            )
        }
        let commit = try await repository.git("rev-parse", "HEAD").prefix { $0 != "\n" }
        // The remote's own word: a tracking branch is what some fetch has left.
        let listed = try await repository.git("ls-remote", remote, "refs/heads/\(wanted)")
        // A pattern of ls-remote matches the ends of names, too.
        var theirs: String?
        for line in listed.split(whereSeparator: \.isNewline) {
            let words = line.split(whereSeparator: \.isWhitespace)
            if words.count == 2, words[1] == "refs/heads/\(wanted)" { theirs = String(words[0]) }
        }
        guard String(commit) == theirs else {
            throw refuse(
                "E_NOT_PUSHED \(wanted) here and on \(remote) are not the same commit",
                "git pull --ff-only, git push"
            )
        }
        return String(commit)
    }

    private func requireGreen(_ commit: String, in repository: GitRepository) async throws {
        guard let command = ciStatus ?? Surroundings.variable("FLEET_CI_STATUS") else { return }
        let status: LocalCommand.Result
        do throws(LocalCommand.Failure) {
            status = try await LocalCommand.run(
                command,
                in: repository.root,
                with: ["FLEET_COMMIT": commit]
            )
        } catch {
            throw refuse("E_CI `\(Sanitizer.line(command))` cannot be run: \(error.reason)")
        }
        guard status.isSuccess else {
            throw refuse(
                "E_CI `\(Sanitizer.line(command))` says that CI is not green for \(commit.prefix(12)): "
                    + Sanitizer.line(status.reason)
            )
        }
    }

    private var asked: ReleaseNaming.Asked {
        SemanticVersion.Part(rawValue: version).map { .part($0, prerelease: prerelease) }
            ?? .version(version)
    }

    /// Every tag, and which of them the commit has behind it.
    private func tags(behind commit: String, in repository: GitRepository) async throws
        -> [ReleaseNaming.Tag]
    {
        func names(_ options: String...) async throws -> Set<String> {
            let listed = try await repository.git(
                ["for-each-ref", "--format=\(GitSettings.tagName)"] + options + ["refs/tags"],
                reading: ""
            )
            return Set(listed.split(whereSeparator: \.isNewline).map(String.init))
        }
        let behind = try await names("--merged=\(commit)")
        let here = try await names("--points-at=\(commit)")
        return try await names().sorted().map {
            ReleaseNaming.Tag(
                name: $0,
                isBehind: behind.contains($0),
                isHere: here.contains($0)
            )
        }
    }

    private func confirm(_ tag: String) throws {
        guard !isConfirmed else { return }
        guard Terminal.canAsk else {
            throw refuse(
                "this needs a confirmation: \(tag)",
                "add --yes to go on without being asked"
            )
        }
        let answer = Terminal.ask("tag and push \(tag)? [y/N] ") ?? ""
        guard ["y", "yes"].contains(answer.lowercased()) else {
            throw refuse("not confirmed")
        }
    }
}
