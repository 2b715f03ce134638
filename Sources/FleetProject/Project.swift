internal import FleetDigest
internal import FleetFiles
public import FleetInventory
public import FleetPlaybook
internal import FleetTransport
public import FleetYAML
internal import Glibc

/// Why a project's files cannot be used.
public enum ProjectError: Error, Sendable, Hashable {
    /// A name on the command line stands for nothing here.
    case unknown(message: String, hints: [String])
    /// A file is invalid.
    case invalid(Diagnostics)
    /// Values take effect only after somebody has agreed to them, and nobody has.
    case untrusted([SensitiveValue])
}

/// Finds and reads a project's files; the only place that does.
///
/// A project is a directory that holds `inventory/` and `playbooks/`; it is looked for in the
/// working directory and above.
public struct Project: Sendable, Hashable {
    /// The directory.
    public let root: String
    /// What its files may do on this machine.
    public let trusted: TrustedValues

    /// The largest file uploaded, in bytes.
    public static let uploadLimitBytes = 8 << 30

    /// Uses a directory as the project.
    ///
    /// - Parameters:
    ///   - root: The directory.
    ///   - trusted: What its files may do on this machine.
    public init(root: String, trusted: TrustedValues = .only([])) {
        self.root = root
        self.trusted = trusted
    }

    /// The same project, whose files may do so much on this machine.
    public func trusting(_ values: TrustedValues) -> Project {
        Project(root: root, trusted: values)
    }

    /// Looks for the project from a directory upwards.
    ///
    /// - Throws: ``ProjectError/unknown(message:hints:)`` if there is none.
    public static func find(from directory: String) throws(ProjectError) -> Project {
        var path = directory
        while true {
            if isDirectory(path + "/inventory") { return Project(root: path) }
            guard let slash = path.lastIndex(of: "/"), path != "/" else { break }
            path = String(path[..<slash])
        }
        throw .unknown(
            message: "there is no `inventory` directory here or above \(directory)",
            hints: [
                "run fleet in a project, or name one with `--project DIR`",
                "a project has `inventory/production.yml` and `playbooks/deploy.yml`",
            ]
        )
    }

    // MARK: Names

    /// The environments that have an inventory, sorted.
    public var environments: [String] { names(in: "inventory") }

    /// The playbooks there are, sorted.
    public var playbooks: [String] { names(in: "playbooks") }

    private func names(in folder: String) -> [String] {
        var names: Set<String> = []
        for name in Self.names(inDirectory: "\(root)/\(folder)") {
            for ending in [".yml", ".yaml"] where name.hasSuffix(ending) && !name.hasPrefix(".") {
                let base = String(name.dropLast(ending.count))
                if Self.isName(base) { names.insert(base) }
            }
        }
        return names.sorted()
    }

    /// Files among the inventories and playbooks that are not read, because their names could not stand in a command.
    public var unreadFiles: [String] {
        ["inventory", "playbooks"].flatMap { folder in
            Self.names(inDirectory: "\(root)/\(folder)").filter { name in
                [".yml", ".yaml"].contains { ending in
                    name.hasSuffix(ending) && !name.hasPrefix(".")
                        && !Self.isName(String(name.dropLast(ending.count)))
                }
            }.sorted().map { "\(folder)/\($0)" }
        }
    }

    /// Whether a file's name may name an environment or a playbook: it stands in lists, paths and commands.
    private static func isName(_ name: String) -> Bool {
        name.unicodeScalars.allSatisfy { scalar in
            scalar.isASCII
                ? scalar.value > 0x20 && scalar.value != 0x7F
                : scalar.properties.isAlphabetic || scalar.properties.numericType != nil
        }
    }

    /// Refuses a directory that is there and cannot be read: what is in it would seem not to be there.
    ///
    /// - Throws: ``ProjectError/invalid(_:)``.
    public func requireReadable() throws(ProjectError) {
        for folder in ["inventory", "playbooks"] where Self.exists("\(root)/\(folder)") {
            guard let directory = opendir("\(root)/\(folder)") else {
                throw .invalid(
                    Diagnostics([
                        Diagnostic(
                            "\(root)/\(folder) is there and cannot be read: \(Self.reason())"
                        )
                    ])
                )
            }
            closedir(directory)
        }
    }

