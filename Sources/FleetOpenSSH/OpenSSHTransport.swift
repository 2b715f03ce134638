internal import FleetFiles
public import FleetHostShell
package import FleetReactor
public import FleetTransport
internal import Glibc
internal import Synchronization

/// The system's OpenSSH client as a ``FleetTransport/Transport``: it reaches whatever `ssh` reaches.
///
/// Each host has one `ssh`, through whose control socket everything goes, in a directory that nobody else enters.
public final class OpenSSHTransport: Transport {
    /// The user's surroundings, as far as they matter here.
    public struct Environment: Sendable {
        /// The program.
        public var program = "ssh"
        /// The user's ssh_config, if it is not where `ssh` looks by itself; `none` for none.
        public var configuration: String?
        /// The variables that `ssh` is started with, without those that change what it says or asks.
        public var variables: [String]
        /// How long an sshd that drops connections, being busy, is tried again, in milliseconds.
        public var busyMilliseconds = 60_000
        /// What a step may print into the file that keeps it on its host.
        public var outputLimit = HostOutputLimit()
        /// What is done about a host never seen before.
        public var hostKeys: @Sendable (HostEndpoint) -> HostKeyPolicy
        /// Finds a secret: the password that sudo wants.
        public var secret: @Sendable (SecretSource) async -> Result<String, TransportError>

        /// Describes the surroundings.
        public init(
            variables: [String],
            hostKeys: @escaping @Sendable (HostEndpoint) -> HostKeyPolicy = {
                $0.ssh.hostKeys ?? .strict
            },
            secret: @escaping @Sendable (SecretSource) async -> Result<String, TransportError> = {
                _ in
                .failure(.credentialUnusable(reason: "there is nobody to ask"))
            }
        ) {
            self.variables = variables
            self.hostKeys = hostKeys
            self.secret = secret
        }
    }

    private let environment: Environment
    private let reactors: ReactorPool
    private let sources = SourceFiles()
    /// The places for sessions, by how many there are.
    private let slots = Mutex<[Int: OpenSSHSlots]>([:])
    private let version: Mutex<Result<OpenSSHVersion, OpenSSHMissing>?> = Mutex(nil)
    private let directory = Mutex<String?>(nil)
    /// How many sessions this process has had.
    private static let count = Atomic<Int>(0)

    /// Prepares to start `ssh`; nothing is started yet.
    public convenience init(_ environment: Environment) {
        self.init(environment, reactors: ReactorPool())
    }

    /// The same, on reactors that others use, too.
    package init(_ environment: Environment, reactors: ReactorPool) {
        self.environment = environment
        self.reactors = reactors
    }

    /// Which `ssh` this is.
    ///
    /// - Throws: ``OpenSSHMissing``.
    public func programVersion() async throws(OpenSSHMissing) -> OpenSSHVersion {
        if let known = version.withLock({ $0 }) { return try known.get() }
        let program = environment.program
        let found = await BlockingQueue.shared.run { OpenSSHVersion.ask(program) }
        version.withLock { $0 = found }
        return try found.get()
    }

