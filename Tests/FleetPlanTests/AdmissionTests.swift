import FleetInventory
import FleetPlan
import Testing

struct AdmissionTests {
    private let release = Release(tag: "v1.2.0", commit: String(repeating: "b", count: 40))
    /// 2026-11-25 12:00, a Wednesday, in UTC.
    private let now = 1_795_608_000_000

    private func evidence(_ change: (inout Admission.Evidence) -> Void = { _ in })
        -> Admission.Evidence
    {
        var evidence = Admission.Evidence(
            release: release,
            unixMilliseconds: now,
            offsetSeconds: 0
        )
        change(&evidence)
        return evidence
    }

    private func approval(
        by approver: String = "qa",
        of commit: String? = nil,
        expires: Int = 1
    ) -> Approval {
        Approval(
            environment: "production",
            release: Release(tag: "v1.2.0", commit: commit ?? release.commit),
            planDigest: "d",
            approver: approver,
            machine: "m",
            note: "n",
            unixMilliseconds: now - 1000,
            expiresUnixMilliseconds: now + expires
        )
    }

    private func tokens(
        _ policy: EnvironmentPolicy,
        _ evidence: Admission.Evidence,
        isHotfix: Bool = false
    ) -> [String] {
        Admission.refusals(to: "production", policy, evidence, isHotfix: isHotfix).map {
            String($0.message.prefix { $0 != " " })
        }
    }

    /// Row K4.
    @Test func aReleaseThatLacksTheHotfixIsHeldUpButNoOtherHotfixIs() {
        for isMissing in [true, false] {
            let lost = evidence {
                $0.hotfix = Admission.Hotfix(label: "v1.1.1", reason: "fire", isMissing: isMissing)
            }
            #expect(tokens(EnvironmentPolicy(), lost) == ["E_HOTFIX_LOST"])
            #expect(tokens(EnvironmentPolicy(), lost, isHotfix: true).isEmpty)
        }
    }

    /// Row K4.
    @Test("An approval is for the steps, checks and addresses that were looked at")
    func changedWork() {
        var policy = EnvironmentPolicy()
        policy.requirements = [.approved]
        let approval = Approval(
            environment: "production",
            release: release,
            planDigest: "d",
            approver: "qa@example.com",
            machine: "m",
            note: "n",
            unixMilliseconds: now - 1000,
            expiresUnixMilliseconds: now + 1,
            hosts: ["a", "b"],
            playbook: "deploy",
            work: ["a": "1", "b": "2"]
        )
        func tokens(_ work: [String: String]) -> [String] {
            self.tokens(
                policy,
                evidence {
                    ($0.approvals, $0.playbook, $0.work) = ([approval], "deploy", work)
                    $0.hosts = work.keys.sorted()
                }
            )
        }
        #expect(tokens(["a": "1", "b": "2"]).isEmpty)
        #expect(tokens(["b": "2"]).isEmpty)
        #expect(tokens(["a": "1", "b": "3"]) == ["E_APPROVED_OTHER"])
    }

    @Test func withoutAPolicyEverythingIsLetIn() {
        #expect(tokens(EnvironmentPolicy(), evidence()).isEmpty)
    }

    @Test func aReleaseMustHaveSucceededOnStaging() {
        var policy = EnvironmentPolicy()
        policy.requirements = [.staged]
        #expect(tokens(policy, evidence()) == ["E_NOT_STAGED"])
        #expect(tokens(policy, evidence { $0.stagedBy = "r1" }).isEmpty)
    }

    @Test("An approval counts for its commit, until it expires, and from somebody else")
    func approvals() {
        var policy = EnvironmentPolicy()
        policy.requirements = [.approved]
        #expect(tokens(policy, evidence()) == ["E_NOT_APPROVED"])
        let other = approval(of: String(repeating: "c", count: 40))
        #expect(tokens(policy, evidence { $0.approvals = [other] }) == ["E_NOT_APPROVED"])
        #expect(
            tokens(policy, evidence { $0.approvals = [approval(expires: 0)] }) == [
                "E_APPROVAL_EXPIRED"
            ]
        )
        #expect(tokens(policy, evidence { $0.approvals = [other, approval()] }).isEmpty)

