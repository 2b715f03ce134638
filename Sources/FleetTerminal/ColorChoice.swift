package import FleetReport
internal import Glibc

/// When output is coloured.
package enum ColorChoice: String, CaseIterable, Sendable {
    case auto, always, never

    /// `--color` first, then `NO_COLOR` and `CLICOLOR_FORCE`, then whether a person is looking.
    package func style(for terminal: Terminal) -> Style {
        func isSet(_ name: String) -> Bool {
            getenv(name).map { String(cString: $0) != "" && String(cString: $0) != "0" } ?? false
        }
        switch self {
        case .always: return Style(isColored: true)
        case .never: return .plain
        case .auto:
            if getenv("NO_COLOR").map({ String(cString: $0) != "" }) ?? false { return .plain }
            if isSet("CLICOLOR_FORCE") { return Style(isColored: true) }
            return Style(isColored: terminal.isInteractive)
        }
    }
}
