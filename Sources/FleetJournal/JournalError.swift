/// Why the journal cannot be used.
public enum JournalError: Error, Sendable, Hashable {
    /// The state directory is missing, is not owned by the user, or can be accessed by others.
    case stateDirectory(path: String, reason: String, fix: String?)
    /// A record could not be written: the rollout must stop.
    case write(reason: String)
    /// Records could not be read.
    case read(reason: String)
    /// The journal was written by a newer fleet.
    case newerSchema(found: Int, known: Int)
    /// A record is not what was written.
    case corrupt(sequence: Int, reason: String)
    /// Another fleet on this machine is changing the environment.
    case locked(environment: String, owner: String)

    /// What happened, for people.
    public var message: String {
        switch self {
        case .stateDirectory(let path, let reason, _): "the state directory \(path) \(reason)"
        case .write(let reason): "the journal could not be written: \(reason)"
        case .read(let reason): "the journal could not be read: \(reason)"
        case .newerSchema(let found, let known):
            "the journal has schema \(found), and this fleet knows \(known)"
        case .corrupt(let sequence, let reason): "journal record \(sequence) is corrupt: \(reason)"
        case .locked(let environment, let owner):
            "another fleet on this machine is changing \(environment): \(owner)"
        }
    }

    /// What to do about it.
    public var hint: String? {
        switch self {
        case .stateDirectory(_, _, let fix): fix
        case .write: "free space in the state directory, then `fleet resume`"
        case .read, .corrupt: nil
        case .newerSchema: "use the newer fleet"
        case .locked(let environment, _): "wait for it, or see `fleet history \(environment)`"
        }
    }
}
