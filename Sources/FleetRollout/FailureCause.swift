/// The line of a program's output that says why it failed.
///
/// Programs print their reason first and then advice (git), last after a trace (Python), or between progress lines
/// (npm, docker). The tests hold an example in the form of each.
public enum FailureCause {
    /// The longest cause, in characters; terminals are seldom wider.
    private static let limit = 160

    /// Which line of a program's output counts, the surest sign first.
    private enum Sign {
        case first(Substring)
        case last(Substring)
    }

    private static let signs: [Sign] = [
        // docker and BuildKit.
        .first("Error response from daemon:"), .first("ERROR: failed to solve:"),
        .first("docker: Error"),
        // git: what is fatal comes before the advice; errors come one a line.
        .first("fatal:"), .first("error:"),
        // pip.
        .last("ERROR:"),
        // pytest's summary.
        .first("FAILED "), .first("ERROR "),
        // npm since 10, and before.
        .first("npm error"), .first("npm ERR!"),
        // systemd, and sudo in its own words.
        .first("Job for "), .first("Failed to "), .first("sudo:"),
        // make, behind the compiler's own words.
        .last("make: ***"),
    ]

    /// Finds the line that says why a program failed.
    ///
    /// - Parameter output: What it printed, or the end of that.
    /// - Returns: One line as it was printed, shortened; nil if the output is empty.
    public static func line(in output: String) -> String? {
        let lines = output.split(whereSeparator: \.isNewline).map { line in
            line.drop(while: \.isWhitespace)
        }.filter { !$0.isEmpty }
        for sign in signs {
            switch sign {
            case .first(let begin):
                if let line = lines.first(where: { $0.hasPrefix(begin) && told($0, begin) }) {
                    return short(line)
                }
            case .last(let begin):
                if let line = lines.last(where: { $0.hasPrefix(begin) && told($0, begin) }) {
                    return short(line)
                }
            }
        }
        // A shell names itself and its line: `sh: 1: foo: not found`.
        if let line = lines.last(where: {
            $0.hasSuffix(": not found") || $0.contains("command not found")
        }) {
            return short(line)
        }
        return lines.last.map(short)
    }

    /// npm's first lines name only a number or a path; they say nothing.
    private static func told(_ line: Substring, _ begin: Substring) -> Bool {
        let rest = line.dropFirst(begin.count).drop(while: \.isWhitespace)
        return !rest.isEmpty
            && !(begin.hasPrefix("npm")
                && ["code ", "errno ", "path ", "syscall "].contains { rest.hasPrefix($0) })
    }

    private static func short(_ line: Substring) -> String {
        line.count > limit ? line.prefix(limit - 1) + "…" : String(line)
    }

    /// How a step ended, and why, as far as its output says that: `exited 1: fatal: couldn't find remote ref v9`.
    ///
    /// - Parameters:
    ///   - ending: How it ended, as in `exited 1`.
    ///   - output: What it printed, or the end of that.
    /// - Returns: Both in one line; the second part is as the host printed it.
    public static func summary(_ ending: String, output: String) -> String {
        line(in: output).map { "\(ending): \($0)" } ?? ending
    }
}
