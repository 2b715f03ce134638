/// The part of a connection's life in which something went wrong.
public enum ConnectionPhase: String, Sendable, Hashable, Codable {
    /// Finding the host's address.
    case resolving
    /// Opening the TCP connection.
    case connecting
    /// Waiting for the server's first line.
    case banner = "waiting for the banner"
    /// Exchanging keys.
    case handshake = "the key exchange"
    /// Checking the host's key.
    case hostKey = "host key check"
    /// Logging in.
    case authentication
    /// Starting a channel or the shell on it.
    case channel = "opening a channel"
    /// Running a command.
    case command
    /// Sending or receiving a file.
    case transfer
}

/// The reason why a host could not be asked or did not answer.
///
/// A command that exits with a non-zero status is a result, not an error.
public enum TransportError: Error, Sendable, Hashable, Codable {
    /// The name has no address.
    case nameNotFound(name: String, reason: String)
    /// No connection was made.
    case unreachable(address: String, reason: String)
    /// A deadline passed.
    case timedOut(ConnectionPhase, milliseconds: Int)
    /// The connection ended before the answer came.
    case connectionLost(ConnectionPhase, reason: String)
    /// No known_hosts file holds a key of this host.
    case hostKeyUnknown(host: String, offered: String, files: [String])
    /// The host offers another key than the known one.
    case hostKeyChanged(host: String, offered: String, known: String, place: String)
    /// The host offers a key that is marked `@revoked`.
    case hostKeyRevoked(host: String, offered: String, place: String)
    /// Only a certificate authority is known for the host, and no host certificate can be asked
    /// for.
    case hostKeyAuthorityOnly(host: String, offered: String, place: String)
    /// Only keys of other types are known for the host; the host proved none of them, or fleet cannot ask for them.
    case hostKeyOtherType(host: String, offered: String, known: String, place: String)
    /// The two sides share no algorithm.
    case noCommonAlgorithm(reason: String)
    /// Every credential was refused.
    case authenticationDenied(user: String, tried: [String], accepts: [String])
    /// A local key, agent or file cannot be used.
    case credentialUnusable(reason: String)
    /// The login shell did not start our script.
    case shellUnusable(seen: String)
    /// The login shell did not start fleet's script in time; it may be slow, or run something else forever.
    ///
    /// `mayRun` says whether the shell has already received the script.
    case shellSlow(milliseconds: Int, seen: String, mayRun: Bool)
    /// The host refused a forwarded connection or a channel.
    case refusedByHost(reason: String)
    /// The settings for reaching the host are wrong or not supported.
    case configuration(reason: String)
    /// The settings for reaching the host require a feature that only another client has.
    case beyondClient(reason: String)
    /// Something else than an SSH server answered.
    case notSSH(seen: String)
    /// A jump host on the way to this host failed with the given error.
    indirect case jump(host: String, TransportError)
    /// A file on this machine cannot be read, or changed since the plan was made.
    case localFile(path: String, reason: String)
    /// A host printed more than an answer to the question can contain.
    case answerTooLong(bytes: Int, limit: Int)

    /// The place shown for a known host key that a rollout recorded.
    public static let snapshotPlace = "what this rollout found before it touched the host"

    /// Whether the same attempt may succeed later; only then is it retried.
    public var isRetryable: Bool {
        switch self {
        case .unreachable, .timedOut, .connectionLost, .shellSlow: true
        case .jump(_, let error): error.isRetryable
        case .nameNotFound, .hostKeyUnknown, .hostKeyChanged, .hostKeyRevoked,
            .hostKeyAuthorityOnly, .hostKeyOtherType, .noCommonAlgorithm, .authenticationDenied,
            .credentialUnusable, .shellUnusable,
            .refusedByHost, .localFile, .configuration, .beyondClient, .notSSH, .answerTooLong:
            false
        }
    }

    /// Whether the answering machine is not known to be the host, so that a retry is useless.
    ///
    /// A refused login is not included, because hosts that are starting up refuse logins, too.
    public var isAnotherHost: Bool {
        switch self {
        case .hostKeyUnknown, .hostKeyChanged, .hostKeyRevoked, .hostKeyAuthorityOnly,
            .hostKeyOtherType, .noCommonAlgorithm:
            true
        case .jump(_, let error): error.isAnotherHost
        default: false
        }
    }

    /// Whether the action may have taken effect although no answer came.
    public var mayHaveRun: Bool {
        switch self {
        case .connectionLost(.command, _), .timedOut(.command, _): true
        case .shellSlow(_, _, let mayRun): mayRun
        default: false
        }
    }

    /// A stable token for scripts and searches.
    public var token: String {
        switch self {
        case .nameNotFound: "E_DNS"
        case .unreachable: "E_UNREACHABLE"
        case .timedOut: "E_TIMEOUT"
        case .connectionLost: "E_LOST"
        case .hostKeyUnknown: "E_HOSTKEY_UNKNOWN"
        case .hostKeyChanged: "E_HOSTKEY_CHANGED"
        case .hostKeyRevoked: "E_HOSTKEY_REVOKED"
        case .hostKeyAuthorityOnly: "E_HOSTKEY_CA"
        case .hostKeyOtherType: "E_HOSTKEY_TYPE"
        case .noCommonAlgorithm: "E_ALGO"
        case .authenticationDenied: "E_AUTH"
        case .credentialUnusable: "E_CREDENTIAL"
        case .shellUnusable, .shellSlow: "E_SHELL"
        case .refusedByHost: "E_REFUSED"
        case .configuration: "E_SSH_CONFIG"
        case .beyondClient: "E_CLIENT"
        case .notSSH: "E_PROTO"
        case .jump(_, let error): error.token
        case .localFile: "E_LOCAL_FILE"
        case .answerTooLong: "E_ANSWER"
        }
    }

