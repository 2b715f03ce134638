/// One keyword of ssh_config(5): how its line is read, and what becomes of it here.
///
/// The list is that of OpenSSH 10's manual page, with the older names that `ssh` still takes.
struct ConfigurationKeyword: Sendable {
    /// How the words behind a keyword are read.
    enum Syntax: Sendable, Hashable {
        /// `yes` or `no`.
        case flag
        /// One of some words, in small letters.
        case choice([String])
        /// A whole number that is not negative.
        case number
        /// `10`, `1m30s` or `none`.
        case time
        /// A TCP port, by its number or its name in services(5).
        case port
        /// One word.
        case text
        /// Words; `none` only alone.
        case texts
        /// `NAME=VALUE`, several of them.
        case variables
        /// The rest of the line, for a shell.
        case command
        /// `[user@]host[:port]`, several with commas, or `none`.
        case jump
        /// A socket, `$NAME` or `${NAME}`.
        case agent
        /// Whatever follows, unread.
        case anything
        /// `Host`, `Match` and `Include`.
        case structure
    }

    /// What becomes of a keyword.
    enum Fate: Sendable, Hashable {
        /// fleet does what it says.
        case obeyed
        /// fleet does something else, on purpose.
        case differently
        /// Only `ssh` can do it, so such a host is reached by `ssh`.
        case leftToSSH
        /// It changes nothing that fleet does.
        case harmless
    }

    /// As the manual spells it.
    let name: String
    /// Older names for the same.
    let also: [String]
    let syntax: Syntax
    let fate: Fate
    /// What is kept of it; nil for what is only checked.
    let value: SSHConfiguration.Keyword?
    /// For people: what is done instead, or why it changes nothing.
    let note: String

    init(
        _ name: String,
        _ syntax: Syntax,
        _ fate: Fate,
        _ value: SSHConfiguration.Keyword? = nil,
        also: [String] = [],
        note: String = ""
    ) {
        self.name = name
        self.also = also
        self.syntax = syntax
        self.fate = fate
        self.value = value
        self.note = note
    }

    /// A keyword by the name in small letters that stands in a file; nil for what ssh does not know.
    static func named(_ name: String) -> ConfigurationKeyword? { byName[name] }

    /// The manual's name of what is kept.
    static func name(of value: SSHConfiguration.Keyword) -> String {
        all.first { $0.value == value }?.name ?? value.rawValue
    }

    private static let byName: [String: ConfigurationKeyword] = {
        var found: [String: ConfigurationKeyword] = [:]
        for keyword in all {
            for name in [keyword.name] + keyword.also { found[name.lowercased()] = keyword }
        }
        return found
    }()

    private static let terminal = "it concerns people's terminals"
    private static let forwards = "fleet forwards nothing of the user's"
    private static let shared = "fleet's connections are its own and are not shared"
    private static let canonical = "it counts only with CanonicalizeHostname"
    private static let delegated = "it counts only where `ssh` logs in, which reads it itself"

