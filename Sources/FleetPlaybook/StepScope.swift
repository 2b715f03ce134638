public import FleetTransport
internal import FleetYAML

/// What a step may know about the host that it is planned for.
public struct StepScope: Sendable {
    /// Which way the step goes.
    public enum Direction: Sendable {
        /// To the new release.
        case forward
        /// Back to the host's snapshot, which is known only when the rollout runs.
        case revert
    }

    /// The environment's name.
    public var environment: String
    /// The host and how to reach it.
    public var endpoint: HostEndpoint
    /// The host's variables.
    public var variables: [String: String]
    /// The release being deployed, if any: tag (may be empty) and commit.
    public var release: (tag: String, commit: String)?
    /// Which way the step goes.
    public var direction: Direction
    /// Size and SHA-256 of each local file that the playbook uploads, by its path as written.
    public var files: [String: LocalFile]
    /// What the controller sends of the release; nil where nothing is sent.
    public var bundle: ReleaseBundle?
    /// Where the playbook's smoke tests connect to on the host, as `ADDRESS:PORT`.
    public var listens: [String] = []
    /// Whether nothing looks at the process that answers the smoke tests.
    public var answersUnseen = false
    /// Whether no service of the playbook is left with the processes that it had.
    public var restartsEveryService = true
    /// The step's own variables.
    public var stepEnvironment: [(name: String, value: Template)] = []
    /// The directory that the step runs in.
    public var directory: String?
    /// In preflight, which runs in no directory of its own: where the step will run, if that is there.
    public var laterDirectory: String?
    /// In preflight: where that which the step is going to replace is now.
    public var directoryBefore: String?
    /// On the way back: where the step ran on the way there.
    public var forwardDirectory: String?
    /// The account that the step runs as.
    public var becomeUser: String?

    /// Describes what is known about a host.
    public init(
        environment: String,
        endpoint: HostEndpoint,
        variables: [String: String],
        release: (tag: String, commit: String)?,
        direction: Direction = .forward,
        files: [String: LocalFile] = [:]
    ) {
        self.environment = environment
        self.endpoint = endpoint
        self.variables = variables
        self.release = release
        self.direction = direction
        self.files = files
    }

    /// The account that a step runs as; nil is the login account, which an empty value stands for.
    ///
    /// - Throws: ``UndefinedReference``, also for a value that can be no account.
    public func user(of step: Step) throws(UndefinedReference) -> String? {
        guard let template = step.becomeUser else { return nil }
        let user = try template.value(in: self)
        guard !user.isEmpty else { return nil }
        guard Self.isUserName(user) else {
            throw UndefinedReference(
                message: "`\(user)` cannot be a user",
                hint: nil,
                location: template.location
            )
        }
        return user
    }

