public import FleetInventory
internal import FleetTransport

/// Decides whether an environment's policy admits a release.
public enum Admission {
    /// What is known about a release that asks for admission.
    public struct Evidence: Sendable, Hashable {
        /// The release.
        public let release: Release
        /// The rollout by which the release succeeded on staging; nil if none did, or the release was taken back since.
        public var stagedBy: String?
        /// All approvals for the environment, of any release, the newest first.
        public var approvals: [Approval] = []
        /// The hosts to deploy to; an approval for fewer hosts does not count.
        public var hosts: [String] = []
        /// The name of the playbook that deploys the release.
        public var playbook = ""
        /// The digest of what would be done to each host, as in ``Plan/work``.
        public var work: [String: String] = [:]
        /// The address that git's mailmap gives for each approver, by the address of the approval.
        public var knownAs: [String: String] = [:]
        /// The authors of the release, named as git and approvals name people; empty if they are unknown.
        public var authors: Set<String> = []
        /// What git says of its tag's signature.
        public var signature = Signature.unknown
        /// The hotfix that the environment runs and that the release may lack; nil if there is none.
        public var hotfix: Hotfix?
        /// The time, in milliseconds since 1970.
        public let unixMilliseconds: Int
        /// The current offset of the policy's time zone from UTC, in seconds.
        public let offsetSeconds: Int

        /// Creates evidence with what is always known.
        public init(release: Release, unixMilliseconds: Int, offsetSeconds: Int) {
            self.release = release
            self.unixMilliseconds = unixMilliseconds
            self.offsetSeconds = offsetSeconds
        }
    }

    /// The release of an emergency.
    public struct Hotfix: Sendable, Hashable {
        /// What it is called.
        public let label: String
        /// Why it was made.
        public let reason: String
        /// Whether the new release is known to lack the hotfix; false if this cannot be determined.
        public let isMissing: Bool

        /// Describes it.
        public init(label: String, reason: String, isMissing: Bool) {
            self.label = label
            self.reason = reason
            self.isMissing = isMissing
        }
    }

    /// The result of checking a tag's signature.
    public enum Signature: Sendable, Hashable {
        /// The signature was not checked, or there is no clone to check it in.
        case unknown
        /// The tag is not signed, git does not accept the signature, or the signature is that of another tag.
        case bad(reason: String)
        /// Git accepts the signature.
        ///
        /// `signer` describes the person for display; `names` are the names that may stand for them, in lower case.
        case good(signer: String, names: Set<String>)
    }

    /// Why a release is not let in.
    public struct Refusal: Error, Sendable, Hashable {
        /// The rule, as in `staged`, `approved`, `window`.
        public let rule: String
        /// What was found, beginning with a stable token.
        public let message: String
        /// What to do about it.
        public let hints: [String]

        /// Describes why.
        public init(rule: String, message: String, hints: [String]) {
            self.rule = rule
            self.message = message
            self.hints = hints
        }
    }

