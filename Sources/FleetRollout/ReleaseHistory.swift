public import FleetPlan
internal import FleetTransport

/// What the history of one environment says about releases: nothing but records in, an answer out.
///
/// The records are those of every rollout that was no command, the newest first.
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

    /// The rollout by which a release was taken back last, unless it was deployed well again since.
    ///
    /// - Parameters:
    ///   - commit: The release.
    ///   - records: The environment's rollouts, the newest first, with their aims.
    /// - Returns: The rollout; nil if the release was never taken back.
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

    /// The newest rollout by which a release succeeded.
    ///
    /// - Parameters:
    ///   - commit: The release.
    ///   - records: The environment's rollouts, the newest first, with their aims.
    ///   - smokeTests: What must have been passed there on every host; nil if any success counts, on however many
    ///     hosts.
    /// - Returns: The rollout; nil if none did, or the release was taken back since.
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

    /// What an environment runs, as far as some of its history tells.
    public enum Live: Sendable, Hashable {
        /// Every host was left on this release; the newest rollout that did so.
        case release(Release, RolloutRecord)
        /// Hosts were left on different ones, or nobody knows.
        case mixed
        /// Older records have to tell of the hosts that these leave out.
        case open
    }

    /// The release that the newest rollouts have left on an environment.
    ///
    /// - Parameter records: The environment's newest rollouts, the newest first, with their aims.
    /// - Returns: The release, if these tell.
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
