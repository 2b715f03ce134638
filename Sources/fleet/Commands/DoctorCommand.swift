import ArgumentParser
import FleetClients
import FleetDigest
import FleetInventory
import FleetOpenSSH
import FleetReport
import FleetRollout
import FleetRunner
import FleetSSH
import FleetTransport

/// `fleet doctor [ENV]`.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        _superCommandName: Fleet.name,
        abstract: "Say what this machine can do, and what a deploy to an environment would miss.",
        discussion: """
            Without an environment no host is contacted. With one, every host is logged in to and asked
            what it is like; nothing is changed. Exits 11 if a deploy would refuse a host.
            """
    )

    @Argument(help: "The environment: inventory/ENV.yml.")
    var environment: String?
    @Option(name: [.short, .long], help: "A host pattern: web:!web03, web[01:04], db*.")
    var limit: String?
    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await showThisMachine(isWhole: environment == nil)
        guard let environment else { return }
        let project = try await common.openProject()
        var options = try HostOptions.parse([environment])
        options.limit = limit
        let (_, selected) = try options.select(in: project)
        let transport = try await common.openTransport(for: selected, in: project)
        let found = await HostExamination(
            transport: transport,
            environment: environment,
            clock: SystemClock()
        ).findings(of: selected)
        if common.output == .json {
            for findings in found {
                common.print(String(decoding: CanonicalJSON.encode(findings), as: UTF8.self))
            }
        } else {
            let why = selected.map { transport.whyOpenSSH(for: $0.endpoint)?.message }
            let text = DoctorText(environment: environment, style: common.standardOutputStyle)
            common.print("")
            common.print(text.lines(zip(found, why).map { ($0, $1) }).joined(separator: "\n"))
        }
        if found.contains(where: \.isRefused) { throw ExitStatus.refused }
    }

    /// What this machine has; with its limits only where nothing else is asked.
    private func showThisMachine(isWhole: Bool) async throws {
        let style = common.standardOutputStyle
        var missing: String?
        var ssh = ""
        do throws(OpenSSHMissing) {
            ssh = try await OpenSSHTransport(.init(variables: [])).programVersion().description
        } catch {
            missing = error.reason
        }
        if common.output != .json {
            common.print(FleetVersion.text)
            common.print(missing.map { style.yellow("no `ssh`: \($0)") } ?? ssh)
            if isWhole {
                common.print(
                    missing == nil
                        ? "`ssh` is used for what libssh2 \(LibSSH2.version) cannot do:"
                        : "libssh2 \(LibSSH2.version) does not reach:"
                )
                for limitation in LibSSH2.limitations {
                    let cure = missing == nil ? "" : "; \(limitation.cure)"
                    common.print("  - \(limitation.text)\(cure)")
                }
            }
        }
        guard let danger = LibSSH2.danger else {
            if common.output != .json {
                common.print(style.green("nothing speaks against using them"))
            }
            return
        }
        common.print("\n\(style.red(danger))")
        common.print("install your distribution's security update of libssh2")
        throw ExitStatus.missingDependency
    }
}

/// What a doctor's round has found, for people.
struct DoctorText {
    let environment: String
    let style: Style

    func lines(_ found: [(HostFindings, why: String?)]) -> [String] {
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
