public import FleetTransport

/// Where a release lives on a host, as the scripts of its step say: two playbooks may deploy two applications.
public enum ReleasePlace {
    /// The variable of such a script that holds the step's `path`.
    static let variable = "FLEET_PATH"

    /// The `path` of the step that a script belongs to; nil for a script of another step.
    public static func path(in script: Script) -> String? {
        script.environment.first { $0.name == variable }?.value
    }
}