    /// Lists everything that forbids a release, in the order in which the problems are best solved.
    ///
    /// - Parameters:
    ///   - environment: The environment.
    ///   - policy: The environment's policy.
    ///   - evidence: What is known about the release.
    ///   - isHotfix: Whether the release is for an emergency; windows and most requirements do not apply then.
    /// - Returns: The refusals; empty if the release is admitted.
    public static func refusals(
        to environment: String,
        _ policy: EnvironmentPolicy,
        _ evidence: Evidence,
        isHotfix: Bool = false
    ) -> [Refusal] {
        var refusals: [Refusal] = []
        let required = isHotfix ? policy.hotfixRequirements : policy.requirements
        let release = evidence.release.label
        if required.contains(.staged), evidence.stagedBy == nil {
            let staging = policy.stagingEnvironment
            let which =
                evidence.release.tag.map { "--tag \($0)" } ?? "--commit \(evidence.release.commit)"
            refusals.append(
                Refusal(
                    rule: "staged",
                    message:
                        "E_NOT_STAGED \(release) has not succeeded on every host of \(staging), with the "
                        + "smoke tests that it will have to pass here",
                    hints: ["fleet deploy \(staging) \(which)    first"]
                )
            )
        }
        if required.contains(.signed) {
            refusals += signature(policy, evidence).map { [$0] } ?? []
        }
        if required.contains(.approved) {
            refusals += approval(for: environment, policy, evidence).map { [$0] } ?? []
        }
        // In an emergency nobody is kept waiting for another one's sake.
        if !isHotfix, let hotfix = evidence.hotfix {
            refusals.append(
                Refusal(
                    rule: "hotfix",
                    message:
                        "E_HOTFIX_LOST \(environment) runs the hotfix \(hotfix.label) (“\(hotfix.reason)”), and "
                        + (hotfix.isMissing
                            ? "\(release) does not have it: deploying that takes the fix away"
                            : "nobody can tell whether \(release) has it"),
                    hints: [
                        hotfix.isMissing
                            ? "bring the fix to the branch that releases are made from, and release again"
                            : "run fleet in a clone of the repository that has both (git fetch --tags --unshallow)"
                    ]
                )
            )
        }
        let now = LocalTime(
            unixSeconds: evidence.unixMilliseconds / 1000,
            offsetSeconds: evidence.offsetSeconds
        )
        if !isHotfix, let closed = policy.closure(at: now) {
            let why =
                switch closed {
                case .frozen(let window): "is frozen (\(window.text), \(policy.timeZone))"
                case .outside:
                    "takes changes only \(policy.windows.map(\.text).joined(separator: ", ")) "
                        + "(\(policy.timeZone))"
                }
            refusals.append(
                Refusal(
                    rule: "window",
                    message: "E_FROZEN \(environment) \(why)",
                    hints: ["fleet hotfix \(environment) --tag T --reason R    in an emergency"]
                )
            )
        }
        return refusals
    }

    private static func signature(_ policy: EnvironmentPolicy, _ evidence: Evidence) -> Refusal? {
        let release = evidence.release.label
        func refusal(_ message: String, _ hint: String) -> Refusal {
            Refusal(rule: "signed", message: message, hints: [hint])
        }
        guard evidence.release.tag != nil else {
            return refusal("E_NOT_SIGNED \(release) is no tag", "deploy a signed tag")
        }
        switch evidence.signature {
        case .unknown:
            return refusal(
                "E_NOT_SIGNED nobody can tell whether \(release) is signed",
                "run fleet in a clone of the repository that has the tag"
            )
        case .bad(let reason):
            return refusal(
                "E_NOT_SIGNED \(release): \(reason)",
                "fleet release --sign    makes signed tags"
            )
        case .good(let signer, let names):
            let isKnown =
                policy.signers.isEmpty
                || policy.signers.contains { wanted in
                    names.contains(wanted.filter { $0 != " " }.lowercased())
                        || names.contains(wanted.lowercased())
                }
            return isKnown
                ? nil
                : refusal(
                    "E_SIGNER \(release) is signed by somebody else: \(signer)",
                    "the policy's `signers` are \(policy.signers.joined(separator: ", ")); a key of gpg's counts by "
                        + "its fingerprint, or by an address that the keyring calls valid (gpg --lsign-key)"
                )
        }
    }

    /// How far the clocks of two machines may be apart, in milliseconds.
    private static let clockToleranceMilliseconds = 300_000

