internal import FleetDigest
internal import FleetFiles
public import FleetInventory
public import FleetPlaybook
internal import FleetTransport
internal import FleetYAML
internal import Glibc

/// A value in a project's files that runs a program on this machine, reads something of it, or lets fleet
/// trust more hosts than it would.
///
/// Whoever may push to the project may write such a value, and has no right yet to do any of that here. So it
/// takes effect only after a person of this machine has agreed to it; see ``TrustedValues``.
public struct SensitiveValue: Sendable, Hashable, Comparable {
    /// What it is and what it says, on one line.
    ///
    /// This is what is agreed to. A file of the project that it names comes with its SHA-256, because that file can
    /// be pushed, too.
    public let text: String
    /// The file that it stands in.
    public let file: String

    /// Sorted by text.
    public static func < (one: SensitiveValue, other: SensitiveValue) -> Bool {
        (one.text, one.file) < (other.text, other.file)
    }
}

/// What a person of this machine has agreed to.
public enum TrustedValues: Sendable, Hashable {
    /// Whatever the files say: somebody else has looked at them.
    case all
    /// These texts of values, and no others.
    case only(Set<String>)

    /// Nothing.
    public static let none = TrustedValues.only([])

    /// Of some values those that nobody has agreed to.
    public func lacking(_ values: Set<SensitiveValue>) -> [SensitiveValue] {
        guard case .only(let known) = self else { return [] }
        return values.filter { !known.contains($0.text) }.sorted()
    }
}

extension Project {
    /// What an inventory's values would do on this machine.
    public func sensitiveValues(of inventory: Inventory) -> Set<SensitiveValue> {
        let file = fileName(in: "inventory", of: inventory.environment)
        var texts: Set<String> = []
        for host in inventory.hosts {
            let ssh = host.ssh
            if let command = ssh.proxyCommand, command != "none" {
                texts.insert("proxy_command: \(named(by: command))")
            }
            // Where any key will do, whoever answers there is told the secret: that is agreed to by host.
            let place = ssh.hostname ?? host.name.text
            let at = ssh.port.map { "\(place):\($0)" } ?? place
            let told =
                "in \(inventory.environment)"
                + (ssh.hostKeys == .acceptNew
                    ? " for \(host.name) at \(at), whatever its key," : "")
            for (name, source) in [
                ("passphrase", ssh.passphrase), ("password", ssh.password),
                ("become_password", ssh.becomePassword),
            ] {
                switch source {
                case .command(let words):
                    texts.insert("\(name) \(told) from command: \(named(by: words))")
                case .file(let path): texts.insert("\(name) \(told) from file: \(Self.line(path))")
                case .environment(let variable):
                    texts.insert("\(name) \(told) from variable: \(Self.line(variable))")
                case .prompt, nil: break
                }
            }
            // With other hosts' keys trusted, whatever is sent there is read by others.
            if ssh.hostKeys == .acceptNew {
                texts.insert("host_keys in \(inventory.environment): accept-new")
            }
            if let path = ssh.knownHostsFile {
                texts.insert(
                    "known_hosts in \(inventory.environment): \(Self.line(path))"
                        + (ssh.hostKeys == .acceptNew ? "" : digest(of: path))
                )
            }
        }
        for rule in inventory.notifications { texts.insert("notify: \(named(by: rule.command))") }
        return Set(texts.map { SensitiveValue(text: $0, file: file) })
    }

    /// What a playbook's values would do on this machine, in an environment.
    public func sensitiveValues(of playbook: Playbook, in environment: String)
        -> Set<SensitiveValue>
    {
        var texts: Set<String> = []
        let file = playbook.steps.first?.location.file ?? "playbooks"
        for step in playbook.steps + (playbook.revert ?? []) {
            for source in step.kind.localFiles(in: environment) {
                guard let place = placeOutside(source) else { continue }
                texts.insert(
                    "\(type(of: step.kind).key) in \(environment) of a file outside: \(Self.line(source + place))"
                )
            }
        }
        if case .controller(let path) = playbook.releaseSource, path != "." {
            texts.insert("repository on this machine: \(Self.line(path))")
        }
        return Set(texts.map { SensitiveValue(text: $0, file: file) })
    }

