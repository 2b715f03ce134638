package import FleetOperations
package import FleetReport

/// What `fleet release` shows before it asks.
package enum ReleaseText {
    /// How many changes are shown.
    private static let shownChanges = 30

    /// The next release, and what it brings.
    package static func lines(of next: ReleaseProposal, style: Style) -> [String] {
        let since = next.since.map { " since \($0)" } ?? ""
        var lines = [
            "\(style.bold(next.tag)) on \(next.commit.prefix(12)), \(next.changes.count) changes\(since)"
        ]
        lines += next.changes.prefix(shownChanges).map { "  \($0)" }
        if next.changes.count > shownChanges {
            lines.append("  … and \(next.changes.count - shownChanges) more")
        }
        if let higher = next.higherElsewhere {
            lines.append(
                "note: \(higher) is on another line, which this commit does not have behind it"
            )
        }
        return lines
    }
}
