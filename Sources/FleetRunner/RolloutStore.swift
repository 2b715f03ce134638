public import FleetJournal
public import FleetRollout

/// Where a runner keeps its records: the journal, or what stands for it in a simulation.
public protocol RolloutStore: Sendable {
    /// Refuses to begin where a full disk could not even be recorded.
    ///
    /// - Throws: ``FleetJournal/JournalError``.
    func requireReserve() throws(JournalError)

    /// Adds records and what hosts printed, and returns when they are durable.
    ///
    /// - Returns: Where the journal is now; nil if nothing was added.
    /// - Throws: ``FleetJournal/JournalError``; everything stops then.
    func append(_ entries: [JournalEntry], outputs: [StoredOutput]) async throws(JournalError)
        -> JournalHead?

    /// Whether a record that a host was told of is there; nil if another journal has it.
    ///
    /// - Throws: ``FleetJournal/JournalError``.
    func holds(_ head: JournalHead) throws(JournalError) -> Bool?

    /// Whether the disk is full, and the reserve is being used up.
    var isOnReserve: Bool { get }
}

extension Journal: RolloutStore {}
