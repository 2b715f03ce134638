/// Who is who: the names of people, so that nobody approves their own work under another name.
public struct People: Sendable, Hashable {
    /// All names of each person: account, addresses, logins.
    public let names: [[String]]
    /// Names that count as authors besides those that git tells: whoever pushed, and whoever asks for the rollout.
    public let authors: Set<String>

    /// Nobody is known but by the name that git tells.
    public static let unknown = People(names: [], authors: [])

    /// Describes people.
    ///
    /// - Parameters:
    ///   - names: All names of each person.
    ///   - authors: Names that count as authors.
    public init(names: [[String]], authors: Set<String>) {
        self.names = names
        self.authors = authors
    }

    /// The authors of a release with all of their names.
    ///
    /// - Parameter found: The authors that git tells; if it tells none, nobody knows who they are, and that stays so.
    /// - Returns: All of their names.
    func authors(_ found: Set<String>) -> Set<String> {
        guard !found.isEmpty else { return [] }
        var all = found.union(authors)
        let known = Set(all.map { $0.lowercased() })
        for person in names where person.contains(where: { known.contains($0.lowercased()) }) {
            all.formUnion(person)
        }
        return all
    }
}
