/// Finds what somebody probably meant to type.
public enum Suggestion {
    /// The candidate nearest to `word`, or nil if none is near enough to be worth saying.
    ///
    /// Near enough is an edit distance (with transpositions) of at most a third of the word's
    /// length, and at least 1: `enviroment` finds `environment`, `foo` does not find `bar`.
    public static func closest(to word: String, in candidates: some Sequence<String>) -> String? {
        let limit = max(1, word.count / 3)
        var best: (name: String, distance: Int)?
        for candidate in candidates {
            let distance = distance(
                Array(word.lowercased()),
                Array(candidate.lowercased())
            )
            guard distance <= limit, distance < best?.distance ?? .max else { continue }
            best = (candidate, distance)
        }
        return best?.name
    }

    /// A `did you mean` hint, if there is something to suggest.
    public static func hint(for word: String, in candidates: some Sequence<String>) -> [String] {
        closest(to: word, in: candidates).map { ["did you mean `\($0)`?"] } ?? []
    }

    /// The optimal string alignment distance: insert, delete, replace, swap neighbours.
    static func distance(_ first: [Character], _ second: [Character]) -> Int {
        var before: [Int] = []
        var previous = Array(0...second.count)
        for (i, a) in first.enumerated() {
            var current = [i + 1]
            for (j, b) in second.enumerated() {
                var cost = min(previous[j + 1], current[j]) + 1
                cost = min(cost, previous[j] + (a == b ? 0 : 1))
                if i > 0, j > 0, a == second[j - 1], first[i - 1] == b {
                    cost = min(cost, before[j - 1] + 1)
                }
                current.append(cost)
            }
            before = previous
            previous = current
        }
        return previous[second.count]
    }
}
