package import FleetReport

/// Which CI system the output is for.
package enum CIChoice: String, CaseIterable, Sendable {
    case auto, github, gitlab, none

    /// The system; nil for none.
    package var system: CISystem? {
        switch self {
        case .auto: CISystem.named(by: Surroundings.variable)
        case .github: .github
        case .gitlab: .gitlab
        case .none: nil
        }
    }
}
