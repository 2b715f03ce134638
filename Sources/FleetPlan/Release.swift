internal import FleetYAML

/// A release: a commit, and the tag it was asked for by, if any.
public struct Release: Sendable, Hashable, Codable {
    /// The tag, or nil if a commit or branch was asked for.
    public let tag: String?
    /// The full commit id.
    public let commit: String

    /// Names a release.
    public init(tag: String?, commit: String) {
        self.tag = tag
        self.commit = commit
    }

    /// The tag, or the first twelve digits of the commit.
    public var label: String { tag ?? String(commit.prefix(12)) }
}

/// What a user asks to deploy.
public enum ReleaseSelection: Sendable, Hashable, Codable {
    /// The highest semantic version that is not a pre-release.
    case newest
    /// A tag.
    case tag(String)
    /// A branch's newest commit.
    case branch(String)
    /// A full commit id.
    case commit(String)
}

/// Why no release could be chosen.
public struct ReleaseRefused: Error, Sendable, Hashable {
    /// What is wrong, for people.
    public let message: String
    /// What to do about it.
    public let hints: [String]
}

/// The names in a git repository and the commits they stand for.
public struct ReleaseListing: Sendable, Hashable {
    /// Tags and their commits; annotated tags are resolved to what they point at.
    public private(set) var tags: [String: String] = [:]
    /// Branches and their newest commits.
    public private(set) var branches: [String: String] = [:]

    /// Reads the output of `git ls-remote --heads --tags`: a commit, a tab, a ref.
    ///
    /// Names outside our grammar are left out: git itself allows `$(id)` and `-v1` as tags.
    public init(lsRemote output: String) {
        for line in output.split(whereSeparator: \.isNewline) {
            let parts = line.split(separator: "\t")
            guard parts.count == 2, GitName.isCommit(String(parts[0])) else { continue }
            let commit = String(parts[0])
            if parts[1].hasPrefix("refs/tags/") {
                let name = parts[1].dropFirst("refs/tags/".count)
                // `^{}` is the object behind an annotated tag, which comes after the tag itself.
                let plain = name.hasSuffix("^{}") ? name.dropLast(3) : name
                if GitName.isTag(String(plain)) { tags[String(plain)] = commit }
            } else if parts[1].hasPrefix("refs/heads/") {
                branches[String(parts[1].dropFirst("refs/heads/".count))] = commit
            }
        }
    }

    /// Tags that are semantic versions, newest first.
    public var versions: [String] {
        tags.keys.compactMap { tag in SemanticVersion(tag).map { (tag, $0) } }
            .sorted { $0.1 == $1.1 ? $0.0 < $1.0 : $0.1 > $1.1 }.map(\.0)
    }

    /// The release that a selection means.
    ///
    /// - Throws: ``ReleaseRefused`` if there is none.
    public func release(for selection: ReleaseSelection) throws(ReleaseRefused) -> Release {
        switch selection {
        case .newest:
            let released = versions.filter { !(SemanticVersion($0)?.isPrerelease ?? true) }
            guard let tag = released.first, let commit = tags[tag] else {
                throw ReleaseRefused(
                    message: "the repository has no release tag",
                    hints: ["tag one (`git tag v1.0.0`) and push it, or use `--commit`"]
                )
            }
            return Release(tag: tag, commit: commit)
        case .tag(let tag):
            try GitName.check(tag: tag)
            guard let commit = tags[tag] else {
                let near = Suggestion.hint(for: tag, in: tags.keys)
                let newest = versions.prefix(3).joined(separator: ", ")
                throw ReleaseRefused(
                    message: "tag `\(tag)` does not exist",
                    hints: near + (newest.isEmpty ? [] : ["the newest releases are \(newest)"])
                )
            }
            return Release(tag: tag, commit: commit)
        case .branch(let branch):
            guard let commit = branches[branch] else {
                throw ReleaseRefused(
                    message: "branch `\(branch)` does not exist",
                    hints: Suggestion.hint(for: branch, in: branches.keys)
                )
            }
            return Release(tag: nil, commit: commit)
        case .commit(let commit):
            guard GitName.isCommit(commit) else {
                throw ReleaseRefused(
                    message: "`\(commit)` is not a full commit id",
                    hints: ["give all 40 digits: `git rev-parse \(GitName.safe(commit))`"]
                )
            }
            return Release(tag: nil, commit: commit)
        }
    }
}

/// The names that fleet passes to git; a subset of what `git check-ref-format` accepts.
public enum GitName {
    /// Whether a text is a full commit id (SHA-1 or SHA-256).
    public static func isCommit(_ text: String) -> Bool {
        (text.utf8.count == 40 || text.utf8.count == 64)
            && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    /// Whether a text is a tag that fleet deploys: letters, digits, `.`, `_`, `+`, `-`, starting
    /// with a letter or digit, at most 100 characters; what git takes for an object's id is none.
    public static func isTag(_ text: String) -> Bool {
        guard let first = text.utf8.first, isAlphanumeric(first), text.utf8.count <= 100,
            !([40, 64].contains(text.utf8.count) && text.allSatisfy(\.isHexDigit))
        else { return false }
        return text.utf8.allSatisfy { isAlphanumeric($0) || "._+-".utf8.contains($0) }
            && !text.contains("..") && !text.hasSuffix(".") && !text.hasSuffix(".lock")
    }

    /// Refuses a text that is not a tag.
    ///
    /// - Throws: ``ReleaseRefused``.
    public static func check(tag: String) throws(ReleaseRefused) {
        guard isTag(tag) else {
            throw ReleaseRefused(
                message: "`\(safe(tag))` is not a tag name",
                hints: ["a tag is made of letters, digits, `.`, `_`, `+` and `-`, as in `v1.2.0`"]
            )
        }
    }

    /// A text with everything but printable ASCII removed, for messages.
    static func safe(_ text: String) -> String {
        String(
            text.unicodeScalars.filter { $0.value >= 0x20 && $0.value < 0x7F }.map(Character.init)
        )
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
            || (0x61...0x7A).contains(byte)
    }
}