    /// How `ssh` itself would reach a host: every setting by its name in small letters, with its values (`ssh -G`).
    ///
    /// - Throws: ``FleetTransport/TransportError/configuration(reason:)``.
    public func settings(of endpoint: HostEndpoint) async throws(TransportError)
        -> [String: [String]]
    {
        let words = try await command(for: endpoint).question
        let variables = environment.variables
        let said = await BlockingQueue.shared.run {
            do throws(OpenSSHMissing) {
                return Result<String, OpenSSHMissing>.success(
                    try OpenSSHProgram.output(of: words, environment: variables, withErrors: true)
                )
            } catch {
                return .failure(error)
            }
        }
        let text: String
        do throws(OpenSSHMissing) { text = try said.get() } catch {
            throw .configuration(reason: error.reason)
        }
        var found: [String: [String]] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
            found[parts[0].lowercased(), default: []].append(
                parts.count > 1 ? String(parts[1]) : ""
            )
        }
        guard found["hostname"] != nil, found["port"] != nil else {
            throw .configuration(reason: "`ssh -G` says: \(SSHText.oneLine(text.utf8.prefix(400)))")
        }
        return found
    }

    /// A key that a host has proved to `ssh`.
    public struct ProvedKey: Sendable {
        /// A line of known_hosts, names in the clear; nil where the key, or the authority behind it, is known already.
        public let line: String?
        /// Why `ssh` would not let the key pass; nil where it only knows none.
        public let refusal: TransportError?
        /// The key's type and SHA-256.
        public let fingerprint: String
        /// The known_hosts files that `ssh` looks in, as absolute paths; the first one is written.
        public let files: [String]
        /// Whether names are hidden in what is written there.
        public let isHashed: Bool
    }

    /// Connects to a host, lets it prove its key to `ssh`, and hangs up: nobody logs in.
    ///
    /// - Throws: ``FleetTransport/TransportError``.
    public func provedKey(of endpoint: HostEndpoint) async throws(TransportError) -> ProvedKey {
        let settings = try await settings(of: endpoint)
        let command = try await command(for: endpoint)
        let files: [String]
        if let own = endpoint.ssh.knownHostsFile {
            files = [own]
        } else {
            files =
                ((settings["userknownhostsfile"] ?? [])
                + (settings["globalknownhostsfile"] ?? []))
                .flatMap { $0.split(separator: " ").map(String.init) }
                .filter { $0.lowercased() != "none" }
            // `ssh -G` prints names with blanks as it prints several.
            if let piece = files.first(where: { !$0.hasPrefix("/") }) {
                throw .configuration(
                    reason:
                        "which known_hosts files ssh uses for \(endpoint.name) cannot be told (`\(piece)`): "
                        + "name one in the inventory, `ssh: { known_hosts: … }`"
                )
            }
        }
        let isHashed = settings["hashknownhosts"] == ["yes"]
        let known = try await run(command.proof(into: nil))
        let error = known.error(for: endpoint.name.text, said: "")
        var refusal: TransportError?
        switch error {
        case .authenticationDenied:
            return ProvedKey(
                line: nil,
                refusal: nil,
                fingerprint: known.hostKey ?? "",
                files: files,
                isHashed: isHashed
            )
        case .hostKeyUnknown: break
        case .hostKeyChanged, .hostKeyRevoked, .hostKeyOtherType: refusal = error
        default: throw error
        }
        let file = try
            "\(place())/\(getpid()).keys\(Self.count.wrappingAdd(1, ordering: .relaxed).newValue)"
        let proved = try await run(command.proof(into: file))
        let bytes = await BlockingQueue.shared.run {
            defer { unlink(file) }
            return WholeFile.read(file)
        }
        let lines = String(decoding: bytes ?? [], as: UTF8.self).split(separator: "\n")
        guard let line = lines.first else { throw proved.error(for: endpoint.name.text, said: "") }
        return ProvedKey(
            line: String(line),
            refusal: refusal,
            fingerprint: proved.hostKey ?? "",
            files: files,
            isHashed: isHashed
        )
    }

    /// Runs `ssh` once and reads what it tells.
    private func run(_ words: [String]) async throws(TransportError) -> OpenSSHLog {
        let variables = environment.variables
        let said = await BlockingQueue.shared.run {
            do throws(OpenSSHMissing) {
                return Result<String, OpenSSHMissing>.success(
                    try OpenSSHProgram.output(
                        of: words,
                        environment: variables,
                        withErrors: true,
                        within: 30
                    )
                )
            } catch {
                return .failure(error)
            }
        }
        do throws(OpenSSHMissing) { return OpenSSHLog(try said.get().utf8) } catch {
            throw .configuration(reason: error.reason)
        }
    }

    /// Refuses a configuration that is named to `ssh` and that others may write to: of those `ssh` itself does not look.
    private func requireOwnConfiguration() throws(TransportError) {
        guard let path = environment.configuration else { return }
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return }
        guard status.st_uid == 0 || status.st_uid == getuid(), status.st_mode & 0o022 == 0 else {
            throw .configuration(reason: "\(path): others may write to it (chmod 600 \(path))")
        }
    }

    private func command(for endpoint: HostEndpoint) async throws(TransportError) -> OpenSSHCommand
    {
        try requireOwnConfiguration()
        let version: OpenSSHVersion
        do throws(OpenSSHMissing) { version = try await programVersion() } catch {
            throw .configuration(reason: error.reason)
        }
        return OpenSSHCommand(
            program: environment.program,
            version: version,
            endpoint: endpoint,
            hostKeys: environment.hostKeys(endpoint),
            configuration: environment.configuration
        )
    }

    /// Logs in; see ``FleetTransport/Transport``.
    public func open(_ endpoint: HostEndpoint, rollout: String) async throws(TransportError)
        -> any HostSession
    {
        let reactor = reactors.reactor(for: endpoint.name.text)
        try reactor.requireSockets(to: endpoint.name)
        let command = try await command(for: endpoint)
        if endpoint.ssh.password != nil {
            throw .credentialUnusable(
                reason:
                    "`ssh` is never given a password by fleet: use a key, or `client: libssh2` for this host"
            )
        }
        let password: String? =
            if let source = endpoint.ssh.becomePassword {
                try await environment.secret(source).get()
            } else { nil }
        let number = Self.count.wrappingAdd(1, ordering: .relaxed).newValue
        let control = try "\(place())/\(getpid()).\(number)"
        let (sources, limit, variables) = (sources, environment.outputLimit, environment.variables)
        let session = OpenSSHHostSession(
            reactor: reactor,
            slots: slots(for: endpoint),
            client: command.version.description,
            busyMilliseconds: environment.busyMilliseconds
        ) { () async throws(TransportError) -> OpenSSHSession in
            let session = OpenSSHSession(
                reactor: reactor,
                rollout: rollout,
                command: command,
                environment: variables,
                control: control,
                sources: sources,
                outputLimit: limit
            )
            if let password { await session.setBecomePassword(password) }
            do throws(TransportError) { try await session.start() } catch {
                await session.disconnect()
                throw error
            }
            return session
        }
        try await session.begin()
        return session
    }

    /// The places that a host's session shares with all others of its inventory; those above the limit that nobody uses
    /// log in again later.
    private func slots(for endpoint: HostEndpoint) -> OpenSSHSlots {
        let limit = endpoint.ssh.openSSHSessions ?? SSHSettings.usualOpenSSHSessions
        return slots.withLock { known in
            let found = known[limit] ?? OpenSSHSlots(limit: limit)
            known[limit] = found
            return found
        }
    }

    /// The reactor that all of a host's sessions live on.
    public func executor(for endpoint: HostEndpoint) -> (any HostExecutor)? {
        reactors.reactor(for: endpoint.name.text)
    }

    /// The directory of the control sockets: short, because a socket's path is (unix(7): 108 bytes), and this account's
    /// alone, as tmux and ssh-agent have theirs.
    private func place() throws(TransportError) -> String {
        try directory.withLock { (known) throws(TransportError) -> String in
            if let known { return known }
            let path = "/tmp/fleet-\(getuid())"
            var status = stat()
            guard mkdir(path, 0o700) == 0 || errno == EEXIST, lstat(path, &status) == 0 else {
                throw .localFile(path: path, reason: String(cString: strerror(errno)))
            }
            guard status.st_mode & S_IFMT == S_IFDIR, status.st_uid == getuid(),
                status.st_mode & 0o077 == 0
            else {
                throw .localFile(
                    path: path,
                    reason:
                        "it is not a directory of this account alone, so no control socket is put there"
                )
            }
            Self.clear(path)
            known = path
            return path
        }
    }

    /// Removes what a fleet that was killed has left: its names begin with its process id.
    private static func clear(_ path: String) {
        guard let folder = opendir(path) else { return }
        defer { closedir(folder) }
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard let process = pid_t(name.prefix { $0 != "." }), kill(process, 0) != 0,
                errno == ESRCH
            else { continue }
            unlinkat(dirfd(folder), name, 0)
        }
    }
}

