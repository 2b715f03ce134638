internal import FleetPlan
internal import FleetPlaybook
internal import FleetProject
internal import FleetReport
internal import FleetRollout

/// A request to make a release.
public struct ReleaseRequest: Sendable, Hashable {
    /// `major`, `minor`, `patch`, or a version, as in `v1.4.0`.
    public var version: String
    /// The label of a pre-release; nil for none.
    public var prerelease: String?
    /// The release branch; nil for the default branch of the remote, or `main` if the remote names none.
    public var branch: String?
    /// The remote that the tag is pushed to.
    public var remote = "origin"
    /// Whether the tag is signed, as git is configured to.
    public var isSigned = false
    /// A command that exits 0 if CI is green for `$FLEET_COMMIT`; nil for none.
    public var ciStatus: String?

    /// Asks for a release.
    public init(_ version: String) { self.version = version }

    /// Why nothing can be asked for with these words; nil if it can.
    public var problem: String? {
        let isPart = SemanticVersion.Part(rawValue: version) != nil
        if !isPart, SemanticVersion(version) == nil {
            return "`\(version)` is not a version: write major, minor, patch, or v1.4.0"
        }
        guard let prerelease else { return nil }
        if !isPart { return "write the label into the version: \(version)-rc.1" }
        guard SemanticVersion("0.0.0-\(prerelease)") != nil, !prerelease.contains(".") else {
            return "`\(prerelease)` is not a label: write letters, as in rc"
        }
        return nil
    }
}

/// The release that would be made.
public struct ReleaseProposal: Sendable, Hashable {
    /// Its tag.
    public let tag: String
    /// The commit that is tagged.
    public let commit: String
    /// The release before it; nil for the first one.
    public let since: String?
    /// A higher version whose commit is not an ancestor of ``commit``; nil if there is none.
    public let higherElsewhere: String?
    /// The changes since the previous release, one line each, the newest first.
    public let changes: [String]
    let request: ReleaseRequest
}

/// Makes releases in a clone of the application's repository; contacts the clone's remote but no host.
public struct ReleaseMaker: Sendable {
    private let repository: GitRepository

    /// Opens the clone that a directory is in.
    ///
    /// - Throws: ``OperationFailure`` if there is none.
    public init(in directory: String) async throws(OperationFailure) {
        do {
            repository = try await GitRepository(containing: directory)
        } catch {
            throw Self.failure(error)
        }
    }

    /// How many changes go into the tag, and how much of each, in characters.
    private static let recordedChanges = 300
    private static let changeCharacters = 160

    /// Determines which release would be made now; publishes nothing.
    ///
    /// - Throws: ``OperationFailure`` if the clone has local changes or is not at a pushed commit of the release
    ///   branch, if CI is not green, or if the version is too low, is already used, or its tag was moved.
    public func propose(_ request: ReleaseRequest) async throws(OperationFailure) -> ReleaseProposal
    {
        do {
            let commit = try await publishedCommit(request)
            try await requireGreen(commit, request.ciStatus)
            let asked =
                SemanticVersion.Part(rawValue: request.version).map {
                    ReleaseNaming.Asked.part($0, prerelease: request.prerelease)
                } ?? .version(request.version)
            let next = try ReleaseNaming(tags: try await tags(behind: commit)).next(asked)
            let range = next.since.map { "refs/tags/\($0)..\(commit)" } ?? commit
            let changes = try await repository.git("log", "--no-merges", "--format=%s (%aN)", range)
            return ReleaseProposal(
                tag: next.tag,
                commit: commit,
                since: next.since,
                higherElsewhere: next.higherElsewhere,
                changes: changes.split(whereSeparator: \.isNewline).map {
                    let line = Sanitizer.line(String($0))
                    return line.count > Self.changeCharacters
                        ? line.prefix(Self.changeCharacters) + "…" : line
                },
                request: request
            )
        } catch {
            throw Self.failure(error)
        }
    }

    /// Tags the commit and pushes the tag; if the push reached no remote, the local tag is deleted again.
    ///
    /// - Throws: ``OperationFailure``, which says whether the tag is published or may be.
    public func publish(_ proposal: ReleaseProposal) async throws(OperationFailure) {
        let (tag, changes, remote) = (proposal.tag, proposal.changes, proposal.request.remote)
        var message = [tag, ""] + changes.prefix(Self.recordedChanges).map { "- \($0)" }
        if changes.count > Self.recordedChanges {
            message.append("- … and \(changes.count - Self.recordedChanges) more")
        }
        do {
            // A message may be longer than a command line.
            try await repository.git(
                [
                    "tag", proposal.request.isSigned ? "-s" : "-a", "--cleanup=whitespace", "-F",
                    "-", tag, proposal.commit,
                ],
                reading: message.joined(separator: "\n") + "\n"
            )
            try await push(tag, to: remote)
        } catch {
            throw Self.failure(error)
        }
    }

    private func push(_ tag: String, to remote: String) async throws {
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
    }

    private static func failure(_ error: any Error) -> OperationFailure {
        switch error {
        case let failure as OperationFailure: return failure
        case let failure as GitRepository.Failure:
            return OperationFailure(
                .refused,
                "`\(failure.command)`: \(Sanitizer.safe(failure.message))",
                hints: ["nothing was published"]
            )
        case let refused as ReleaseRefused:
            return OperationFailure(
                .refused,
                refused.message,
                hints: refused.hints + ["nothing was published"]
            )
        default: return OperationFailure(.internalError, "\(error)")
        }
    }

    private func refuse(_ message: String, _ hints: String...) -> OperationFailure {
        OperationFailure(.refused, message, hints: hints + ["nothing was published"])
    }

    /// An address without the login that may stand in it.
    private static func withoutSecrets(_ url: String) -> String {
        url.replacing(/^([a-z+]+:\/\/)[^@\/]*@/) { String($0.1) }
    }

    /// The commit that is checked out, once it is known to be what the remote has.
    private func publishedCommit(_ request: ReleaseRequest) async throws -> String {
        let remote = request.remote
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
        let wanted = request.branch ?? head ?? "main"
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

    private func requireGreen(_ commit: String, _ command: String?) async throws {
        guard let command else { return }
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

    /// Every tag, and which of them the commit has behind it.
    private func tags(behind commit: String) async throws
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
}
