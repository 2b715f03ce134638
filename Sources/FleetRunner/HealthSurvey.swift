public import FleetPlan
public import FleetRollout
public import FleetTransport

/// Runs every smoke test once on each host, outside of any rollout; changes nothing.
public struct HealthSurvey: Sendable {
    private let plan: Plan
    private let transport: any Transport
    private let slowMilliseconds: Int

    /// Creates a survey.
    ///
    /// - Parameters:
    ///   - plan: The plan; the checks of its way back are asked, because they describe what a host runs now.
    ///   - transport: The transport to the hosts.
    ///   - slowMilliseconds: The time, in milliseconds, beyond which any answer counts as unhealthy.
    public init(of plan: Plan, transport: any Transport, slowMilliseconds: Int) {
        self.plan = plan
        self.transport = transport
        self.slowMilliseconds = slowMilliseconds
    }

    /// The answers, in the order of the plan's hosts and checks; a bounded number of hosts at a time.
    public func ask() async -> [HealthSample] {
        await plan.hosts.windowed(plan.fanout) { await samples(of: $0) }.flatMap { $0 }
    }

    private func samples(of host: PlannedHost) async -> [HealthSample] {
        guard let id = RolloutID("health") else { preconditionFailure("letters make a name") }
        let worker = HostWorker(
            planned: host,
            plan: plan,
            rollout: id,
            transport: transport,
            spool: nil,
            origin: "",
            clock: SystemClock(),
            watch: { _ in }
        )
        let (outcome, took, began) = await Self.timed { await worker.check() }
        let snapshot: Snapshot
        switch outcome {
        case .ready(let found): snapshot = found
        case .refused(let failure), .unreachable(let failure), .lost(let failure):
            await worker.release(removingRunDirectory: false)
            return host.revertChecks.map { check in
                HealthSample(
                    host: host.name,
                    check: check.name,
                    unixMilliseconds: began,
                    latencyMilliseconds: took,
                    state: .unknown,
                    reason: failure.summary
                )
            }
        }
        var samples: [HealthSample] = []
        for (index, check) in host.revertChecks.enumerated() {
            let (verdict, took, began) = await Self.timed {
                await worker.probe(.revert, index, snapshot: snapshot)
            }
            var state = HealthSample.State.healthy
            var reason = ""
            switch verdict {
            case .pass where took > slowMilliseconds:
                state = .unhealthy
                reason = "answered after \(took) ms, and \(slowMilliseconds) ms is the limit"
            case .pass, .passWith: break
            case .fail(let failure):
                state = .unhealthy
                reason = failure.summary
            case .inconclusive(let failure):
                state = .unknown
                reason = failure.summary
            }
            samples.append(
                HealthSample(
                    host: host.name,
                    check: check.name,
                    unixMilliseconds: began,
                    latencyMilliseconds: took,
                    state: state,
                    reason: reason
                )
            )
        }
        await worker.release(removingRunDirectory: false)
        return samples
    }

    /// An answer, how long it took, and when it was asked.
    private static func timed<T: Sendable>(_ ask: () async -> T) async -> (T, Int, Int) {
        let clock = ContinuousClock()
        let began = WallClock.unixMilliseconds()
        let start = clock.now
        let answer = await ask()
        return (answer, Int((clock.now - start) / .milliseconds(1)), began)
    }
}
