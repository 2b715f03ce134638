/// What has to be said beside a check that passed: what it does not prove, or what it passed over.
public enum Caveat: Sendable, Hashable, Codable {
    /// Whether the service runs what the files hold is not known, and why.
    case processNotKnown(reason: String)
    /// Files that a later step of the rollout wrote, and that are not the commit's any more.
    case written(step: String, files: [String])
    /// Anything else, in the words of the script that checked.
    case said(String)

    /// What it is in one line, for people.
    public var text: String {
        switch self {
        case .processNotKnown(let reason): return "process not known: \(reason)"
        case .written(let step, let files):
            let names = files.prefix(5).joined(separator: ", ")
            let more = files.count > 5 ? " and \(files.count - 5) more" : ""
            return "`\(step)` has changed files of the release: \(names)\(more); "
                + "the next deploy takes them for local changes"
        case .said(let text): return text
        }
    }

    /// Reads a line that a script of fleet's own prints: `note=…`, or `unknown=…` for a process.
    public init?(line: some StringProtocol) {
        if line.hasPrefix("unknown=") {
            self = .processNotKnown(reason: String(line.dropFirst(8)))
        } else if line.hasPrefix("note=") {
            self = .said(String(line.dropFirst(5)))
        } else {
            return nil
        }
    }
}
