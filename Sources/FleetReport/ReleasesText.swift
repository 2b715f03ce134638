/// A release, and where it has been.
public struct ReleaseLine: Sendable, Hashable, Encodable {
    /// Its tag.
    public let release: String
    /// Its commit.
    public let commit: String
    /// The environments on which this is the newest successful release.
    public let live: [String]
    /// The environments from which it was taken back.
    public let quarantined: [String]
    /// The environments on which a later release has replaced it.
    public let superseded: [String]
    /// The day it was tagged.
    public let date: String

    /// Describes a release.
    public init(
        release: String,
        commit: String,
        live: [String],
        quarantined: [String],
        superseded: [String],
        date: String
    ) {
        self.release = release
        self.commit = commit
        self.live = live
        self.quarantined = quarantined
        self.superseded = superseded
        self.date = date
    }
}

/// Releases as text.
public enum ReleasesText {
    /// A table, a release a line.
    public static func table(_ lines: [ReleaseLine], style: Style) -> String {
        let rows = lines.map { line in
            [
                line.release, String(line.commit.prefix(12)), line.date,
                style.green(line.live.joined(separator: ", ")),
                style.red(line.quarantined.joined(separator: ", ")),
                style.dim(line.superseded.joined(separator: ", ")),
            ]
        }
        return Table.lines(
            header: ["release", "commit", "tagged", "live on", "taken back from", "was on"],
            rows: rows,
            style: style,
            indent: ""
        ).joined(separator: "\n")
    }
}
