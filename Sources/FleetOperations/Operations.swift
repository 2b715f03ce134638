internal import FleetClients
internal import FleetInventory
public import FleetProject

/// The entry point of the engine: the operations on one project, for one initiator.
///
/// Each operation takes a request as a value and returns a value. While it runs it may ask questions and report what it
/// does. All decisions are made here, so that they are the same for every user interface.
public struct Operations: Sendable {
    /// The engine.
    public let controller: Controller
    /// The project.
    public let project: Project
    /// Who starts the operations.
    public let initiator: Initiator
    let asker: any Asker
    let tell: @Sendable (Happening) -> Void
    /// Who is who, where that is known.
    var people = People.unknown

    /// Creates the entry point.
    ///
    /// - Parameters:
    ///   - controller: The engine.
    ///   - project: The project.
    ///   - initiator: Who starts the operations.
    ///   - asker: Answers the questions that an operation asks.
    ///   - tell: Called with what an operation is doing; it must not block.
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
            policy: inventory.policy,
            people: people
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
