import FleetInventory
import FleetJournal
import FleetPlan
import FleetProject
import FleetReport
import FleetRollout
import FleetTransport
import FleetYAML

/// Why a command ended before it did anything: one clear message, and the status to exit with.
struct CommandFailure: Error {
    let status: ExitStatus
    let rendered: String

    init(_ status: ExitStatus, _ message: String, hints: [String] = []) {
        self.status = status
        rendered = (["fleet: error: \(message)"] + hints.map { "  hint: \($0)" })
            .map(Sanitizer.safe).joined(separator: "\n")
    }

    init(_ diagnostics: Diagnostics) {
        status = .invalidFiles
        rendered = diagnostics.rendered
    }

    init(_ error: ProjectError) {
        switch error {
        case .unknown(let message, let hints): self.init(.usage, message, hints: hints)
        case .invalid(let diagnostics): self.init(diagnostics)
        case .untrusted(let values):
            self.init(
                .refused,
                "E_UNTRUSTED the project's files would run commands here, read files here or trust more hosts, "
                    + "and nobody has agreed to that:\n"
                    + values.map { "  \(Sanitizer.line($0.text))  (\(Sanitizer.line($0.file)))" }
                    .joined(separator: "\n"),
                hints: ["look at them, then: fleet trust --files", "nothing was changed"]
            )
        }
    }

    init(_ error: HostPattern.Unmatched) {
        self.init(.usage, error.message, hints: error.hints)
    }

    init(_ error: ReleaseRefused) {
        self.init(.refused, error.message, hints: error.hints + ["nothing was changed"])
    }

    init(_ error: JournalError) {
        let status: ExitStatus =
            switch error {
            case .stateDirectory, .newerSchema: .stateDirectory
            case .locked: .locked
            case .write, .read, .corrupt: .journal
            }
        self.init(status, error.message, hints: error.hint.map { [$0] } ?? [])
    }

    init(_ error: TransportError, host: HostName) {
        self.init(
            .refused,
            "\(host): \(error.token): \(error.message)",
            hints: (error.hint.map { [$0] } ?? []) + ["nothing was changed"]
        )
    }
}
