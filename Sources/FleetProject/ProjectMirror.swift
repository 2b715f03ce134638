internal import FoundationEssentials
internal import Glibc

/// A repository elsewhere, which is only asked what its refs point at.
public struct RemoteRepository: Sendable, Hashable {
    /// Its address or path.
    public let address: String
    private let directory: String
    /// The longest that an answer may take, in seconds.
    private static let limitSeconds = 60

    /// Names a repository.
    ///
    /// - Parameters:
    ///   - address: Its address or path.
    ///   - directory: Where git is run; no clone is needed there.
    public init(_ address: String, askedIn directory: String) {
        self.address = address
        self.directory = directory
    }

    /// Asks what branches and tags point at now.
    ///
    /// - Parameter patterns: Full names, as in `refs/heads/main`, or patterns, as in `refs/tags/*` (git-ls-remote(1)).
    /// - Returns: The commit of each ref by its full name; of an annotated tag the commit that it stands for.
    /// - Throws: ``GitRepository/Failure`` if the repository cannot be asked.
    public func refs(_ patterns: [String]) async throws(GitRepository.Failure) -> [String: String] {
        let listed = try await GitRepository.git(
            ["ls-remote", "--", address] + patterns,
            in: directory,
            withinSeconds: Self.limitSeconds
        )
        var found: [String: String] = [:]
        for line in listed.split(whereSeparator: \.isNewline) {
            let words = line.split(separator: "\t", omittingEmptySubsequences: false)
            guard words.count == 2 else { continue }
            let (commit, name) = (String(words[0]), String(words[1]))
            // An annotated tag is listed twice; the second line, `NAME^{}`, has the commit.
            if name.hasSuffix("^{}") {
                found[String(name.dropLast(3))] = commit
            } else if found[name] == nil {
                found[name] = commit
            }
        }
        return found
    }
}

/// A server's own clone of a project: never edited, brought up to date from its repository, with the files of each
/// commit in a folder of their own, so that a plan's files do not change while it is carried out.
public struct ProjectMirror: Sendable {
    /// Why the clone cannot be used, as git says it.
    public typealias Failure = GitRepository.Failure

    /// The folder that holds everything.
    public let directory: String
    private let repository: String
    private let branch: String
    private var store: String { directory + "/repository.git" }
    /// The longest that fetching may take, in seconds.
    private static let limitSeconds = 300

    /// Describes a clone.
    ///
    /// - Parameters:
    ///   - repository: The address or path of the repository.
    ///   - branch: The branch that counts.
    ///   - directory: The folder of the clone; it is made.
    public init(of repository: String, branch: String, in directory: String) {
        self.repository = repository
        self.branch = branch
        self.directory = directory
    }

    /// Fetches the branch and all tags; a tag that was moved is moved here, too.
    ///
    /// - Returns: The branch's newest commit.
    /// - Throws: ``GitRepository/Failure`` if the repository cannot be reached or has no such branch.
    public func update() async throws(Failure) -> String {
        try make()
        if access(store + "/HEAD", F_OK) != 0 {
            _ = try await git("init", "--bare", "--quiet", store, bare: false)
        }
        _ = try await git(
            "fetch",
            "--quiet",
            "--force",
            "--prune",
            "--no-tags",
            "--no-write-fetch-head",
            "--",
            repository,
            "+refs/heads/\(branch):refs/heads/\(branch)",
            "+refs/tags/*:refs/tags/*"
        )
        return Self.line(try await git("rev-parse", "--verify", "refs/heads/\(branch)^{commit}"))
    }

    /// The branch's newest commit when it was fetched last; nil if it never was.
    public func known() async -> String? {
        guard access(store + "/HEAD", F_OK) == 0 else { return nil }
        do throws(Failure) {
            return Self.line(
                try await git("rev-parse", "--verify", "refs/heads/\(branch)^{commit}")
            )
        } catch {
            // Nothing was ever fetched, or another branch was.
            return nil
        }
    }

    /// Puts the files of a commit into a folder of their own.
    ///
    /// - Parameter commit: The commit, which was fetched.
    /// - Returns: The folder.
    /// - Throws: ``GitRepository/Failure``.
    public func files(of commit: String) async throws(Failure) -> String {
        let path = "\(directory)/files/\(commit)"
        // A checkout that was cut off has no mark.
        if access(mark(commit), F_OK) == 0 { return path }
        remove(path)
        _ = try await git("worktree", "prune")
        // Twice: also where git was killed in the middle and has left it locked (git-worktree(1)).
        _ = try await git(
            "worktree",
            "add",
            "--quiet",
            "--force",
            "--force",
            "--detach",
            "--",
            path,
            commit
        )
        let file = open(mark(commit), O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Self.failure("mark \(path)") }
        close(file)
        return path
    }

    private func mark(_ commit: String) -> String { "\(directory)/files/\(commit).complete" }

    /// Removes the files of all commits but some; what cannot be removed stays, and is tried again.
    ///
    /// - Parameter commits: The commits whose files stay.
    public func removeFiles(except commits: Set<String>) {
        for name in Project.names(inDirectory: directory + "/files")
        where !name.hasSuffix(".complete") && !commits.contains(name) {
            unlink(mark(name))
            remove("\(directory)/files/\(name)")
        }
    }

    private func remove(_ path: String) {
        // It may not be there; if it stays, git says so.
        try? FileManager.default.removeItem(atPath: path)
    }

    /// Whether git accepts the signature of a commit.
    ///
    /// - Returns: Nil if it does; else what git says.
    public func objection(toSignatureOf commit: String) async -> String? {
        do throws(Failure) {
            _ = try await git("verify-commit", "--", commit)
            return nil
        } catch {
            return error.message
        }
    }

    private func make() throws(Failure) {
        for path in [directory, directory + "/files"]
        where mkdir(path, 0o700) != 0 && errno != EEXIST {
            throw Self.failure("mkdir \(path)")
        }
    }

    private func git(_ words: String..., bare isBare: Bool = true) async throws(Failure) -> String {
        try await GitRepository.git(
            (isBare ? ["--git-dir=\(store)"] : []) + words,
            in: directory,
            withinSeconds: Self.limitSeconds
        )
    }

    private static func failure(_ what: String) -> Failure {
        Failure(command: what, message: String(cString: strerror(errno)))
    }

    private static func line(_ text: String) -> String {
        String(text.split(whereSeparator: \.isNewline).first ?? "")
    }
}
