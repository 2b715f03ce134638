/// How strictly an unknown host key is treated.
///
/// There is no way to switch the check off.
public enum HostKeyPolicy: String, Sendable, Hashable, Codable, CaseIterable {
    /// Only keys in known_hosts are accepted.
    case strict
    /// A key of a host never seen before is accepted and stored; a changed key never is.
    case acceptNew = "accept-new"
}

/// What an inventory says about reaching a host; what it leaves out comes from `~/.ssh/config`.
public struct SSHSettings: Sendable, Hashable, Codable {
    /// The address to connect to, if it is not the host's name.
    public var hostname: String?
    /// The TCP port.
    public var port: Int?
    /// The account to log in as.
    public var user: String?
    /// Private keys to offer, in order.
    public var identityFiles: [String]?
    /// The known_hosts file to trust and, with ``HostKeyPolicy/acceptNew``, to write.
    public var knownHostsFile: String?
    /// What to do about a host never seen before.
    public var hostKeys: HostKeyPolicy?
    /// The longest wait for a connection and login, in milliseconds.
    public var connectTimeoutMilliseconds: Int?

    /// Settings that say nothing.
    public init() {}

    /// These settings where they say something, and `broader` everywhere else.
    public func overriding(_ broader: SSHSettings) -> SSHSettings {
        var merged = broader
        merged.hostname = hostname ?? broader.hostname
        merged.port = port ?? broader.port
        merged.user = user ?? broader.user
        merged.identityFiles = identityFiles ?? broader.identityFiles
        merged.knownHostsFile = knownHostsFile ?? broader.knownHostsFile
        merged.hostKeys = hostKeys ?? broader.hostKeys
        merged.connectTimeoutMilliseconds =
            connectTimeoutMilliseconds ?? broader.connectTimeoutMilliseconds
        return merged
    }
}

/// A host and how to reach it.
public struct HostEndpoint: Sendable, Hashable, Codable {
    /// The host's name in the inventory.
    public let name: HostName
    /// How to reach it.
    public let ssh: SSHSettings

    /// Describes where a host is.
    public init(name: HostName, ssh: SSHSettings = SSHSettings()) {
        self.name = name
        self.ssh = ssh
    }
}
