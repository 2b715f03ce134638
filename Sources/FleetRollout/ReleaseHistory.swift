public import FleetPlan
internal import FleetTransport

/// Derives facts about releases from the rollout records of one environment.
///
/// The records are those of every rollout except commands of `exec`, the newest first.
public enum ReleaseHistory {
    /// The newest rollout that has not come to its end: it runs, its controller was killed, or it was interrupted.
    ///
    /// - Parameter records: The environment's rollouts, the newest first.
    /// - Returns: The rollout; nil if every one has come to its end.
    public static func unfinished(_ records: [RolloutRecord]) -> RolloutRecord? {
        records.first { record in
            record.kind != .exec && (record.outcome == nil || record.outcome == .interrupted)
        }
    }

    /// Returns the rollout that last took a release back, unless a later rollout deployed it successfully.
    ///
    /// - Parameters:
    ///   - commit: The full commit id of the release.
    ///   - records: The environment's rollouts with their aims, the newest first.
    /// - Returns: The rollout; nil if the release does not count as taken back.
    public static func takenBack(_ commit: String, in records: [RolloutRecord]) -> RolloutRecord? {
        for record in records {
            let isBack = record.kind == .revert
            let isTakenBack: Bool
            switch record.outcome {
            case .reverted, .revertFailed: isTakenBack = true
            case .succeeded: isTakenBack = isBack
            // Somebody wanted it back; that not all of it is back makes it no better.
            case .held where isBack, .unknown where isBack: isTakenBack = true
            default: continue
            }
            guard let aim = record.aim else { continue }
            var release = aim.release
            if isBack, let undone = aim.undoes {
                guard let earlier = records.first(where: { $0.id == undone })?.aim else { continue }
                release = earlier.release
            } else if isBack {
                // To a release by name: that one is good.
                if release?.commit == commit { return nil }
                continue
            }
            guard release?.commit == commit else { continue }
            // Somebody stopped it and went back: nothing was found to be wrong with the release.
            if !isBack, isTakenBack, record.wasAskedBack { continue }
            if isBack, aim.sparesRelease { continue }
            return isTakenBack ? record : nil
        }
        return nil
    }

    /// Returns the newest rollout that deployed a release successfully.
    ///
    /// - Parameters:
    ///   - commit: The full commit id of the release.
    ///   - records: The environment's rollouts with their aims, the newest first.
    ///   - smokeTests: The smoke tests that the rollout must have required, on every host of the environment; nil if
    ///     any success counts, on however many hosts.
    /// - Returns: The rollout; nil if there is none, or the release was taken back since.
    public static func succeeded(
        _ commit: String,
        in records: [RolloutRecord],
        passing smokeTests: Set<String>? = nil
    ) -> RolloutRecord? {
        guard takenBack(commit, in: records) == nil else { return nil }
        return records.first { record in
            guard record.kind == .deploy, record.outcome == .succeeded, let aim = record.aim,
                aim.release?.commit == commit
            else { return false }
            guard let smokeTests else { return true }
            // A part of the hosts, or a playbook that asks less, says nothing about the whole.
            return aim.isForEveryHost && smokeTests.isSubset(of: aim.smokeTests)
        }
    }

    /// The release that an environment runs, as far as the given records show it.
    public enum Live: Sendable, Hashable {
        /// Every host runs this release; the record is that of the newest rollout that left hosts on it.
        case release(Release, RolloutRecord)
        /// Hosts run different releases, or it is unknown what they run.
        case mixed
        /// The given records do not cover all hosts; older records are needed.
        case open
    }

    /// Returns the release that the newest rollouts left on an environment.
    ///
    /// - Parameter records: The environment's newest rollouts with their aims, the newest first.
    /// - Returns: The release, or why the records do not show one.
    public static func live(_ records: [RolloutRecord]) -> Live {
        var newest: (release: Release, record: RolloutRecord)?
        var known: Set<HostName> = []
        for record in records where record.kind == .deploy || record.kind == .revert {
            switch record.outcome {
            // Nothing was changed, or everything is as it was before.
            case .refused: continue
            case .reverted where record.kind == .deploy: continue
            case .succeeded: break
            // A mixed state: there is no one release that it runs.
            default: return .mixed
            }
            guard let aim = record.aim else { return .mixed }
            for group in aim.groups {
                let new = group.hosts.filter { !known.contains($0) }
                guard !new.isEmpty else { continue }
                known.formUnion(new)
                guard let release = group.release else { return .mixed }
                if newest == nil { newest = (release, record) }
                // Rollouts to some of the hosts have left them on different ones.
                guard newest?.release.commit == release.commit else { return .mixed }
            }
            let isWhole = aim.isForEveryHost && aim.otherHosts.allSatisfy(known.contains)
            guard isWhole || known.count >= aim.environmentHostCount ?? 0 else { continue }
            return newest.map { .release($0.release, $0.record) } ?? .mixed
        }
        return .open
    }
}
