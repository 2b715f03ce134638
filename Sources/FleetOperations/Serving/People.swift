/// Who is who: the names of people, so that nobody approves their own work under another name.
public struct People: Sendable {
    /// All names of each person: account, addresses, logins.
    let names: [[String]]
    /// Names that count as authors besides those that git tells: whoever pushed, and whoever asks for the rollout; nil if
    /// somebody pushed, and nobody knows who.
    let authors: Set<String>?
    /// The names of whoever pushed a commit, as far as deliveries have told.
    let pushers: @Sendable (_ commit: String) async -> Set<String>

    /// Nobody is known but by the name that git tells.
    public static let unknown = People(names: [], authors: [], pushers: { _ in [] })

    /// Describes people.
    ///
    /// - Parameters:
    ///   - names: All names of each person.
    ///   - authors: Names that count as authors; nil if there is an author whom nobody knows.
    ///   - pushers: The names of whoever pushed a commit.
    public init(
        names: [[String]],
        authors: Set<String>?,
        pushers: @escaping @Sendable (_ commit: String) async -> Set<String>
    ) {
        self.names = names
        self.authors = authors
        self.pushers = pushers
    }

    /// The authors of a release with all of their names.
    ///
    /// - Parameters:
    ///   - found: The authors that git tells.
    ///   - commit: The commit.
    /// - Returns: Nothing if nobody knows who they are.
    func authors(_ found: Set<String>, of commit: String) async -> Set<String> {
        guard !found.isEmpty, let authors else { return [] }
        var all = found.union(authors).union(await pushers(commit))
        let known = Set(all.map { $0.lowercased() })
        for person in names where person.contains(where: { known.contains($0.lowercased()) }) {
            all.formUnion(person)
        }
        return all
    }
}
