internal import FleetDigest
internal import FleetFiles
internal import Glibc

/// What the people of this machine have agreed to, for every project: a file of which a line is never changed.
///
/// Each line is one agreement for one project; its last one counts. Lines are added under a lock, so that
/// nobody's agreement is lost to somebody else's.
public struct TrustStore: Sendable {
    /// Why an agreement could not be kept.
    public struct Failure: Error, Sendable, Hashable {
        /// What the system said.
        public let reason: String
    }

    private struct Agreement: Codable {
        let project: String
        let values: [String]
        let by: String
        let at: Int
    }

    private let path: String

    /// The largest file that is read, in bytes.
    private static let limitBytes = 64 << 20

    /// Uses a state directory.
    public init(in stateDirectory: String) { path = stateDirectory + "/trusted-files" }

    /// What was agreed to for a project; nothing at all if the file is another account's, or others may write it.
    ///
    /// - Parameter project: The project.
    /// - Returns: The texts of the values; see ``SensitiveValue/text``.
    public func values(of project: Project) -> Set<String> {
        var status = stat()
        // One that came with a push is nobody's word.
        if let real = Project.realPath(path), let top = Project.realPath(project.root),
            real.hasPrefix(top + "/")
        {
            return []
        }
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            status.st_uid == geteuid() || status.st_uid == 0,
            status.st_mode & 0o022 == 0,
            let bytes = WholeFile.read(path, limit: Self.limitBytes)
        else { return [] }
        let name = Self.name(of: project)
        var found: Set<String> = []
        for line in bytes.split(separator: 0x0A) {
            // A line that was cut off by a full disk was no agreement.
            guard let agreement = try? CanonicalJSON.decode(Agreement.self, from: Array(line)),
                agreement.project == name
            else { continue }
            found = Set(agreement.values)
        }
        return found
    }

    /// Keeps an agreement, in place of an earlier one for the same project.
    ///
    /// - Parameters:
    ///   - texts: Everything that was agreed to; see ``SensitiveValue/text``.
    ///   - project: The project.
    ///   - person: Who agreed.
    ///   - time: When, in milliseconds since 1970.
    /// - Throws: ``Failure``; nothing has changed then.
    public func keep(
        _ texts: Set<String>,
        of project: Project,
        by person: String,
        at time: Int
    ) throws(Failure) {
        // It would count for nothing: see ``values(of:)``.
        if let real = Project.realPath(String(path.dropLast("/trusted-files".count))),
            let top = Project.realPath(project.root), real == top || real.hasPrefix(top + "/")
        {
            throw Failure(
                reason:
                    "\(real) is in the project, where a push could write it: name another --state-dir"
            )
        }
        let agreement = Agreement(
            project: Self.name(of: project),
            values: texts.sorted(),
            by: person,
            at: time
        )
        let isKept: Bool
        do throws(WholeFile.Failure) {
            let line = CanonicalJSON.encode(agreement) + [0x0A]
            isKept = try WholeFile.append(line, to: path, mode: 0o600)
        } catch {
            throw Failure(reason: "\(path): \(error.reason)")
        }
        guard isKept else { throw Failure(reason: "\(path) is no regular file") }
    }

    /// A project is a directory, by whatever path it was reached.
    private static func name(of project: Project) -> String {
        Project.realPath(project.root) ?? project.root
    }
}
