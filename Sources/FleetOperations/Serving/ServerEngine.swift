internal import FleetClients
public import FleetJournal
internal import FleetProject
internal import FleetReport
public import FleetRollout
internal import FleetRunner
public import FleetServing
internal import FleetTransport
internal import Synchronization

/// The engine of a server: the same operations as on the command line, for many people, on a clone of its own.
public final class ServerEngine: Sendable {
    /// What the server file says.
    public let file: ServerFile
    /// The engine.
    public let controller: Controller
    /// What the server remembers.
    public let store: ServerStore
    /// The project.
    public let keeper: ProjectKeeper
    /// The rollouts that this process carries out.
    public let rollouts = ServedRollouts()
    /// The name of this machine, as it stands in records.
    public let machine: String
    /// The version of fleet.
    public let version: String
    /// Rings when there may be something to do.
    public let bell = Bell()
    let stateDirectory: String
    let secrets: SecretReader
    let credentials: String?
    let say: @Sendable (Happening) -> Void
    let previews = PreviewShelf()

    /// Opens a server's state; refuses if another server uses it.
    ///
    /// - Parameters:
    ///   - file: The server file.
    ///   - settings: The engine's settings.
    ///   - credentials: Where systemd's credentials are; nil if there are none.
    ///   - machine: The name of this machine.
    ///   - version: The version of fleet.
    ///   - owner: Who opens it, in words, for whoever is refused; nil to look only, beside a server that may run.
    ///   - say: Called with what happens; it must not block.
    /// - Throws: ``OperationFailure``.
    public init(
        _ file: ServerFile,
        _ settings: Controller.Settings,
        credentials: String?,
        machine: String,
        version: String,
        owner: String?,
        say: @escaping @Sendable (Happening) -> Void
    ) throws(OperationFailure) {
        self.file = file
        self.machine = machine
        self.version = version
        self.say = say
        self.credentials = credentials
        stateDirectory = settings.stateDirectory
        secrets = SecretReader(root: settings.stateDirectory)
        controller = try Controller(settings)
        do throws(JournalError) {
            store = try ServerStore(in: controller.directory, for: owner)
        } catch {
            if case .locked(_, let other) = error {
                throw OperationFailure(
                    .locked,
                    "another server uses \(settings.stateDirectory): \(Sanitizer.line(other))",
                    hints: ["stop it first, or name another --state-dir"]
                )
            }
            throw OperationFailure(error)
        }
        keeper = ProjectKeeper(file.project, stateDirectory: settings.stateDirectory)
    }

    /// The time, in milliseconds since 1970.
    public static func now() -> Int { WallClock.unixMilliseconds() }

    /// Reads a secret.
    ///
    /// - Throws: ``OperationFailure`` if it cannot be read, or is empty.
    public func secret(_ secret: ServerFile.Secret) async throws(OperationFailure) -> String {
        let source: SecretSource
        switch secret {
        case .source(let known): source = known
        case .credential(let name):
            guard let credentials else {
                throw OperationFailure(
                    .invalidFiles,
                    "there are no credentials of systemd here, and `\(name)` is one",
                    hints: ["add LoadCredential=\(name):FILE to the service"]
                )
            }
            source = .file("\(credentials)/\(name)")
        }
        do throws(SecretReader.Unavailable) {
            return try await secrets.read(source)
        } catch {
            throw OperationFailure(.invalidFiles, error.reason)
        }
    }

    /// The operations for a person, on the project as it is in its repository now.
    ///
    /// - Parameters:
    ///   - person: Who asks.
    ///   - command: What for, in the words of the command line, as records have it.
    ///   - authors: Accounts that count as authors of whatever is released: whoever pushed it; nil if somebody did, and
    ///     nobody knows who.
    /// - Returns: The operations.
    /// - Throws: ``OperationFailure`` if the project cannot be brought up to date.
    public func operations(
        for person: Person,
        command: String,
        authors: Set<String>? = []
    ) async throws(OperationFailure) -> (operations: Operations, version: ProjectKeeper.Version) {
        let version = try await keeper.refresh()
        return (operations(for: person, command: command, authors: authors, on: version), version)
    }

    /// The operations for a person on a version of the project that was read before.
    public func operations(
        for person: Person,
        command: String,
        authors: Set<String>? = [],
        on version: ProjectKeeper.Version
    ) -> Operations {
        var operations = Operations(
            controller: controller,
            project: version.project,
            initiator: initiator(person, command: command),
            asker: NobodyAsked(),
            tell: say
        )
        operations.people = people(
            authors: authors?.union([person.name, person.address].compactMap { $0 })
        )
        return operations
    }

