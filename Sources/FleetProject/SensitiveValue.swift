internal import FleetDigest
internal import FleetFiles
public import FleetInventory
public import FleetPlaybook
internal import FleetTransport
internal import FleetYAML

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

    /// What stands where the contents that would be agreed to cannot be known: nobody can agree to those.
    static func unknown(_ why: String) -> String {
        " (content not known\(why), so nobody can agree to it)"
    }

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
        guard case .only(let texts) = self else { return [] }
        // By bytes: to Swift some characters that a shell tells apart are the same (Unicode, canonical equivalence).
        let known = Set(texts.map { Array($0.utf8) })
        return values.filter {
            !known.contains(Array($0.text.utf8)) || $0.text.contains("(content not known")
        }.sorted()
    }
}

extension Project {
    /// What an inventory's values would do on this machine.
    public func sensitiveValues(of inventory: Inventory) -> Set<SensitiveValue> {
        let file = fileName(in: "inventory", of: inventory.environment)
        let environment = inventory.environment
        let clone = ClonedFilesOnce(around: root)
        var texts: Set<String> = []
        for host in inventory.hosts {
            let ssh = host.ssh
            if let command = ssh.proxyCommand, command != "none" {
                texts.insert(
                    "proxy_command: \(Self.line(command))\(clone.note(on: command, hasTokens: true))"
                )
            }
            if ssh.client == .local {
                texts.insert(
                    "client in \(environment) for \(host.name): local, so its steps run on this machine"
                )
            }
            if ssh.forwardAgent ?? false {
                texts.insert(
                    "forward_agent in \(environment) for \(host.name) \(Self.way(to: host)): "
                        + "its root may use your agent's keys"
                        + (ssh.hostKeys == .acceptNew ? ", whatever its key" : "")
                )
            }
            // Where any key will do, whoever answers there is told the secret: that is agreed to by host and way.
            let told =
                "in \(environment)"
                + (ssh.hostKeys == .acceptNew
                    ? " for \(host.name) \(Self.way(to: host)), whatever its key," : "")
            for (name, source) in [
                ("passphrase", ssh.passphrase), ("password", ssh.password),
                ("become_password", ssh.becomePassword),
            ] {
                switch source {
                case .command(let words):
                    let command = words.map(ShellWord.quote).joined(separator: " ")
                    texts.insert(
                        "\(name) \(told) from command: \(Self.line(command))\(clone.note(on: command))"
                    )
                case .file(let path):
                    texts.insert("\(name) \(told) from file: \(Self.line(path + linkNote(path)))")
                case .environment(let variable):
                    texts.insert("\(name) \(told) from variable: \(Self.line(variable))")
                case .prompt, nil: break
                }
            }
            // With other hosts' keys trusted, whatever is sent there is read by others.
            if ssh.hostKeys == .acceptNew {
                texts.insert("host_keys in \(environment): accept-new")
            }
            if let path = ssh.knownHostsFile {
                let shown = shown(path)
                texts.insert(
                    "known_hosts in \(environment): \(Self.line(shown + linkNote(path)))"
                        + knownHostsNote(path, isWritten: ssh.hostKeys == .acceptNew)
                )
            }
        }
        for rule in inventory.notifications {
            texts.insert("notify: \(Self.line(rule.command))\(clone.note(on: rule.command))")
        }
        return Set(texts.map { SensitiveValue(text: $0, file: file) })
    }

    /// Where a host is said to be, and under which name its key is known.
    private static func way(to host: Host) -> String {
        let ssh = host.ssh
        let place = ssh.hostname ?? host.name.text
        return "at " + (ssh.port.map { "\(place):\($0)" } ?? place)
            + (ssh.hostKeyAlias.map { " as \($0)" } ?? "")
            + (ssh.jump.map { " through \(line($0))" } ?? "")
    }

    /// What a playbook's values would do on this machine, in an environment.
    public func sensitiveValues(of playbook: Playbook, in environment: String) async
        -> Set<SensitiveValue>
    {
        var texts: Set<String> = []
        let file = playbook.steps.first?.location.file ?? "playbooks"
        let sources = localSources(of: playbook, in: environment)
        let untracked = await untracked(sources.map(\.source))
        for (step, source) in sources {
            guard let what = privacy(of: source, step: step, in: environment, untracked) else {
                continue
            }
            texts.insert("\(type(of: step.kind).key) in \(environment) of \(Self.line(what))")
        }
        if case .controller(let path) = playbook.releaseSource, path != "." {
            texts.insert("repository on this machine: \(Self.line(path + linkNote(path)))")
        }
        return Set(texts.map { SensitiveValue(text: $0, file: file) })
    }

    /// The local files that steps send, by the paths that are written there.
    func localSources(of playbook: Playbook, in environment: String) -> [(
        step: Step, source: String
    )] {
        (playbook.steps + (playbook.revert ?? [])).flatMap { step in
            step.kind.localFiles(in: environment).map { (step: step, source: $0) }
        }
    }

    /// Every such value of every file that can be read; what cannot be read has no effect either.
    ///
    /// - Parameter path: A playbook that is not one of the project's.
    /// - Returns: The values.
    public func sensitiveValues(with path: String? = nil) async -> Set<SensitiveValue> {
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
                values.formUnion(await sensitiveValues(of: playbook, in: environment))
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

    /// A text on one line; no two texts look the same, and none of them is obeyed by a terminal.
    static func line(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            default:
                let kind = scalar.properties.generalCategory
                let isHidden = [
                    .control, .format, .lineSeparator, .paragraphSeparator, .unassigned,
                    .privateUse,
                ]
                .contains(kind)
                if isHidden {
                    result += "\\u{\(String(scalar.value, radix: 16))}"
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result
    }
}

/// The files of a clone, looked for when they are first asked for: most inventories name no command.
private final class ClonedFilesOnce {
    private let root: String
    private lazy var files = ClonedFiles(around: root)

    init(around root: String) { self.root = root }

    func note(on command: String, hasTokens: Bool = false) -> String {
        files.note(on: command, hasTokens: hasTokens)
    }
}
