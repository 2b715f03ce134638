internal import FleetRollout
internal import FleetTransport

/// A system that runs fleet as a job and shows what it prints.
public enum CISystem: String, Sendable, Hashable, CaseIterable {
    /// GitHub Actions, and what is made after it (Gitea, Forgejo).
    case github
    /// GitLab CI.
    case gitlab

    /// The system that the environment's variables name; nil for none.
    ///
    /// - Parameter variable: Gives the value of a variable; nil for one that is not set.
    /// - Returns: The system.
    public static func named(by variable: (String) -> String?) -> CISystem? {
        if variable("GITHUB_ACTIONS") == "true" { return .github }
        if variable("GITLAB_CI") == "true" { return .gitlab }
        return nil
    }

    /// What begins a part of the log that can be folded.
    ///
    /// - Parameters:
    ///   - title: What is shown for it.
    ///   - name: The part's name: letters, digits, `-` and `_`.
    ///   - seconds: The time, in seconds since 1970.
    /// - Returns: A line with its end.
    public func begin(_ title: String, name: String, at seconds: Int) -> String {
        let title = Sanitizer.line(title)
        // docs.github.com/actions/reference/workflows-and-actions/workflow-commands, docs.gitlab.com/ci/jobs/job_logs.
        switch self {
        case .github: return "::group::\(Self.data(title))\n"
        case .gitlab:
            return "\u{1B}[0Ksection_start:\(seconds):\(name)[collapsed=true]\r\u{1B}[0K\(title)\n"
        }
    }

    /// What ends it.
    ///
    /// - Parameters:
    ///   - name: The part's name, as when it began.
    ///   - seconds: The time, in seconds since 1970.
    /// - Returns: A line with its end.
    public func end(_ name: String, at seconds: Int) -> String {
        switch self {
        case .github: "::endgroup::\n"
        case .gitlab: "\u{1B}[0Ksection_end:\(seconds):\(name)\r\u{1B}[0K\n"
        }
    }

    /// GitHub shows ten annotations of a kind for each step.
    private static let mostAnnotations = 10

    /// What is shown beside the job: one line for each reason that something failed for, whatever the number of hosts.
    ///
    /// - Parameter report: The rollout.
    /// - Returns: Lines with their ends; none where the system has no such thing.
    public func annotations(of report: RolloutReport) -> [String] {
        guard self == .github else { return [] }
        let groups = report.failures
        var lines = groups.prefix(Self.mostAnnotations - 1).map { group in
            let hosts = group.hosts.count == 1 ? "1 host" : "\(group.hosts.count) hosts"
            return Self.annotation(
                "error",
                title: "\(group.what) failed on \(hosts)",
                "\(report.title): \(group.cause)\non \(Self.hosts(group))"
            )
        }
        if groups.count >= Self.mostAnnotations {
            lines.append(
                Self.annotation(
                    "error",
                    title: "more failures",
                    "and \(groups.count - lines.count) more reasons; `fleet show \(report.id)` has all"
                )
            )
        }
        switch report.rollout.outcome {
        case .succeeded: break
        case .reverted:
            lines.append(Self.annotation("warning", title: report.title, report.sentence))
        case .refused, .held, .revertFailed, .unknown, .interrupted, nil:
            lines.append(Self.annotation("error", title: report.title, report.sentence))
        }
        return lines
    }

    private static func hosts(_ group: RolloutReport.FailureGroup) -> String {
        Style.cut(HostRange.fold(group.hosts), to: 400)
    }

    private static func annotation(_ kind: String, title: String, _ message: String) -> String {
        let lines = message.split(separator: "\n").map { Sanitizer.line(String($0)) }
        return
            "::\(kind) title=\(property(Sanitizer.line(title)))::\(data(lines.joined(separator: "\n")))\n"
    }

    /// The text of a command; what would end the line is escaped.
    private static func data(_ text: String) -> String {
        text.replacing("%", with: "%25").replacing("\r", with: "%0D").replacing("\n", with: "%0A")
    }

    /// The value of a command's property.
    private static func property(_ text: String) -> String {
        data(text).replacing(":", with: "%3A").replacing(",", with: "%2C")
    }

    /// What the job's other steps, or later jobs, can use: names and values, a line each.
    ///
    /// - Parameters:
    ///   - report: The rollout.
    ///   - file: The report's file; nil for none.
    ///   - system: The system; nil for any.
    /// - Returns: The pairs, by the names that the system expects.
    public static func outputs(of report: RolloutReport, file: String?, for system: CISystem?)
        -> [(name: String, value: String)]
    {
        let values = [
            ("rollout", report.id.description), ("outcome", report.verdict),
            ("report", file ?? ""),
        ]
        // GitLab's dotenv makes variables of them.
        return values.map { system == .github ? $0 : ("FLEET_" + $0.0.uppercased(), $0.1) }
    }
}

/// Takes what GitHub's runner would obey out of what a job prints.
///
/// The runner obeys a line that begins with `::`, behind any blanks, and `##[` wherever it stands in a line (its
/// source: ActionCommand.TryParseV2 and TryParse). Remote output could so set variables of later steps, hide text or
/// switch the commands off. A blank is put in between; nothing is taken away.
public struct CommandGuard: Sendable {
    /// Whether only blanks, or bytes that may be part of one, came on this line.
    private var isOpen = true
    private var hasColon = false
    private var hashes = 0

    /// At the beginning of a line.
    public init() {}

    /// Whether the next byte is the first one of a line.
    public private(set) var isAtLineStart = true

    /// Makes the next bytes of a stream harmless.
    ///
    /// - Parameter bytes: The bytes, cut anywhere.
    /// - Returns: The same bytes, with blanks in between.
    public mutating func harmless(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        for byte in bytes {
            if hashes == 2, byte == UInt8(ascii: "[") { result.append(0x20) }
            if isOpen, hasColon, byte == UInt8(ascii: ":") { result.append(0x20) }
            result.append(byte)
            isAtLineStart = byte == 0x0A
            hashes = byte == UInt8(ascii: "#") ? min(2, hashes + 1) : 0
            switch byte {
            case 0x0A, 0x0D: (isOpen, hasColon) = (true, false)
            case UInt8(ascii: ":") where isOpen: (isOpen, hasColon) = (!hasColon, !hasColon)
            case 0...0x20, 0x80...: hasColon = false
            default: (isOpen, hasColon) = (false, false)
            }
        }
        return result
    }
}
