public import FleetInventory
public import FleetJournal
public import FleetPlan
public import FleetProject
internal import FleetReport
public import FleetRollout
public import FleetTransport
public import FleetYAML

/// Why an operation ended before it changed anything: what was found, and what to do next.
///
/// It is a value that the user interface renders: a terminal with colours, a server as JSON.
public struct OperationFailure: Error, Sendable {
    /// The kind of failure, which is also the exit status of the program.
    public let status: ExitStatus
    /// What was found, preceded by the token of the rule that refused, as in `E_FROZEN …`.
    public let message: String
    /// What the user can do about it, including the next command to type.
    public let hints: [String]
    /// The errors in project files, by line and column; nil if the failure does not concern files.
    public let diagnostics: Diagnostics?

    /// Describes a failure.
    public init(_ status: ExitStatus, _ message: String, hints: [String] = []) {
        self.status = status
        self.message = message
        self.hints = hints
        diagnostics = nil
    }

    /// Creates the failure for invalid project files.
    public init(_ diagnostics: Diagnostics) {
        status = .invalidFiles
        message = diagnostics.rendered
        hints = []
        self.diagnostics = diagnostics
    }

    /// Creates the failure for a project that cannot be read, or whose files need an agreement that nobody has given.
    public init(_ error: ProjectError) {
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

    /// An error of the engine that stands for itself; nil for any other one.
    public init?(of error: any Error) {
        switch error {
        case let error as JournalError: self.init(error)
        case let error as ProjectError: self.init(error)
        case let error as Diagnostics: self.init(error)
        default: return nil
        }
    }

    /// Creates the failure for a host pattern that selects no host.
    public init(_ error: HostPattern.Unmatched) {
        self.init(.usage, error.message, hints: error.hints)
    }

    /// Creates the failure for a release that could not be chosen.
    public init(_ error: ReleaseRefused) {
        self.init(.refused, error.message, hints: error.hints + ["nothing was changed"])
    }

    /// Creates the failure for a journal that cannot be used.
    public init(_ error: JournalError) {
        let status: ExitStatus =
            switch error {
            case .stateDirectory, .newerSchema: .stateDirectory
            case .locked: .locked
            case .write, .read, .corrupt: .journal
            }
        self.init(status, error.message, hints: error.hint.map { [$0] } ?? [])
    }

    /// Creates the failure for a host that cannot be asked a question that must be answered before any change.
    public init(_ error: TransportError, host: HostName) {
        self.init(
            .refused,
            "\(host): \(error.token): \(error.message)",
            hints: (error.hint.map { [$0] } ?? []) + ["nothing was changed"]
        )
    }
}
