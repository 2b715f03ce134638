public import FleetInventory
public import FleetProject
internal import FleetTransport

/// The hosts of an environment that an operation applies to.
public struct HostSelection: Sendable, Hashable, Codable {
    /// The environment: `inventory/ENVIRONMENT.yml`.
    public var environment: String
    /// A host pattern, as in `web:!web03`; nil for all hosts.
    public var limit: String?
    /// Whether the SSH password is asked for, whatever the inventory says.
    public var asksForPassword = false
    /// Whether the password that sudo wants is asked for, whatever the inventory says.
    public var asksForBecomePassword = false

    /// Selects all hosts of an environment, or those that match a pattern.
    public init(_ environment: String, limit: String? = nil) {
        self.environment = environment
        self.limit = limit
    }

    /// Returns the environment's inventory and the selected hosts.
    ///
    /// - Parameters:
    ///   - project: The project.
    ///   - isOnlyShown: Whether the hosts are only displayed and never connected to; values that nobody has agreed to
    ///     are then accepted.
    /// - Returns: The inventory and the hosts.
    /// - Throws: ``OperationFailure`` if the environment does not exist, a file is invalid, nobody has agreed to a
    ///   value that needs an agreement, or the pattern matches no host.
    public func hosts(of project: Project, isOnlyShown: Bool = false) throws(OperationFailure)
        -> (Inventory, [Host])
    {
        var inventory: Inventory
        do {
            inventory =
                isOnlyShown
                ? try project.inventoryAsWritten(environment) : try project.inventory(environment)
        } catch {
            throw OperationFailure(error)
        }
        for index in inventory.hosts.indices {
            if asksForPassword { inventory.hosts[index].ssh.password = .prompt("SSH password") }
            guard asksForBecomePassword else { continue }
            inventory.hosts[index].ssh.becomePassword = .prompt("sudo password")
        }
        guard let limit else { return (inventory, inventory.hosts) }
        do {
            return (inventory, try HostPattern(limit).select(from: inventory))
        } catch {
            throw OperationFailure(error)
        }
    }
}
