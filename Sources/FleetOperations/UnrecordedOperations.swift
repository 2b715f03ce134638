public import FleetProject

/// The operations that record nothing and need no journal: questions about a project and its hosts.
public struct UnrecordedOperations: Sendable {
    /// The settings of the engine.
    public let settings: Controller.Settings
    /// The project.
    public let project: Project

    /// Creates the operations for one project.
    public init(_ settings: Controller.Settings, project: Project) {
        self.settings = settings
        self.project = project
    }
}
