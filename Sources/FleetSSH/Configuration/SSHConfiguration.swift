internal import FleetTransport

/// `~/.ssh/config` and `/etc/ssh/ssh_config` as `ssh` reads them (ssh_config(5), OpenSSH's
/// readconf.c); tested against `ssh -G`.
///
/// The files are read and checked once; ``values(for:localUser:)`` then plays them for one host.
struct SSHConfiguration: Sendable {
    /// Where a line stands.
    struct Place: Sendable, Hashable, CustomStringConvertible {
        let file: String
        let line: Int

        var description: String { "\(file):\(line)" }
    }

    /// Why a file cannot be used; `ssh` would stop there too.
    struct Problem: Error, Sendable, Hashable {
        let place: Place
        let reason: String
        /// Whether `ssh` would not stop there.
        var isBeyond = false

        var error: TransportError {
            isBeyond
                ? .beyondClient(reason: "\(place): \(reason)")
                : .configuration(reason: "\(place): \(reason)")
        }
    }

    /// What is kept of the files; ``ConfigurationKeyword`` says what becomes of every keyword.
    enum Keyword: String, Sendable, Hashable, CaseIterable {
        case hostName = "hostname"
        case port, user
        case identityFile = "identityfile"
        case identitiesOnly = "identitiesonly"
        case identityAgent = "identityagent"
        case certificateFile = "certificatefile"
        case userKnownHostsFile = "userknownhostsfile"
        case globalKnownHostsFile = "globalknownhostsfile"
        case strictHostKeyChecking = "stricthostkeychecking"
        case hashKnownHosts = "hashknownhosts"
        case hostKeyAlias = "hostkeyalias"
        case proxyJump = "proxyjump"
        case proxyCommand = "proxycommand"
        case proxyUseFdpass = "proxyusefdpass"
        case connectTimeout = "connecttimeout"
        case serverAliveInterval = "serveraliveinterval"
        case serverAliveCountMax = "serveralivecountmax"
        case addressFamily = "addressfamily"
        case bindAddress = "bindaddress"
        case bindInterface = "bindinterface"
        case revokedHostKeys = "revokedhostkeys"
        case pubkeyAuthentication = "pubkeyauthentication"
        case passwordAuthentication = "passwordauthentication"
        case kbdInteractiveAuthentication = "kbdinteractiveauthentication"
        case preferredAuthentications = "preferredauthentications"
        case gssapiAuthentication = "gssapiauthentication"
        case hostbasedAuthentication = "hostbasedauthentication"
        case hostKeyAlgorithms = "hostkeyalgorithms"
        case pubkeyAcceptedAlgorithms = "pubkeyacceptedalgorithms"
        case kexAlgorithms = "kexalgorithms"
        case ciphers, macs
        case requiredRSASize = "requiredrsasize"
        case knownHostsCommand = "knownhostscommand"
        case pkcs11Provider = "pkcs11provider"
        case canonicalizeHostname = "canonicalizehostname"
        case canonicalizePermittedCNAMEs = "canonicalizepermittedcnames"
        case forwardAgent = "forwardagent"
        case setEnv = "setenv"
        case refuseConnection = "refuseconnection"
        case ignoreUnknown = "ignoreunknown"

        /// Whether every mention counts and not only the first.
        var accumulates: Bool { self == .identityFile || self == .certificateFile }
    }

    /// A keyword's words, and where they were read.
    struct Value: Sendable, Hashable {
        var words: [String]
        let place: Place

        var first: String { words.first ?? "" }
    }

    /// One condition of a `Match` line.
    struct Criterion: Sendable, Hashable {
        enum Kind: Sendable, Hashable {
            case all, canonical, final
            case host(String)
            case originalHost(String)
            case user(String)
            case localUser(String)
            /// What only `ssh` can decide: its name and its argument.
            case beyond(String, String)
        }
        let kind: Kind
        let isNegated: Bool
    }

    enum Item: Sendable {
        case host([String])
        case match([Criterion], Place)
        case set(Keyword, [String], Place)
        /// What `ssh` does not know, unless `IgnoreUnknown` names it.
        case unknown(String, Place)
        case include([File])
    }

    /// One file, read.
    struct File: Sendable {
        var items: [Item] = []
    }

    private let files: [File]

    init(files: [File] = []) { self.files = files }

    // MARK: Playing

    /// What the files say about a host.
    ///
    /// - Parameters:
    ///   - name: The name as given, before any `HostName`.
    ///   - localUser: Who runs this, for `Match localuser` and as the default of `Match user`.
    ///   - given: What was said before the first line of the files is played, as ssh's command line is: by
    ///     the inventory, or by whoever names a jump host.
    /// - Returns: Every value; the `hostName` is ready for use, the others have their tokens.
    /// - Throws: ``Problem`` where a `Match exec` would have to be decided.
    func values(for name: String, localUser: String, given: [Keyword: Value] = [:])
        throws(Problem) -> [Keyword: Value]
    {
        var play = Play(host: name, originalHost: name, localUser: localUser)
        play.values = given
        try play.run(files)
        play.resolve()
        guard play.wantsFinalPass else { return play.values }
        // `Match final`: everything once more, with the name that the first pass found.
        play.isFinalPass = true
        try play.run(files)
        return play.values
    }

    /// One pass over the files.
    private struct Play {
        var host: String
        let originalHost: String
        let localUser: String
        var values: [Keyword: Value] = [:]
        var isFinalPass = false
        var wantsFinalPass = false

