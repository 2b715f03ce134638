internal import FleetTransport
internal import FleetYAML

/// Selects hosts in Ansible's notation: `web:!web03`, `web[01:04]`, `db*`, `all`, `web:&eu`.
///
/// Terms are separated by `:` or `,`. Plain terms add, `&` terms keep only what they match, `!`
/// terms remove; a pattern of only `!` terms starts from all hosts.
public struct HostPattern: Sendable, Hashable {
    /// The pattern as typed.
    public let text: String
    private let terms: [Term]

    private struct Term: Sendable, Hashable {
        enum Role: Hashable { case add, keep, remove }
        let role: Role
        let glob: String
    }

    /// Why a pattern selects nothing.
    public struct Unmatched: Error, Sendable, Hashable {
        /// What is wrong, for people.
        public let message: String
        /// What to do about it.
        public let hints: [String]
    }

    /// Reads a pattern.
    ///
    /// - Throws: ``Unmatched`` if it is empty or a range in it is malformed.
    public init(_ text: String) throws(Unmatched) {
        self.text = text
        var terms: [Term] = []
        for word in Self.words(text) {
            var role = Term.Role.add
            var glob = word[...]
            if glob.hasPrefix("!") {
                role = .remove
            } else if glob.hasPrefix("&") {
                role = .keep
            }
            if role != .add { glob = glob.dropFirst() }
            guard !glob.isEmpty else { throw Self.empty(text) }
            do {
                for name in try HostRange.expand(String(glob)) {
                    terms.append(Term(role: role, glob: name))
                }
            } catch {
                throw Unmatched(message: "`\(word)` in `\(text)`: \(error.reason)", hints: [])
            }
        }
        guard !terms.isEmpty else { throw Self.empty(text) }
        self.terms = terms
    }

    private static func empty(_ text: String) -> Unmatched {
        Unmatched(
            message: "the host pattern `\(text)` is empty",
            hints: ["name hosts or groups, or leave `--limit` out to mean all hosts"]
        )
    }

    /// The selected hosts, in the order of the inventory.
    ///
    /// - Throws: ``Unmatched`` if a term matches no host, or nothing is left.
    public func select(from inventory: Inventory) throws(Unmatched) -> [Host] {
        for term in terms where !inventory.hosts.contains(where: { matches(term, $0) }) {
            let names = inventory.hosts.map(\.name.text) + inventory.groups
            throw Unmatched(
                message: "`\(term.glob)` matches no host or group of \(inventory.environment)",
                hints: Suggestion.hint(for: term.glob, in: names) + [
                    "see `fleet hosts \(inventory.environment)`"
                ]
            )
        }
        let adds = terms.filter { $0.role == .add }
        let selected = inventory.hosts.filter { host in
            (adds.isEmpty || adds.contains { matches($0, host) })
                && terms.allSatisfy { term in
                    switch term.role {
                    case .add: true
                    case .keep: matches(term, host)
                    case .remove: !matches(term, host)
                    }
                }
        }
        guard !selected.isEmpty else {
            throw Unmatched(
                message: "`\(text)` leaves no host of \(inventory.environment)",
                hints: ["see `fleet hosts \(inventory.environment)`"]
            )
        }
        return selected
    }

    private func matches(_ term: Term, _ host: Host) -> Bool {
        if term.glob == "all" || term.glob == "*" { return true }
        return Glob.matches(term.glob, host.name.text)
            || host.groups.contains { Glob.matches(term.glob, $0) }
    }

    /// Splits at `:` and `,` outside brackets.
    private static func words(_ text: String) -> [String] {
        var words = [""]
        var depth = 0
        for character in text {
            if character == "[" { depth += 1 }
            if character == "]" { depth -= 1 }
            if depth == 0, character == ":" || character == "," {
                words.append("")
            } else {
                words[words.count - 1].append(character)
            }
        }
        return words.map { $0.split(separator: " ").joined(separator: " ") }
            .filter { !$0.isEmpty }
    }
}
