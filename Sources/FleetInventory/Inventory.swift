public import FleetTransport

/// A host, with everything that the inventory says about it folded together.
public struct Host: Sendable, Hashable {
    /// The host's name.
    public let name: HostName
    /// Every group it belongs to, the groups' parents included, sorted.
    public let groups: [String]
    /// Variables by name; the host's own win over its groups', those over the environment's.
    public let variables: [String: String]
    /// How to reach it, by the same precedence.
    public var ssh: SSHSettings

    /// Describes a host.
    public init(
        name: HostName,
        groups: [String] = [],
        variables: [String: String] = [:],
        ssh: SSHSettings = SSHSettings()
    ) {
        self.name = name
        self.groups = groups
        self.variables = variables
        self.ssh = ssh
    }

    /// The host and how to reach it.
    public var endpoint: HostEndpoint { HostEndpoint(name: name, ssh: ssh) }
}

/// An environment's hosts, groups and variables.
public struct Inventory: Sendable, Hashable {
    /// The environment's name: the file's name without its ending.
    public let environment: String
    /// The hosts, in the order of the file.
    public var hosts: [Host]
    /// The rules for changing the environment.
    public let policy: EnvironmentPolicy
    /// The rules that say which commands are told of events in the environment.
    public let notifications: [NotificationRule]

    /// Gathers an environment.
    public init(
        environment: String,
        hosts: [Host],
        policy: EnvironmentPolicy = EnvironmentPolicy(),
        notifications: [NotificationRule] = []
    ) {
        self.notifications = notifications
        self.environment = environment
        self.hosts = hosts
        self.policy = policy
    }

    /// Every group's name, sorted.
    public var groups: [String] { Set(hosts.flatMap(\.groups)).sorted() }
}
