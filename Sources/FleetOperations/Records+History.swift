internal import FleetInventory
internal import FleetJournal
internal import FleetPlan
internal import FleetProject
public import FleetReport
internal import FleetRollout
internal import FleetRunner
internal import FleetTransport

/// Which rollouts are listed.
public struct HistoryRequest: Sendable, Hashable {
    /// The environment; nil for all.
    public var environment: String?
    /// A host that has to be among a rollout's hosts; nil for any.
    public var host: String?
    /// The release: its tag, or the beginning of its commit; nil for any.
    public var release: String?
    /// When it began at the earliest, in milliseconds since 1970; nil for any time.
    public var sinceUnixMilliseconds: Int?
    /// How it ended; `unfinished` for those that have no end, nil for any.
    public var outcome: String?
    /// The most rollouts that are listed.
    public var limit = 20

    /// All of them.
    public init() {}

    /// Whether every rollout is wanted.
    public var isForAll: Bool {
        environment == nil && host == nil && release == nil && sinceUnixMilliseconds == nil
            && outcome == nil
    }

    /// Reads how long ago, or since when: `90m`, `12h`, `7d`, `2w`, or a date as in `2026-11-01`.
    ///
    /// - Parameters:
    ///   - text: The text.
    ///   - now: The time now, in milliseconds since 1970.
    ///   - zone: The clock on which a day begins.
    /// - Returns: Milliseconds since 1970; nil if it is neither, or in the future.
    public static func since(_ text: String, now: Int, zone: Zone) -> Int? {
        let units: [Character: Int] = [
            "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000,
        ]
        if let unit = text.last.flatMap({ units[$0] }), let count = Int(text.dropLast()),
            (1...100_000).contains(count)
        {
            return now - count * unit
        }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        guard parts.count == 3, text.utf8.count == 10, let year = parts[0], let month = parts[1],
            let day = parts[2], let date = CivilDate(year: year, month: month, day: day)
        else { return nil }
        let start = zone.start(ofDay: date.daysSince1970)
        return start <= now ? start : nil
    }

    /// The words that ``outcome`` may be.
    public static let outcomes = RolloutOutcome.allCases.map(\.rawValue) + ["unfinished"]
}

extension Records {
    /// Lists rollouts, the newest first.
    ///
    /// - Throws: ``OperationFailure`` if the journal cannot be read.
    public func history(_ request: HistoryRequest) async throws(OperationFailure) -> [HistoryLine] {
        var found: [HistoryLine] = []
        var last: RolloutID?
        let page = 200
        do throws(JournalError) {
            while found.count < request.limit {
                let records = try await journal.rollouts(
                    RolloutQuery(
                        environment: request.environment,
                        limit: page,
                        before: last,
                        aims: request.host == nil ? .releases : .hosts,
                        withTimes: true
                    )
                )
                for record in records where Self.isWanted(record, request) {
                    found.append(Self.line(record))
                }
                guard records.count == page, let oldest = records.last else { break }
                if let since = request.sinceUnixMilliseconds,
                    oldest.startedUnixMilliseconds < since - Self.clockMilliseconds
                {
                    break
                }
                last = oldest.id
            }
        } catch {
            throw OperationFailure(error)
        }
        return Array(found.prefix(request.limit))
    }

    /// By how much clocks may differ before older records are taken for older times: a day, in milliseconds.
    private static let clockMilliseconds = 86_400_000

    private static func isWanted(_ record: RolloutRecord, _ request: HistoryRequest) -> Bool {
        if let since = request.sinceUnixMilliseconds, record.startedUnixMilliseconds < since {
            return false
        }
        if let outcome = request.outcome, record.outcome?.rawValue ?? "unfinished" != outcome {
            return false
        }
        if let release = request.release {
            let commit = record.aim?.release?.commit ?? ""
            guard record.release == release || release.count >= 7 && commit.hasPrefix(release)
            else { return false }
        }
        if let host = request.host {
            let aim = record.aim
            let hosts = (aim?.groups.flatMap(\.hosts) ?? []) + (aim?.otherHosts ?? [])
            guard hosts.contains(where: { $0.text == host }) else { return false }
        }
        return true
    }

