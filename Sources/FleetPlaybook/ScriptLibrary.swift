internal import FleetTransport

/// Functions that many of fleet's own scripts share: kept once in a plan, however many hosts and steps it has.
public enum ScriptLibrary: String, Sendable, Hashable, CaseIterable {
    /// Repositories, work trees and releases.
    case git
    /// Services and their processes.
    case service
    /// Files that are put into place.
    case upload
    /// Databases and their backups.
    case backup

    /// The functions; nothing in them runs by itself that asks or changes anything.
    public var text: String {
        switch self {
        case .git:
            SafePath.functions + GitScript.functions + GitScript.tree + ReleaseBundle.functions
                + ReleasesScript.functions
        case .service: ServiceStep.functions + ProcessProof.functions
        case .upload: Self.twice(UploadStep.functions)
        case .backup:
            "fleet_functions=\(ShellWord.quote(SafePath.functions))\n"
                + "fleet_backup=\(ShellWord.quote(BackupScript.functions))\neval \"$fleet_backup\"\n"
        }
    }

    /// They are needed once more by whoever goes on as another account.
    private static func twice(_ functions: String) -> String {
        "fleet_functions=\(ShellWord.quote(functions))\neval \"$fleet_functions\"\n"
    }

    /// Every library's text, by name.
    public static let texts = Dictionary(
        uniqueKeysWithValues: allCases.map { ($0.rawValue, $0.text) }
    )
}
