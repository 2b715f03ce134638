/// A remark on a check that passed: what the check does not prove, or what it ignored.
public enum Caveat: Sendable, Hashable, Codable {
    /// It is unknown whether the running service uses the installed files, for this reason.
    case processNotKnown(reason: String)
    /// A later step of the rollout changed these files, so that they differ from the commit.
    case written(step: String, files: [String])
    /// Any other remark, in the words of the script that checked.
    case said(String)

    /// The remark in one line, for people.
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

    /// Reads a line that one of fleet's scripts prints: `note=…`, or `unknown=…`; nil for any other line.
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