/// How many sessions are open, and who waits for one.
final class OpenSSHSlots: Sendable {
    private struct State {
        var free: Int
        /// Sessions that are asked to give their place up.
        var leavingCount = 0
        var waiting: [CheckedContinuation<Void, Never>] = []
        var idle: [OpenSSHHostSession] = []
    }

    private let state: Mutex<State>

    init(limit: Int) { state = Mutex(State(free: max(1, limit))) }

    /// Waits for a place; sessions that nobody uses make room.
    func take() async {
        await withCheckedContinuation { continuation in
            let isFree = state.withLock { state in
                guard state.free > 0 else {
                    state.waiting.append(continuation)
                    return false
                }
                state.free -= 1
                return true
            }
            guard !isFree else { return continuation.resume() }
            Task { await makeRoom() }
        }
    }

    /// Ends as many idle sessions as others wait for, the longest idle ones first.
    private func makeRoom() async {
        while true {
            let victim: OpenSSHHostSession? = state.withLock { state in
                guard state.waiting.count > state.leavingCount, !state.idle.isEmpty else {
                    return nil
                }
                state.leavingCount += 1
                return state.idle.removeFirst()
            }
            guard let victim else { return }
            if await !victim.giveUp() { state.withLock { $0.leavingCount -= 1 } }
        }
    }

