internal import FleetJournal
public import FleetProject
internal import FleetReport
internal import FleetRollout
internal import FleetTransport

/// Where to look for a project, and which of its files' settings take effect on this machine.
public struct ProjectOpening: Sendable, Hashable {
    /// The project's directory, absolute; nil to look for it from ``workingDirectory`` upwards.
    public var root: String?
    /// The absolute path of the directory at which the search starts.
    public var workingDirectory: String
    /// The digest of what the project's files may do here, or `all`; nil for what people have agreed to.
    public var agreement: String?
    /// The directory that stores what people have agreed to.
    public var stateDirectory: String

    /// Creates the description of a project to open.
    public init(
        root: String?,
        workingDirectory: String,
        agreement: String?,
        stateDirectory: String
    ) {
        self.root = root
        self.workingDirectory = workingDirectory
        self.agreement = agreement
        self.stateDirectory = stateDirectory
    }

    /// What people have agreed to on this machine.
    public var trustStore: TrustStore { TrustStore(in: stateDirectory) }

    /// Opens the project.
    ///
    /// - Parameter tell: Called with a warning if ``agreement`` does not match the files; the project is opened all the
    ///   same.
    /// - Returns: The project; settings that nobody has agreed to have no effect in it.
    /// - Throws: ``OperationFailure`` if there is no project, or it cannot be read.
    public func open(_ tell: @Sendable (Happening) -> Void) async throws(OperationFailure)
        -> Project
    {
        let found: Project
        do {
            found =
                if let root { Project(root: root) } else {
                    try Project.find(from: workingDirectory)
                }
            try found.requireReadable()
        } catch {
            throw OperationFailure(error)
        }
        let known = trustStore.values(of: found)
        guard let agreement else { return found.trusting(.only(known)) }
        if agreement == "all" { return found.trusting(.all) }
        let values = await found.sensitiveValues()
        let digest = Project.digest(of: values)
        guard agreement == digest else {
            tell(
                .warning(
                    "what the project's files may do here has changed: it is \(digest), and "
                        + "\(Sanitizer.line(agreement)) was agreed to; none of it takes effect",
                    next: "look at it with `fleet trust --files`, then give CI the new digest"
                )
            )
            return found.trusting(.none)
        }
        return found.trusting(.only(Set(values.map(\.text))))
    }
}
