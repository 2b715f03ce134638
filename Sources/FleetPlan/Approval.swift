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
    /// The hosts that it was given for; nil in records of before that was kept, which hold for all.
    public let hosts: [String]?
    /// The name of the playbook that it was given for; nil holds for every one.
    public let playbook: String?
    /// What would have been done to each host, by ``Plan/work``; nil in records of before that was kept.
    public let work: [String: String]?
    /// Whether it takes back what the same approver said of the release before.
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
