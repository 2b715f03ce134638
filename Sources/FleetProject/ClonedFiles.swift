internal import FleetDigest
internal import Glibc

/// What of the clone around a project a shell's command may run or read.
///
/// Whoever may push to the project may change those files, so an agreement to the command is one to their contents,
/// too. They are looked for from their side: a file counts if its name occurs in the command, however the
/// command is written, and so does every file that one of these names. A directory counts with all that is in it. That
/// counts more than will be used, which costs no more than a question.
struct ClonedFiles {
    /// The most files and directories that are looked at.
    private static let limit = 200_000
    /// Larger files are not looked through for the names of others, in bytes.
    private static let scriptLimitBytes = 1 << 20
    /// How many files are named where they count.
    private static let shownLimit = 3

    /// The clone's top, or the project's where it is no clone; links resolved.
    private let top: String
    /// Paths below the top, by their last component; nil if there are too many.
    private let places: [String: [String]]?

    init(around root: String) {
        top = Self.top(around: root)
        places = Self.places(below: top)
    }

    /// The clone's top, or the project's where it is no clone; links resolved.
    static func top(around root: String) -> String {
        let real = Project.realPath(root) ?? root
        var top = real
        while !top.isEmpty, access(top + "/.git", F_OK) != 0 {
            top = String(top[..<(top.lastIndex(of: "/") ?? top.startIndex)])
        }
        return top.isEmpty ? real : top
    }

    /// What is to be said behind a command that may use files of the clone; empty if it uses none.
    ///
    /// - Parameters:
    ///   - command: A command.
    ///   - hasTokens: Whether `%h` and its like are filled in before it is run.
    /// - Returns: Which files count, and their digest.
    func note(on command: String, hasTokens: Bool = false) -> String {
        guard let places else { return SensitiveValue.unknown(" of more than \(Self.limit) files") }
        // A token stands for something that is not known here, as a variable does.
        let written =
            hasTokens
            ? command.replacing("%%", with: "\u{1}").replacing(/%[A-Za-z]/, with: "${T}")
                .replacing("\u{1}", with: "%%") : command
        let text = Self.plain(written, outside: top)
        guard !Self.isPutTogether(text) else {
            guard let all = digest(of: [""]) else { return SensitiveValue.unknown("") }
            return " with everything in the project (sha256:\(all))"
        }
        var found = Set(paths(named: Self.withoutVariables(text), among: places))
        // What stands beside a variable in a name is a pattern of names.
        found.formUnion(paths(named: Self.varied(text), among: places))
        var scripts = Array(found)
        while let path = scripts.popLast() {
            guard let text = script(at: path) else { continue }
            for name in paths(named: text, among: places, isScript: true)
            where found.insert(name).inserted { scripts.append(name) }
        }
        guard !found.isEmpty else { return "" }
        guard let digest = digest(of: found) else { return SensitiveValue.unknown("") }
        let names = found.sorted()
        let more = names.count - Self.shownLimit
        let shown = names.prefix(Self.shownLimit).joined(separator: ", ")
        return " with \(shown)\(more > 0 ? " and \(more) more" : "") (sha256:\(digest))"
    }

    /// The files and directories whose names occur in a text.
    ///
    /// A word of a script that is also a directory's name, or as
    /// short as a word can be, is mostly not meant.
    private func paths(named text: String, among places: [String: [String]], isScript: Bool = false)
        -> [String]
    {
        let patterns = isScript ? [] : Self.patterns(in: text)
        let bytes = Array(text.utf8)
        return places.flatMap { name, paths in
            guard !isScript || name.utf8.count > 3,
                Self.occurs(name, in: bytes)
                    || patterns.contains(where: { fnmatch($0, name, 0) == 0 })
            else { return [String]() }
            return isScript
                ? paths.filter { Project.kind(of: "\(top)/\($0)") != S_IFDIR } : paths
        }
    }

    // MARK: Names

    private static func places(below top: String) -> [String: [String]]? {
        var places: [String: [String]] = [:]
        var count = 0
        var folders = [""]
        while let folder = folders.popLast() {
            for name in Project.names(inDirectory: "\(top)/\(folder)") where name != ".git" {
                count += 1
                guard count <= limit else { return nil }
                let path = folder.isEmpty ? name : "\(folder)/\(name)"
                places[name, default: []].append(path)
                if Project.kind(of: "\(top)/\(path)") == S_IFDIR { folders.append(path) }
            }
        }
        return places
    }

