public import FleetRollout
internal import FleetTransport

/// What a doctor's round has found, for people.
public struct DoctorText {
    private let environment: String
    private let style: Style

    /// Names the environment that was looked at.
    public init(environment: String, style: Style) {
        self.environment = environment
        self.style = style
    }

    /// A table, and below it what a deploy would miss, each with its fix.
    public func lines(_ found: [(HostFindings, why: String?)]) -> [String] {
        let rows = found.map { findings, _ in
            [
                findings.host, findings.client.map { Sanitizer.line($0) } ?? "not reached",
                findings.loginMilliseconds.map { DurationText.short(milliseconds: $0) } ?? "",
                findings.clockSkewSeconds.map { $0 == 0 ? "right" : "\($0 > 0 ? "+" : "")\($0) s" }
                    ?? "",
                findings.facts["free_kib"].flatMap { Int($0) }.map { "\($0 / 1024) MiB" } ?? "",
                Sanitizer.line(findings.facts["git"] ?? ""), findings.facts["sudo"] ?? "",
                findings.facts["linger"] ?? "",
            ]
        }
        var lines = Table.lines(
            header: ["host", "reached by", "login", "clock", "free", "git", "sudo", "lingers"],
            rows: rows,
            style: style,
            indent: ""
        )
        for (findings, why) in found {
            if let why, findings.client != nil {
                lines.append("\n\(findings.host) is not reached by libssh2: \(Sanitizer.line(why))")
            }
            for problem in findings.problems {
                let text = Sanitizer.line(problem.text)
                lines.append(
                    "\n\(findings.host): \(problem.isFatal ? style.red(text) : style.yellow(text))"
                )
                if let fix = problem.fix {
                    let text = RolloutText.hint(
                        fix,
                        environment: environment,
                        host: HostName(findings.host)
                    )
                    lines.append("  next: \(Sanitizer.line(text))")
                }
            }
        }
        let refused = found.filter { $0.0.isRefused }.count
        lines.append(
            "\n"
                + (refused == 0
                    ? style.green("every host was reached, can keep records, and is free")
                    : style.red("a deploy would refuse \(refused) of \(found.count) hosts"))
        )
        return lines
    }
}
