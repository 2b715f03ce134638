internal import FleetInventory
internal import FleetJournal
internal import FleetPlan
internal import FleetProject
internal import FleetReport
internal import FleetRollout
internal import FleetRunner
internal import FleetTransport

/// Holds a release against the policy of an environment, by what the journal and git know.
struct PolicyCheck {
    let project: Project
    let journal: any JournalReader
    let environment: String
    let policy: EnvironmentPolicy
    var people = People.unknown

    /// The same by what the inventory says by now.
    func now() throws(OperationFailure) -> PolicyCheck {
        do {
            return PolicyCheck(
                project: project,
                journal: journal,
                environment: environment,
                policy: try project.inventoryAsWritten(environment).policy,
                people: people
            )
        } catch {
            throw OperationFailure(error)
        }
    }

    /// The policy's clock.
    ///
    /// - Throws: ``OperationFailure`` if there is no such time zone.
    func offset() throws(OperationFailure) -> @Sendable (Int) -> Int {
        guard let offset = TimeZones.offset(of: policy.timeZone) else {
            throw OperationFailure(
                .invalidFiles,
                "inventory/\(environment).yml: there is no time zone `\(policy.timeZone)`",
                hints: ["use a name of the tz database, as in `Europe/Berlin`, or `UTC`"]
            )
        }
        return offset
    }

    /// When something that shall begin at a time of the policy's clock begins, in seconds since 1970; nil for at once.
    ///
    /// - Throws: ``OperationFailure`` for a time that is over.
    func beginning(_ text: String?) throws(OperationFailure) -> Int? {
        guard let text else { return nil }
        let offset = try offset()
        let now = WallClock.unixMilliseconds() / 1000
        let local = LocalTime(unixSeconds: now, offsetSeconds: offset(now))
        guard let time = LocalTime(text, after: local) else {
            throw OperationFailure(.usage, "`\(text)` is not a time")
        }
        let until = time.unixSeconds(after: now, offset: offset)
        guard until > now else {
            throw OperationFailure(
                .refused,
                "`--at \(text)` is over (\(policy.timeZone))",
                hints: ["nothing was changed"]
            )
        }
        return until
    }

    /// Everything that stands against a release now.
    func refusals(to plan: Plan, isHotfix: Bool) async throws(OperationFailure)
        -> [Admission.Refusal]
    {
        guard let release = plan.release else { return [] }
        let now = WallClock.unixMilliseconds()
        // Without windows the zone does not matter, and an emergency never waits for it to be right.
        let isTimed = !isHotfix && !(policy.freezes.isEmpty && policy.windows.isEmpty)
        let offset =
            isTimed
            ? TimeZones.offset(of: policy.timeZone)?(now / 1000) : 0
        var evidence = Admission.Evidence(
            release: release,
            unixMilliseconds: now,
            offsetSeconds: offset ?? 0
        )
        do {
            evidence.stagedBy = try await journal.succeeded(
                release.commit,
                in: policy.stagingEnvironment,
                passing: plan.smokeTests
            )?.id.description
            evidence.approvals = try await journal.approvals(for: environment)
        } catch {
            throw OperationFailure(error)
        }
        evidence.hosts = plan.hosts.map(\.name.text)
        evidence.playbook = plan.title
        evidence.work = plan.work ?? [:]
        if policy.needsAnotherApprover {
            evidence.authors = await people.authors(
                await authors(of: release),
                of: release.commit
            )
            evidence.knownAs = await names(of: evidence.approvals.map(\.approver))
        }
        if (isHotfix ? policy.hotfixRequirements : policy.requirements).contains(.signed) {
            evidence.signature = await signature(of: release)
        }
        if !isHotfix { evidence.hotfix = try await lostHotfix(release) }
        let refusals = Admission.refusals(to: environment, policy, evidence, isHotfix: isHotfix)
        guard offset == nil else { return refusals }
        return refusals.filter { $0.rule != "window" } + [
            Admission.Refusal(
                rule: "window",
                message:
                    "E_TIME_ZONE nobody can tell whether \(environment) is open: there is no time zone "
                    + "`\(policy.timeZone)` (inventory/\(environment).yml)",
                hints: ["use a name of the tz database, as in `Europe/Berlin`, or `UTC`"]
            )
        ]
    }

    /// The hotfix that runs now, if the release is not known to have it.
    private func lostHotfix(_ release: Release) async throws(OperationFailure) -> Admission.Hotfix?
    {
        let live: (release: Release, rollout: RolloutRecord)?
        do {
            live = try await journal.live(in: environment)
        } catch {
            throw OperationFailure(error)
        }
        guard let live, let aim = live.rollout.aim, aim.isHotfix else { return nil }
        let isThere: Bool?
        if live.release.commit == release.commit {
            isThere = true
        } else {
            do throws(GitRepository.Failure) {
                isThere = try await GitRepository(containing: project.root)
                    .holds(live.release.commit, in: release.commit)
            } catch {
                // No clone here: nobody can tell, and that is said.
                isThere = nil
            }
        }
        guard isThere != true else { return nil }
        return Admission.Hotfix(
            label: live.release.label,
            reason: Sanitizer.line(aim.reason ?? ""),
            isMissing: isThere == false
        )
    }

