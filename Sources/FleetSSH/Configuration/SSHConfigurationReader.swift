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
        return try reader.parse(text.utf8, file: file, depth: 0)
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
            // A pattern also finds directories; for ssh they are files without a line.
            if code == EISDIR {
                if depth > 0 || isUsers, let reason = Self.ownershipProblem(path) {
                    throw Problem(place: start, reason: reason)
                }
                return nil
            }
            let reason = String(cString: strerror(code))
            throw Problem(place: place ?? start, reason: "\(path) cannot be read: \(reason)")
        }
        if depth > 0 || isUsers, let reason = Self.ownershipProblem(path) {
            throw Problem(place: start, reason: reason)
        }
        return try parse(data, file: path, depth: depth)
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

    private mutating func parse(_ bytes: some Sequence<UInt8>, file: String, depth: Int)
        throws(Problem) -> SSHConfiguration.File
    {
        var result = SSHConfiguration.File()
        var number = 0
        // By bytes: to Swift a carriage return and a line feed are one Character, and no line feed.
        for line in Array(bytes).split(separator: 0x0A, omittingEmptySubsequences: false) {
            number += 1
            let place = Place(file: file, line: number)
            if let item = try item(line, at: place, depth: depth) { result.items.append(item) }
        }
        return result
    }

    // MARK: Lines

    private mutating func item(_ raw: ArraySlice<UInt8>, at place: Place, depth: Int)
        throws(Problem) -> SSHConfiguration.Item?
    {
        // As in C, a line ends at a zero byte; and its first byte stays, whatever it is.
        var line = raw.prefix { $0 != 0 }
        while line.count > 1, let last = line.last, Self.isSpace(last) || last == 0x0C {
            line.removeLast()
        }
        var rest: ArraySlice<UInt8>? = line
        var word = Self.word(&rest)
        if word?.isEmpty ?? false { word = Self.word(&rest) }
        // As to ssh, a keyword whose quotation is not closed is no line at all.
        guard let word, let first = word.first, first != UInt8(ascii: "#") else { return nil }
        let written = String(decoding: word, as: UTF8.self)
        let text = (rest ?? []).drop(while: Self.isSpace)
        guard !text.isEmpty else {
            throw Problem(place: place, reason: "`\(written)` needs a value")
        }
        guard let words = Self.words(text) else {
            throw Problem(place: place, reason: "a quotation is not closed")
        }
        let name = Self.lowercased(written)
        switch name {
        case "host":
            guard !words.contains("") else {
                throw Problem(place: place, reason: "`Host` has an empty pattern")
            }
            return .host(words)
        case "match": return .match(try criteria(text, at: place), place)
        case "include": return .include(try included(words, at: place, depth: depth))
        default: break
        }
        if ConfigurationKeyword.forgotten.contains(name) { return nil }
        guard let keyword = ConfigurationKeyword.named(name) else { return .unknown(name, place) }
        let values = try values(of: keyword, words, text, at: place)
        return keyword.value.map { .set($0, values, place) }
    }

    private func values(
        of keyword: ConfigurationKeyword,
        _ words: [String],
        _ rest: ArraySlice<UInt8>,
        at place: Place
    ) throws(Problem) -> [String] {
        func refuse(_ expected: String) -> Problem {
            Problem(place: place, reason: "`\(keyword.name)` is \(expected), not `\(words[0])`")
        }
        switch keyword.syntax {
        case .anything, .structure: return words
        case .command:
            let command = rest.drop { Self.isSpace($0) || $0 == UInt8(ascii: "=") }
            return [String(decoding: command, as: UTF8.self)]
        case .jump:
            let text = rest.drop { Self.isSpace($0) || $0 == UInt8(ascii: "=") }
            // Quotes mean nothing here, and whatever follows the first blank is not read.
            let list = String(
                decoding: text.prefix { !Self.isSpace($0) && $0 != UInt8(ascii: "#") },
                as: UTF8.self
            )
            guard list.lowercased() == "none" || JumpHop.list(list) != nil else {
                throw Problem(
                    place: place,
                    reason: "`ProxyJump` is [user@]host[:port], more of them with commas, not "
                        + "`\(list)`"
                )
            }
            return [list]
        default: break
        }
        guard let word = words.first, !word.isEmpty else {
            throw Problem(place: place, reason: "`\(keyword.name)` needs a value")
        }
        var value = word
        switch keyword.syntax {
        case .texts:
            guard !words.contains("") else {
                throw Problem(place: place, reason: "`\(keyword.name)` has an empty name")
            }
            guard words.count == 1 || !words.contains(where: { $0.lowercased() == "none" }) else {
                throw Problem(place: place, reason: "`none` has to stand alone")
            }
            return words
        case .variables:
            guard words.allSatisfy({ $0.contains("=") }) else { throw refuse("NAME=VALUE") }
            return words
        case .flag:
            guard Self.flag(word) != nil else { throw refuse("yes or no") }
        case .choice(let known):
            guard known.contains(Self.lowercased(word)) else {
                throw refuse("one of \(known.joined(separator: ", "))")
            }
        case .number:
            guard let number = Self.number(word, upTo: Int(Int32.max)) else {
                throw refuse("a number")
            }
            value = String(number)
        case .time:
            guard word == "none" || Self.seconds(word) != nil else {
                throw refuse("a time, as in 10 or 1m")
            }
        case .port:
            guard let port = Self.port(word) else { throw refuse("a number from 1 to 65535") }
            value = String(port)
        case .agent:
            if word.hasPrefix("$"), !word.hasPrefix("${"), !Self.isVariable(word.dropFirst()) {
                throw refuse("a socket or a variable")
            }
            if word.contains("${"), !word.contains("}") { throw refuse("a socket or a variable") }
        case .text, .anything, .structure, .command, .jump: break
        }
        guard words.count == 1 else {
            throw Problem(
                place: place,
                reason: "`\(keyword.name)` takes one value; `\(words[1])` is one too many"
            )
        }
        return [value]
    }

    /// `yes` and `no`, and their other names.
    static func flag(_ word: String) -> Bool? {
        switch lowercased(word) {
        case "yes", "true": true
        case "no", "false": false
        default: nil
        }
    }

    /// strtonum(3): a whole number from 0, with white space and a sign in front of it if need be.
    static func number(_ text: String, upTo limit: Int) -> Int? {
        var end: UnsafeMutablePointer<CChar>?
        return text.withCString { start in
            errno = 0
            let number = strtoll(start, &end, 10)
            guard let end, end > UnsafeMutablePointer(mutating: start), end.pointee == 0,
                errno == 0, (0...limit).contains(Int(number))
            else { return nil }
            return Int(number)
        }
    }

    /// A TCP port, by its number or its name in services(5).
    static func port(_ text: String) -> Int? {
        if let number = number(text, upTo: 65_535) { return number > 0 ? number : nil }
        var entry = servent()
        var found: UnsafeMutablePointer<servent>?
        var buffer = [CChar](repeating: 0, count: 4096)
        guard getservbyname_r(text, "tcp", &entry, &buffer, buffer.count, &found) == 0, found != nil
        else { return nil }
        return Int(UInt16(truncatingIfNeeded: entry.s_port).byteSwapped)
    }

    private static func isVariable(_ name: Substring) -> Bool {
        !name.isEmpty
            && name.utf8.allSatisfy {
                $0 == 0x5F || (0x30...0x39).contains($0) || (0x41...0x5A).contains($0)
                    || (0x61...0x7A).contains($0)
            }
    }

    /// In small letters, as C has it: those of ASCII.
    static func lowercased(_ text: String) -> String {
        String(
            decoding: text.utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 },
            as: UTF8.self
        )
    }

    /// sshd_config(5), TIME FORMATS: `90`, `1m30s`, `2h`; in seconds.
    static func seconds(_ text: String) -> Int? {
        let units: [UInt8: Int] = [
            0x73: 1, 0x6D: 60, 0x68: 3600, 0x64: 86_400, 0x77: 604_800,
        ]
        let limit = Int(Int32.max)
        var total = 0
        var rest = text.utf8[...]
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { (0x30...0x39).contains($0) }
            rest = rest.dropFirst(digits.count)
            guard let number = Int(Substring(digits)), number <= limit else { return nil }
            var factor = 1
            if let unit = rest.popFirst() {
                guard let known = units[unit | 0x20] else { return nil }
                factor = known
            }
            guard number <= limit / factor, total + number * factor <= limit else { return nil }
            total += number * factor
        }
        return total
    }

    private func criteria(_ text: ArraySlice<UInt8>, at place: Place) throws(Problem)
        -> [SSHConfiguration.Criterion]
    {
        var criteria: [SSHConfiguration.Criterion] = []
        var rest: ArraySlice<UInt8>? = text
        func next() -> String? {
            guard let word = Self.word(&rest), let first = word.first,
                first != UInt8(ascii: "#")
            else { return nil }
            return String(decoding: word, as: UTF8.self)
        }
        while let raw = next() {
            let isNegated = raw.hasPrefix("!")
            let name = Self.lowercased(String(isNegated ? raw.dropFirst() : raw[...]))
            let kind: SSHConfiguration.Criterion.Kind
            switch name {
            case "all":
                guard criteria.count < 2, next() == nil else {
                    throw Problem(place: place, reason: "`Match all` takes no other condition")
                }
                kind = .all
            case "canonical": kind = .canonical
            case "final": kind = .final
            case "host", "originalhost", "user", "localuser", "exec", "localnetwork", "tagged",
                "command", "version", "sessiontype":
                guard let argument = next() else {
                    throw Problem(place: place, reason: "`Match \(name)` needs a value")
                }
                switch name {
                case "host": kind = .host(argument)
                case "originalhost": kind = .originalHost(argument)
                case "user": kind = .user(argument)
                case "localuser": kind = .localUser(argument)
                default: kind = .beyond(name, argument)
                }
            default:
                throw Problem(place: place, reason: "`Match \(raw)` is no condition of ssh's")
            }
            criteria.append(SSHConfiguration.Criterion(kind: kind, isNegated: isNegated))
            if kind == .all { break }
        }
        guard !criteria.isEmpty else {
            throw Problem(place: place, reason: "`Match` needs a condition")
        }
        return criteria
    }

    private mutating func included(_ words: [String], at place: Place, depth: Int)
        throws(Problem) -> [SSHConfiguration.File]
    {
        var files: [SSHConfiguration.File] = []
        for word in words {
            var path = word
            guard !path.isEmpty else {
                throw Problem(place: place, reason: "`Include` has an empty name")
            }
            if path.hasPrefix("~") {
                guard isUsers else {
                    throw Problem(place: place, reason: "`\(word)` cannot be included here")
                }
                // Another account's home is glob's to find.
                if path == "~" || path.hasPrefix("~/") { path = home + path.dropFirst() }
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
            GLOB_TILDE,
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

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0D || byte == 0x0A
    }

    /// OpenSSH's strdelim(): one word, which quotes may hold together, and what follows it; one `=`
    /// counts as white space.
    ///
    /// - Parameter text: What is left of the line; nil where nothing is.
    /// - Returns: The word; nil at the end, and where a quotation is not closed.
    private static func word(_ text: inout ArraySlice<UInt8>?) -> [UInt8]? {
        guard let line = text else { return nil }
        let quote = UInt8(ascii: "\"")
        let equals = UInt8(ascii: "=")
        guard let stop = line.firstIndex(where: { isSpace($0) || $0 == quote || $0 == equals })
        else {
            text = nil
            return Array(line)
        }
        var rest = line[(stop + 1)...]
        if line[stop] == quote {
            guard let close = rest.firstIndex(of: quote) else {
                text = nil
                return nil
            }
            text = rest[(close + 1)...].drop(while: isSpace)
            return Array(line[..<stop] + rest[..<close])
        }
        rest = rest.drop(while: isSpace)
        if rest.first == equals, line[stop] != equals {
            rest = rest.dropFirst().drop(while: isSpace)
        }
        text = rest
        return Array(line[..<stop])
    }

    /// OpenSSH's argv_split(): words, quotes, escapes, and a comment at the end; nil if a quotation
    /// is not closed.
    static func words(_ text: some Sequence<UInt8>) -> [String]? {
        let (single, double) = (UInt8(ascii: "'"), UInt8(ascii: "\""))
        let (slash, blank) = (UInt8(ascii: "\\"), UInt8(ascii: " "))
        var words: [String] = []
        let bytes = Array(text)
        var index = 0
        while index < bytes.count {
            if bytes[index] == blank || bytes[index] == 0x09 {
                index += 1
                continue
            }
            if bytes[index] == UInt8(ascii: "#") { break }
            var word: [UInt8] = []
            var quote: UInt8?
            while index < bytes.count {
                let byte = bytes[index]
                let next = index + 1 < bytes.count ? bytes[index + 1] : 0
                if byte == slash,
                    [single, double, slash].contains(next) || quote == nil && next == blank
                {
                    word.append(next)
                    index += 1
                } else if quote == nil, byte == blank || byte == 0x09 {
                    break
                } else if quote == nil, byte == double || byte == single {
                    quote = byte
                } else if byte == quote {
                    quote = nil
                } else {
                    word.append(byte)
                }
                index += 1
            }
            guard quote == nil else { return nil }
            words.append(String(decoding: word, as: UTF8.self))
        }
        return words
    }
}