    /// Every such value of every file that can be read; what cannot be read has no effect either.
    ///
    /// - Parameter path: A playbook that is not one of the project's.
    /// - Returns: The values.
    public func sensitiveValues(with path: String? = nil) -> Set<SensitiveValue> {
        var values: Set<SensitiveValue> = []
        let playbooks = (playbooks + (path.map { [$0] } ?? [])).compactMap { name in
            Self.ifValid { () throws(ProjectError) in try playbook(name) }
        }
        for environment in environments {
            if let inventory = Self.ifValid({ () throws(ProjectError) in
                try inventoryAsWritten(environment)
            }) {
                values.formUnion(sensitiveValues(of: inventory))
            }
            for playbook in playbooks {
                values.formUnion(sensitiveValues(of: playbook, in: environment))
            }
        }
        return values
    }

    /// The files that say nothing because they are not valid.
    public var invalidFiles: [String] {
        environments.filter { name in
            Self.ifValid { () throws(ProjectError) in try inventoryAsWritten(name) } == nil
        }.map { fileName(in: "inventory", of: $0) }
            + playbooks.filter { name in
                Self.ifValid { () throws(ProjectError) in try playbook(name) } == nil
            }.map { fileName(in: "playbooks", of: $0) }
    }

    private static func ifValid<T>(_ read: () throws(ProjectError) -> T) -> T? {
        do { return try read() } catch { return nil }
    }

    /// The SHA-256 by which somebody agrees to some values and to nothing else, as `sha256:…`.
    public static func digest(of values: Set<SensitiveValue>) -> String {
        let texts = Set(values.map(\.text)).sorted()
        return "sha256:\(SHA256Digest(of: Array(texts.joined(separator: "\n").utf8)))"
    }

    // MARK: Places

    /// A command, with the digests of the project's files that it names.
    private func named(by command: String) -> String {
        Self.line(command) + digests(in: command)
    }

    /// The same of words, which stay what they are.
    private func named(by words: [String]) -> String {
        words.map { word in Self.line(ShellWord.quote(word)) + digests(in: word) }.joined(
            separator: " "
        )
    }

    /// Whether a command names a file of the project, and so wants to be run there.
    func namesOwnFile(_ command: String) -> Bool { !digests(in: command).isEmpty }

    /// The digests of the project's files that a shell's command may name.
    ///
    /// A name is what stands between the shell's special characters, without the quotes and backslashes in it, once with
    /// and once without `=`, as in `--config=FILE`; patterns stand for what they match, and a variable in front of a path for
    /// the project. What a command puts together while it runs is not seen.
    private func digests(in command: String) -> String {
        let plain = command.filter { !"\"'\\".contains($0) }
        let words = plain.split { $0.isWhitespace || ";|&()<>{}`,!".contains($0) }
        let names = words.flatMap { word in
            [word] + (word.contains("=") ? word.split(separator: "=") : [])
        }
        var seen: Set<String> = []
        return names.flatMap { files(named: String($0)) }.filter { seen.insert($0).inserted }
            .map { digest(ofFile: $0) }.joined()
    }

    /// The project's files, links resolved, that a word of a command stands for.
    private func files(named word: String) -> [String] {
        var path = Self.atHome(word)
        if path.hasPrefix("$"), let slash = path.firstIndex(of: "/") {
            path = String(path[path.index(after: slash)...])
        }
        let place = path.hasPrefix("/") ? path : "\(root)/\(path)"
        return Self.matches(place).compactMap(Self.realPath).filter {
            isInside($0) && !Self.isDirectory($0)
        }
    }

    private static func atHome(_ path: String) -> String {
        guard path == "~" || path.hasPrefix("~/"), let home = getenv("HOME") else { return path }
        return String(cString: home) + path.dropFirst()
    }

    private static func matches(_ path: String) -> [String] {
        guard path.contains(where: { "*?[".contains($0) }) else { return [path] }
        var found = glob_t()
        defer { globfree(&found) }
        guard glob(path, GLOB_NOSORT, nil, &found) == 0 else { return [] }
        return (0..<Int(found.gl_pathc)).compactMap { index in
            found.gl_pathv[index].map { String(cString: $0) }
        }
        .sorted()
    }

