/// A step, resolved for one host, in a form that a transport can carry out.
public enum Action: Sendable, Hashable, Codable {
    /// Run a shell script.
    case script(Script)
    /// Put a local file on the host.
    case upload(Upload)
    /// Send an HTTP request to an address, as seen from the host.
    case http(HTTPProbe)
    /// Connect to a TCP port as the host sees it.
    case tcp(TCPProbe)
    /// Arm, confirm or disarm the host's dead-man switch.
    case deadman(DeadMan)
}

/// A dead-man switch: a host reverts by itself unless it is told in time that all is well.
///
/// A single rename on the host decides whether the confirmation or the timeout came first.
public enum DeadMan: Sendable, Hashable, Codable {
    /// One step of the way back, as the host takes it by itself.
    public struct Step: Sendable, Hashable, Codable {
        /// The step's name.
        public let name: String
        /// What it runs.
        public let script: Script
        /// The name of the step whose snapshot facts the script sees.
        public let factsOf: String
        /// Its deadline, in milliseconds.
        public let timeoutMilliseconds: Int

        /// Gathers a step.
        public init(name: String, script: Script, factsOf: String, timeoutMilliseconds: Int) {
            self.name = name
            self.script = script
            self.factsOf = factsOf
            self.timeoutMilliseconds = timeoutMilliseconds
        }
    }

    /// Reverts by these steps after a number of milliseconds; without steps there is nothing to arm.
    case arm(milliseconds: Int, back: [Step])
    /// Tells the host that all is well.
    case confirm
    /// Tells the host that somebody else reverts it, or waits until it has reverted by itself.
    ///
    /// The switch is that of `rollout`; nil for the rollout that asks.
    case disarm(rollout: String?)
}

extension Action {
    /// Returns the action with the libraries of its scripts prepended to them.
    public func completed(by libraries: [String: String]) -> Action {
        switch self {
        case .script(let script): .script(script.completed(by: libraries))
        case .upload(let upload):
            .upload(
                Upload(
                    source: upload.source,
                    sizeBytes: upload.sizeBytes,
                    sha256: upload.sha256,
                    handOver: upload.handOver?.completed(by: libraries),
                    prepare: upload.prepare.completed(by: libraries),
                    finish: upload.finish.completed(by: libraries)
                )
            )
        case .deadman(.arm(let milliseconds, let back)):
            .deadman(
                .arm(
                    milliseconds: milliseconds,
                    back: back.map {
                        DeadMan.Step(
                            name: $0.name,
                            script: $0.script.completed(by: libraries),
                            factsOf: $0.factsOf,
                            timeoutMilliseconds: $0.timeoutMilliseconds
                        )
                    }
                )
            )
        case .http, .tcp, .deadman: self
        }
    }

    /// Returns the action with a claim to the host's lock on every script that changes the host.
    public func claiming(_ lock: LockClaim?) -> Action {
        switch self {
        case .script(let script): .script(script.claiming(lock))
        case .upload(let upload):
            .upload(
                Upload(
                    source: upload.source,
                    sizeBytes: upload.sizeBytes,
                    sha256: upload.sha256,
                    handOver: upload.handOver,
                    prepare: upload.prepare,
                    finish: upload.finish.claiming(lock)
                )
            )
        case .http, .tcp, .deadman: self
        }
    }

    /// The account that carries it out, if it is not the login account.
    public var becomeUser: String? {
        switch self {
        case .script(let script): script.becomeUser
        case .upload(let upload): upload.finish.becomeUser
        case .http, .tcp, .deadman: nil
        }
    }
}

/// A name and a value that a script finds in its environment.
public struct EnvironmentVariable: Sendable, Hashable, Codable {
    /// The name; see ``ShellWord/isVariableName(_:)``.
    public let name: String
    /// The value, any text without NUL.
    public let value: String
    /// Whether programs started by the script see the variable, too.
    ///
    /// The kernel accepts at most 128 KiB for such a variable (execve(2), MAX_ARG_STRLEN); a variable that only the
    /// script's own shell reads may have any length.
    public var isExported: Bool { !(ownOnly ?? false) }
    private let ownOnly: Bool?

    /// Pairs a name with a value.
    public init(_ name: String, _ value: String, isExported: Bool = true) {
        self.name = name
        self.value = value
        ownOnly = isExported ? nil : true
    }

    /// The longest value that is exported, in bytes.
    public static let exportLimitBytes = 100 << 10

    /// The assignment as a line of shell.
    fileprivate var line: String {
        "\(isExported ? "export " : "")\(name)=\(ShellWord.quote(value))"
    }
}

