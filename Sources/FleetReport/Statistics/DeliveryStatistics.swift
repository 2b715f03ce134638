internal import FleetPlan
public import FleetRollout
public import FleetTransport

/// How an environment is delivered to: the four figures of DORA's research (dora.dev/guides/dora-metrics-four-keys),
/// the slowest steps and the hosts that fail most.
///
/// What counts, so that the figures can be checked: a deploy is a rollout of a release that ended and changed
/// something; commands of `exec`, playbooks without a release, reverts, and what was refused or has no end are none. It
/// failed if it did not end succeeded, or if a revert took it back later. Restored is from the beginning of the failed
/// deploy to the end of the first rollout, itself included, after which every host was verified.
public struct DeliveryStatistics: Sendable, Hashable, Encodable {
    /// The environment.
    public let environment: String
    /// From when, in milliseconds since 1970.
    public let fromUnixMilliseconds: Int
    /// To when, in milliseconds since 1970.
    public let toUnixMilliseconds: Int
    /// The number of deploys.
    public let deploys: Int
    /// The number of those that failed.
    public let failed: Int
    /// Deploys in a week, in hundredths.
    public let deploysPerWeekHundredths: Int
    /// How many of a hundred deploys failed; nil without deploys.
    public let changeFailurePercent: Int?
    /// The median time to restore, in milliseconds; nil if none failed, or none was restored.
    public let restoreMilliseconds: Int?
    /// The number of failed deploys after which nothing was verified yet.
    public let notRestored: Int
    /// The median time from a commit to the end of the deploy that brought it, in milliseconds; nil if it is not known.
    public let leadMilliseconds: Int?
    /// The number of commits that is the median of.
    public let commits: Int
    /// The median time of a deploy that succeeded, in milliseconds; nil if none did.
    public let durationMilliseconds: Int?
    /// The steps and checks that take longest, the longest first.
    public let slowestSteps: [Step]
    /// The hosts on which most failed, the most first.
    public let flakiestHosts: [Flaky]

    /// A step's or check's usual time.
    public struct Step: Sendable, Hashable, Encodable {
        /// Its name.
        public let name: String
        /// The median over hosts and rollouts, in milliseconds.
        public let medianMilliseconds: Int
        /// The number of times that it was taken.
        public let times: Int
    }

    /// A host on which something failed.
    public struct Flaky: Sendable, Hashable, Encodable {
        /// The host.
        public let host: HostName
        /// In how many rollouts something failed there, or had to be tried again.
        public let failed: Int
        /// In how many rollouts the host was.
        public let rollouts: Int
    }

    /// How many steps and hosts are named.
    private static let named = 5

    /// Works them out.
    ///
    /// - Parameters:
    ///   - environment: The environment.
    ///   - records: All its rollouts with their aims, the newest first, also those before the period.
    ///   - period: The period, in milliseconds since 1970: deploys that began in it count.
    ///   - leads: For each new commit, the time from its committing to the end of the deploy, in milliseconds.
    ///   - timelines: The newest rollouts of the period, for steps and hosts.
    public init(
        of environment: String,
        _ records: [RolloutRecord],
        in period: Range<Int>,
        leads: [Int],
        timelines: [RolloutTimeline]
    ) {
        self.environment = environment
        fromUnixMilliseconds = period.lowerBound
        toUnixMilliseconds = period.upperBound
        let ended = Array(records.reversed())
        let undone = Set(
            records.filter { $0.kind == .revert && $0.outcome != .refused }
                .compactMap { $0.aim?.undoes }
        )
        var deploys = 0
        var failed = 0
        var durations: [Int] = []
        var restores: [Int] = []
        for (place, record) in ended.enumerated() {
            guard period.contains(record.startedUnixMilliseconds), Self.isDeploy(record),
                let took = record.milliseconds
            else { continue }
            deploys += 1
            guard record.outcome != .succeeded || undone.contains(record.id) else {
                durations.append(took)
                continue
            }
            failed += 1
            if record.outcome == .reverted, !undone.contains(record.id) {
                restores.append(took)
                continue
            }
            // One that succeeded and was taken back is no restoration of itself.
            let first = record.outcome == .succeeded ? place + 1 : place
            let verified = ended[first...].lazy.compactMap { Self.verifiedEnd(of: $0) }.first
            if let verified { restores.append(max(0, verified - record.startedUnixMilliseconds)) }
        }
        self.deploys = deploys
        self.failed = failed
        let milliseconds = max(1, period.count)
        deploysPerWeekHundredths =
            (deploys * 7 * 86_400_000 * 100 + milliseconds / 2) / milliseconds
        changeFailurePercent = deploys == 0 ? nil : (failed * 100 + deploys / 2) / deploys
        restoreMilliseconds = restores.isEmpty ? nil : RolloutReport.median(restores)
        notRestored = failed - restores.count
        leadMilliseconds = leads.isEmpty ? nil : RolloutReport.median(leads)
        commits = leads.count
        durationMilliseconds = durations.isEmpty ? nil : RolloutReport.median(durations)
        slowestSteps = Self.slowest(in: timelines)
        flakiestHosts = Self.flakiest(in: timelines)
    }

    /// Whether a rollout counts as a deploy.
    public static func isDeploy(_ record: RolloutRecord) -> Bool {
        record.kind == .deploy && record.outcome != nil && record.outcome != .refused
    }