    static func line(_ record: RolloutRecord) -> HistoryLine {
        HistoryLine(
            rollout: record.id.description,
            environment: record.environment,
            kind: record.kind,
            title: record.title,
            release: record.release,
            hosts: record.hostCount,
            user: record.user,
            startedUnixMilliseconds: record.startedUnixMilliseconds,
            endedUnixMilliseconds: record.endedUnixMilliseconds,
            milliseconds: record.milliseconds,
            outcome: record.outcome
        )
    }

    /// How many of the newest rollouts are looked at step by step, and how many hosts they may have in all.
    private static let lookedAt = (rollouts: 20, hosts: 2_000)

    /// Works out how an environment is delivered to.
    ///
    /// - Parameters:
    ///   - environment: The environment.
    ///   - since: From when, in milliseconds since 1970.
    ///   - directory: A directory in a clone of the application's repository, for the lead time; what is no clone tells
    ///     nothing about it.
    /// - Returns: The figures.
    /// - Throws: ``OperationFailure`` if the journal knows no such environment, or cannot be read.
    public func statistics(of environment: String, since: Int, clone directory: String)
        async throws(OperationFailure) -> DeliveryStatistics
    {
        let now = WallClock.unixMilliseconds()
        let records: [RolloutRecord]
        do {
            records = try await journal.rollouts(
                RolloutQuery(
                    environment: environment,
                    limit: nil,
                    changesOnly: true,
                    aims: .releases,
                    withTimes: true
                )
            )
        } catch {
            throw OperationFailure(error)
        }
        guard !records.isEmpty else {
            throw OperationFailure(
                .usage,
                "the journal knows no rollout of `\(Sanitizer.line(environment))`",
                hints: ["see `fleet history`"]
            )
        }
        // What is younger than the period is not diluted by time before it was; a week is the least that says anything.
        let first = records.last?.startedUnixMilliseconds ?? now
        let start = max(since, min(first, now - 7 * 86_400_000))
        let period = min(start, now)..<max(now + 1, start)
        do throws(JournalError) {
            var timelines: [RolloutTimeline] = []
            var hosts = 0
            for record in records
            where record.outcome != nil && period.contains(record.startedUnixMilliseconds) {
                hosts += record.hostCount
                guard timelines.count < Self.lookedAt.rollouts, hosts <= Self.lookedAt.hosts else {
                    break
                }
                let entries = try await journal.entries(of: record.id)
                guard case .planned(let plan, _) = entries.first?.body else { continue }
                do throws(OperationFailure) {
                    _ = try RolloutLookup.replay(plan, entries, record.id)
                } catch {
                    // `fleet journal verify` speaks of records that do not fit; these figures do without.
                    continue
                }
                timelines.append(RolloutTimeline(plan: plan, entries: entries))
            }
            return DeliveryStatistics(
                of: environment,
                records,
                in: period,
                leads: await leads(records, in: period, clone: directory),
                timelines: timelines
            )
        } catch {
            throw OperationFailure(error)
        }
    }

    /// For each commit that a deploy brought for the first time, how long it was on the way.
    private func leads(_ records: [RolloutRecord], in period: Range<Int>, clone directory: String)
        async -> [Int]
    {
        let repository: GitRepository
        do { repository = try await GitRepository(containing: directory) } catch {
            // No clone, no lead time: the text says so.
            return []
        }
        var leads: [Int] = []
        var before: String?
        for record in records.reversed() {
            guard record.kind == .deploy, record.outcome == .succeeded,
                let commit = record.aim?.release?.commit, let end = record.endedUnixMilliseconds
            else { continue }
            defer { before = commit }
            guard let before, before != commit, period.contains(record.startedUnixMilliseconds)
            else { continue }
            let times = await repository.lines([
                "log", "--format=%ct", "--max-count=1000", "\(before)..\(commit)", "--",
            ])
            leads += (times ?? []).compactMap { Int($0) }.map { max(0, end - $0 * 1000) }
        }
        return leads
    }
}
