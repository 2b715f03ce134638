/// What is between two commits: what a deploy brings, or takes away.
public struct ReleaseChange: Sendable, Hashable, Encodable {
    /// A commit.
    public struct Commit: Sendable, Hashable, Encodable {
        /// Its id, shortened as git does it.
        public let id: String
        /// Who wrote it.
        public let author: String
        /// The first line of its message.
        public let subject: String

        /// Describes a commit.
        public init(id: String, author: String, subject: String) {
            self.id = id
            self.author = author
            self.subject = subject
        }
    }

    /// A file that differs.
    public struct File: Sendable, Hashable, Encodable {
        /// Its path in the repository.
        public let path: String
        /// Lines that are added; nil for a file that is not text.
        public let added: Int?
        /// Lines that are taken away; nil for a file that is not text.
        public let removed: Int?

        /// Describes a file.
        public init(path: String, added: Int?, removed: Int?) {
            self.path = path
            self.added = added
            self.removed = removed
        }
    }

    /// The commits that come, the newest first; at most ``limit``.
    public let commits: [Commit]
    /// How many commits come.
    public let coming: Int
    /// How many commits go, because the new release does not have them.
    public let going: Int
    /// The files that differ, by path.
    public let files: [File]

    /// The most commits that are listed.
    public static let limit = 1_000

    /// Describes a change.
    public init(commits: [Commit], coming: Int, going: Int, files: [File]) {
        self.commits = commits
        self.coming = coming
        self.going = going
        self.files = files
    }

    /// Names of files in which package managers write down exact versions.
    private static let lockNames: Set<String> = [
        "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock",
        "poetry.lock", "Pipfile.lock", "uv.lock", "pdm.lock", "requirements.txt", "Gemfile.lock",
        "composer.lock", "go.sum", "Cargo.lock", "Package.resolved", "mix.lock", "gradle.lockfile",
        "packages.lock.json", "flake.lock",
    ]

    /// Changed files that pin the versions of what the application is built on.
    public var lockFiles: [String] {
        files.map(\.path).filter { path in
            let name = path.split(separator: "/").last.map(String.init) ?? path
            return Self.lockNames.contains(name)
                || name.hasPrefix("requirements") && name.hasSuffix(".txt")
        }
    }

    /// Changed files that look like changes of a database: in a directory of migrations, as Django, Rails, Alembic,
    /// Flyway, Laravel, Ecto and Prisma name theirs.
    public var migrations: [String] {
        files.map(\.path).filter { path in
            let folders = path.split(separator: "/").dropLast()
            return folders.contains { ["migrations", "migrate", "migration"].contains($0) }
                || folders.contains("versions") && folders.contains("alembic")
                || path.hasSuffix(".sql") && folders.contains { $0.hasPrefix("db") }
        }
    }

    /// The number of changed files in each directory at the top, most first.
    public var directories: [(name: String, files: Int)] {
        var counts: [String: Int] = [:]
        for file in files {
            let parts = file.path.split(separator: "/")
            counts[parts.count > 1 ? "\(parts[0])/" : "(top)", default: 0] += 1
        }
        return counts.map { ($0.key, $0.value) }.sorted {
            ($1.files, $0.name) < ($0.files, $1.name)
        }
    }

    /// Reads what `git log --format=%h%x09%an%x09%s` prints.
    ///
    /// - Parameter lines: The lines.
    /// - Returns: The commits; what is no such line is left out.
    public static func commits(fromLog lines: [String]) -> [Commit] {
        lines.compactMap { line in
            let parts = line.split(
                separator: "\t",
                maxSplits: 2,
                omittingEmptySubsequences: false
            )
            guard parts.count == 3, !parts[0].isEmpty else { return nil }
            return Commit(
                id: String(parts[0]),
                author: String(parts[1]),
                subject: String(parts[2])
            )
        }
    }

    /// Reads what `git diff-tree -r --numstat -z --no-renames` prints.
    ///
    /// - Parameter text: Its output.
    /// - Returns: The files; what is no such entry is left out.
    public static func files(fromNumstat text: String) -> [File] {
        text.split(separator: "\0").compactMap { entry in
            let parts = entry.split(
                separator: "\t",
                maxSplits: 2,
                omittingEmptySubsequences: false
            )
            guard parts.count == 3, !parts[2].isEmpty else { return nil }
            return File(path: String(parts[2]), added: Int(parts[0]), removed: Int(parts[1]))
        }
    }
}