    /// Who is recorded as having begun something.
    public func initiator(_ person: Person, command: String) -> Initiator {
        Initiator(
            user: person.name,
            machine: machine,
            command: "serve: \(command)",
            version: version
        )
    }

    /// The names of every account, and those that count as authors.
    func people(authors: Set<String>?) -> People {
        People(
            names: file.accounts.map { [$0.name] + $0.addresses + $0.logins.values.sorted() },
            authors: authors,
            pushers: { [store, file] commit in
                // A store that cannot be read lets nothing begin anyway.
                let found = (try? await store.persons(of: commit)) ?? []
                return Set(
                    found.flatMap { hook, person in
                        let account = file.hook(named: hook).flatMap {
                            file.account(
                                login: person.login,
                                at: $0.provider,
                                address: person.address
                            )
                        }
                        return [account?.name, person.address].compactMap { $0 }
                    }
                )
            }
        )
    }

    /// Somebody who uses the server.
    public struct Person: Sendable, Hashable {
        /// The account's name, or what a provider calls somebody who has none.
        public let name: String
        /// The address that git knows them by; nil if none is known.
        public let address: String?

        /// Names a person.
        public init(name: String, address: String?) {
            self.name = name
            self.address = address
        }

        /// The person behind an account.
        public init(_ account: ServerFile.Account) {
            self.init(name: account.name, address: account.addresses.first)
        }
    }
}

/// Nobody can be asked: a browser answers before it asks for anything to be begun.
private struct NobodyAsked: Asker {
    func agrees(to question: Question) async -> Bool? { nil }
}

/// The rollouts that a server's process carries out.
public final class ServedRollouts: Sendable {
    private struct State {
        var running: [RolloutID: RunningRollout] = [:]
        /// How many are being prepared to begin.
        var beginning = 0
        var isClosed = false
    }

    private let state = Mutex(State())

    /// Those that run now.
    public var running: [RunningRollout] { state.withLock { Array($0.running.values) } }

    /// The one with a name; nil if it does not run here.
    public func running(_ id: RolloutID) -> RunningRollout? { state.withLock { $0.running[id] } }

    /// Whether nothing new begins.
    public var isClosed: Bool { state.withLock { $0.isClosed } }

    /// Announces one that is about to begin; each call needs one of ``began(_:)``.
    ///
    /// - Returns: Whether it may: nothing new begins once this is closed.
    func isToBegin() -> Bool {
        state.withLock { state in
            guard !state.isClosed else { return false }
            state.beginning += 1
            return true
        }
    }

    /// Says what became of one that was about to begin.
    ///
    /// - Parameter rollout: The rollout; nil if it did not begin.
    func began(_ rollout: RunningRollout?) {
        let isClosed = state.withLock { state in
            state.beginning -= 1
            if let rollout { state.running[rollout.id] = rollout }
            return state.isClosed
        }
        // It came in at the last moment.
        if isClosed { rollout?.stop(signal: 15) }
    }

    func remove(_ id: RolloutID) { state.withLock { $0.running[id] = nil } }

    /// Lets nothing new begin, and asks what runs to stop: what is in flight ends.
    public func close() {
        let running = state.withLock { state in
            state.isClosed = true
            return Array(state.running.values)
        }
        for rollout in running { rollout.stop(signal: 15) }
    }

    /// Waits until nothing runs, and nothing is about to.
    public func isIdle() async {
        while true {
            let (running, beginning) = state.withLock {
                ($0.running.values.map { $0 }, $0.beginning)
            }
            for rollout in running {
                // How it ended stands in the journal.
                _ = try? await rollout.end()
                await rollout.isTold()
            }
            if running.isEmpty, beginning == 0 { return }
            // Cancelled only when the process is to end at once.
            do { try await Task.sleep(for: .milliseconds(20)) } catch { return }
        }
    }
}

/// Wakes whoever waits for something to do.
public final class Bell: Sendable {
    private let count = RolloutProgress()

    /// Creates a bell.
    public init() {}

    /// There may be something to do.
    public func ring() { count.moved() }

    /// How often it has rung.
    public var rings: Int { count.state.count }

    /// Waits until it has rung more often than that, or some time has passed.
    ///
    /// - Parameters:
    ///   - rings: How often it has rung.
    ///   - milliseconds: The longest that is waited.
    public func wait(beyond rings: Int, milliseconds: Int) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.count.wait(beyond: rings) }
            group.addTask {
                // Cancelled when it rings.
                try? await Task.sleep(for: .milliseconds(milliseconds))
            }
            _ = await group.next()
            group.cancelAll()
        }
    }
}
