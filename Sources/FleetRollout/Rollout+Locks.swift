internal import FleetPlan
internal import FleetTransport

/// Locks: every host's before the first step, all or none; given back when nothing more happens.
extension Rollout {
    /// How often a lock is asked for, or given back, that does not answer.
    private static let tries = 3
    /// The wait between two of them, in milliseconds.
    private static let pauseMilliseconds = 500

    /// Whether the rollout was refused because somebody else holds the lock of a host.
    public var isLockedOut: Bool {
        outcome == .refused && hosts.contains { $0.failure?.summary.contains("E_LOCKED") ?? false }
    }

    mutating func advanceLocking() -> Bool {
        let isRefused = hosts.contains {
            if case .refused = $0.stage, $0.outcome == nil { true } else { false }
        }
        if !isDraining, !isRefused {
            while cursor < hosts.count, room > 0 {
                defer { cursor += 1 }
                guard case .ready = hosts[cursor].stage, !hosts[cursor].mayHoldLock else {
                    continue
                }
                hosts[cursor].enter(.locking, at: now)
                hosts[cursor].mayHoldLock = true
                emit(.lock(host: hosts[cursor].name), for: cursor)
            }
        }
        guard activeCount == 0 else { return false }
        guard !isDraining, !isRefused else {
            for index in hosts.indices where hosts[index].outcome == nil {
                conclude(index, .untouched)
            }
            return finish(.refused)
        }
        phase = .rolling(batch: 0)
        return true
    }

    mutating func locked(_ index: Int, _ outcome: LockOutcome) {
        set(.idle, for: index)
        switch outcome {
        case .done:
            hosts[index].lockFailures = 0
            hosts[index].enter(.ready, at: now)
        case .refused(let failure):
            hosts[index].mayHoldLock = false
            hosts[index].failure = failure
            hosts[index].enter(.refused(failure), at: now)
        case .unreachable(let failure):
            hosts[index].lockFailures += 1
            if hosts[index].lockFailures < Self.tries, !isDraining {
                wait(index, Self.pauseMilliseconds, then: .lock(host: hosts[index].name))
            } else {
                // Counted anew for giving it back.
                hosts[index].lockFailures = 0
                hosts[index].failure = failure
                hosts[index].enter(.refused(failure), at: now)
            }
        }
    }

    /// Whether the host's lock is to be given back at the end: not where nobody knows what the host
    /// runs, and not where it is somebody else's by now.
    func givesLockBack(_ index: Int) -> Bool {
        hosts[index].mayHoldLock && hosts[index].outcome != .unknown
            && hosts[index].outcome != .fenced
    }

    mutating func advanceClosing(_ outcome: RolloutOutcome) -> Bool {
        while cursor < hosts.count, room > 0 {
            defer { cursor += 1 }
            guard givesLockBack(cursor), !hosts[cursor].isActive,
                hosts[cursor].lockFailures < Self.tries
            else { continue }
            emit(.unlock(host: hosts[cursor].name), for: cursor)
        }
        guard activeCount == 0 else { return false }
        phase = .finished(outcome)
        effects.append(.finish(outcome))
        return false
    }

    mutating func unlocked(_ index: Int, _ outcome: LockOutcome) {
        set(.idle, for: index)
        switch outcome {
        case .done:
            hosts[index].mayHoldLock = false
            effects.append(.release(host: hosts[index].name))
        case .refused(let failure), .unreachable(let failure):
            hosts[index].lockFailures += 1
            hosts[index].lockFailure = failure
            guard hosts[index].lockFailures < Self.tries else {
                effects.append(.release(host: hosts[index].name))
                return
            }
            wait(index, Self.pauseMilliseconds, then: .unlock(host: hosts[index].name))
        }
    }

    /// Another rollout has taken the host over: nothing more is done to it, and nothing is known.
    mutating func fenced(_ index: Int, _ failure: Failure) {
        hosts[index].failure = failure
        hosts[index].unresolved = nil
        conclude(index, .fenced)
        guard halted == nil, decision == nil else { return }
        halted = failure
        effects.append(.halt(host: hosts[index].name, failure: failure))
        quiet()
    }
}
