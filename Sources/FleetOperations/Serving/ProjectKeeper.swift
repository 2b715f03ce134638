internal import FleetFiles
internal import FleetInventory
internal import FleetJournal
public import FleetProject
internal import FleetReport
internal import FleetRollout
internal import FleetRunner
public import FleetServing

/// Keeps a server's clone of its project, and knows which of its files take effect.
///
/// Nothing is ever planned with files that are older than it says: who plans has the clone brought up to date first, and
/// fails if that fails.
public actor ProjectKeeper {
    /// The project at one commit.
    public struct Version: Sendable {
        /// The commit.
        public let commit: String
        /// The project, in a folder whose files stay as they are.
        public let project: Project
        /// Settings of the files that nobody has agreed to, in words; they have no effect.
        public let pending: [String]
        /// Why the files are not taken on the branch's word, if something was wrong with it; nil if nothing was.
        public let doubt: String?
        /// When the branch was looked at, in milliseconds since 1970; 0 if this process has not done so yet.
        public let unixMilliseconds: Int
    }

    /// What the source says.
    public nonisolated let source: ServerFile.ProjectSource
    private let mirror: ProjectMirror
    private let trustStore: TrustStore
    private var flight: Task<Result<Version, OperationFailure>, Never>?
    private var next: Task<Result<Version, OperationFailure>, Never>?
    private var inUse: [String: Int] = [:]

    /// The newest version that could be read; nil if none could.
    public private(set) var version: Version?
    /// Why the branch could not be read when it was looked at last; nil if it could.
    public private(set) var problem: OperationFailure?

    init(_ source: ServerFile.ProjectSource, stateDirectory: String) {
        self.source = source
        mirror = ProjectMirror(
            of: source.repository,
            branch: source.branch,
            in: stateDirectory + "/project"
        )
        trustStore = TrustStore(in: stateDirectory)
    }

    /// Where people's agreements are kept for: the clone as a whole, whichever commit its files are of.
    private nonisolated var key: Project { Project(root: mirror.directory) }

    /// Brings the clone up to date.
    ///
    /// Calls that arrive while the repository is being asked wait for a look that begins after them.
    ///
    /// - Returns: The project as it is in the repository now.
    /// - Throws: ``OperationFailure`` if the repository cannot be reached.
    public func refresh() async throws(OperationFailure) -> Version {
        let task: Task<Result<Version, OperationFailure>, Never>
        if let next {
            task = next
        } else if let flight {
            task = Task {
                _ = await flight.value
                return await self.takeOff()
            }
            next = task
        } else {
            task = Task { await look() }
            flight = task
        }
        return try await task.value.get()
    }

    /// The look that others waited for begins.
    private func takeOff() async -> Result<Version, OperationFailure> {
        flight = next
        next = nil
        return await look()
    }

    private func look() async -> Result<Version, OperationFailure> {
        let result: Result<Version, OperationFailure>
        do throws(OperationFailure) {
            let found = try await read()
            version = found
            problem = nil
            result = .success(found)
        } catch {
            problem = error
            result = .failure(error)
        }
        if next == nil { flight = nil }
        return result
    }

    /// Remembers what was fetched last, so that there is something to look at before the repository has answered.
    public func recall() async {
        guard version == nil, let commit = await mirror.known() else { return }
        do throws(GitRepository.Failure) { version = try await files(of: commit, at: 0) } catch {
            // The first look at the repository says what is wrong.
        }
    }

    private func read() async throws(OperationFailure) -> Version {
        do throws(GitRepository.Failure) {
            let found = try await files(
                of: try await mirror.update(),
                at: WallClock.unixMilliseconds()
            )
            // Those that are planned with, or carried out, stay.
            let kept = Set(inUse.keys).union([found.commit, version?.commit ?? found.commit])
            mirror.removeFiles(except: kept)
            return found
        } catch {
            throw OperationFailure(
                .refused,
                "E_PROJECT the project's repository cannot be read: `\(error.command)`: "
                    + Sanitizer.safe(error.message),
                hints: ["nothing is planned with older files", "nothing was changed"]
            )
        }
    }

    private func files(of commit: String, at unixMilliseconds: Int)
        async throws(GitRepository.Failure) -> Version
    {
        let folder = try await mirror.files(of: commit)
        let root = source.folder.isEmpty ? folder : "\(folder)/\(source.folder)"
        let (trusted, doubt) = await trusted(commit)
        let project = Project(root: root, trusted: trusted)
        return Version(
            commit: commit,
            project: project,
            pending: trusted.lacking(await project.sensitiveValues()).map(\.text),
            doubt: doubt,
            unixMilliseconds: unixMilliseconds
        )
    }

    private func trusted(_ commit: String) async -> (TrustedValues, doubt: String?) {
        let agreed = TrustedValues.only(trustStore.values(of: key))
        switch source.trust {
        case .branch: return (.all, nil)
        case .ask: return (agreed, nil)
        case .signedCommits:
            guard let objection = await mirror.objection(toSignatureOf: commit) else {
                return (.all, nil)
            }
            return (
                agreed, "commit \(commit.prefix(12)) is not signed as git accepts it: \(objection)"
            )
        }
    }

    /// Agrees to what the newest files say.
    ///
    /// - Parameters:
    ///   - texts: What was looked at; if the files say something else by now, nothing is agreed to.
    ///   - person: Who agrees.
    /// - Throws: ``OperationFailure``; nothing is agreed to then.
    public func agree(to texts: [String], by person: String) async throws(OperationFailure) {
        let now = try await refresh()
        guard Set(now.pending) == Set(texts) else {
            throw OperationFailure(
                .refused,
                "E_STALE the project's files have changed since they were looked at",
                hints: ["look at them again", "nothing was agreed to"]
            )
        }
        do throws(TrustStore.Failure) {
            try trustStore.keep(
                trustStore.values(of: key).union(texts),
                of: key,
                by: person,
                at: WallClock.unixMilliseconds()
            )
        } catch {
            throw OperationFailure(.stateDirectory, error.reason)
        }
        _ = try await refresh()
    }

    /// The files of a version stay until they are given back.
    func hold(_ commit: String) { inUse[commit, default: 0] += 1 }

    /// Nobody needs the files of a version any more that was held.
    func giveBack(_ commit: String) {
        guard let count = inUse[commit] else { return }
        inUse[commit] = count > 1 ? count - 1 : nil
    }
}
