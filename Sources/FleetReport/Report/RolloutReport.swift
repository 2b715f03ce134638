public import FleetPlan
public import FleetRollout
public import FleetTransport

/// Everything that a report of a rollout is made from, whatever its form.
public struct RolloutReport: Sendable {
    /// The rollout's name.
    public let id: RolloutID
    /// Who began it, from where and why.
    public let origin: RolloutOrigin
    /// When it began, in milliseconds since 1970.
    public let startedUnixMilliseconds: Int
    /// What every host did when.
    public let timeline: RolloutTimeline
    /// What failed steps printed.
    public let outputs: [Output]
    /// Who approved what was deployed.
    public let approvals: [Approval]
    /// Earlier rollouts of the same playbook on the same environment, the newest first.
    public let earlier: [Earlier]
    /// How the environment was delivered to in the ninety days before; nil if that is not known.
    public let statistics: DeliveryStatistics?
    /// The clock that times are shown on.
    public let zone: Zone

    /// What a step printed on a host.
    public struct Output: Sendable, Hashable {
        /// The host.
        public let host: HostName
        /// The step's name; a step of the way back begins with `revert `.
        public let step: String
        /// What was kept of it.
        public let text: String
        /// The number of bytes that were printed and not kept.
        public let droppedBytes: Int

        /// Describes an output.
        public init(host: HostName, step: String, text: String, droppedBytes: Int) {
            self.host = host
            self.step = step
            self.text = text
            self.droppedBytes = droppedBytes
        }
    }

    /// An earlier rollout, to compare with.
    public struct Earlier: Sendable, Hashable {
        /// How long it took, in milliseconds.
        public let milliseconds: Int
        /// How it ended.
        public let outcome: RolloutOutcome
        /// The number of hosts.
        public let hosts: Int

        /// Describes a rollout.
        public init(milliseconds: Int, outcome: RolloutOutcome, hosts: Int) {
            self.milliseconds = milliseconds
            self.outcome = outcome
            self.hosts = hosts
        }
    }

    /// Hosts on which the same failed for the same reason.
    public struct FailureGroup: Sendable, Hashable {
        /// The step or check, as in `install`, `revert pull` or `health`.
        public let what: String
        /// Whether it was on the way back.
        public let isBack: Bool
        /// Whether nobody knows what became of it, for example because the host could not be reached.
        public let isLost: Bool
        /// The reason in one line: the line that matters of what a program printed.
        public let cause: String
        /// The hosts, in the order of the plan.
        public internal(set) var hosts: [HostName]
        /// The failure of one of the hosts; the others' have the same cause.
        public let failure: Failure
    }

    /// Gathers a report.
    public init(
        id: RolloutID,
        origin: RolloutOrigin,
        startedUnixMilliseconds: Int,
        timeline: RolloutTimeline,
        outputs: [Output] = [],
        approvals: [Approval] = [],
        earlier: [Earlier] = [],
        statistics: DeliveryStatistics? = nil,
        zone: Zone = .utc
    ) {
        self.id = id
        self.origin = origin
        self.startedUnixMilliseconds = startedUnixMilliseconds
        self.timeline = timeline
        self.outputs = outputs
        self.approvals = approvals
        self.earlier = earlier
        self.statistics = statistics
        self.zone = zone
    }

    /// The state that the rollout has reached.
    public var rollout: Rollout { timeline.rollout }
    /// The time from its first to its last record, in milliseconds.
    public var milliseconds: Int { timeline.milliseconds }
    var plan: Plan { timeline.rollout.plan }

    /// The verdict in a few words: the outcome, or that there is none yet.
    var verdict: String { rollout.outcome?.rawValue ?? "unfinished" }

    /// The verdict as a sentence.
    var sentence: String {
        rollout.outcome.map { RolloutText.sentence(rollout, $0) }
            ?? "this rollout has not come to its end"
    }