        policy.needsAnotherApprover = true
        #expect(tokens(policy, evidence { $0.approvals = [approval()] }) == ["E_AUTHOR_UNKNOWN"])
        func by(_ approvers: String..., authors: Set<String>) -> [String] {
            tokens(
                policy,
                evidence {
                    $0.approvals = approvers.map { approval(by: $0) }
                    $0.authors = authors
                }
            )
        }
        #expect(by("QA@example.com", authors: ["qa", "qa@example.com"]) == ["E_OWN_APPROVAL"])
        #expect(by("qa@example.com", authors: ["dev@example.com"]).isEmpty)
        #expect(by("dev@example.com", "qa@example.com", authors: ["dev@example.com"]).isEmpty)
        #expect(by("qa", authors: ["dev@example.com"]) == ["E_APPROVER_UNKNOWN"])
        #expect(by("qa", "dev@example.com", authors: ["dev@example.com"]) == ["E_OWN_APPROVAL"])
    }

    @Test func aTagMustBeSignedBySomebodyWhoMay() {
        var policy = EnvironmentPolicy()
        policy.requirements = [.signed]
        func with(_ signature: Admission.Signature) -> [String] {
            tokens(policy, evidence { $0.signature = signature })
        }
        #expect(with(.unknown) == ["E_NOT_SIGNED"])
        #expect(with(.bad(reason: "no signature found")) == ["E_NOT_SIGNED"])
        func by(_ names: String...) -> Admission.Signature {
            .good(signer: "lead@example.com says the signer", names: Set(names))
        }
        #expect(with(by("dev@example.com")).isEmpty)
        policy.signers = ["Lead@example.com", "AB12 CD34"]
        #expect(with(by("dev@example.com")) == ["E_SIGNER"])
        #expect(with(by("dev@example.com", "lead@example.com")).isEmpty)
        #expect(with(by("ab12cd34")).isEmpty)
        #expect(with(by("mislead@example.com")) == ["E_SIGNER"])
        policy.signers = [""]
        #expect(with(by("dev@example.com")) == ["E_SIGNER"])
        let branch = Admission.Evidence(
            release: Release(tag: nil, commit: release.commit),
            unixMilliseconds: now,
            offsetSeconds: 0
        )
        #expect(tokens(policy, branch) == ["E_NOT_SIGNED"])
    }

    @Test("Freezes win over windows; a hotfix passes both, and needs what it is told to need")
    func windows() throws {
        var policy = EnvironmentPolicy()
        policy.requirements = [.staged, .approved]
        policy.windows = [try #require(ChangeWindow("Mon-Thu 09:00-16:00"))]
        let good = evidence {
            $0.stagedBy = "r1"
            $0.approvals = [approval()]
        }
        #expect(tokens(policy, good).isEmpty)
        policy.freezes = [try #require(ChangeWindow("2026-11-25 - 2026-11-25"))]
        #expect(tokens(policy, good) == ["E_FROZEN"])
        #expect(tokens(policy, evidence()) == ["E_NOT_STAGED", "E_NOT_APPROVED", "E_FROZEN"])
        #expect(tokens(policy, evidence(), isHotfix: true).isEmpty)
        policy.hotfixRequirements = [.approved]
        #expect(tokens(policy, evidence(), isHotfix: true) == ["E_NOT_APPROVED"])
    }

    /// Row K7.
    @Test("Every refusal says what to type")
    func hints() {
        var policy = EnvironmentPolicy()
        policy.requirements = [.staged, .approved]
        let refusals = Admission.refusals(to: "production", policy, evidence())
        #expect(refusals[0].hints == ["fleet deploy staging --tag v1.2.0    first"])
        #expect(
            refusals[1].hints.last?.hasPrefix("fleet approve v1.2.0 production --note") ?? false
        )
    }

    /// Row K4.
    @Test("An approval holds for the hosts and the playbook that it was given for")
    func scope() {
        var policy = EnvironmentPolicy()
        policy.requirements = [.approved]
        func approved(
            hosts: [String]? = nil,
            playbook: String? = nil,
            by approver: String = "qa@example.com",
            at offset: Int = -1000,
            isWithdrawal: Bool = false
        ) -> Approval {
            Approval(
                environment: "production",
                release: release,
                planDigest: "d",
                approver: approver,
                machine: "m",
                note: "n",
                unixMilliseconds: now + offset,
                expiresUnixMilliseconds: now + 10_000_000,
                hosts: hosts,
                playbook: playbook,
                isWithdrawal: isWithdrawal
            )
        }
        func tokens(_ approvals: Approval...) -> [String] {
            self.tokens(
                policy,
                evidence {
                    $0.approvals = approvals
                    $0.hosts = ["h1", "h2"]
                    $0.playbook = "Deploy"
                }
            )
        }
        #expect(tokens(approved(hosts: ["h1", "h2", "h3"], playbook: "Deploy")).isEmpty)
        #expect(tokens(approved(hosts: ["h2"])) == ["E_APPROVED_OTHER"])
        #expect(tokens(approved(playbook: "Other")) == ["E_APPROVED_OTHER"])
        #expect(tokens(approved(at: 200_000)).isEmpty, "clocks differ a little")
        #expect(tokens(approved(at: 400_000)) == ["E_APPROVAL_FUTURE"])
        let back = approved(isWithdrawal: true)
        #expect(tokens(back, approved()) == ["E_APPROVAL_WITHDRAWN"])
        #expect(tokens(approved(), back, approved()).isEmpty, "and approved again")
        #expect(tokens(back, approved(by: "other@example.com")).isEmpty)
    }

    @Test("Who approves under another address of theirs is known by the mailmap")
    func mailmap() {
        var policy = EnvironmentPolicy()
        policy.requirements = [.approved]
        policy.needsAnotherApprover = true
        let evidence = evidence {
            $0.approvals = [approval(by: "dev@home.example")]
            $0.authors = ["dev@example.com"]
            $0.knownAs = ["dev@home.example": "dev@example.com"]
        }
        #expect(tokens(policy, evidence) == ["E_OWN_APPROVAL"])
    }
}

