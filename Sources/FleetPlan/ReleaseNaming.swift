/// Chooses the version of the next release from the existing tags.
///
/// The next version follows the newest one among the ancestors of the released commit; pre-releases on other branches
/// and patches of older lines do not count. Only an existing name is refused, because published names never move. A
/// version may be lower than one on another line, as the patch of an older line is.
public struct ReleaseNaming: Sendable {
    /// A tag of the repository.
    public struct Tag: Sendable, Hashable {
        /// Its name, without `refs/tags/`.
        public let name: String
        /// Whether the tag's commit is an ancestor of the commit that is released.
        public let isBehind: Bool
        /// Whether the tag names the commit that is released.
        public let isHere: Bool

        /// Describes a tag.
        public init(name: String, isBehind: Bool, isHere: Bool = false) {
            self.name = name
            self.isBehind = isBehind
            self.isHere = isHere
        }
    }

    /// The version that the user asked for.
    public enum Asked: Sendable, Hashable {
        /// The next version in this part, or a pre-release of it.
        case part(SemanticVersion.Part, prerelease: String?)
        /// This very version, as it was typed.
        case version(String)
    }

    /// The tag of the next release, and the release that it follows.
    public struct Next: Sendable, Hashable {
        /// The tag.
        public let tag: String
        /// The tag of the newest release behind the commit; nil if this is the first one.
        public let since: String?
        /// The tag of a higher version on another line; nil if there is none.
        public let higherElsewhere: String?
    }

    private let tags: [(version: SemanticVersion, tag: Tag)]
    private let oddNames: [String]

    /// Creates a naming from the tags of a repository.
    public init(tags: [Tag]) {
        self.tags = tags.compactMap { tag in SemanticVersion(tag.name).map { ($0, tag) } }
            .sorted { $0.version < $1.version }
        oddNames = tags.map(\.name).filter {
            SemanticVersion($0) == nil && Self.looksLikeVersion($0)
        }
    }

    /// `v0.17`, `1.2`, `release-3`: numbers that somebody counts by, in another form.
    private static func looksLikeVersion(_ name: String) -> Bool {
        let rest = name.hasPrefix("v") ? name.dropFirst() : name[...]
        let parts = rest.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count >= 2
            && parts.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }
    }

    /// Chooses the next release.
    ///
    /// - Throws: ``ReleaseRefused``; nothing was published then.
    public func next(_ asked: Asked) throws(ReleaseRefused) -> Next {
        let behind = tags.filter(\.tag.isBehind)
        let newest = behind.last
        let version = try version(asked, after: newest?.version)
        // A repository keeps the form of its newest tag.
        let usesPrefix = (newest ?? tags.last).map { $0.tag.name.hasPrefix("v") } ?? true
        let name = usesPrefix ? version.tag : String(version.tag.dropFirst())
        if let known = tags.first(where: { $0.version == version }) {
            throw ReleaseRefused(
                message: "E_TAG_EXISTS \(known.tag.name) exists already"
                    + (known.tag.isBehind ? "" : ", on another line"),
                hints: following(newest?.version)
            )
        }
        return Next(
            tag: name,
            since: behind.last { !$0.version.isPrerelease }?.tag.name,
            higherElsewhere: tags.last { !$0.tag.isBehind && version < $0.version }?.tag.name
        )
    }

    private func version(_ asked: Asked, after newest: SemanticVersion?) throws(ReleaseRefused)
        -> SemanticVersion
    {
        let here = tags.filter(\.tag.isHere).last
        switch asked {
        case .part(let part, let label):
            if let here, label != nil || !here.version.isPrerelease {
                throw ReleaseRefused(
                    message: "E_TAGGED this commit is \(here.tag.name) already",
                    hints: ["deploy that one: fleet deploy staging --tag \(here.tag.name)"]
                )
            }
            if newest == nil, tags.isEmpty, !oddNames.isEmpty {
                let names = oddNames.suffix(3).joined(separator: ", ")
                throw ReleaseRefused(
                    message:
                        "E_VERSION_FORM there is no version of three numbers to count on from, but "
                        + "tags that look like versions of another form: \(names)",
                    hints: ["write the whole version yourself: fleet release v1.4.0"]
                )
            }
            let next = (newest ?? .first).next(part, prerelease: label)
            guard next > newest ?? .first else {
                throw ReleaseRefused(
                    message:
                        "E_VERSION_LOWER \(next.tag) is not higher than \((newest ?? .first).tag)",
                    hints: following(newest)
                )
            }
            return next
        case .version(let text):
            guard let version = SemanticVersion(text) else {
                throw ReleaseRefused(
                    message: "`\(text)` is not a version",
                    hints: following(newest)
                )
            }
            guard !text.contains("+") else {
                throw ReleaseRefused(
                    message:
                        "E_VERSION_FORM `\(text)` carries build metadata, by which no version is higher "
                        + "than another (semver.org, rule 10)",
                    hints: ["fleet release \(version.tag)"]
                )
            }
            if let here, !here.version.isPrerelease {
                throw ReleaseRefused(
                    message: "E_TAGGED this commit is \(here.tag.name) already",
                    hints: ["deploy that one: fleet deploy staging --tag \(here.tag.name)"]
                )
            }
            if let newest, version < newest {
                throw ReleaseRefused(
                    message:
                        "E_VERSION_LOWER \(version.tag) is lower than \(newest.tag), which this commit "
                        + "has behind it",
                    hints: following(newest)
                )
            }
            return version
        }
    }

    private func following(_ newest: SemanticVersion?) -> [String] {
        let parts = SemanticVersion.Part.allCases.reversed()
        let next = parts.map { (newest ?? .first).next($0).tag }
        return ["the next ones are \(next.joined(separator: ", "))"]
    }
}
