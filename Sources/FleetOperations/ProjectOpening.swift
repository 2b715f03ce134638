internal import FleetJournal
public import FleetProject
internal import FleetReport
internal import FleetRollout
internal import FleetTransport

/// How a project is found, and what of its files takes effect here.
public struct ProjectOpening: Sendable, Hashable {
    /// The project's directory, absolute; nil to look for it from ``workingDirectory`` upwards.
    public var root: String?
    /// Where one looks from; absolute.
    public var workingDirectory: String
    /// What the project's files may do here: their digest, or `all`; nil for what people have agreed to.
    public var agreement: String?
    /// Where it is kept what people have agreed to.
    public var stateDirectory: String

    /// Names a place to look from.
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
    /// - Parameter tell: Told that an agreement does not hold any more: whoever only looks is not kept from it.
    /// - Returns: The project, in which what nobody has agreed to takes no effect.
    /// - Throws: ``OperationFailure`` if there is none, or it cannot be read.
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