    /// The title of every form: `deploy v2.0.0 to production`.
    var title: String {
        let what = plan.release?.label ?? "`\(Sanitizer.line(plan.title))`"
        switch plan.kind {
        case .deploy:
            return "\(origin.isHotfix ? "hotfix" : "deploy") \(what) to \(plan.environment)"
        case .run: return "run `\(Sanitizer.line(plan.title))` on \(plan.environment)"
        case .exec: return "exec `\(Sanitizer.line(plan.title))` on \(plan.environment)"
        case .revert: return "revert \(plan.environment) to \(what)"
        }
    }

    /// When something was, on the reader's clock.
    func time(at milliseconds: Int) -> String {
        zone.text(
            unixMilliseconds: timeline.unixMilliseconds(
                at: milliseconds,
                from: startedUnixMilliseconds
            )
        )
    }

    /// What failed, by reason: most hosts first, the way back before the way forward.
    public var failures: [FailureGroup] {
        var groups: [FailureGroup] = []
        var places: [String: Int] = [:]
        var members: [Set<Int>] = []
        for span in timeline.spans {
            let failure: Failure
            var isLost = false
            switch span.ending {
            case .failed(let found): failure = found
            case .lost(let found):
                failure = found
                isLost = true
            case .ok, .open: continue
            }
            let what = timeline.name(of: span)
            let cause = FailureCause.summary(of: failure)
            let host = plan.hosts[span.host].name
            let key = "\(what)\n\(span.activity.isBack)\n\(cause)"
            if let place = places[key] {
                members[place].insert(span.host)
            } else {
                places[key] = groups.count
                members.append([span.host])
                groups.append(
                    FailureGroup(
                        what: what,
                        isBack: span.activity.isBack,
                        isLost: isLost,
                        cause: cause,
                        hosts: [host],
                        failure: failure
                    )
                )
            }
        }
        for place in groups.indices {
            groups[place].hosts = members[place].sorted().map { plan.hosts[$0].name }
        }
        return groups.enumerated().sorted { first, second in
            let (one, other) = (first.element, second.element)
            if one.isBack != other.isBack { return one.isBack }
            if one.hosts.count != other.hosts.count { return one.hosts.count > other.hosts.count }
            return first.offset < second.offset
        }.map(\.element)
    }

    /// What the first host of a group printed; nil if nothing is known of it.
    func output(of group: FailureGroup) -> Output? {
        outputs.first { $0.host == group.hosts[0] && $0.step == group.what }
    }

    /// How long a step took on the hosts.
    struct StepTimes {
        let name: String
        var milliseconds: [Int] = []
        var slowest: (host: HostName, milliseconds: Int)?
        var failed = 0

        var median: Int { RolloutReport.median(milliseconds) }
    }

    /// The times of each step and check, in the order in which the plan names them.
    var stepTimes: [StepTimes] {
        var times: [StepTimes] = []
        var places: [String: Int] = [:]
        for span in timeline.spans {
            switch span.activity {
            case .lock, .settle: continue
            default: break
            }
            let name = timeline.name(of: span)
            let key = "\(span.activity.isBack)\(name)"
            let place = places[key] ?? times.count
            if place == times.count {
                places[key] = place
                times.append(StepTimes(name: name))
            }
            times[place].milliseconds.append(span.milliseconds)
            if span.milliseconds >= times[place].slowest?.milliseconds ?? 0 {
                times[place].slowest = (plan.hosts[span.host].name, span.milliseconds)
            }
            switch span.ending {
            case .failed, .lost: times[place].failed += 1
            case .ok, .open: break
            }
        }
        return times
    }

    /// The middle one of some numbers; 0 for none.
    ///
    /// - Parameter numbers: The numbers, in any order.
    /// - Returns: The median.
    public static func median(_ numbers: [Int]) -> Int {
        guard !numbers.isEmpty else { return 0 }
        let sorted = numbers.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}