    private static func approval(
        for environment: String,
        _ policy: EnvironmentPolicy,
        _ evidence: Evidence
    ) -> Refusal? {
        func refusal(_ message: String, _ hints: [String] = []) -> Refusal {
            let command = "fleet approve \(evidence.release.label) \(environment) --note \"…\""
            return Refusal(rule: "approved", message: message, hints: hints + [command])
        }
        let release = evidence.release.label
        let known = evidence.approvals.filter { $0.release.commit == evidence.release.commit }
        guard let newest = known.first else {
            let others = evidence.approvals.prefix(1).map {
                "the newest approval, by \($0.approver), is for \($0.release.label)"
            }
            return refusal(
                "E_NOT_APPROVED nobody has approved \(release) for \(environment)",
                others
            )
        }
        var silenced: Set<String> = []
        let standing = known.filter { approval in
            if approval.isWithdrawal { silenced.insert(approval.approver.lowercased()) }
            return !silenced.contains(approval.approver.lowercased())
        }
        guard !standing.isEmpty else {
            return refusal(
                "E_APPROVAL_WITHDRAWN \(newest.approver) has taken the approval of \(release) back: "
                    + "“\(newest.note)”"
            )
        }
        let unexpired = standing.filter { $0.expiresUnixMilliseconds > evidence.unixMilliseconds }
        guard !unexpired.isEmpty else {
            return refusal(
                "E_APPROVAL_EXPIRED the approval of \(release) by \(newest.approver) has expired"
            )
        }
        // Two clocks may differ a little; what was said tomorrow was not said.
        let said = unexpired.filter {
            $0.unixMilliseconds <= evidence.unixMilliseconds + clockToleranceMilliseconds
        }
        guard !said.isEmpty else {
            return refusal(
                "E_APPROVAL_FUTURE the approval of \(release) by \(newest.approver) is from the future: "
                    + "a clock is wrong"
            )
        }
        let valid = said.filter { approval in
            let hosts = approval.hosts.map(Set.init)
            return (hosts?.isSuperset(of: evidence.hosts) ?? true)
                && (approval.playbook ?? evidence.playbook) == evidence.playbook
        }.filter { approval in
            guard let work = approval.work else { return true }
            return evidence.work.allSatisfy { work[$0.key] == $0.value }
        }
        guard !valid.isEmpty else {
            let approval = said[0]
            let isSame =
                (approval.hosts.map(Set.init)?.isSuperset(of: evidence.hosts) ?? true)
                && (approval.playbook ?? evidence.playbook) == evidence.playbook
            guard !isSame else {
                return refusal(
                    "E_APPROVED_OTHER \(approval.approver) has approved \(release) when its steps, checks, values "
                        + "or hosts' addresses were others: they have changed since"
                )
            }
            let hosts =
                approval.hosts.map { " on \(HostRange.fold($0.map { HostName($0) }))" } ?? ""
            let playbook = approval.playbook.map { " by the playbook `\($0)`" } ?? ""
            return refusal(
                "E_APPROVED_OTHER \(approval.approver) has approved \(release)\(hosts)\(playbook), and this "
                    + "is for more or something else"
            )
        }
        guard policy.needsAnotherApprover else { return nil }
        guard !evidence.authors.isEmpty else {
            return refusal(
                "E_AUTHOR_UNKNOWN nobody can tell who made \(release), and its approver must be "
                    + "somebody else",
                ["run fleet in a clone of the repository that has the release"]
            )
        }
        let authors = Set(evidence.authors.map { $0.lowercased() })
        func name(_ approval: Approval) -> String {
            (evidence.knownAs[approval.approver] ?? approval.approver).lowercased()
        }
        // A login name says nothing about who somebody is in git.
        guard valid.contains(where: { $0.approver.contains("@") }) else {
            return refusal(
                "E_APPROVER_UNKNOWN \(release) was approved by \(newest.approver), and nobody can tell "
                    + "whether that is its author",
                ["approve in the project's clone, with git's user.email set"]
            )
        }
        guard
            valid.contains(where: {
                $0.approver.contains("@") && !authors.contains($0.approver.lowercased())
                    && !authors.contains(name($0))
            })
        else {
            return refusal(
                "E_OWN_APPROVAL \(release) was approved by somebody who made it, \(newest.approver)",
                ["somebody else has to, in a clone of theirs:"]
            )
        }
        return nil
    }
}
