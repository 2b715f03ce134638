internal import FleetClients
internal import FleetInventory
public import FleetProject

/// The door to the engine: the use cases of one project, for one who asks.
///
/// A request goes in as a value; questions and happenings come out while it is prepared and carried out; the end is a
/// value, too. What is decided here is decided once, whatever face stands before it.
public struct Operations: Sendable {
    /// The engine.
    public let controller: Controller
    /// The project.
    public let project: Project
    /// Who asks.
    public let initiator: Initiator
    let asker: any Asker
    let tell: @Sendable (Happening) -> Void

    /// Opens the door.
    ///
    /// - Parameters:
    ///   - controller: The engine.
    ///   - project: The project.
    ///   - initiator: Who asks.
    ///   - asker: Who answers questions.
    ///   - tell: Told what is being done; must not block.
    public init(
        controller: Controller,
        project: Project,
        initiator: Initiator,
        asker: any Asker,
        tell: @escaping @Sendable (Happening) -> Void
    ) {
        self.controller = controller
        self.project = project
        self.initiator = initiator
        self.asker = asker
        self.tell = tell
    }

    func policyCheck(_ inventory: Inventory) -> PolicyCheck {
        PolicyCheck(
            project: project,
            journal: controller.journal,
            environment: inventory.environment,
            policy: inventory.policy
        )
    }

    func planMaker(_ transport: ClientTransport) -> PlanMaker {
        PlanMaker(
            project: project,
            transport: transport,
            archives: controller.archives,
            note: { [tell] in tell(.progress($0)) }
        )
    }
}
