internal import Glibc

/// How the progress of a rollout is shown on standard error.
package enum ProgressForm: String, CaseIterable, Sendable {
    /// A live view where a person is looking, and else lines.
    case auto
    /// A view that is drawn anew again and again.
    case live
    /// A line for each event.
    case plain
    /// A line of JSON for each event, as `fleet events` prints it.
    case json
    /// Nothing but errors.
    case quiet

    /// What is meant here: what was typed first, then `FLEET_PROGRESS`, then what standard error is.
    ///
    /// - Parameters:
    ///   - typed: What `--progress` says; nil if it was not given.
    ///   - isQuiet: Whether `--quiet` was given.
    /// - Returns: A form that is not ``auto``.
    package static func chosen(_ typed: ProgressForm?, isQuiet: Bool) -> ProgressForm {
        let variable = getenv("FLEET_PROGRESS").flatMap {
            ProgressForm(rawValue: String(cString: $0))
        }
        let form = typed ?? (isQuiet ? .quiet : variable ?? .auto)
        guard form == .auto else { return form }
        return Terminal.standardError.isInteractive ? .live : .plain
    }
}
