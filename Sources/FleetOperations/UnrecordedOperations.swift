public import FleetProject

/// The use cases that leave no record, and so need no journal: what a project and its hosts are like.
public struct UnrecordedOperations: Sendable {
    /// What the engine stands on.
    public let settings: Controller.Settings
    /// The project.
    public let project: Project

    /// Opens the door.
    public init(_ settings: Controller.Settings, project: Project) {
        self.settings = settings
        self.project = project
    }
}
