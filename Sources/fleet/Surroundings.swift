import FleetOperations
import FleetTerminal

extension Surroundings {
    /// Who is doing this: the person a CI system names, or the login.
    static var initiator: Initiator {
        initiator(command: ProgramArguments.recorded, version: FleetVersion.number)
    }
}
