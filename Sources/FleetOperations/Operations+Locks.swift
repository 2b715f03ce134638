internal import FleetJournal
internal import FleetReport
internal import FleetRollout
internal import FleetRunner
public import FleetTransport

extension Operations {
    /// Locks all selected hosts by hand, or none of them, so that no rollout changes them.
    ///
    /// - Parameters:
    ///   - selection: The hosts.
    ///   - reason: Why the hosts are locked; it is shown to everybody who finds the lock.
    /// - Throws: ``OperationFailure`` if somebody else holds one of the locks, or a host cannot be asked; no host is
    ///   locked then.
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

    /// Releases the locks that ``acquireLocks(of:reason:)`` took.
    ///
    /// - Returns: The holder of each lock afterwards.
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

    /// Breaks the locks of one owner, and ends the steps of that owner that still run.
    ///
    /// - Parameters:
    ///   - locks: The locks of the hosts.
    ///   - holders: The holders of these locks, as the hosts reported them.
    ///   - owner: The owner whose locks are broken.
    ///   - reason: Why the locks are broken; it is recorded before anything is done.
    /// - Returns: The hosts whose locks were broken.
    /// - Throws: ``OperationFailure`` if the owner holds none of the locks, a lock could not be broken, or a host could
    ///   not be asked.
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
