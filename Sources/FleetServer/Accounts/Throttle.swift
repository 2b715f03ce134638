internal import Synchronization

/// Slows down whoever guesses, by account and by address; nobody is locked out for good.
final class Throttle: Sendable {
    private struct Record {
        var failures = 0
        var last = 0
    }

    private let records = Mutex<[String: Record]>([:])

    /// How many failures cost nothing.
    private static let free = 5
    /// The longest wait between two tries, in milliseconds.
    private static let longest = 60_000
    /// After this time without a failure they are forgotten, in milliseconds.
    private static let memory = 900_000
    /// The most names that are remembered: what is guessed cannot use up memory.
    private static let most = 20_000

    /// Counts a try as a failure, unless one of its names has to wait; ``succeeded(_:)`` takes it back.
    ///
    /// Counted before it is known how the try ends, so that many at once are not all let through.
    ///
    /// - Parameters:
    ///   - names: The account, the address, or both together.
    ///   - now: The time, in milliseconds since 1970. A clock that was set back lets everybody try.
    /// - Returns: How long to wait, in milliseconds; 0 if the try may be made.
    func attempt(_ names: [String], at now: Int) -> Int {
        records.withLock { records in
            let wait =
                names.map { name -> Int in
                    guard let record = records[name], record.failures >= Self.free,
                        record.last <= now
                    else { return 0 }
                    let exponent = min(record.failures - Self.free, 10)
                    return max(0, record.last + min(1_000 << exponent, Self.longest) - now)
                }.max() ?? 0
            guard wait == 0 else { return wait }
            Self.forgetSome(&records, at: now)
            for name in names {
                var record = records[name] ?? Record()
                if now - record.last > Self.memory { record.failures = 0 }
                record.failures += 1
                record.last = now
                records[name] = record
            }
            return 0
        }
    }

    private static func forgetSome(_ records: inout [String: Record], at now: Int) {
        guard records.count > most else { return }
        records = records.filter { $0.value.last > now - memory && $0.value.failures >= free }
        guard records.count > most else { return }
        // Still too many: those that were not heard of for the longest time go.
        let kept = records.sorted { $0.value.last > $1.value.last }.prefix(most / 2)
        records = Dictionary(uniqueKeysWithValues: kept.map { ($0.key, $0.value) })
    }

    /// Forgets the failures of a name.
    func succeeded(_ names: [String]) {
        records.withLock { records in for name in names { records[name] = nil } }
    }
}