    /// When a rollout had verified every host that it touched; nil if it did not.
    private static func verifiedEnd(of record: RolloutRecord) -> Int? {
        switch (record.kind, record.outcome) {
        case (.deploy, .succeeded?), (.revert, .succeeded?), (.deploy, .reverted?),
            (.revert, .reverted?):
            record.endedUnixMilliseconds
        default: nil
        }
    }

    private static func slowest(in timelines: [RolloutTimeline]) -> [Step] {
        var times: [String: [Int]] = [:]
        for timeline in timelines {
            for span in timeline.spans {
                switch span.activity {
                case .step, .check:
                    guard span.ending == .ok else { continue }
                    times[timeline.name(of: span), default: []].append(span.milliseconds)
                default: continue
                }
            }
        }
        let steps = times.map { name, times in
            Step(name: name, medianMilliseconds: RolloutReport.median(times), times: times.count)
        }
        return Array(
            steps.sorted {
                ($1.medianMilliseconds, $0.name) < ($0.medianMilliseconds, $1.name)
            }.prefix(named)
        )
    }

    private static func flakiest(in timelines: [RolloutTimeline]) -> [Flaky] {
        var rollouts: [HostName: Int] = [:]
        var failures: [HostName: Int] = [:]
        for timeline in timelines {
            var failed: Set<Int> = []
            for span in timeline.spans {
                switch span.ending {
                case .failed, .lost: failed.insert(span.host)
                case .ok, .open: if span.attempts > 1 { failed.insert(span.host) }
                }
            }
            for (place, host) in timeline.rollout.plan.hosts.enumerated() {
                rollouts[host.name, default: 0] += 1
                if failed.contains(place) { failures[host.name, default: 0] += 1 }
            }
        }
        let hosts = failures.map { host, count in
            Flaky(host: host, failed: count, rollouts: rollouts[host] ?? count)
        }
        return Array(hosts.sorted { ($1.failed, $0.host) < ($0.failed, $1.host) }.prefix(named))
    }
}

/// An environment's statistics as text.
public enum StatisticsText {
    /// The whole text, without a line end.
    ///
    /// - Parameters:
    ///   - statistics: The figures.
    ///   - zone: The clock that times are shown on.
    ///   - style: How text is marked.
    /// - Returns: The text.
    public static func text(_ statistics: DeliveryStatistics, zone: Zone, style: Style) -> String {
        func time(_ milliseconds: Int?) -> String? { milliseconds.map(DurationText.long) }
        let from = zone.minute(unixMilliseconds: statistics.fromUnixMilliseconds).prefix(10)
        let to = zone.minute(unixMilliseconds: statistics.toUnixMilliseconds).prefix(10)
        let rate = statistics.deploysPerWeekHundredths
        var lines = [
            style.bold("\(statistics.environment), \(from) to \(to)"), "",
            row(
                "deploys a week",
                "\((rate + 5) / 100).\((rate + 5) % 100 / 10)",
                "\(statistics.deploys) deploys",
                style
            ),
            row(
                "change failure rate",
                statistics.changeFailurePercent.map { "\($0) %" },
                "\(statistics.failed) failed or were taken back",
                style
            ),
            row(
                "time to restore",
                time(statistics.restoreMilliseconds),
                statistics.notRestored > 0
                    ? "median; \(statistics.notRestored) not restored yet" : "median",
                style
            ),
            row(
                "lead time",
                time(statistics.leadMilliseconds),
                statistics.commits == 0
                    ? "run it in a clone of the application's repository"
                    : "median of \(statistics.commits) commits, from committing to the deploy's end",
                style
            ),
            row(
                "time of a deploy",
                time(statistics.durationMilliseconds),
                "median of those that succeeded",
                style
            ),
        ]
        if !statistics.slowestSteps.isEmpty {
            lines += ["", style.dim("slowest steps")]
            lines += statistics.slowestSteps.map {
                "  \(Style.padded(Sanitizer.line($0.name), to: 24))\(DurationText.long($0.medianMilliseconds))"
            }
        }
        if !statistics.flakiestHosts.isEmpty {
            lines += ["", style.dim("hosts on which most failed")]
            lines += statistics.flakiestHosts.map {
                "  \(Style.padded(Sanitizer.line($0.host.text), to: 24))"
                    + "in \($0.failed) of \($0.rollouts) rollouts"
            }
        }
        return lines.joined(separator: "\n")
    }

    /// The figures in one sentence.
    static func sentence(_ statistics: DeliveryStatistics) -> String {
        let days = (statistics.toUnixMilliseconds - statistics.fromUnixMilliseconds) / 86_400_000
        let deploys = statistics.deploys == 1 ? "1 deploy" : "\(statistics.deploys) deploys"
        var text =
            "In the \(days > 1 ? "\(days) days" : "day") before, \(statistics.environment) had \(deploys); "
            + "\(statistics.changeFailurePercent ?? 0) % of them failed or were taken back"
        if let restore = statistics.restoreMilliseconds {
            text += ", and it was restored within \(DurationText.long(restore)) (median)"
        }
        return text + "."
    }

    private static func row(_ name: String, _ value: String?, _ note: String, _ style: Style)
        -> String
    {
        "\(Style.padded(name, to: 22))\(Style.padded(value ?? "-", to: 12))\(style.dim(note))"
    }
}
