internal import FleetDigest
internal import FleetPlaybook
internal import FleetTransport
internal import Glibc

/// Where the files are that a project's files name, and what they hold.
extension Project {
    /// A path of the project's files as one of this machine, whatever directory fleet was started in.
    func place(_ path: String) -> String { path.hasPrefix("/") ? path : "\(root)/\(path)" }

    /// The way a path is written in the project, where it was made one of this machine.
    func shown(_ path: String) -> String {
        path.hasPrefix(root + "/") ? String(path.dropFirst(root.utf8.count + 1)) : path
    }

    /// Where a path leads that is a link, or goes through one; empty for one that is what it says.
    func linkNote(_ path: String) -> String {
        let place = place(Self.atHome(path))
        guard let real = Self.realPath(place) else {
            // A link may lead to what is not there yet.
            return Self.link(at: place).map { " -> \($0)" } ?? ""
        }
        let top = Self.realPath(root) ?? root
        let straight = place.hasPrefix(root + "/") ? top + place.dropFirst(root.utf8.count) : place
        return real == Self.normal(straight) ? "" : " -> \(real)"
    }

    // MARK: What is sent

    /// Of some paths those that are not, or not wholly, known to git; nil outside a clone.
    ///
    /// What is there was not pushed, so whoever may push has no right to it.
    func untracked(_ paths: [String]) async -> Set<String>? {
        guard !paths.isEmpty, access(root, F_OK) == 0 else { return [] }
        let repository: GitRepository
        do throws(GitRepository.Failure) {
            repository = try await GitRepository(containing: root)
        } catch {
            // No clone: nobody pushes here.
            return nil
        }
        let top = Self.realPath(repository.root) ?? repository.root
        var unknown: Set<String> = []
        for path in Set(paths) {
            guard let real = Self.realPath(place(path)), real.hasPrefix(top + "/") else { continue }
            let listed = await repository.answer([
                "ls-files", "-z", "--others", "--",
                ":(top,literal)\(real.dropFirst(top.utf8.count + 1))",
            ])
            if listed != "" { unknown.insert(path) }
        }
        return unknown
    }

    /// What somebody has to agree to before a local file is sent; nil for what is the project's own and was pushed.
    func privacy(of source: String, step: Step, in environment: String, _ untracked: Set<String>?)
        -> String?
    {
        if let outside = placeOutside(source) { return "a file outside: \(source + outside)" }
        let name = source.split(separator: "/").last.map(String.init) ?? ""
        let isOwn =
            step.kind.reading == .names
            && [".env.\(environment)", "\(environment).env"].contains(name)
        guard let untracked else { return nil }
        if source.split(separator: "/").contains(".git") { return "git's own files: \(source)" }
        // A link of that name may lead to another environment's file, or to anybody's.
        guard !isOwn || !linkNote(source).isEmpty else { return nil }
        let real = Self.realPath(place(source)) ?? ""
        if access(real + "/.git", F_OK) == 0 { return "a whole clone: \(source)" }
        if isOwn { return "another file: \(source)\(linkNote(source))" }
        return untracked.contains(source) ? "files that git does not know: \(source)" : nil
    }

    /// For a local file that is not in the project, where it is if its path does not say that; nil for one that is.
    func placeOutside(_ source: String) -> String? {
        guard let real = Self.realPath(place(source)) else {
            let climbs = source.split(separator: "/").contains("..")
            return source.hasPrefix("/") || climbs
                ? "" : Self.link(at: place(source)).map { " -> \($0)" }
        }
        guard !isInside(real) else { return nil }
        return real == source ? "" : " -> \(real)"
    }

    func isInside(_ real: String) -> Bool {
        guard let top = Self.realPath(root) else { return false }
        return real.hasPrefix(top == "/" ? top : top + "/")
    }

    /// Whether whoever may push to the clone around the project may change what is there.
    private func isInClone(_ real: String) -> Bool {
        let top = ClonedFiles.top(around: root)
        return real.hasPrefix(top == "/" ? top : top + "/")
    }

    // MARK: Host keys