    /// What happened, in one sentence for people.
    public var message: String {
        switch self {
        case .nameNotFound(let name, let reason): "`\(name)` has no address: \(reason)"
        case .unreachable(let address, let reason): "cannot connect to \(address): \(reason)"
        case .timedOut(let phase, let milliseconds):
            "no answer while \(phase.rawValue) within \(milliseconds) ms"
        case .connectionLost(let phase, let reason):
            "the connection was lost during \(phase.rawValue): \(reason)"
        case .hostKeyUnknown(let host, let offered, let files):
            "the key of \(host) is not known (offered \(offered); looked in "
                + "\(files.joined(separator: ", ")))"
        case .hostKeyChanged(let host, let offered, let known, let place):
            "THE KEY OF \(host) HAS CHANGED: offered \(offered), known \(known) at \(place)"
        case .hostKeyRevoked(let host, let offered, let place):
            "the key of \(host) (\(offered)) is marked @revoked at \(place)"
        case .hostKeyAuthorityOnly(let host, let offered, let place):
            "\(host) is known only by a certificate authority (\(place)), and libssh2 cannot ask "
                + "for host certificates; the plain key it offered is \(offered)"
        case .hostKeyOtherType(let host, let offered, let known, let place):
            "only a key of another type is known for \(host) (\(known) at \(place)), and the host proved "
                + "\(offered)"
                + (known.hasPrefix("ssh-rsa") ? ": this client cannot ask for RSA host keys" : "")
        case .noCommonAlgorithm(let reason): "no common algorithm: \(reason)"
        case .authenticationDenied(let user, let tried, let accepts):
            "login as `\(user)` was refused; tried \(Self.list(tried)); "
                + "the server accepts \(Self.list(accepts))"
        case .credentialUnusable(let reason): reason
        case .shellUnusable(let seen): "the login shell did not run `sh -s`: \(seen)"
        case .shellSlow(let milliseconds, let seen, _):
            "the login shell did not run `sh -s` within \(milliseconds / 1000) s: \(seen)"
        case .refusedByHost(let reason): "the host refused: \(reason)"
        case .configuration(let reason), .beyondClient(let reason): reason
        case .notSSH(let seen): "what answered is no SSH server; it said `\(seen)`"
        case .jump(let host, let error): "on the way, at \(host): \(error.message)"
        case .localFile(let path, let reason): "\(path): \(reason)"
        case .answerTooLong(let bytes, let limit):
            "the host's answer is longer than \(limit) bytes (\(bytes)), so nothing of it was used"
        }
    }

    /// What an sshd says before its banner to an address that it keeps out (sshd_config(5), PerSourcePenalties).
    package static let penaltyWords = "Not allowed at this time"
    /// What that means, for people.
    package static let penalty =
        "its sshd keeps this address out for a while, because logins from it have failed "
        + "(`Not allowed at this time`, PerSourcePenalties)"

    /// The next thing to type or to check, where there is one.
    public var hint: String? {
        switch self {
        case .hostKeyUnknown(let host, _, _):
            "compare the fingerprint with the host's own (`ssh-keygen -lf "
                + "/etc/ssh/ssh_host_ed25519_key.pub` on \(host)), then run `fleet trust ENV`"
        case .hostKeyOtherType(let host, _, _, _):
            "compare the fingerprint with the host's own (`ssh-keygen -lf "
                + "/etc/ssh/ssh_host_ed25519_key.pub` on \(host)), then run `fleet trust ENV`, which keeps both"
        case .hostKeyAuthorityOnly:
            "add the host's plain key to known_hosts beside the authority's line"
        case .hostKeyChanged(let host, _, _, let place) where place == Self.snapshotPlace:
            "if \(host) was given a new key meanwhile, look at what runs there, put it right by hand, "
                + "and release the lock with `fleet lock break`; otherwise someone may be between you "
                + "and it"
        case .hostKeyChanged(let host, _, _, let place):
            "if \(host) was rebuilt, remove the line at \(place); otherwise someone may be "
                + "between you and it"
        case .authenticationDenied:
            "check `ssh.user` and `ssh.identity_file` in the inventory, and `ssh-add -l`"
        case .shellUnusable, .shellSlow:
            "something that the account's login runs (~/.bashrc, ~/.profile, ForceCommand) waits, reads its "
                + "input or starts another program: let it do that for terminals only (`[ -t 0 ]`)"
        case .refusedByHost:
            "HTTP and TCP probes need AllowTcpForwarding in the host's sshd_config"
        case .jump(let host, .refusedByHost):
            "a jump host needs `AllowTcpForwarding yes`, and no PermitOpen or `restrict` in its way: "
                + "look at sshd_config and authorized_keys on \(host)"
        case .jump(_, let error): error.hint
        case .timedOut(.handshake, _):
            "if `ssh` hangs there too, large packets may not get through: try a smaller MTU"
        case .beyondClient:
            "the system's ssh can do that: `ssh: { client: openssh }`, or leave `client` out"
        case .unreachable(_, Self.penalty):
            "wait until that is over, and find out which login fails; or name this address in "
                + "PerSourcePenaltyExemptList in the host's sshd_config"
        case .notSSH: "check the port with `fleet hosts ENV --explain HOST`"
        case .unreachable, .timedOut(.connecting, _):
            "check the address and port with `fleet hosts`, and that sshd is running"
        default: nil
        }
    }

    private static func list(_ words: [String]) -> String {
        words.isEmpty ? "nothing" : words.joined(separator: ", ")
    }
}
