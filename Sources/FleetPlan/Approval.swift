/// Somebody's word that a release may be deployed to an environment.
public struct Approval: Sendable, Hashable, Codable {
    /// The environment.
    public let environment: String
    /// The release; its commit is what counts.
    public let release: Release
    /// The digest of the plan that was looked at.
    public let planDigest: String
    /// Who approves.
    public let approver: String
    /// The machine it was done on.
    public let machine: String
    /// Why, in the approver's words.
    public let note: String
    /// When, in milliseconds since 1970.
    public let unixMilliseconds: Int
    /// Until when it holds, in milliseconds since 1970.
    public let expiresUnixMilliseconds: Int
    /// The hosts for which the approval was given; nil in older records, which apply to all hosts.
    public let hosts: [String]?
    /// The playbook for which the approval was given; nil if it applies to every playbook.
    public let playbook: String?
    /// The digest of what would have been done to each host, as in ``Plan/work``; nil in older records.
    public let work: [String: String]?
    /// Whether this withdraws the approval that the same approver gave before.
    public var isWithdrawal: Bool { withdrawn ?? false }
    private let withdrawn: Bool?

    /// Gathers an approval.
    public init(
        environment: String,
        release: Release,
        planDigest: String,
        approver: String,
        machine: String,
        note: String,
        unixMilliseconds: Int,
        expiresUnixMilliseconds: Int,
        hosts: [String]? = nil,
        playbook: String? = nil,
        work: [String: String]? = nil,
        isWithdrawal: Bool = false
    ) {
        self.hosts = hosts
        self.playbook = playbook
        self.work = work
        withdrawn = isWithdrawal ? true : nil
        self.environment = environment
        self.release = release
        self.planDigest = planDigest
        self.approver = approver
        self.machine = machine
        self.note = note
        self.unixMilliseconds = unixMilliseconds
        self.expiresUnixMilliseconds = expiresUnixMilliseconds
    }
}