    /// Whether a text can name an account.
    static func isUserName(_ text: String) -> Bool {
        !text.hasPrefix("-") && !text.isEmpty
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
                    || (0x61...0x7A).contains(byte) || byte == 0x5F || byte == 0x2D || byte == 0x2E
            }
    }

    func value(of reference: Template.Reference, at location: SourceLocation)
        throws(UndefinedReference) -> String
    {
        switch reference {
        case .variable(let name):
            guard let value = variables[name] else {
                throw UndefinedReference(
                    message: "`vars.\(name)` has no value on \(endpoint.name)",
                    hint: Suggestion.closest(to: name, in: variables.keys)
                        .map { "did you mean `vars.\($0)`?" }
                        ?? "set it under `vars:` in the inventory or the playbook, or with `-e`",
                    location: location
                )
            }
            return value
        case .hostName: return endpoint.name.text
        case .hostAddress: return endpoint.ssh.hostname ?? endpoint.name.text
        case .environmentName: return environment
        case .releaseTag: return direction == .revert ? SnapshotToken.tag : release?.tag ?? ""
        case .releaseCommit:
            if direction == .revert { return SnapshotToken.commit }
            guard let release else {
                throw UndefinedReference(
                    message: "`release.commit` has no value: no release is being deployed",
                    hint: "use `fleet deploy`",
                    location: location
                )
            }
            return release.commit
        }
    }

    /// A script of this step: its text, the variables that every script gets, the step's own.
    func script(
        _ text: Template,
        after prologue: String = "",
        more: [EnvironmentVariable] = []
    ) throws(UndefinedReference) -> Script {
        let (shell, used) = try text.shell(in: self)
        return try script(text: prologue + shell, more: used + more, at: text.location)
    }

    /// Tells ``SafePath`` whether links are another account's business.
    var became: EnvironmentVariable {
        EnvironmentVariable("FLEET_BECAME", becomeUser == nil ? "" : "1")
    }

    /// What a check of a release says where nothing looks at the process that answers.
    var unseen: String {
        answersUnseen
            ? "\necho 'unknown=no step controls a service, and no smoke test asks which release answers'\n"
            : ""
    }

    /// The same, and where relative paths of the step begin.
    func placing() -> [EnvironmentVariable] {
        [became, EnvironmentVariable("FLEET_BASE", directory ?? laterDirectory ?? "")]
    }

    /// A script that writes where links may be in the way; see ``SafePath``.
    ///
    /// It begins in the login directory: a relative path is its own to make sense of, by `absolute`. Its
    /// standard input is what was sent.
    ///
    /// - Throws: As ``script(text:library:more:at:)``.
    func placing(
        _ text: String,
        library: ScriptLibrary,
        more: [EnvironmentVariable] = []
    ) throws(UndefinedReference) -> Script {
        var scope = self
        scope.directory = nil
        return try scope.script(
            text: "fleet_text=\(ShellWord.quote(text))\n"
                + "[ -z \"${FLEET_UPLOAD:-}\" ] || exec <\"$FLEET_UPLOAD\" || exit 1\n"
                + "eval \"$fleet_text\"",
            library: library,
            more: more + placing()
        )
    }

    /// A script whose text is fleet's own, behind a library.
    ///
    /// - Throws: ``UndefinedReference`` for values that have none, and for one that is too long for the
    ///   environment of the programs that the script starts.
    func script(
        text: String,
        library: ScriptLibrary? = nil,
        more: [EnvironmentVariable] = [],
        at location: SourceLocation? = nil
    ) throws(UndefinedReference) -> Script {
        var variables: [String: String] = [
            "FLEET_ENVIRONMENT": environment, "FLEET_HOST": endpoint.name.text,
        ]
        if direction == .revert {
            variables["FLEET_REVERT"] = "1"
            variables["FLEET_TAG"] = SnapshotToken.tag
            variables["FLEET_COMMIT"] = SnapshotToken.commit
        } else if let release {
            variables["FLEET_TAG"] = release.tag
            variables["FLEET_COMMIT"] = release.commit
        }
        for variable in more { variables[variable.name] = variable.value }
        var place = location
        for (name, value) in stepEnvironment {
            variables[name] = try value.value(in: self)
            place = place ?? value.location
        }
        let limit = EnvironmentVariable.exportLimitBytes
        if let (name, value) = variables.first(where: { $0.value.utf8.count > limit }) {
            let known = name.hasPrefix("FLEET_VAR_") ? "vars.\(name.dropFirst(10))" : name
            throw UndefinedReference(
                message:
                    "`\(known)` is \(value.utf8.count >> 10) KiB long, and a program on the host can "
                    + "be given \(limit >> 10) KiB in one variable",
                hint: "put it into a file: `upload`, `template` or `env_file`",
                location: stepEnvironment.first { $0.name == name }?.value.location ?? place
                    ?? SourceLocation(file: "", line: 1, column: 1)
            )
        }
        return Script(
            text,
            environment: variables.sorted { $0.key < $1.key }
                .map { EnvironmentVariable($0.key, $0.value) },
            directory: directory,
            becomeUser: becomeUser,
            library: library?.rawValue
        )
    }
}

/// What stands in a plan for a value that only the host's snapshot knows.
public enum SnapshotToken {
    /// Stands for the commit that the host ran before.
    public static let commit = "${{ snapshot.commit }}"
    /// Stands for the tag of that commit; nothing if it had none.
    public static let tag = "${{ snapshot.tag }}"
}

/// A local file as it was when the plan was made, or a directory packed into one.
public struct LocalFile: Sendable, Hashable {
    /// The path that opens it.
    public let path: String
    /// Its size in bytes.
    public let sizeBytes: Int
    /// Its SHA-256 in hexadecimal.
    public let sha256: String

    /// Of a packed directory: the digest of what is in it, in hexadecimal.
    ///
    /// See ``DirectoryDigest``; nil for a file.
    public let directorySHA256: String?
    /// Of a packed directory: whether something in it may not be read by everybody.
    public let isPrivate: Bool

    /// What matters of a file besides its bytes.
    public enum Reading: Sendable {
        /// Nothing.
        case bytes
        /// The names in it, as in a `.env` file.
        case names
        /// What it says.
        case text
    }

    /// The names in it, if they matter.
    public let keys: [String]?
    /// What it says, if that matters.
    public let text: String?

    /// Describes a file.
    public init(
        path: String,
        sizeBytes: Int,
        sha256: String,
        directorySHA256: String? = nil,
        isPrivate: Bool = false,
        keys: [String]? = nil,
        text: String? = nil
    ) {
        self.keys = keys
        self.text = text
        self.directorySHA256 = directorySHA256
        self.isPrivate = isPrivate
        self.path = path
        self.sizeBytes = sizeBytes
        self.sha256 = sha256
    }
}