        init(host: String, originalHost: String, localUser: String) {
            self.host = host
            self.originalHost = originalHost
            self.localUser = localUser
        }

        mutating func run(_ files: [File]) throws(Problem) {
            for file in files { try run(file, mayMatch: true, isActive: true) }
        }

        /// Settles the name to connect to.
        mutating func resolve() {
            host = SSHConfiguration.lowercasedName(resolvedHost)
            guard let known = values[.hostName] else { return }
            values[.hostName] = Value(words: [host], place: known.place)
        }

        /// The `HostName` found so far; only `%h` and `%%` stand for something in it.
        private var resolvedHost: String {
            guard let name = values[.hostName]?.first, !isFinalPass else { return host }
            return SSHConfiguration.hostName(name, for: host)
        }

        private mutating func run(_ file: File, mayMatch: Bool, isActive: Bool) throws(Problem) {
            var isActive = isActive
            for item in file.items {
                switch item {
                case .host(let patterns):
                    isActive = mayMatch && Patterns.matches(patterns, host)
                case .match(let criteria, let place):
                    let isMatch = try matches(criteria, place)
                    isActive = mayMatch && isMatch
                case .set(let keyword, let words, let place):
                    if isActive { try set(keyword, words, place) }
                case .unknown(let name, let place):
                    let ignored = values[.ignoreUnknown]?.first ?? ""
                    guard Patterns.matches(list: ignored.lowercased(), name) else {
                        throw Problem(place: place, reason: "`\(name)` is no setting of ssh's")
                    }
                case .include(let included):
                    // A file that is included where nothing applies may not say `Host *` either.
                    for file in included {
                        try run(file, mayMatch: mayMatch && isActive, isActive: isActive)
                    }
                }
            }
        }

        /// The most files of one kind (OpenSSH's SSH_MAX_IDENTITY_FILES).
        private static let fileLimit = 100

        private mutating func set(_ keyword: Keyword, _ words: [String], _ place: Place)
            throws(Problem)
        {
            switch keyword {
            // Whichever of the two comes first wins.
            case .proxyJump where values[.proxyCommand] != nil: return
            case .proxyCommand
            where values[.proxyJump].map({ $0.first.lowercased() != "none" }) ?? false: return
            case .hostName where isFinalPass: return
            // Settled by the first pass, whatever it said.
            case .canonicalizeHostname where isFinalPass: return
            case .canonicalizePermittedCNAMEs where isFinalPass: return
            // To ssh a time of `none` is the same as none said: a later line still counts.
            case .connectTimeout where words == ["none"]: return
            case .serverAliveInterval where words == ["none"]: return
            default: break
            }
            guard var known = values[keyword] else {
                values[keyword] = Value(words: words, place: place)
                return
            }
            guard keyword.accumulates else { return }
            guard known.words.count < Self.fileLimit else {
                throw Problem(
                    place: place,
                    reason: "there are more than \(Self.fileLimit) `\(keyword.rawValue)`"
                )
            }
            known.words += words.filter { !known.words.contains($0) }
            values[keyword] = known
        }

        private mutating func matches(_ criteria: [Criterion], _ place: Place) throws(Problem)
            -> Bool
        {
            var isMatch = true
            for criterion in criteria {
                let holds: Bool
                switch criterion.kind {
                case .all: holds = true
                case .canonical: holds = isFinalPass
                case .final:
                    wantsFinalPass = true
                    holds = isFinalPass
                case .host(let list):
                    holds = Patterns.matches(list: list.lowercased(), resolvedHost.lowercased())
                case .originalHost(let list):
                    holds = Patterns.matches(list: list.lowercased(), originalHost.lowercased())
                case .user(let list):
                    holds = Patterns.matches(list: list, values[.user]?.first ?? localUser)
                case .localUser(let list): holds = Patterns.matches(list: list, localUser)
                case .beyond(let name, let argument):
                    guard isMatch else { continue }
                    throw Problem(
                        place: place,
                        reason: "`Match \(name)` (`\(argument)`) is for ssh to decide",
                        isBeyond: true
                    )
                }
                if holds == criterion.isNegated { isMatch = false }
            }
            return isMatch
        }
    }

    /// A name in small letters; what looks like an address stays as it is written, as in ssh.
    static func lowercasedName(_ name: String) -> String {
        name.contains(":") ? name : SSHConfigurationReader.lowercased(name)
    }

    /// `HostName` with its two tokens written out.
    private static func hostName(_ text: String, for host: String) -> String {
        var result = ""
        var rest = text[...]
        while let percent = rest.firstIndex(of: "%") {
            result += rest[..<percent]
            let after = rest.index(after: percent)
            guard after < rest.endIndex else { break }
            result += rest[after] == "h" ? host : String(rest[after])
            rest = rest[rest.index(after: after)...]
        }
        return result + rest
    }
}

/// Lists of patterns in OpenSSH's files: one that is negated and matches excludes.
enum Patterns {
    /// Whether a list of words matches a name.
    static func matches(_ patterns: some Sequence<String>, _ name: String) -> Bool {
        var isMatch = false
        for pattern in patterns {
            let isNegated = pattern.hasPrefix("!")
            guard Glob.matches(isNegated ? String(pattern.dropFirst()) : pattern, name) else {
                continue
            }
            if isNegated { return false }
            isMatch = true
        }
        return isMatch
    }

    /// Whether a comma-separated list matches a name.
    static func matches(list: String, _ name: String) -> Bool {
        matches(list.split(separator: ",").map(String.init), name)
    }
}