    /// The digest of a known_hosts file of the project's; empty for one elsewhere, and for one that fleet itself writes.
    ///
    /// A name with tokens stands for all files of its directory. What a token in a directory stands for is known
    /// only when a host is reached, so nobody can agree to that.
    func knownHostsNote(_ path: String, isWritten: Bool) -> String {
        guard !isWritten else { return "" }
        var path = Self.atHome(path)
        guard path.contains("%") || path.contains("$") else {
            guard let real = Self.realPath(place(path)), isInClone(real), !Self.isDirectory(real)
            else {
                return ""
            }
            return Self.sha256(of: real).map { " (sha256:\($0))" } ?? SensitiveValue.unknown("")
        }
        path = place(path)
        let folder = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
        guard !folder.replacing("%%", with: "").contains("%"), !path.contains("$") else {
            return SensitiveValue.unknown(" before a host is reached")
        }
        guard let real = Self.realPath(folder.replacing("%%", with: "%")),
            isInClone(real + "/x")
        else { return "" }
        let files = Self.names(inDirectory: real).map { "\(real)/\($0)" }.filter {
            Self.realPath($0).map { Self.kind(of: $0) == S_IFREG } ?? false
        }
        guard files.count <= Self.fileLimit else {
            return SensitiveValue.unknown(": more than \(Self.fileLimit) files")
        }
        var lines: [String] = []
        for file in files {
            guard let digests = Self.digests(of: file) else { return SensitiveValue.unknown("") }
            lines += digests.map { "\(file) \($0)" }
        }
        return lines.isEmpty
            ? "" : " (sha256:\(SHA256Digest(of: lines.sorted().joined(separator: "\n"))))"
    }

    // MARK: Contents

    /// The most files of a directory that are looked at.
    private static let fileLimit = 10_000

    /// Names and digests of what is at a path and below it; a link counts with what it says and what it holds.
    ///
    /// - Parameters:
    ///   - path: The path.
    ///   - top: Where whoever may push can change what a link leads to; nil for anywhere.
    /// - Returns: Nil if it cannot be read, or there is more than anybody keeps there: nobody should agree to it unseen.
    static func digests(of path: String, around top: String? = nil) -> [String]? {
        var seen: Set<String> = []
        return digests(of: path, around: top, seen: &seen)
    }

    private static func digests(of path: String, around top: String?, seen: inout Set<String>)
        -> [String]?
    {
        var found: [String] = []
        var rest = [""]
        while let next = rest.popLast() {
            guard found.count <= fileLimit else { return nil }
            let place = path + next
            // A name that is no UTF-8 stands for no file that could be looked at.
            guard !next.unicodeScalars.contains("\u{FFFD}") else { return nil }
            switch kind(of: place) {
            case S_IFDIR:
                rest += names(inDirectory: place).filter { $0 != ".git" }.map { "\(next)/\($0)" }
            case S_IFLNK:
                let real = realPath(place)
                let content = real.flatMap { sha256(of: $0) } ?? ""
                found.append("\(next) -> \(link(at: place) ?? "") \(content)")
                guard let real, kind(of: real) == S_IFDIR,
                    top.map({ real == $0 || real.hasPrefix($0 + "/") }) ?? true,
                    seen.insert(real).inserted
                else { continue }
                guard seen.count <= fileLimit,
                    let below = digests(of: real, around: top, seen: &seen)
                else { return nil }
                found += below.map { "\(next) -> \($0)" }
            case S_IFREG:
                guard let digest = sha256(of: place) else { return nil }
                found.append("\(next) \(digest)")
            default: found.append("\(next) is no file")
            }
        }
        return found
    }

    /// The SHA-256 of a regular file; nil for anything else.
    static func sha256(of path: String) -> String? {
        guard let file = openRegular(path) else { return nil }
        defer { close(file) }
        let digest = SHA256Stream()
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = read(file, &buffer, buffer.count)
            guard count >= 0 else { return nil }
            if count == 0 { return digest.finish() }
            digest.update(Array(buffer[..<count]))
        }
    }

    /// The whole of a regular file; nil for anything else, and for a larger one.
    static func contents(ofFile path: String, limitBytes: Int) -> [UInt8]? {
        guard let file = openRegular(path) else { return nil }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_size <= limitBytes else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        let count = read(file, &bytes, bytes.count)
        return count < 0 ? nil : Array(bytes.prefix(count))
    }

    private static func openRegular(_ path: String) -> Int32? {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
        guard file >= 0 else { return nil }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(file)
            return nil
        }
        return file
    }

    /// What kind of file is at a path, links not followed; nil if there is none.
    static func kind(of path: String) -> mode_t? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode & S_IFMT : nil
    }

    /// What a link says; nil for what is none.
    static func link(at path: String) -> String? {
        var target = [CChar](repeating: 0, count: 4097)
        let count = readlink(path, &target, target.count - 1)
        guard count > 0 else { return nil }
        return String(decoding: target[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    static func atHome(_ path: String) -> String {
        guard path == "~" || path.hasPrefix("~/"), let home = getenv("HOME") else { return path }
        return String(cString: home) + path.dropFirst()
    }

    /// A path without `.` and empty parts.
    private static func normal(_ path: String) -> String {
        "/" + path.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
    }

    static func realPath(_ path: String) -> String? {
        guard let pointer = realpath(path, nil) else { return nil }
        defer { free(pointer) }
        return String(cString: pointer)
    }
}
