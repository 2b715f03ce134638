import FleetInventory
import FleetJournal
import FleetPlan
import FleetProject
import FleetReport
import FleetRollout

/// Why a rollout may go on where a rule says no; all of it is recorded.
struct Exception: Sendable {
    /// Why a release is deployed that was taken back before.
    var quarantine: String?
    /// Why the environment's policy does not hold.
    var override: String?
    /// Why it is an emergency; nil if it is none.
    var hotfix: String?

    /// The reasons, as they are recorded; nil if there is none.
    var reason: String? {
        let reasons = [hotfix, override, quarantine].compactMap { $0 }
        return reasons.isEmpty ? nil : reasons.joined(separator: "; ")
    }
}

/// Holds a release against the policy of an environment, by what the journal and git know.
struct PolicyCheck {
    let project: Project
    let journal: Journal
    let environment: String
    let policy: EnvironmentPolicy

    /// The same by what the inventory says by now.
    func now() throws(CommandFailure) -> PolicyCheck {
        do {
            return PolicyCheck(
                project: project,
                journal: journal,
                environment: environment,
                policy: try project.inventory(environment).policy
            )
        } catch {
            throw CommandFailure(error)
        }
    }

    /// The policy's clock.
    ///
    /// - Throws: ``CommandFailure`` if there is no such time zone.
    func offset() throws(CommandFailure) -> @Sendable (Int) -> Int {
        guard let offset = TimeZones.offset(of: policy.timeZone) else {
            throw CommandFailure(
                .invalidFiles,
                "inventory/\(environment).yml: there is no time zone `\(policy.timeZone)`",
                hints: ["use a name of the tz database, as in `Europe/Berlin`, or `UTC`"]
            )
        }
        return offset
    }

    /// Everything that stands against a release now.
    func refusals(to release: Release, isHotfix: Bool) async throws(CommandFailure)
        -> [Admission.Refusal]
    {
        let now = Surroundings.unixMilliseconds
        var evidence = Admission.Evidence(
            release: release,
            unixMilliseconds: now,
            offsetSeconds: try offset()(now / 1000)
        )
        do {
            evidence.stagedBy = try journal.succeeded(
                release.commit,
                in: policy.stagingEnvironment
            )?.id.description
            evidence.approvals = try journal.approvals(for: environment)
        } catch {
            throw CommandFailure(error)
        }
        if policy.needsAnotherApprover { evidence.authors = await authors(of: release) }
        if (isHotfix ? policy.hotfixRequirements : policy.requirements).contains(.signed) {
            evidence.signature = await signature(of: release)
        }
        return Admission.refusals(to: environment, policy, evidence, isHotfix: isHotfix)
    }

    /// Lets a release in, or says everything that is in its way and when it opens again.
    ///
    /// - Returns: The rules that were overridden.
    /// - Throws: ``CommandFailure``; nothing was changed then.
    func admit(_ release: Release, despite exception: Exception) async throws(CommandFailure)
        -> [String]
    {
        let refusals = try await refusals(to: release, isHotfix: exception.hotfix != nil)
        guard let first = refusals.first else { return [] }
        guard exception.override == nil else { return refusals.map(\.rule) }
        var hints = refusals.dropFirst().map(\.message) + refusals.flatMap(\.hints)
        if refusals.contains(where: { $0.rule == "window" }), let next = try nextOpening() {
            hints.append("next allowed at \(next)")
        }
        throw CommandFailure(
            .refused,
            first.message,
            hints: hints + [
                "--override REASON    goes on all the same, and is recorded", "nothing was changed",
            ]
        )
    }

    /// When something may be deployed again, on the policy's clock; nil if that is too far away.
    private func nextOpening() throws(CommandFailure) -> String? {
        let offset = try offset()
        let now = Surroundings.unixMilliseconds / 1000
        guard let next = policy.nextOpening(from: now, offset: offset) else { return nil }
        let local = DurationText.utc(unixMilliseconds: (next + offset(next)) * 1000)
        return "\(local.dropLast(3)) (\(policy.timeZone))"
    }

    /// Whether a tag is signed, under its own name, for the commit that is deployed.
    private func signature(of release: Release) async -> Admission.Signature {
        guard let tag = release.tag else { return .unknown }
        do throws(GitRepository.Failure) {
            let repository = try await GitRepository(containing: project.root)
            let name = "refs/tags/\(tag)"
            guard await repository.answer("rev-parse", "\(name)^{commit}") == release.commit else {
                return .unknown
            }
            guard await repository.answer("cat-file", "-t", name) == "tag" else {
                return .bad(reason: "it is a lightweight tag")
            }
            // A signed tag can be pushed under another name; the one inside is what was signed.
            let object = try await repository.git("cat-file", "tag", name)
            let header = object.split(separator: "\n", omittingEmptySubsequences: false)
                .prefix { !$0.isEmpty }
            guard header.contains(where: { $0 == "tag \(tag)" }) else {
                return .bad(reason: "another tag's signature stands under its name")
            }
            let (isGood, said) = try await repository.verification(ofTag: tag)
            let line = Sanitizer.line(said)
            return isGood ? .good(signer: line) : .bad(reason: line)
        } catch {
            // No clone, or a git that cannot say.
            return .unknown
        }
    }

    /// Who made a release: whoever tagged it, or else committed it, by name and address.
    private func authors(of release: Release) async -> Set<String> {
        do throws(GitRepository.Failure) {
            let repository = try await GitRepository(containing: project.root)
            let object = release.tag.map { "refs/tags/\($0)" } ?? release.commit
            // Another commit under the same name is another release.
            guard await repository.answer("rev-parse", "\(object)^{commit}") == release.commit
            else {
                return []
            }
            var authors: Set<String> = []
            for format in ["%(taggername)", "%(taggeremail)"] where release.tag != nil {
                let found = await repository.answer("for-each-ref", "--format=\(format)", object)
                authors.formUnion(found.map { [$0] } ?? [])
            }
            if authors.allSatisfy(\.isEmpty) || policy.needsAnotherApprover {
                for format in ["%an", "%ae", "%cn", "%ce"] {
                    let found = await repository.answer("log", "-1", "--format=\(format)", object)
                    authors.formUnion(found.map { [$0] } ?? [])
                }
            }
            return Set(
                authors.map { $0.trimmingPrefix("<") }.map { String($0.prefix { $0 != ">" }) }
            )
            .subtracting([""])
        } catch {
            // No clone here: nobody can tell, and the rule says so.
            return []
        }
    }
}
