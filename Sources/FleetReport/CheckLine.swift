/// A file of the project that is in order, for other programs.
public struct CheckLine: Sendable, Encodable {
    /// `environment`, `playbook` or `server`.
    public let type: String
    /// The environment's or the playbook's name.
    public let name: String
    /// The number of hosts.
    public let hosts: Int?
    /// The number of groups.
    public let groups: Int?
    /// The number of steps.
    public let steps: Int?
    /// Whether a smoke test passes only if the new release answers.
    public let provesRelease: Bool?
    /// The number of accounts.
    public var accounts: Int?
    /// The number of hooks.
    public var hooks: Int?

    /// A server file.
    public init(server name: String, accounts: Int, hooks: Int) {
        type = "server"
        self.name = name
        self.accounts = accounts
        self.hooks = hooks
        self.hosts = nil
        groups = nil
        steps = nil
        provesRelease = nil
    }

    /// An environment.
    public init(environment name: String, hosts: Int, groups: Int) {
        type = "environment"
        self.name = name
        self.hosts = hosts
        self.groups = groups
        steps = nil
        provesRelease = nil
    }

    /// A playbook.
    public init(playbook name: String, steps: Int, provesRelease: Bool) {
        type = "playbook"
        self.name = name
        self.steps = steps
        self.provesRelease = provesRelease
        hosts = nil
        groups = nil
    }
}