/// A POSIX shell script with everything it needs to run the same way every time.
///
/// The text, the values and the directory travel on the standard input of a remote `sh`: nothing
/// of them appears in a process list.
public struct Script: Sendable, Hashable, Codable {
    /// The shell text.
    public var text: String
    /// The name of a library of functions that stands before the text; nil for none.
    ///
    /// The text of a library is kept once in a plan and not in every script of it; see
    /// ``completed(by:)``.
    public var library: String?
    /// Variables exported before the text runs, in order.
    public var environment: [EnvironmentVariable]
    /// The directory to run in; nil is the login directory.
    ///
    /// A leading `~/` is the login directory.
    public var directory: String?
    /// The account to run as, through `sudo -n`; nil is the login account.
    public var becomeUser: String?
    /// The lock that the host must still hold for the claimant; otherwise the host refuses to start the script.
    ///
    /// It is checked for detached scripts only; nil for none.
    public var lock: LockClaim?

    /// Describes a script.
    public init(
        _ text: String,
        environment: [EnvironmentVariable] = [],
        directory: String? = nil,
        becomeUser: String? = nil,
        library: String? = nil
    ) {
        self.library = library
        self.text = text
        self.environment = environment
        self.directory = directory
        self.becomeUser = becomeUser
    }

    private enum CodingKeys: String, CodingKey {
        case text, library, environment, directory, becomeUser, lock
    }

    /// Reads a script; its text may be a number among the texts that are shared.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        do {
            text = try container.decode(String.self, forKey: .text)
        } catch DecodingError.typeMismatch {
            // A number, then; anything else is an error of its own.
            let number = try container.decode(Int.self, forKey: .text)
            guard let known = SharedTexts.those(in: decoder.userInfo)?.text(number) else {
                throw DecodingError.dataCorruptedError(
                    forKey: .text,
                    in: container,
                    debugDescription: "there is no shared text \(number)"
                )
            }
            text = known
        }
        library = try container.decodeIfPresent(String.self, forKey: .library)
        environment = try container.decode([EnvironmentVariable].self, forKey: .environment)
        directory = try container.decodeIfPresent(String.self, forKey: .directory)
        becomeUser = try container.decodeIfPresent(String.self, forKey: .becomeUser)
        lock = try container.decodeIfPresent(LockClaim.self, forKey: .lock)
    }

    /// Writes a script; where texts are shared, the number of its text.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        if let shared = SharedTexts.those(in: encoder.userInfo) {
            try container.encode(shared.number(of: text), forKey: .text)
        } else {
            try container.encode(text, forKey: .text)
        }
        try container.encodeIfPresent(library, forKey: .library)
        try container.encode(environment, forKey: .environment)
        try container.encodeIfPresent(directory, forKey: .directory)
        try container.encodeIfPresent(becomeUser, forKey: .becomeUser)
        try container.encodeIfPresent(lock, forKey: .lock)
    }

    /// The script with a claim to a host's lock.
    public func claiming(_ lock: LockClaim?) -> Script {
        var script = self
        script.lock = lock
        return script
    }

    /// The script with more variables in its environment.
    public func adding(_ more: [EnvironmentVariable]) -> Script {
        var script = self
        script.environment += more
        return script
    }

    /// Returns the script with the text of its library prepended.
    ///
    /// - Parameter libraries: The texts, by name.
    /// - Returns: A script that needs no library; if the library is not known, one that reports this and fails.
    public func completed(by libraries: [String: String]) -> Script {
        guard let library else { return self }
        var script = self
        script.library = nil
        let functions =
            libraries[library] ?? "echo 'E_PLAN the plan lacks its library \(library)'; exit 1"
        script.text = functions + "\n" + text
        return script
    }

    /// The exit status of a script whose directory does not exist.
    public static let missingDirectoryStatus = 97

    /// The complete text for `sh`: the directory, the environment, then the script with its standard input closed.
    ///
    /// The closed input prevents a command of the script from consuming what the shell reads next.
    public var shellText: String {
        var lines: [String] = []
        if let directory {
            lines.append("cd \(ShellWord.path(directory)) || exit \(Self.missingDirectoryStatus)")
        }
        lines += environment.map(\.line)
        lines += ["{", text, "} </dev/null"]
        return lines.joined(separator: "\n")
    }

    /// The same text, but with standard input left open, for a script that reads a stream.
    public var streamText: String {
        (environment.map(\.line) + [text])
            .joined(separator: "\n")
    }
}

/// A claim to a host's lock: `~/.fleet/locks/ENVIRONMENT/owner` begins with the owner's name.
public struct LockClaim: Sendable, Hashable, Codable {
    /// The environment; a safe file name.
    public let environment: String
    /// The rollout that claims the lock.
    public let owner: String

