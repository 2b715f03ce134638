internal import FleetFiles
internal import FleetTransport
internal import Glibc

/// Reads ssh_config(5) files into an ``SSHConfiguration``.
///
/// A file that `ssh` would refuse is refused here too, by file and line: a setting that is silently
/// not in force is how a deploy reaches the wrong machine.
struct SSHConfigurationReader {
    /// How deep `Include` may nest (OpenSSH's READCONF_MAX_DEPTH).
    static let includeLimit = 16

    typealias Problem = SSHConfiguration.Problem
    typealias Place = SSHConfiguration.Place

    private let home: String
    private let isUsers: Bool
    private var ignored: [String] = []

    private init(home: String, isUsers: Bool) {
        self.home = home
        self.isUsers = isUsers
    }

    /// Reads the user's file and the machine's; either may be missing.
    ///
    /// - Throws: ``SSHConfiguration/Problem``.
    static func read(user: String, system: String, home: String) throws(Problem)
        -> SSHConfiguration
    {
        var files: [SSHConfiguration.File] = []
        for (path, isUsers) in [(user, true), (system, false)] {
            var reader = SSHConfigurationReader(home: home, isUsers: isUsers)
            if let file = try reader.file(path, depth: 0) { files.append(file) }
        }
        return SSHConfiguration(files: files)
    }

    /// Reads a text as if it were the user's file.
    static func read(text: String, file: String, home: String) throws(Problem)
        -> SSHConfiguration.File
    {
        var reader = SSHConfigurationReader(home: home, isUsers: true)
        return try reader.parse(text, file: file, depth: 0)
    }

    private mutating func file(_ path: String, depth: Int, at place: Place? = nil)
        throws(Problem) -> SSHConfiguration.File?
    {
        let start = Place(file: path, line: 1)
        guard depth <= Self.includeLimit else {
            throw Problem(place: start, reason: "too many files include each other")
        }
        guard let data = WholeFile.read(path) else {
            let code = errno
            // Only what is not there may be passed over: what it says decides which machine is reached.
            guard code != ENOENT, code != ENOTDIR else { return nil }
            let reason = String(cString: strerror(code))
            throw Problem(place: place ?? start, reason: "\(path) cannot be read: \(reason)")
        }
        if isUsers, let reason = Self.ownershipProblem(path) {
            throw Problem(place: start, reason: reason)
        }
        return try parse(String(decoding: data, as: UTF8.self), file: path, depth: depth)
    }