    /// Every keyword, in the order of the alphabet.
    static let all: [ConfigurationKeyword] = [
        .init("AddKeysToAgent", .anything, .harmless, note: "fleet adds nothing to an agent"),
        .init("AddressFamily", .choice(["any", "inet", "inet6"]), .obeyed, .addressFamily),
        .init("BatchMode", .flag, .harmless, note: "fleet asks only where somebody can answer"),
        .init("BindAddress", .text, .obeyed, .bindAddress),
        .init("BindInterface", .text, .leftToSSH, .bindInterface),
        .init("CanonicalDomains", .anything, .harmless, note: canonical),
        .init("CanonicalizeFallbackLocal", .flag, .harmless, note: canonical),
        .init(
            "CanonicalizeHostname",
            .choice(["yes", "no", "true", "false", "always"]),
            .leftToSSH,
            .canonicalizeHostname
        ),
        .init("CanonicalizeMaxDots", .number, .harmless, note: canonical),
        .init(
            "CanonicalizePermittedCNAMEs",
            .texts,
            .leftToSSH,
            .canonicalizePermittedCNAMEs,
            note: "names are followed even without CanonicalizeHostname"
        ),
        .init(
            "CASignatureAlgorithms",
            .text,
            .harmless,
            note: "hosts behind an authority are reached by `ssh`, which reads it itself"
        ),
        .init("CertificateFile", .text, .obeyed, .certificateFile),
        .init("ChannelTimeout", .anything, .harmless, note: "fleet has limits of its own"),
        .init("CheckHostIP", .flag, .harmless, note: "keys are known by names"),
        .init("Ciphers", .text, .obeyed, .ciphers),
        .init("ClearAllForwardings", .flag, .harmless, note: forwards),
        .init("Compression", .choice(["yes", "no"]), .harmless, note: "fleet does not compress"),
        .init(
            "ConnectionAttempts",
            .number,
            .harmless,
            note: "fleet decides itself what is tried again"
        ),
        .init("ConnectTimeout", .time, .obeyed, .connectTimeout),
        .init("ControlMaster", .anything, .harmless, note: shared),
        .init("ControlPath", .text, .harmless, note: shared),
        .init("ControlPersist", .anything, .harmless, note: shared),
        .init("DynamicForward", .anything, .harmless, note: forwards),
        .init("EnableEscapeCommandline", .flag, .harmless, note: terminal),
        .init("EnableSSHKeysign", .flag, .harmless, note: delegated),
        .init("EscapeChar", .text, .harmless, note: terminal),
        .init("ExitOnForwardFailure", .flag, .harmless, note: forwards),
        .init("FingerprintHash", .text, .harmless, note: "fingerprints are SHA256"),
        .init("ForkAfterAuthentication", .flag, .harmless, note: terminal),
        .init(
            "ForwardAgent",
            .agent,
            .leftToSSH,
            .forwardAgent,
            note:
                "`yes`, or a socket: for git on the hosts. The inventory's word is `forward_agent`"
        ),
        .init("ForwardX11", .flag, .harmless, note: forwards),
        .init("ForwardX11Timeout", .time, .harmless, note: forwards),
        .init("ForwardX11Trusted", .flag, .harmless, note: forwards),
        .init("GatewayPorts", .flag, .harmless, note: forwards),
        .init("GlobalKnownHostsFile", .texts, .obeyed, .globalKnownHostsFile),
        .init(
            "GSSAPIAuthentication",
            .flag,
            .leftToSSH,
            .gssapiAuthentication,
            note: "where the host takes nothing else that there is"
        ),
        .init("GSSAPIClientIdentity", .anything, .harmless, note: delegated),
        .init("GSSAPIDelegateCredentials", .flag, .harmless, note: delegated),
        .init("GSSAPIKexAlgorithms", .anything, .harmless, note: delegated),
        .init("GSSAPIKeyExchange", .flag, .harmless, note: delegated),
        .init("GSSAPIRenewalForcesRekey", .flag, .harmless, note: delegated),
        .init("GSSAPIServerIdentity", .anything, .harmless, note: delegated),
        .init("GSSAPITrustDns", .flag, .harmless, note: delegated),
        .init("HashKnownHosts", .flag, .obeyed, .hashKnownHosts),
        .init("Host", .structure, .obeyed),
        .init(
            "HostbasedAcceptedAlgorithms",
            .text,
            .harmless,
            also: ["HostbasedKeyTypes"],
            note: delegated
        ),
        .init(
            "HostbasedAuthentication",
            .flag,
            .leftToSSH,
            .hostbasedAuthentication,
            note: "where the host takes nothing else that there is"
        ),
        .init("HostKeyAlgorithms", .text, .obeyed, .hostKeyAlgorithms),
        .init("HostKeyAlias", .text, .obeyed, .hostKeyAlias),
        .init("HostName", .text, .obeyed, .hostName),
        .init("IdentitiesOnly", .flag, .obeyed, .identitiesOnly),
        .init("IdentityAgent", .agent, .obeyed, .identityAgent),
        .init("IdentityFile", .text, .obeyed, .identityFile, also: ["IdentityFile2"]),
        .init("IgnoreUnknown", .text, .obeyed, .ignoreUnknown),
        .init("Include", .structure, .obeyed),
        .init("IPQoS", .anything, .harmless, note: "fleet's packets are not marked"),
        .init(
            "KbdInteractiveAuthentication",
            .flag,
            .obeyed,
            .kbdInteractiveAuthentication,
            also: [
                "ChallengeResponseAuthentication", "SKeyAuthentication", "TISAuthentication",
            ]
        ),
        .init("KbdInteractiveDevices", .text, .harmless, note: "the host's choice is taken"),
        .init("KexAlgorithms", .text, .obeyed, .kexAlgorithms),
        .init("KnownHostsCommand", .command, .leftToSSH, .knownHostsCommand),
        .init("LocalCommand", .command, .harmless, note: "nothing is run behind fleet's back"),
        .init("LocalForward", .anything, .harmless, note: forwards),
        .init("LogLevel", .text, .harmless, note: terminal),
        .init("LogVerbose", .anything, .harmless, note: terminal),
        .init("MACs", .text, .obeyed, .macs),
        .init("Match", .structure, .obeyed),
        .init(
            "NoHostAuthenticationForLocalhost",
            .flag,
            .differently,
            note: "the key of this machine is checked like any other"
        ),
        .init("NumberOfPasswordPrompts", .number, .harmless, note: "a password is asked for once"),
        .init("ObscureKeystrokeTiming", .anything, .harmless, note: terminal),
        .init("PasswordAuthentication", .flag, .obeyed, .passwordAuthentication),
        .init("PermitLocalCommand", .flag, .harmless, note: "nothing is run behind fleet's back"),
        .init("PermitRemoteOpen", .anything, .harmless, note: forwards),
        .init("PKCS11Provider", .text, .leftToSSH, .pkcs11Provider, also: ["SmartcardDevice"]),
        .init("Port", .port, .obeyed, .port),
        .init("PreferredAuthentications", .text, .obeyed, .preferredAuthentications),
        .init("ProxyCommand", .command, .obeyed, .proxyCommand),
        .init("ProxyJump", .jump, .obeyed, .proxyJump),
        .init(
            "ProxyUseFdpass",
            .flag,
            .leftToSSH,
            .proxyUseFdpass,
            note: "where there is a ProxyCommand"
        ),
        .init(
            "PubkeyAcceptedAlgorithms",
            .text,
            .obeyed,
            .pubkeyAcceptedAlgorithms,
            also: ["PubkeyAcceptedKeyTypes"]
        ),
        .init(
            "PubkeyAuthentication",
            .choice(["yes", "no", "true", "false", "unbound", "host-bound"]),
            .obeyed,
            .pubkeyAuthentication,
            also: ["DSAAuthentication"]
        ),
        .init("RefuseConnection", .text, .obeyed, .refuseConnection),
        .init(
            "RekeyLimit",
            .anything,
            .harmless,
            note: "new keys are made when the host asks for them"
        ),
        .init("RemoteCommand", .command, .harmless, note: "fleet runs its own commands"),
        .init("RemoteForward", .anything, .harmless, note: forwards),
        .init("RequestTTY", .text, .harmless, note: terminal),
        .init("RequiredRSASize", .number, .obeyed, .requiredRSASize),
        .init("RevokedHostKeys", .text, .obeyed, .revokedHostKeys),
        .init("SecurityKeyProvider", .text, .harmless, note: delegated),
        .init(
            "SendEnv",
            .anything,
            .differently,
            note:
                "nothing is sent: what a host does shall not depend on whose terminal a deploy came from"
        ),
        .init("ServerAliveCountMax", .number, .obeyed, .serverAliveCountMax),
        .init(
            "ServerAliveInterval",
            .time,
            .differently,
            .serverAliveInterval,
            note: "one that would find a dead host later than 25 s, or `0`, is replaced by 7 s"
        ),
        .init("SessionType", .text, .harmless, note: "fleet runs its own commands"),
        .init("SetEnv", .variables, .obeyed, .setEnv),
        .init("StdinNull", .flag, .harmless, note: terminal),
        .init("StreamLocalBindMask", .text, .harmless, note: forwards),
        .init("StreamLocalBindUnlink", .flag, .harmless, note: forwards),
        .init(
            "StrictHostKeyChecking",
            .choice(["yes", "no", "true", "false", "off", "ask", "accept-new"]),
            .differently,
            .strictHostKeyChecking,
            note:
                "`no` means `accept-new`, and `ask` means `yes`: a key that has changed is never accepted"
        ),
        .init("SyslogFacility", .text, .harmless, note: terminal),
        .init("Tag", .text, .leftToSSH, note: "where a `Match tagged` has to be decided"),
        .init("TCPKeepAlive", .flag, .harmless, also: ["KeepAlive"], note: "it is always on"),
        .init("Tunnel", .anything, .harmless, note: forwards),
        .init("TunnelDevice", .anything, .harmless, note: forwards),
        .init("UpdateHostKeys", .anything, .harmless, note: "keys are learned by `fleet trust`"),
        .init("User", .text, .obeyed, .user),
        .init("UserKnownHostsFile", .texts, .obeyed, .userKnownHostsFile),
        .init(
            "VerifyHostKeyDNS",
            .anything,
            .differently,
            note: "keys are looked for in known_hosts only"
        ),
        .init("VersionAddendum", .anything, .harmless, note: "fleet has a banner of its own"),
        .init("VisualHostKey", .flag, .harmless, note: terminal),
        .init("WarnWeakCrypto", .anything, .harmless, note: terminal),
        .init("XAuthLocation", .text, .harmless, note: forwards),
    ]

    /// Names that `ssh` knows and takes no notice of, with whatever follows them.
    static let forgotten: Set<String> = [
        "afstokenpassing", "cipher", "compressionlevel", "fallbacktorsh", "globalknownhostsfile2",
        "kerberosauthentication", "kerberostgtpassing", "protocol", "rhostsauthentication",
        "rhostsrsaauthentication", "rsaauthentication", "useprivilegedport", "userknownhostsfile2",
        "useroaming", "usersh",
    ]
}
