/// What one host is like, as somebody wants to know before a first deploy.
public struct HostFindings: Sendable, Encodable {
    /// Something that a deploy would miss.
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
    /// What reached it, as in `libssh2 1.10.0`; nil if nothing did.
    public var client: String?
    /// The key that it proved; nil if none was asked for.
    public var hostKey: String?
    /// From nothing to a shell that answers, in milliseconds.
    public var loginMilliseconds: Int?
    /// How far its clock is ahead of ours, in seconds.
    public var clockSkewSeconds: Int?
    /// What it said of itself: `system`, `account`, `free_kib`, `git`, `sudo`, `linger`, `kill_user_processes`.
    public var facts: [String: String] = [:]
    /// What a deploy would miss.
    public var problems: [Problem] = []

    /// Nothing is known of a host yet.
    public init(host: String) { self.host = host }

    /// Whether a deploy would refuse the host.
    public var isRefused: Bool { problems.contains { $0.isFatal } }
}