    /// Lets a release in, or says everything that is in its way and when it opens again.
    ///
    /// - Returns: The rules that were overridden.
    /// - Throws: ``OperationFailure``; nothing was changed then.
    func admit(_ plan: Plan, despite exception: RuleException, atAnyTime: Bool = false)
        async throws(OperationFailure) -> [String]
    {
        // Before a wait the time does not matter yet.
        let refusals = try await refusals(to: plan, isHotfix: exception.hotfix != nil)
            .filter { !atAnyTime || $0.rule != "window" }
        guard let first = refusals.first else { return [] }
        guard exception.override == nil else { return refusals.map(\.rule) }
        var hints = refusals.dropFirst().map(\.message) + refusals.flatMap(\.hints)
        if refusals.contains(where: { $0.message.hasPrefix("E_FROZEN") }),
            let next = try nextOpening()
        {
            hints.append("next allowed at \(next)")
        }
        throw OperationFailure(
            .refused,
            first.message,
            hints: hints + [
                "--override REASON    goes on all the same, and is recorded", "nothing was changed",
            ]
        )
    }

    /// When something may be deployed again, on the policy's clock; nil if that is too far away.
    private func nextOpening() throws(OperationFailure) -> String? {
        let offset = try offset()
        let now = WallClock.unixMilliseconds() / 1000
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
            switch try await repository.signature(ofTag: tag) {
            case .success(let made):
                return .good(signer: Sanitizer.line(made.text), names: made.signers)
            case .failure(let failure): return .bad(reason: Sanitizer.line(failure.message))
            }
        } catch {
            // No clone, or a git that cannot say.
            return .unknown
        }
    }

    /// How git's mailmap calls people, by the address that they use.
    private func names(of addresses: [String]) async -> [String: String] {
        var names: [String: String] = [:]
        do throws(GitRepository.Failure) {
            let repository = try await GitRepository(containing: project.root)
            for address in Set(addresses) where Self.isAddress(address) {
                let found = await repository.answer("check-mailmap", "<\(address)>") ?? ""
                let mapped = found.split(separator: "<").last?.prefix { $0 != ">" }
                names[address] = mapped.map(String.init)
            }
        } catch {
            // No clone here: everybody is called as they call themselves.
        }
        return names
    }

    private static func isAddress(_ text: String) -> Bool {
        text.contains("@")
            && text.unicodeScalars.allSatisfy {
                $0.value > 0x20 && $0.value != 0x7F && !"<>".unicodeScalars.contains($0)
            }
    }

    /// Who made a release: whoever tagged and committed it, and whoever is named as a co-author, by name and
    /// address, as the mailmap calls them; with `all_authors` everybody who wrote what is new.
    ///
    /// - Returns: Nothing if nobody can tell, or git's answer does not look like people.
    private func authors(of release: Release) async -> Set<String> {
        do throws(GitRepository.Failure) {
            let repository = try await GitRepository(containing: project.root)
            let object = release.tag.map { "refs/tags/\($0)" } ?? release.commit
            // Another commit under the same name is another release.
            guard
                await repository.answer("rev-parse", "--verify", "\(object)^{commit}")
                    == release.commit
            else { return [] }
            var range = ["-1", release.commit]
            // Who wrote what a clone does not hold is not known.
            if policy.countsAllAuthors,
                await repository.answer("rev-parse", "--is-shallow-repository") != "false"
            {
                return []
            }
            if policy.countsAllAuthors {
                // Where no one release runs everywhere, all of it may be new.
                let live: String?
                do {
                    live = try await journal.live(in: environment)?.release.commit
                } catch {
                    return []
                }
                range = [live.map { "\($0)..\(release.commit)" } ?? release.commit, "--"]
            }
            var authors: Set<String> = []
            var addresses: [String] = []
            if release.tag != nil {
                let format = "--format=%(taggername)%0a%(taggeremail:trim)"
                let tagger = try await repository.git("for-each-ref", format, object)
                    .split(whereSeparator: \.isNewline).map(String.init)
                authors.formUnion(tagger)
                if tagger.count == 2 {
                    authors.formUnion(await names(of: [tagger[1]]).values)
                }
            }
            let format =
                "--format=%x01%aN%n%aE%n%cN%n%cE%n%(trailers:key=Co-authored-by,valueonly,unfold)%x00"
            let commits = try await repository.git(["log", format] + range, reading: "")
            for commit in commits.split(separator: "\0") {
                // Behind the last one comes the end of its line.
                guard let start = commit.utf8.firstIndex(of: 0x01) else { continue }
                let lines = commit[start...].dropFirst().split(
                    omittingEmptySubsequences: false,
                    whereSeparator: \.isNewline
                ).map(String.init)
                // Somebody without a name made it, so nobody can tell who did.
                guard lines.count >= 4, !lines[..<4].contains("") else { return [] }
                authors.formUnion(lines[..<4])
                addresses += [lines[1], lines[3]]
                for trailer in lines[4...] {
                    let parts = trailer.split(separator: "<")
                    guard parts.count == 2 else { continue }
                    let address = String(parts[1].prefix { $0 != ">" })
                    authors.formUnion([
                        String(parts[0].split(separator: " ").joined(separator: " ")), address,
                    ])
                    authors.formUnion(await names(of: [address]).values)
                }
            }
            guard !addresses.isEmpty, addresses.allSatisfy(Self.isAddress) else { return [] }
            return authors.subtracting([""])
        } catch {
            // No clone here: nobody can tell, and the rule says so.
            return []
        }
    }
}