    /// Describes a claim.
    public init(environment: String, owner: String) {
        self.environment = environment
        self.owner = owner
    }
}

/// A local file to put on a host, or a directory as a tar archive.
public struct Upload: Sendable, Hashable, Codable {
    /// The local file's path, as the controller opens it.
    public let source: String
    /// The file's size when the plan was made, in bytes.
    public let sizeBytes: Int
    /// The file's SHA-256 when the plan was made, in hexadecimal.
    public let sha256: String
    /// Takes the bytes on its standard input as the account that ``finish`` runs as, which cannot
    /// look into the login account's run directory; nil where that is the login account.
    ///
    /// Its text may show in the host's process list.
    public let handOver: Script?
    /// Run before any byte is sent; changes nothing, and prints ``presentMark`` if the host has
    /// these bytes already.
    public let prepare: Script
    /// Run after the bytes are in `$FLEET_UPLOAD`, or where ``handOver`` put them: checks and
    /// renames them into place.
    ///
    /// With `$FLEET_PRESENT` the host has them, and only mode and owner are set.
    public let finish: Script

    /// What ``prepare`` prints when nothing need be sent.
    public static let presentMark = "fleet-upload-present"

    /// Describes an upload.
    public init(
        source: String,
        sizeBytes: Int,
        sha256: String,
        handOver: Script? = nil,
        prepare: Script,
        finish: Script
    ) {
        self.handOver = handOver
        self.source = source
        self.sizeBytes = sizeBytes
        self.sha256 = sha256
        self.prepare = prepare
        self.finish = finish
    }
}

/// One HTTP GET through the SSH session, and what its answer must look like.
public struct HTTPProbe: Sendable, Hashable, Codable {
    /// The host to connect to, as the remote host sees it.
    public let host: String
    /// The TCP port.
    public let port: Int
    /// The path and query.
    public let target: String
    /// The longest time from the request to the complete answer, in milliseconds.
    public let withinMilliseconds: Int
    /// The status code that passes.
    public let status: Int
    /// Text that the body must contain.
    public var contains: String?
    /// Whether a JSON body with a value `"error"` in it fails: a health page that says so is
    /// unhealthy even with status 200.
    public let rejectsErrorReports: Bool
    /// The host that is named in the request, for applications that answer to their own names only; nil is
    /// the address.
    public let hostHeader: String?
    /// More header fields, in order.
    public var headers: [EnvironmentVariable] { moreHeaders ?? [] }
    private let moreHeaders: [EnvironmentVariable]?
    /// Whether ``contains`` names a release, so that it must not match inside another release's name.
    ///
    /// For example, `v2.0.0` does not match in `v2.0.0-rc.1`.
    public var isVersion: Bool { version ?? false }
    private let version: Bool?

    /// Describes a probe.
    public init(
        host: String,
        port: Int,
        target: String,
        withinMilliseconds: Int = 5000,
        status: Int = 200,
        contains: String? = nil,
        rejectsErrorReports: Bool = true,
        hostHeader: String? = nil,
        headers: [EnvironmentVariable] = [],
        isVersion: Bool = false
    ) {
        self.hostHeader = hostHeader
        version = isVersion ? true : nil
        moreHeaders = headers.isEmpty ? nil : headers
        self.host = host
        self.port = port
        self.target = target
        self.withinMilliseconds = withinMilliseconds
        self.status = status
        self.contains = contains
        self.rejectsErrorReports = rejectsErrorReports
    }

    /// The address as a URL.
    public var url: String { "http://\(host):\(port)\(target)" }
}

/// One TCP connection through the SSH session.
public struct TCPProbe: Sendable, Hashable, Codable {
    /// The host to connect to, as the remote host sees it.
    public let host: String
    /// The TCP port.
    public let port: Int
    /// The longest wait for the connection, in milliseconds.
    public let withinMilliseconds: Int

    /// Describes a probe.
    public init(host: String, port: Int, withinMilliseconds: Int = 5000) {
        self.host = host
        self.port = port
        self.withinMilliseconds = withinMilliseconds
    }
}

extension Action {
    /// Encodes the same JSON as the synthesized implementation at lower cost; see ``FleetTransport/CaseRecord``.
    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .script(let value):
            var record = CaseRecord("script", to: encoder)
            try record.add(value)
        case .upload(let value):
            var record = CaseRecord("upload", to: encoder)
            try record.add(value)
        case .http(let value):
            var record = CaseRecord("http", to: encoder)
            try record.add(value)
        case .tcp(let value):
            var record = CaseRecord("tcp", to: encoder)
            try record.add(value)
        case .deadman(let value):
            var record = CaseRecord("deadman", to: encoder)
            try record.add(value)
        }
    }
}
