public import FleetInventory
internal import FleetJournal
internal import FleetPlan
internal import FleetProject
internal import FleetReport
internal import FleetRollout

/// Reminds of an emergency until what mended it has come to where all changes come from.
struct HotfixReminder {
    let project: Project
    let journal: any JournalReader
    let inventory: Inventory

    /// What to tell whoever asks how the environment is; nil if it runs no hotfix, or its staging and
    /// the release branch have it too, as far as the journal and this clone can tell.
    func text() async throws(OperationFailure) -> String? {
        let environment = inventory.environment
        let staging = inventory.policy.stagingEnvironment
        let live: (release: Release, rollout: RolloutRecord)?
        let staged: (release: Release, rollout: RolloutRecord)?
        do {
            live = try await journal.live(in: environment)
            staged = staging == environment ? nil : try await journal.live(in: staging)
        } catch {
            throw OperationFailure(error)
        }
        guard let live, let aim = live.rollout.aim, aim.isHotfix else { return nil }
        let fix = live.release
        var without: [String] = []
        if staging != environment, project.environments.contains(staging),
            !(await isContained(fix.commit, in: staged?.release.commit))
        {
            without.append(staging)
        }
        if let branch = await releaseBranch(), !(await isContained(fix.commit, in: branch)) {
            without.append(branch)
        }
        guard !without.isEmpty else { return nil }
        return "reminder: \(environment) runs the hotfix \(fix.label) "
            + "(“\(Sanitizer.line(aim.reason ?? ""))”, by \(Sanitizer.line(live.rollout.user))); "
            + "\(without.joined(separator: " and ")) \(without.count == 1 ? "does" : "do") not have it yet"
    }

    private func isContained(_ commit: String, in other: String?) async -> Bool {
        guard let other else { return false }
        if commit == other { return true }
        do throws(GitRepository.Failure) {
            return try await GitRepository(containing: project.root).holds(commit, in: other)
                ?? false
        } catch {
            // The project is no clone: only the journal can tell.
            return false
        }
    }

    private func releaseBranch() async -> String? {
        for name in ["refs/remotes/origin/HEAD", "refs/remotes/origin/main"] {
            if let found = await ask("rev-parse", "--abbrev-ref", "--verify", "--quiet", name) {
                return found
            }
        }
        return nil
    }

    private func ask(_ words: String...) async -> String? {
        do throws(GitRepository.Failure) {
            return try await GitRepository(containing: project.root).answer(words)
        } catch {
            // The project is no clone: only the journal can tell.
            return nil
        }
    }
}

extension Operations {
    /// The reminder about a hotfix to show with the environment's status; nil if there is none.
    ///
    /// - Throws: ``OperationFailure`` if the journal cannot be read.
    public func hotfixReminder(of inventory: Inventory) async throws(OperationFailure) -> String? {
        try await HotfixReminder(
            project: project,
            journal: controller.journal,
            inventory: inventory
        ).text()
    }
}