    /// As ssh does it: whoever can write this file decides what runs.
    private static func ownershipProblem(_ path: String) -> String? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        guard status.st_uid == 0 || status.st_uid == getuid() else {
            return "it belongs to another user"
        }
        return status.st_mode & 0o022 == 0 ? nil : "others may write to it (chmod 600 \(path))"
    }

    private mutating func parse(_ text: String, file: String, depth: Int) throws(Problem)
        -> SSHConfiguration.File
    {
        var result = SSHConfiguration.File()
        var number = 0
        // By bytes: to Swift a carriage return and a line feed are one Character, and no line feed.
        for raw in text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false) {
            number += 1
            let place = Place(file: file, line: number)
            if let item = try item(String(Substring(raw)), at: place, depth: depth) {
                result.items.append(item)
            }
        }
        return result
    }

    // MARK: Lines

    private mutating func item(_ raw: String, at place: Place, depth: Int) throws(Problem)
        -> SSHConfiguration.Item?
    {
        var line = raw[...]
        while let last = line.unicodeScalars.last, " \t\r\u{0C}".unicodeScalars.contains(last) {
            line.unicodeScalars.removeLast()
        }
        line = line.drop { Self.isSpace($0) }
        guard let first = line.first, first != "#" else { return nil }
        let (keyword, rest) = Self.word(line, splitsAtEquals: true)
        let name = keyword.lowercased()
        if Self.ignorable.contains(name) || Patterns.matches(ignored, name) { return nil }
        guard !rest.isEmpty else {
            throw Problem(place: place, reason: "`\(keyword)` needs a value")
        }
        guard let words = Self.words(rest) else {
            throw Problem(place: place, reason: "a quotation is not closed")
        }
        switch name {
        case "host": return .host(words)
        case "match": return .match(try criteria(rest, at: place), place)
        case "include": return .include(try included(words, at: place, depth: depth))
        case "ignoreunknown":
            ignored = words.flatMap { $0.split(separator: ",").map { String($0).lowercased() } }
            return nil
        case "canonicalizehostname":
            guard words.first?.lowercased() == "no" else {
                throw Problem(
                    place: place,
                    reason: "`CanonicalizeHostname` is for ssh to obey",
                    isBeyond: true
                )
            }
            return nil
        default:
            guard let keyword = SSHConfiguration.Keyword(rawValue: name) else {
                throw Problem(place: place, reason: "`\(keyword)` is no setting of ssh's")
            }
            return try set(keyword, words, String(rest), at: place)
        }
    }

    private func set(
        _ keyword: SSHConfiguration.Keyword,
        _ words: [String],
        _ rest: String,
        at place: Place
    ) throws(Problem) -> SSHConfiguration.Item {
        guard let word = words.first, !word.isEmpty else {
            throw Problem(place: place, reason: "`\(keyword.rawValue)` needs a value")
        }
        func refuse(_ expected: String) -> Problem {
            Problem(place: place, reason: "`\(keyword.rawValue)` is \(expected), not `\(word)`")
        }
        switch keyword {
        case .proxyCommand, .knownHostsCommand:
            return .set(keyword, [rest], place)
        case .userKnownHostsFile, .globalKnownHostsFile:
            return .set(keyword, words, place)
        case .port:
            guard let port = Int(word), (1...65_535).contains(port) else {
                throw refuse("a number from 1 to 65535")
            }
        case .identitiesOnly:
            guard Self.flag(word) != nil else { throw refuse("yes or no") }
        case .pubkeyAuthentication:
            let known = ["yes", "true", "no", "false", "unbound", "host-bound"]
            guard known.contains(word.lowercased()) else {
                throw refuse("yes, no, unbound or host-bound")
            }
        case .strictHostKeyChecking:
            let known = ["yes", "true", "no", "false", "off", "ask", "accept-new"]
            guard known.contains(word.lowercased()) else {
                throw refuse("yes, no, ask or accept-new")
            }
        case .connectTimeout, .serverAliveInterval:
            guard word == "none" || Self.seconds(word) != nil else {
                throw refuse("a time, as in 10 or 1m")
            }
        case .serverAliveCountMax:
            guard let count = Int(word), count >= 0 else { throw refuse("a number") }
        case .addressFamily:
            guard ["any", "inet", "inet6"].contains(word.lowercased()) else {
                throw refuse("any, inet or inet6")
            }
        case .proxyJump:
            guard word.lowercased() == "none" || JumpHop.list(word) != nil else {
                throw refuse("[user@]host[:port], more of them with commas")
            }
        case .hostName, .user, .identityFile, .identityAgent, .certificateFile, .hostKeyAlias,
            .revokedHostKeys, .hostKeyAlgorithms:
            break
        }
        guard words.count == 1 else {
            throw Problem(
                place: place,
                reason: "`\(keyword.rawValue)` takes one value; `\(words[1])` is one too many"
            )
        }
        return .set(keyword, [word], place)
    }

    /// `yes` and `no`, and their other names.
    static func flag(_ word: String) -> Bool? {
        switch word.lowercased() {
        case "yes", "true": true
        case "no", "false": false
        default: nil
        }
    }

    /// sshd_config(5), TIME FORMATS: `90`, `1m30s`, `2h`; in seconds.
    static func seconds(_ text: String) -> Int? {
        let units: [Character: Int] = [
            "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800,
        ]
        var total = 0
        var digits = ""
        for character in text.lowercased() {
            if character.isASCII, character.isNumber {
                digits.append(character)
            } else {
                guard let unit = units[character], let number = Int(digits) else { return nil }
                total += number * unit
                digits = ""
            }
            guard total < 1 << 31, digits.count < 10 else { return nil }
        }
        guard let number = Int(digits) else { return text.isEmpty || total == 0 ? nil : total }
        return total + number
    }

    private func criteria(_ rest: Substring, at place: Place) throws(Problem)
        -> [SSHConfiguration.Criterion]
    {
        var criteria: [SSHConfiguration.Criterion] = []
        var rest = rest
        while !rest.isEmpty, !rest.hasPrefix("#") {
            let (raw, after) = Self.word(rest, splitsAtEquals: true)
            rest = after
            let isNegated = raw.hasPrefix("!")
            let name = raw.drop { $0 == "!" }.lowercased()
            let kind: SSHConfiguration.Criterion.Kind
            switch name {
            case "all":
                let isAlone = criteria.allSatisfy { $0.kind == .final || $0.kind == .canonical }
                guard isAlone, rest.isEmpty || rest.hasPrefix("#") else {
                    throw Problem(place: place, reason: "`Match all` takes no other condition")
                }
                kind = .all
            case "canonical": kind = .canonical
            case "final": kind = .final
            case "host", "originalhost", "user", "localuser", "exec":
                let (argument, behind) = Self.word(rest, splitsAtEquals: true)
                guard !argument.isEmpty, !argument.hasPrefix("#") else {
                    throw Problem(place: place, reason: "`Match \(name)` needs a value")
                }
                rest = behind
                switch name {
                case "host": kind = .host(argument)
                case "originalhost": kind = .originalHost(argument)
                case "user": kind = .user(argument)
                case "localuser": kind = .localUser(argument)
                default: kind = .exec(argument)
                }
            default:
                let isKnown = ["localnetwork", "tagged", "command", "version", "sessiontype"]
                    .contains(name)
                throw Problem(
                    place: place,
                    reason: isKnown
                        ? "`Match \(raw)` is for ssh to decide"
                        : "`Match \(raw)` is no condition of ssh's",
                    isBeyond: isKnown
                )
            }
            criteria.append(SSHConfiguration.Criterion(kind: kind, isNegated: isNegated))
        }
        return criteria
    }

    private mutating func included(_ words: [String], at place: Place, depth: Int)
        throws(Problem) -> [SSHConfiguration.File]
    {
        var files: [SSHConfiguration.File] = []
        for word in words {
            var path = word
            if path.hasPrefix("~") {
                guard isUsers, path.hasPrefix("~/") else {
                    throw Problem(place: place, reason: "`\(word)` cannot be included here")
                }
                path = home + path.dropFirst()
            } else if !path.hasPrefix("/") {
                path = (isUsers ? home + "/.ssh/" : "/etc/ssh/") + path
            }
            guard let matches = Self.glob(path) else {
                throw Problem(
                    place: place,
                    reason: "`\(word)` cannot be looked up: a directory of it cannot be read"
                )
            }
            for match in matches {
                if let file = try file(match, depth: depth + 1, at: place) { files.append(file) }
            }
        }
        return files
    }

    /// The paths that a shell pattern stands for, sorted; nil if a directory is there and cannot be read.
    private static func glob(_ pattern: String) -> [String]? {
        var found = glob_t()
        defer { globfree(&found) }
        let status = Glibc.glob(
            pattern,
            0,
            { _, reason in [ENOENT, ENOTDIR].contains(reason) ? 0 : 1 },
            &found
        )
        guard status != GLOB_ABORTED else { return nil }
        guard status == 0 else { return [] }
        return (0..<Int(found.gl_pathc)).compactMap { index in
            found.gl_pathv[index].map { String(cString: $0) }
        }
    }

    // MARK: Words

    private static func isSpace(_ character: Character) -> Bool {
        character == " " || character == "\t" || character == "\r"
    }

    /// OpenSSH's strdelim(): one word, which quotes may hold together, and what follows it; one `=`
    /// counts as white space.
    private static func word(_ text: Substring, splitsAtEquals: Bool) -> (String, Substring) {
        var rest = text
        var word = ""
        if rest.first == "\"" {
            rest = rest.dropFirst()
            word = String(rest.prefix { $0 != "\"" })
            rest = rest.dropFirst(word.count).dropFirst()
        } else {
            word = String(
                rest.prefix { !isSpace($0) && $0 != "\"" && !(splitsAtEquals && $0 == "=") }
            )
            rest = rest.dropFirst(word.count)
        }
        rest = rest.drop(while: isSpace)
        if splitsAtEquals, rest.first == "=" { rest = rest.dropFirst().drop(while: isSpace) }
        return (word, rest)
    }

    /// OpenSSH's argv_split(): words, quotes, escapes, and a comment at the end; nil if a quotation
    /// is not closed.
    static func words(_ text: Substring) -> [String]? {
        var words: [String] = []
        let characters = Array(text)
        var index = 0
        while index < characters.count {
            if isSpace(characters[index]) {
                index += 1
                continue
            }
            if characters[index] == "#" { break }
            var word = ""
            var quote: Character?
            while index < characters.count {
                let character = characters[index]
                let next = index + 1 < characters.count ? characters[index + 1] : nil
                if character == "\\", let next,
                    "'\"\\".contains(next) || quote == nil && next == " "
                {
                    word.append(next)
                    index += 1
                } else if quote == nil, isSpace(character) {
                    break
                } else if quote == nil, character == "\"" || character == "'" {
                    quote = character
                } else if character == quote {
                    quote = nil
                } else {
                    word.append(character)
                }
                index += 1
            }
            guard quote == nil else { return nil }
            words.append(word)
        }
        return words
    }

    /// ssh's other settings (ssh_config(5) of OpenSSH 10): known, and of no concern to fleet.
    private static let ignorable: Set<String> = [
        "addkeystoagent", "batchmode", "bindaddress", "bindinterface", "canonicaldomains",
        "canonicalizefallbacklocal", "canonicalizemaxdots", "canonicalizepermittedcnames",
        "casignaturealgorithms", "challengeresponseauthentication", "channeltimeout",
        "checkhostip", "cipher", "ciphers", "clearallforwardings", "compression",
        "compressionlevel", "connectionattempts", "controlmaster", "controlpath",
        "controlpersist", "dsaauthentication", "dynamicforward", "enableescapecommandline",
        "enablesshkeysign", "escapechar", "exitonforwardfailure", "fingerprinthash",
        "forkafterauthentication", "forwardagent", "forwardx11", "forwardx11timeout",
        "forwardx11trusted", "gatewayports", "gssapiauthentication",
        "gssapiclientidentity", "gssapidelegatecredentials", "gssapikexalgorithms",
        "gssapikeyexchange", "gssapirenewalforcesrekey", "gssapiserveridentity",
        "gssapitrustdns", "hashknownhosts", "hostbasedacceptedalgorithms",
        "hostbasedauthentication", "hostbasedkeytypes", "ipqos",
        "kbdinteractiveauthentication", "kbdinteractivedevices", "keepalive", "kexalgorithms",
        "localcommand", "localforward", "loglevel", "logverbose", "macs",
        "nohostauthenticationforlocalhost", "numberofpasswordprompts", "obscurekeystroketiming",
        "passwordauthentication", "permitlocalcommand", "permitremoteopen", "pkcs11provider",
        "preferredauthentications", "protocol", "proxyusefdpass", "pubkeyacceptedalgorithms",
        "pubkeyacceptedkeytypes", "refuseconnection", "rekeylimit",
        "remotecommand", "remoteforward", "requesttty", "requiredrsasize",
        "rhostsrsaauthentication", "rsaauthentication", "securitykeyprovider", "sendenv",
        "sessiontype", "setenv", "smartcarddevice", "stdinnull", "streamlocalbindmask",
        "streamlocalbindunlink", "syslogfacility", "tag", "tcpkeepalive", "tunnel",
        "tunneldevice", "updatehostkeys", "useprivilegedport", "usekeychain",
        "verifyhostkeydns", "versionaddendum", "visualhostkey", "warnweakcrypto",
        "xauthlocation",
    ]
}