    /// Gives a place back.
    ///
    /// - Parameter wasAsked: Whether the session was asked for it.
    func release(wasAsked: Bool = false) {
        let next: CheckedContinuation<Void, Never>? = state.withLock { state in
            if wasAsked { state.leavingCount -= 1 }
            guard !state.waiting.isEmpty else {
                state.free += 1
                return nil
            }
            return state.waiting.removeFirst()
        }
        next?.resume()
    }

    /// Nobody uses a session at present; if somebody waits, it may end now.
    func isIdle(_ session: OpenSSHHostSession) async {
        state.withLock { $0.idle.append(session) }
        await makeRoom()
    }

    /// Somebody uses it again.
    func isUsed(_ session: OpenSSHHostSession) {
        state.withLock { $0.idle.removeAll { $0 === session } }
    }
}

/// A host's session, which may be closed between two calls and log in again.
actor OpenSSHHostSession: HostSession {
    nonisolated let reactor: Reactor
    nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }
    nonisolated let client: String?
    private let slots: OpenSSHSlots
    private let make: @Sendable () async throws(TransportError) -> OpenSSHSession
    private let busyMilliseconds: Int
    /// The longest pause between two tries, in milliseconds.
    private static let longestPauseMilliseconds = 4_000
    private var session: OpenSSHSession?
    /// The login that is under way.
    private var opening: Task<Result<OpenSSHSession, TransportError>, Never>?
    private var users = 0
    private(set) var hostKey: String?
    /// Why it is of no use any more.
    private var failure: TransportError?

    init(
        reactor: Reactor,
        slots: OpenSSHSlots,
        client: String,
        busyMilliseconds: Int,
        make: @escaping @Sendable () async throws(TransportError) -> OpenSSHSession
    ) {
        self.reactor = reactor
        self.slots = slots
        self.client = client
        self.busyMilliseconds = busyMilliseconds
        self.make = make
    }

    /// Logs in for the first time.
    func begin() async throws(TransportError) { try await using { _ in } }

    private func using<T: Sendable>(
        _ body: (OpenSSHSession) async throws(TransportError) -> T
    ) async throws(TransportError) -> T {
        if let failure { throw failure }
        users += 1
        slots.isUsed(self)
        do throws(TransportError) {
            let opened = try await opened()
            let result = try await body(opened)
            await left()
            return result
        } catch {
            await left()
            throw error
        }
    }

    private func left() async {
        users -= 1
        if users == 0, session != nil { await slots.isIdle(self) }
    }

    private func opened() async throws(TransportError) -> OpenSSHSession {
        if let session { return session }
        // Two calls at once want one login.
        let task = opening ?? Task { await logIn() }
        opening = task
        let result = await withTaskCancellationHandler {
            await task.value
        } onCancel: {
            task.cancel()
        }
        opening = nil
        return try result.get()
    }

    private func logIn() async -> Result<OpenSSHSession, TransportError> {
        await slots.take()
        let made: OpenSSHSession
        do throws(TransportError) { made = try await makeUnlessBusy() } catch {
            slots.release()
            failure = failure ?? error
            return .failure(error)
        }
        let proved = await made.hostKey
        if let hostKey, let proved, hostKey != proved {
            failure =
                failure
                ?? .hostKeyChanged(
                    host: made.address,
                    offered: proved,
                    known: hostKey,
                    place: "the first connection of this run"
                )
        }
        // It may also have been closed meanwhile.
        if let failure {
            await made.disconnect()
            release(made)
            return .failure(failure)
        }
        hostKey = hostKey ?? proved
        session = made
        return .success(made)
    }

    /// Logs in; an sshd that drops connections above its MaxStartups before its banner is tried again: that passes.
    ///
    /// What a proxy has cut off, which `ssh` calls port 65535, is not sshd's doing.
    private func makeUnlessBusy() async throws(TransportError) -> OpenSSHSession {
        let start = Reactor.now()
        var attempt = 1
        while true {
            do throws(TransportError) { return try await make() } catch {
                let waited = Int((Reactor.now() - start) / 1_000_000)
                guard case .connectionLost(.banner, let reason) = error,
                    !reason.contains("UNKNOWN port 65535"), waited < busyMilliseconds,
                    failure == nil, !Task.isCancelled
                else { throw error }
                let longest = min(Self.longestPauseMilliseconds, 200 << min(attempt, 5))
                do { try await Task.sleep(for: .milliseconds(Int.random(in: 50...longest))) } catch
                {
                    throw TransportError.connectionLost(.connecting, reason: "cancelled")
                }
                attempt += 1
            }
        }
    }

    /// Gives a session's place back once its `ssh` is no more; nobody else waits for that.
    private func release(_ session: OpenSSHSession, wasAsked: Bool = false) {
        let slots = slots
        Task {
            await session.waitUntilGone()
            slots.release(wasAsked: wasAsked)
        }
    }

    /// Closes what nobody uses.
    ///
    /// - Returns: Whether a place comes free.
    func giveUp() async -> Bool {
        guard users == 0, let session else { return false }
        self.session = nil
        await session.close(removingRunDirectory: false)
        release(session, wasAsked: true)
        return true
    }

    // MARK: HostSession

    func run(_ script: Script, timeoutMilliseconds: Int, output: any OutputSink)
        async throws(TransportError) -> CommandResult
    {
        try await using { session throws(TransportError) in
            try await session.run(script, timeoutMilliseconds: timeoutMilliseconds, output: output)
        }
    }

    func runDetached(
        _ script: Script,
        key: ActionKey,
        timeoutMilliseconds: Int,
        output: any OutputSink
    ) async throws(TransportError) -> CommandResult {
        try await using { session throws(TransportError) in
            try await session.runDetached(
                script,
                key: key,
                timeoutMilliseconds: timeoutMilliseconds,
                output: output
            )
        }
    }

    func recover(
        _ key: ActionKey,
        from offset: Int,
        timeoutMilliseconds: Int,
        output: any OutputSink
    ) async throws(TransportError) -> Recovery {
        try await using { session throws(TransportError) in
            try await session.recover(
                key,
                from: offset,
                timeoutMilliseconds: timeoutMilliseconds,
                output: output
            )
        }
    }

    func stop(_ key: ActionKey) async throws(TransportError) -> Bool {
        try await using { session throws(TransportError) in try await session.stop(key) }
    }

    func upload(_ upload: Upload, key: ActionKey, timeoutMilliseconds: Int, output: any OutputSink)
        async throws(TransportError) -> CommandResult
    {
        try await using { session throws(TransportError) in
            try await session.upload(
                upload,
                key: key,
                timeoutMilliseconds: timeoutMilliseconds,
                output: output
            )
        }
    }

    func exchange(
        host: String,
        port: Int,
        request: [UInt8],
        withinMilliseconds: Int,
        receive: @escaping @Sendable ([UInt8]) -> Bool
    ) async throws(TransportError) {
        try await using { session throws(TransportError) in
            try await session.exchange(
                host: host,
                port: port,
                request: request,
                withinMilliseconds: withinMilliseconds,
                receive: receive
            )
        }
    }

    func close(removingRunDirectory: Bool) async {
        slots.isUsed(self)
        failure = failure ?? .connectionLost(.command, reason: "the session was closed")
        guard let session else { return }
        self.session = nil
        await session.close(removingRunDirectory: removingRunDirectory)
        release(session)
    }
}