    /// A command without its quotes, and without the programs of this machine that it names by their whole path.
    private static func plain(_ command: String, outside top: String) -> String {
        let bytes = command.replacing("%%", with: "%").utf8.filter { !"\"'\\".utf8.contains($0) }
        var kept: [UInt8] = []
        var word: [UInt8] = []
        func end() {
            defer { word = [] }
            let text = String(decoding: word, as: UTF8.self)
            let isElsewhere =
                text.hasPrefix("/")
                && Project.realPath(text).map { $0 != top && !$0.hasPrefix(top + "/") } ?? false
            // An option's value may stand right behind its letter.
            if !isElsewhere { kept += word }
            if text.hasPrefix("-"), word.count > 2 { kept += [0x20] + word.dropFirst(2) }
        }
        for byte in bytes {
            if byte <= 0x20 || ":=;|&()<>{},".utf8.contains(byte) {
                end()
                kept.append(byte)
            } else {
                word.append(byte)
            }
        }
        end()
        return String(decoding: kept, as: UTF8.self)
    }

    /// The parts of names that are patterns.
    private static func patterns(in text: String) -> [String] {
        text.utf8.split { $0 <= 0x20 || "/:=;|&()<>{},".utf8.contains($0) }.map {
            String(decoding: Array($0), as: UTF8.self)
        }
        .filter { $0.contains { "*?[".contains($0) } && !$0.allSatisfy { $0 == "*" } }
    }

    /// Whether a shell puts names together in it that do not stand there: by a command's output, by a variable's
    /// value with a default, or as a variable in a directory.
    private static func isPutTogether(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        func isPart(_ index: Int) -> Bool {
            bytes.indices.contains(index)
                && (isName(bytes[index]) || "/.-".utf8.contains(bytes[index]))
        }
        for (index, byte) in bytes.enumerated() {
            let next = index + 1 < bytes.count ? bytes[index + 1] : 0x20
            if byte == UInt8(ascii: "`") {
                if isPart(index - 1) || isPart(index + 1) && isPart(index - 1) { return true }
                continue
            }
            guard byte == UInt8(ascii: "$") else { continue }
            if next == UInt8(ascii: "(") {
                var depth = 0
                var end = index + 1
                while end < bytes.count {
                    if bytes[end] == UInt8(ascii: "(") { depth += 1 }
                    if bytes[end] == UInt8(ascii: ")") { depth -= 1 }
                    if depth == 0 { break }
                    end += 1
                }
                let isDirectory = end + 1 < bytes.count && bytes[end + 1] == UInt8(ascii: "/")
                if isPart(index - 1) || isPart(end + 1) && !isDirectory { return true }
            } else if next == UInt8(ascii: "{") {
                let end = bytes[index...].firstIndex(of: UInt8(ascii: "}"))
                guard let end, bytes[(index + 2)..<end].allSatisfy(isName) else { return true }
                if index > 0, bytes[index - 1] == UInt8(ascii: "/"), !isPart(end + 1) {
                    return true
                }
            } else if isName(next), index > 0, bytes[index - 1] == UInt8(ascii: "/") {
                let end = bytes[(index + 1)...].firstIndex { !isName($0) } ?? bytes.count
                if !isPart(end) { return true }
            }
        }
        return false
    }

    /// A text as it is if its variables are empty: nothing is hidden in the middle of a name.
    private static func withoutVariables(_ text: String) -> String {
        text.replacing(/\$(\{[A-Za-z0-9_]*\}|[A-Za-z_][A-Za-z0-9_]*)|`/, with: "")
    }

    /// A text with a pattern for each of its variables.
    private static func varied(_ text: String) -> String {
        text.replacing(/\$(\{[A-Za-z0-9_]*\}|[A-Za-z_][A-Za-z0-9_]*)|`/, with: "*")
    }

    private static func isName(_ byte: UInt8) -> Bool {
        byte == 0x5F || (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
            || (0x61...0x7A).contains(byte)
    }

    /// Whether a file's name occurs in a text, not as the beginning of a longer word; a short name must not be the end
    /// of one either.
    private static func occurs(_ name: String, in text: [UInt8]) -> Bool {
        let name = Array(name.utf8)
        guard !name.isEmpty, text.count >= name.count else { return false }
        for start in 0...(text.count - name.count) where text[start] == name[0] {
            guard text[start..<(start + name.count)].elementsEqual(name) else { continue }
            let end = start + name.count
            guard end == text.count || !isName(text[end]) else { continue }
            if name.count > 3 || start == 0 || !isName(text[start - 1]) { return true }
        }
        return false
    }

    // MARK: Contents

    private func script(at path: String) -> String? {
        guard
            let bytes = Project.contents(
                ofFile: "\(top)/\(path)",
                limitBytes: Self.scriptLimitBytes
            )
        else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// One digest for all that is at some paths and below; nil if something of it cannot be known.
    private func digest(of paths: Set<String>) -> String? {
        var found: Set<String> = []
        for path in paths {
            guard
                let below = Project.digests(
                    of: path.isEmpty ? top : "\(top)/\(path)",
                    around: top
                )
            else {
                return nil
            }
            for line in below { found.insert("\(path) \(line)") }
        }
        return SHA256Digest(of: found.sorted().joined(separator: "\n")).description
    }
}
