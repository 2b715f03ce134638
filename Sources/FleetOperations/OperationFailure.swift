public import FleetInventory
public import FleetJournal
public import FleetPlan
public import FleetProject
internal import FleetReport
public import FleetRollout
public import FleetTransport
public import FleetYAML

/// Why a use case ended before it did anything: what was seen, and what to do next.
///
/// A value, which a face renders: a terminal with colours, a server as JSON.
public struct OperationFailure: Error, Sendable {
    /// What kind of failure it is; a program exits with it.
    public let status: ExitStatus
    /// What was seen, behind the name of the rule that says no, as in `E_FROZEN …`.
    public let message: String
    /// What may be done about it, the next command to type among it.
    public let hints: [String]
    /// What is wrong in files, by line and column; nil if it is not about files.
    public let diagnostics: Diagnostics?

    /// Describes a failure.
    public init(_ status: ExitStatus, _ message: String, hints: [String] = []) {
        self.status = status
        self.message = message
        self.hints = hints
        diagnostics = nil
    }

    /// Files that are wrong.
    public init(_ diagnostics: Diagnostics) {
        status = .invalidFiles
        message = diagnostics.rendered
        hints = []
        self.diagnostics = diagnostics
    }

    /// A project that cannot be read, or may not do here what it wants to.
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

    /// A pattern that no host matches.
    public init(_ error: HostPattern.Unmatched) {
        self.init(.usage, error.message, hints: error.hints)
    }

    /// A release that there is not.
    public init(_ error: ReleaseRefused) {
        self.init(.refused, error.message, hints: error.hints + ["nothing was changed"])
    }

    /// A journal that cannot be used.
    public init(_ error: JournalError) {
        let status: ExitStatus =
            switch error {
            case .stateDirectory, .newerSchema: .stateDirectory
            case .locked: .locked
            case .write, .read, .corrupt: .journal
            }
        self.init(status, error.message, hints: error.hint.map { [$0] } ?? [])
    }

    /// A host that cannot be asked what has to be known before anything is touched.
    public init(_ error: TransportError, host: HostName) {
        self.init(
            .refused,
            "\(host): \(error.token): \(error.message)",
            hints: (error.hint.map { [$0] } ?? []) + ["nothing was changed"]
        )
    }
}
