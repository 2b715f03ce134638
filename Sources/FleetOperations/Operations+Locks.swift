internal import FleetJournal
internal import FleetReport
internal import FleetRollout
internal import FleetRunner
public import FleetTransport

extension Operations {
    /// Locks hosts by hand, all or none, so that no rollout changes them.
    ///
    /// - Parameters:
    ///   - selection: The hosts.
    ///   - reason: Why; whoever finds the lock reads it.
    /// - Throws: ``OperationFailure`` if somebody else holds one, or a host cannot be asked; no host is locked then.
    public func acquireLocks(of selection: HostSelection, reason: String)
        async throws(OperationFailure)
    {
        let locks = try await locks(of: selection)
        let lock = locks.lock(owner: locks.handOwner, reason: reason)
        let refusals = await locks.ask { _ in lock.taking(generation: nil) }
        guard !refusals.isEmpty else { return }
        // All or none.
        let others = Set(refusals.map(\.host))
        _ = await locks.ask { others.contains($0) ? nil : lock.giving() }
        throw HostLocks.failure(refusals, "no host was locked")
    }

    /// Gives back what ``acquireLocks(of:reason:)`` took.
    ///
    /// - Returns: Who holds the locks now.
    /// - Throws: ``OperationFailure`` if a host cannot be asked.
    public func releaseLocks(of selection: HostSelection) async throws(OperationFailure)
        -> [HostLocks.Holder]
    {
        let locks = try await locks(of: selection)
        let lock = locks.lock(owner: locks.handOwner, reason: "")
        let refusals = await locks.ask { _ in lock.giving() }
        guard refusals.isEmpty else { throw HostLocks.failure(refusals, "some locks stay") }
        return await locks.holders()
    }

    /// Takes the locks away from their owner, and ends what still runs of theirs.
    ///
    /// - Parameters:
    ///   - locks: The locks, of hosts that have been asked.
    ///   - holders: What they said.
    ///   - owner: Who shall lose them.
    ///   - reason: Why; it is recorded before anything is done.
    /// - Returns: The hosts on which they were broken.
    /// - Throws: ``OperationFailure`` for an owner who holds none, and hosts on which they stay.
    public func breakLocks(
        _ locks: HostLocks,
        heldBy holders: [HostLocks.Holder],
        owner: String,
        reason: String
    ) async throws(OperationFailure) -> [HostName] {
        let theirs = holders.filter { $0.owner == owner }.map(\.host)
        guard !theirs.isEmpty else {
            throw OperationFailure(
                .refused,
                "`\(Sanitizer.line(owner))` holds no lock here; nothing was changed"
            )
        }
        let stamp = RolloutID.new()
        // Written down before it is done, as everything is.
        let remark = Remark(
            environment: locks.environment,
            what: "broke the lock of \(owner) on \(HostRange.fold(theirs))",
            reason: reason,
            user: initiator.user,
            machine: initiator.machine
        )
        do {
            try await controller.journal.note(
                .remarked(remark),
                stamp: stamp,
                at: WallClock.unixMilliseconds()
            )
        } catch {
            throw OperationFailure(error)
        }
        let lock = locks.lock(owner: "break-\(stamp)", reason: reason)
        let refusals = await locks.ask { theirs.contains($0) ? lock.breaking(owner) : nil }
        guard refusals.isEmpty else { throw HostLocks.failure(refusals, "some locks stay") }
        let unasked = holders.filter { $0.owner == nil && !$0.isFree }.map(\.host)
        guard unasked.isEmpty else {
            throw OperationFailure(
                .locked,
                "\(HostRange.fold(unasked)) could not be asked, and may still be locked by \(owner)",
                hints: ["broken on \(HostRange.fold(theirs))", "try again when it answers"]
            )
        }
        return theirs
    }
}