    /// A text on one line; no two texts look the same.
    private static func line(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\r", with: "\\r").replacing("\n", with: "\\n")
    }

    /// The digest of a known_hosts file of the project's; empty for one elsewhere.
    ///
    /// For a path with tokens, which stand for a host's name and the like, that of all files that it may name: those of the
    /// directory before the first token.
    private func digest(of path: String) -> String {
        let path = Self.atHome(path)
        guard let sign = path.firstIndex(where: { $0 == "%" || $0 == "$" }) else {
            let place = path.hasPrefix("/") ? path : "\(root)/\(path)"
            guard let real = Self.realPath(place), isInside(real), !Self.isDirectory(real) else {
                return ""
            }
            return digest(ofFile: real)
        }
        guard let slash = path[..<sign].lastIndex(of: "/") else { return "" }
        let folder = String(path[..<slash])
        guard let real = Self.realPath(folder.hasPrefix("/") ? folder : "\(root)/\(folder)"),
            isInside(real)
        else {
            return ""
        }
        guard let found = Self.contents(of: real) else {
            return " (content not known: more than \(Self.fileLimit) files)"
        }
        return found.isEmpty
            ? "" : " (sha256:\(SHA256Digest(of: found.sorted().joined(separator: "\n"))))"
    }

    private func digest(ofFile path: String) -> String {
        Self.sha256(of: path).map { " (sha256:\($0))" } ?? " (content not known)"
    }

    /// The whole of a regular file; nil for anything else.
    private static func sha256(of path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        let digest = SHA256Stream()
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = read(file, &buffer, buffer.count)
            guard count >= 0 else { return nil }
            if count == 0 { return digest.finish() }
            digest.update(Array(buffer[..<count]))
        }
    }

    /// The most files of a directory that are looked at.
    private static let fileLimit = 10_000

    /// Names and digests of everything below a directory; a link counts with what it says, and is not followed.
    ///
    /// - Returns: Nil if there is more than anybody keeps there, which nobody should agree to unseen.
    private static func contents(of directory: String) -> [String]? {
        var found: [String] = []
        var folders = [""]
        while let folder = folders.popLast() {
            guard found.count <= fileLimit else { return nil }
            for name in names(inDirectory: directory + folder) where name != ".git" {
                let path = "\(folder)/\(name)"
                var status = stat()
                guard lstat(directory + path, &status) == 0 else { continue }
                switch status.st_mode & S_IFMT {
                case S_IFDIR: folders.append(path)
                case S_IFLNK:
                    var target = [CChar](repeating: 0, count: 4097)
                    let count = readlink(directory + path, &target, target.count - 1)
                    let text = String(
                        decoding: target.prefix(max(0, count)).map { UInt8(bitPattern: $0) },
                        as: UTF8.self
                    )
                    let content = realPath(directory + path).flatMap { sha256(of: $0) } ?? ""
                    found.append("\(path) -> \(text) \(content)")
                default: found.append("\(path) \(sha256(of: directory + path) ?? "")")
                }
            }
        }
        return found.count <= fileLimit ? found : nil
    }

    /// For a local file that is not in the project, where it is if its path does not say that; nil for one that is.
    func placeOutside(_ source: String) -> String? {
        let place = source.hasPrefix("/") ? source : "\(root)/\(source)"
        guard let real = Self.realPath(place) else {
            let climbs = source.split(separator: "/").contains("..")
            return source.hasPrefix("/") || climbs ? "" : nil
        }
        guard !isInside(real) else { return nil }
        return real == source ? "" : " -> \(real)"
    }

    func isInside(_ real: String) -> Bool {
        guard let top = Self.realPath(root) else { return false }
        return real.hasPrefix(top == "/" ? top : top + "/")
    }

    static func realPath(_ path: String) -> String? {
        guard let pointer = realpath(path, nil) else { return nil }
        defer { free(pointer) }
        return String(cString: pointer)
    }
}
