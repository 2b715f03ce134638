internal import FleetDigest
internal import FleetRollout
internal import FleetTransport

/// How a record is known by what it says, what came with it and what was before it.
enum JournalHash {
    /// Stands for the environment of records that name none.
    static let nowhere = "-"

    /// A record's hash, in hexadecimal.
    ///
    /// - Parameters:
    ///   - body: The record, as it is written.
    ///   - outputs: The hash of the outputs that came with it; empty for none.
    ///   - previous: The hash of the record before it; empty for the first one.
    /// - Returns: The hash.
    static func of(_ body: [UInt8], with outputs: String = "", after previous: String) -> String {
        SHA256Digest(of: Array(previous.utf8) + body + Array(outputs.utf8)).description
    }

    /// The same of a record that is yet to be written.
    static func of(_ entry: JournalEntry, with outputs: String, after previous: String) -> String {
        of(bytes(of: entry), with: outputs, after: previous)
    }

    /// A record as it is written: a plan's scripts once each, and not once a host.
    static func bytes(of entry: JournalEntry) -> [UInt8] {
        // Only a plan holds any.
        guard case .planned = entry.body else { return CanonicalJSON.encode(entry) }
        return CanonicalJSON.encode(entry, userInfo: SharedTexts().userInfo)
    }

    /// A record that was written, by this fleet or an older one.
    ///
    /// - Throws: `DecodingError` for bytes that are none.
    static func entry(from bytes: [UInt8]) throws -> JournalEntry {
        try CanonicalJSON.decode(JournalEntry.self, from: bytes, userInfo: SharedTexts().userInfo)
    }
}