struct VersionTests {
    @Test(
        "The next version, and that of a pre-release",
        arguments: [
            ("1.2.3", "patch", nil, "v1.2.4"), ("1.2.3", "minor", nil, "v1.3.0"),
            ("1.2.3", "major", nil, "v2.0.0"), ("0.0.0", "minor", nil, "v0.1.0"),
            ("1.2.3", "minor", "rc", "v1.3.0-rc.1"), ("1.3.0-rc.1", "minor", "rc", "v1.3.0-rc.2"),
            ("1.3.0-rc.9", "minor", nil, "v1.3.0"),
            ("1.3.0-rc.2", "minor", "beta", "v1.3.0-beta.1"),
            ("2.0.0-rc.3", "major", nil, "v2.0.0"), ("1.3.0-rc.1", "major", nil, "v2.0.0"),
            ("1.3.1-rc.1", "minor", nil, "v1.4.0"), ("1.3.1-rc.1", "patch", nil, "v1.3.1"),
        ] as [(String, String, String?, String)]
    )
    func next(_ version: String, _ part: String, _ label: String?, _ next: String) throws {
        let version = try #require(SemanticVersion(version))
        let part = try #require(SemanticVersion.Part(rawValue: part))
        let found = version.next(part, prerelease: label)
        #expect(found.tag == next)
        #expect(SemanticVersion(found.tag) == found)
        // Another label may sort before the one there was; that is refused where it is asked for.
        #expect(found > version || label == "beta")
    }
}
