public import FleetRollout

/// The last record of a journal, and the hash of everything up to it.
///
/// It is stored on every host that a rollout touches, so that records that were changed or removed later can be
/// detected.
public struct JournalHead: Sendable, Hashable {
    /// The rollout of the record.
    public let rollout: RolloutID
    /// The record's number in its rollout.
    public let sequence: Int
    /// The record's hash, in hexadecimal.
    public let hash: String
    /// The hash of the journal's first record, which identifies the journal; nil if an older fleet did not store it.
    public let journal: String?

    /// Names a record.
    public init(rollout: RolloutID, sequence: Int, hash: String, journal: String? = nil) {
        self.rollout = rollout
        self.sequence = sequence
        self.hash = hash
        self.journal = journal
    }

    /// Reads what ``text`` returns; nil if the text is something else.
    public init?(text: String) {
        let words = text.split(separator: " ")
        guard words.count == 3 || words.count == 4, let rollout = RolloutID(String(words[0])),
            let sequence = Int(words[1]), words[2...].allSatisfy({ $0.utf8.count == 64 })
        else { return nil }
        self.init(
            rollout: rollout,
            sequence: sequence,
            hash: String(words[2]),
            journal: words.count == 4 ? String(words[3]) : nil
        )
    }

    /// The head as one line of text.
    public var text: String {
        "\(rollout) \(sequence) \(hash)" + (journal.map { " \($0)" } ?? "")
    }
}
