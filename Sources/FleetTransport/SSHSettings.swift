/// How strictly an unknown host key is treated.
///
/// There is no way to switch the check off.
public enum HostKeyPolicy: String, Sendable, Hashable, Codable, CaseIterable {
    /// Only keys in known_hosts are accepted.
    case strict
    /// A key of a host never seen before is accepted and stored; a changed key never is.
    case acceptNew = "accept-new"
}

/// The client that connects to a host.
public enum HostClient: String, Sendable, Hashable, Codable, CaseIterable {
    /// libssh2, and the system's `ssh` for what libssh2 cannot do.
    case auto
    /// libssh2 alone.
    case libssh2
    /// The system's `ssh` alone.
    case openssh
    /// Nothing: the host is this machine.
    case local
}

/// The place from which a password or a passphrase is read.
///
/// Only the place is ever written into a plan or a journal, never the secret itself.
public enum SecretSource: Sendable, Hashable, Codable {
    /// An environment variable of the controller's.
    case environment(String)
    /// The first line of a file on the controller.
    case file(String)
    /// The first line that a command on the controller prints.
    case command([String])
    /// The person at the terminal, who is asked once for each purpose.
    case prompt(String)
}

/// What an inventory says about reaching a host; what it leaves out comes from `~/.ssh/config`.
public struct SSHSettings: Sendable, Hashable, Codable {
    /// The default number of sessions of the system's `ssh` that are open at once.
    ///
    /// Each session is a local process of about 8 MB; 64 of them keep two cores busy with logins.
    public static let usualOpenSSHSessions = 64

    /// The address to connect to, if it is not the host's name.
    public var hostname: String?
    /// What reaches the host; nil is ``HostClient/auto``.
    public var client: HostClient?
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

    /// The jump hosts: `[user@]host[:port]`, several separated by commas; `none` for none.
    public var jump: String?
    /// A local command whose standard input and output lead to the host's sshd; `none` for none.
    public var proxyCommand: String?
    /// The name under which the host's key is looked up, if it is not the host's own name.
    public var hostKeyAlias: String?
    /// Whether only the named keys are offered and not all that the agent holds.
    public var identitiesOnly: Bool?
    /// How many keys are offered at most, 1 to 100; sshd counts each refused one (MaxAuthTries).
    public var keyLimit: Int?
    /// Whether the host may use the local agent's keys, as for git.
    public var forwardAgent: Bool?
    /// The largest number of sessions of the system's `ssh` open at once, for all hosts together; 1 to 1000.
    public var openSSHSessions: Int?
    /// Where the passphrase of a private key comes from.
    public var passphrase: SecretSource?
    /// Where the login password comes from, for hosts without keys.
    public var password: SecretSource?
    /// Where the password that sudo asks for comes from.
    public var becomePassword: SecretSource?

    /// Creates settings in which nothing is set.
    public init() {}

    /// Returns these settings, with unset values taken from `broader`.
    public func overriding(_ broader: SSHSettings) -> SSHSettings {
        var merged = broader
        merged.hostname = hostname ?? broader.hostname
        merged.client = client ?? broader.client
        merged.port = port ?? broader.port
        merged.user = user ?? broader.user
        merged.identityFiles = identityFiles ?? broader.identityFiles
        merged.knownHostsFile = knownHostsFile ?? broader.knownHostsFile
        merged.hostKeys = hostKeys ?? broader.hostKeys
        merged.jump = jump ?? broader.jump
        merged.proxyCommand = proxyCommand ?? broader.proxyCommand
        // Of the two ways, the one that is nearer to the host wins.
        if jump != nil, proxyCommand == nil { merged.proxyCommand = nil }
        if proxyCommand != nil, jump == nil { merged.jump = nil }
        merged.hostKeyAlias = hostKeyAlias ?? broader.hostKeyAlias
        merged.identitiesOnly = identitiesOnly ?? broader.identitiesOnly
        merged.keyLimit = keyLimit ?? broader.keyLimit
        merged.forwardAgent = forwardAgent ?? broader.forwardAgent
        merged.openSSHSessions = openSSHSessions ?? broader.openSSHSessions
        merged.passphrase = passphrase ?? broader.passphrase
        merged.password = password ?? broader.password
        merged.becomePassword = becomePassword ?? broader.becomePassword
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
