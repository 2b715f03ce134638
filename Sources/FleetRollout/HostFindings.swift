/// The state of one host, as a user wants to know it before a first deploy.
public struct HostFindings: Sendable, Encodable {
    /// A problem that a deploy would have with the host.
    public struct Problem: Sendable, Encodable, Hashable {
        /// What was seen.
        public let text: String
        /// What to do about it.
        public let fix: String?
        /// Whether a deploy would refuse the host for it.
        public let isFatal: Bool

        /// Describes it.
        public init(text: String, fix: String?, isFatal: Bool) {
            self.text = text
            self.fix = fix
            self.isFatal = isFatal
        }
    }

    /// The host's name.
    public let host: String
    /// The client that connected to the host, as in `libssh2 1.10.0`; nil if none did.
    public var client: String?
    /// The SSH key with which the host proved its identity; nil if none was checked.
    public var hostKey: String?
    /// The time from the start of the connection to a shell that answers, in milliseconds; nil if unknown.
    public var loginMilliseconds: Int?
    /// How far its clock is ahead of ours, in seconds.
    public var clockSkewSeconds: Int?
    /// Facts that the host reported: `system`, `account`, `free_kib`, `git`, `sudo`, `linger`, `kill_user_processes`.
    public var facts: [String: String] = [:]
    /// The problems that a deploy would have with the host.
    public var problems: [Problem] = []

    /// Creates findings for a host of which nothing is known yet.
    public init(host: String) { self.host = host }

    /// Whether a deploy would refuse the host.
    public var isRefused: Bool { problems.contains { $0.isFatal } }
}
