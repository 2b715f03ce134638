public import FleetTransport

/// What a server file, `server.yml`, says.
public struct ServerFile: Sendable, Hashable {
    /// Where a server listens.
    public enum Listen: Sendable, Hashable {
        /// An address of this machine, and a port; 0 lets the system choose one.
        case address(host: String, port: Int)
        /// A Unix socket.
        case socket(path: String)
    }

    /// Where a secret is.
    public enum Secret: Sendable, Hashable {
        /// An environment variable, a file or a command.
        case source(SecretSource)
        /// A credential that systemd hands to the service (systemd.exec(5), `LoadCredential`).
        case credential(String)
    }

    /// A certificate and its key: PEM files.
    public struct TLS: Sendable, Hashable {
        /// The certificate, and those that lead to its root.
        public let certificate: String
        /// The private key.
        public let key: String
    }

    /// Whose word a project's files need before what runs code on the server takes effect.
    public enum Trust: String, Sendable, Hashable, CaseIterable {
        /// Whoever may push to the branch.
        case branch
        /// Whoever signs the branch's newest commit with a key that git accepts.
        case signedCommits = "signed_commits"
        /// An administrator, who has seen what changed.
        case ask
    }

    /// The project that the server deploys.
    public struct ProjectSource: Sendable, Hashable {
        /// The address or path of its repository.
        public let repository: String
        /// The branch that counts.
        public let branch: String
        /// The folder in it that holds `inventory/`; empty for the top.
        public let folder: String
        /// Whose word its files need.
        public let trust: Trust
        /// How often the branch is looked at without being told, in milliseconds.
        public let pollMilliseconds: Int
    }

    /// Signing in by a proxy in front of the server.
    public struct ProxySignIn: Sendable, Hashable {
        /// The header that holds the account's name.
        public let userHeader: String
        /// The header that holds when the person signed in, in seconds since 1970.
        public let timeHeader: String?
    }

    /// A person.
    public struct Account: Sendable, Hashable {
        /// The name that they sign in with.
        public let name: String
        /// What they may do.
        public let roles: Roles
        /// The addresses that git knows them by.
        public let addresses: [String]
        /// Their logins at providers, by the provider's name.
        public let logins: [String: String]
    }

    /// The address that the server listens on.
    public var listen = Listen.address(host: "127.0.0.1", port: 8080)
    /// The address that people and providers use, without a slash at its end.
    public var publicURL: String
    /// TLS in this process; nil for none.
    public var tls: TLS?
    /// The proxies whose word about the sender of a request is believed.
    public var trustedProxies: [AddressRange] = []
    /// Signing in by a proxy; nil for not at all.
    public var proxySignIn: ProxySignIn?
    /// The project.
    public var project: ProjectSource
    /// The people, in the order of the file.
    public var accounts: [Account] = []
    /// The hooks, in the order of the file.
    public var hooks: [Hook] = []

    /// The account with a name; nil if there is none.
    public func account(named name: String) -> Account? { accounts.first { $0.name == name } }

    /// The hook with a name; nil if there is none.
    public func hook(named name: String) -> Hook? { hooks.first { $0.name == name } }

    /// Whether browsers reach the server over TLS, so that cookies may be kept from everything else.
    public var isSecure: Bool { publicURL.hasPrefix("https://") }

    /// The host and port of ``publicURL``, as a `Host` header names them.
    public var authority: String {
        let rest = publicURL.split(separator: "/", omittingEmptySubsequences: false).dropFirst(2)
        return rest.first.map(String.init) ?? ""
    }

    /// The account of a person whom a provider or git knows; nil if nobody is.
    ///
    /// - Parameters:
    ///   - login: Their login at the hook's provider; nil if it is not known.
    ///   - provider: The provider.
    ///   - address: The address that git knows them by; nil if it is not known.
    /// - Returns: The account.
    public func account(login: String?, at provider: Hook.Provider, address: String?) -> Account? {
        accounts.first { account in
            // Providers and mail tell no cases apart.
            login.map { account.logins[provider.rawValue]?.lowercased() == $0.lowercased() }
                ?? false
                || address.map { address in
                    account.addresses.contains { $0.lowercased() == address.lowercased() }
                } ?? false
        }
    }
}