    static func names(inDirectory path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    // MARK: Reading

    /// Reads an environment's inventory, to do what it says.
    ///
    /// - Throws: ``ProjectError``: the environment is not known, its file is invalid, or says what nobody has
    ///   agreed to.
    public func inventory(_ environment: String) throws(ProjectError) -> Inventory {
        let inventory = try inventoryAsWritten(environment)
        let lacking = trusted.lacking(sensitiveValues(of: inventory))
        guard lacking.isEmpty else { throw .untrusted(lacking) }
        // A file of the project's is the one that was looked at, wherever fleet is run.
        var running = inventory
        for index in running.hosts.indices {
            guard let command = running.hosts[index].ssh.proxyCommand, command != "none" else {
                continue
            }
            let place = ShellWord.quote(root).replacing("%", with: "%%")
            running.hosts[index].ssh.proxyCommand =
                "sh -c \(ShellWord.quote("cd \(place) && exec \(command)"))"
        }
        return running
    }

    /// Reads an environment's inventory, to look at it: nothing in it may be run, read or connected to.
    ///
    /// - Throws: ``ProjectError``: the environment is not known, or its file is invalid.
    public func inventoryAsWritten(_ environment: String) throws(ProjectError) -> Inventory {
        guard environments.contains(environment) else {
            let known = environments
            throw .unknown(
                message: "there is no environment `\(Self.safe(environment))`",
                hints: Suggestion.hint(for: environment, in: known) + [
                    known.isEmpty
                        ? "add inventory/\(Self.safe(environment)).yml"
                        : "there are: \(known.joined(separator: ", "))"
                ]
            )
        }
        let (text, file) = try read("inventory", environment)
        do {
            return rooted(
                try InventoryReader.read(text, file: file, environment: environment)
            )
        } catch {
            throw .invalid(error)
        }
    }

    /// The same inventory, wherever fleet is run: its paths are relative to the project.
    private func rooted(_ inventory: Inventory) -> Inventory {
        var inventory = inventory
        func rooted(_ path: String) -> String {
            let isElsewhere = path.hasPrefix("/") || path.hasPrefix("~") || path.hasPrefix("$")
            // `%d` is the home directory; the other tokens are no beginning of a path of their own.
            return isElsewhere || path.hasPrefix("%d") || path == "none"
                ? path : root.replacing("%", with: "%%") + "/" + path
        }
        for index in inventory.hosts.indices {
            let ssh = inventory.hosts[index].ssh
            inventory.hosts[index].ssh.knownHostsFile = ssh.knownHostsFile.map(rooted)
            inventory.hosts[index].ssh.identityFiles = ssh.identityFiles?.map(rooted)
        }
        return inventory
    }

    /// Reads a playbook by name, or by path if it has a slash or an ending.
    ///
    /// - Throws: ``ProjectError``: the playbook is not known, or its file is invalid.
    public func playbook(_ name: String) throws(ProjectError) -> Playbook {
        if name.contains("/") || name.hasSuffix(".yml") || name.hasSuffix(".yaml") {
            let text = try Self.text(of: name, file: name)
            let base = name.split(separator: "/").last.map(String.init) ?? name
            return try Self.playbook(text, file: name, name: String(base.prefix { $0 != "." }))
        }
        guard playbooks.contains(name) else {
            let known = playbooks
            throw .unknown(
                message: "there is no playbook `\(Self.safe(name))`",
                hints: Suggestion.hint(for: name, in: known) + [
                    known.isEmpty
                        ? "add playbooks/\(Self.safe(name)).yml"
                        : "there are: \(known.joined(separator: ", "))"
                ]
            )
        }
        let (text, file) = try read("playbooks", name)
        return try Self.playbook(text, file: file, name: name)
    }

    private static func playbook(_ text: String, file: String, name: String)
        throws(ProjectError) -> Playbook
    {
        do {
            return try PlaybookReader.read(text, file: file, defaultName: name)
        } catch {
            throw .invalid(error)
        }
    }

    private func read(_ folder: String, _ name: String) throws(ProjectError) -> (String, String) {
        let file = fileName(in: folder, of: name)
        // What it says would be shown, or quoted in an error.
        if let real = Self.realPath("\(root)/\(file)"), !isInside(real) {
            throw .invalid(
                Diagnostics([
                    Diagnostic(
                        "\(file) is a link to a file outside the project, which is not read",
                        hints: ["put the file there, or name a playbook by its path"]
                    )
                ])
            )
        }
        return (try Self.text(of: "\(root)/\(file)", file: file), file)
    }

    func fileName(in folder: String, of name: String) -> String {
        // A link that leads nowhere is there, too, and is what has to be mended.
        var status = stat()
        let isThere = lstat("\(root)/\(folder)/\(name).yml", &status) == 0
        return "\(folder)/\(name).\(isThere ? "yml" : "yaml")"
    }

    /// Measures the local files that a playbook uploads, relative to the project, and packs the
    /// directories.
    ///
    /// - Parameters:
    ///   - playbook: The playbook.
    ///   - environment: The environment, which some files are named by.
    ///   - archives: The directory that packed directories are kept in; made if one is needed.
    ///   - standsIn: Whether an empty file stands for each one outside the project that nobody has agreed to.
    /// - Returns: The files by their path as written.
    /// - Throws: ``ProjectError/invalid(_:)`` for files that cannot be read, ``ProjectError/untrusted(_:)``
    ///   before any is read that is not the project's.
    public func files(
        of playbook: Playbook,
        in environment: String,
        packedIn archives: String,
        standingIn standsIn: Bool = false
    ) async throws(ProjectError) -> [String: LocalFile] {
        let lacking = trusted.lacking(await sensitiveValues(of: playbook, in: environment))
        guard lacking.isEmpty || standsIn else { throw .untrusted(lacking) }
        var files: [String: LocalFile] = [:]
        var problems: [Diagnostic] = []
        let needed = localSources(of: playbook, in: environment)
        let untracked = await untracked(needed.map(\.source))
        for (step, source) in needed {
            if !lacking.isEmpty, privacy(of: source, step: step, in: environment, untracked) != nil
            {
                files[source] = LocalFile(
                    path: source,
                    sizeBytes: 0,
                    sha256: SHA256Digest(of: "").description,
                    keys: [],
                    text: ""
                )
                continue
            }
            // Another step may only want its bytes.
            if let known = files[source] {
                let reading = step.kind.reading
                guard
                    reading == .names && known.keys == nil || reading == .text && known.text == nil
                else { continue }
            }
            let path = source.hasPrefix("/") ? source : "\(root)/\(source)"
            if Self.isDirectory(path), step.kind.reading == .bytes {
                do throws(DirectoryArchive.Failure) {
                    files[source] = try await DirectoryArchive.make(of: path, in: archives)
                } catch {
                    problems.append(
                        Diagnostic("cannot pack `\(source)`: \(error.reason)", at: step.location)
                    )
                }
                continue
            }
            var status = stat()
            if stat(path, &status) == 0, status.st_size > Self.uploadLimitBytes {
                problems.append(
                    Diagnostic(
                        "`\(source)` is larger than \(Self.uploadLimitBytes >> 30) GiB",
                        at: step.location,
                        hints: ["let the hosts fetch it themselves, in a `run` step"]
                    )
                )
                continue
            }
            guard let bytes = WholeFile.read(path, limit: Self.uploadLimitBytes) else {
                problems.append(
                    Diagnostic("cannot read `\(source)`: \(Self.reason())", at: step.location)
                )
                continue
            }
            let reading = step.kind.reading
            let names = reading == .names ? DotEnv(String(decoding: bytes, as: UTF8.self)) : nil
            let text = reading == .text ? String(validating: bytes, as: UTF8.self) : nil
            if reading == .text, text == nil {
                problems.append(Diagnostic("`\(source)` is not UTF-8 text", at: step.location))
            }
            if let line = names?.badLines.first {
                problems.append(
                    Diagnostic(
                        "`\(source)`, line \(line), is no `NAME=value`",
                        at: step.location,
                        hints: ["what stands there is not shown: it may be secret"]
                    )
                )
            }
            files[source] = LocalFile(
                path: path,
                sizeBytes: bytes.count,
                sha256: SHA256Digest(of: bytes).description,
                keys: names?.keys,
                text: text
            )
        }
        guard problems.isEmpty else { throw .invalid(Diagnostics(problems)) }
        return files
    }

    /// The same problems with the texts they point into, for carets.
    public func withSources(_ diagnostics: Diagnostics) -> Diagnostics {
        var sources = diagnostics.sources
        for file in Set(diagnostics.all.compactMap { $0.location?.file }) where sources[file] == nil
        {
            let path = file.hasPrefix("/") || Self.exists(file) ? file : "\(root)/\(file)"
            guard
                file.contains("..") || file.hasPrefix("/")
                    || Self.realPath(path).map(isInside) ?? false
            else { continue }
            guard let bytes = WholeFile.read(path, limit: YAMLDocument.sizeLimitBytes) else {
                continue
            }
            sources[file] = String(decoding: bytes, as: UTF8.self)
        }
        return Diagnostics(diagnostics.all, sources: sources)
    }

    // MARK: Files

    private static func text(of path: String, file: String) throws(ProjectError) -> String {
        guard let bytes = WholeFile.read(path, limit: YAMLDocument.sizeLimitBytes + 1) else {
            throw .invalid(Diagnostics([Diagnostic("cannot read \(file): \(reason())")]))
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw .invalid(Diagnostics([Diagnostic("\(file) is not UTF-8 text")]))
        }
        return text
    }

    static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    private static func reason() -> String { String(cString: strerror(errno)) }

    /// A name from the command line, safe to print.
    private static func safe(_ text: String) -> String {
        String(
            text.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }.map(Character.init)
        )
    }
}
