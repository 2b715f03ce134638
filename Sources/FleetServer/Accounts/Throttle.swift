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

    /// How long one of some names has to wait before it may try, in milliseconds; 0 for not at all.
    ///
    /// - Parameters:
    ///   - names: The account, and the address.
    ///   - now: The time, in milliseconds since 1970. A clock that was set back lets everybody try.
    /// - Returns: Milliseconds.
    func wait(_ names: [String], at now: Int) -> Int {
        records.withLock { records in
            names.map { name -> Int in
                guard let record = records[name], record.failures >= Self.free,
                    record.last <= now
                else { return 0 }
                let exponent = min(record.failures - Self.free, 10)
                return max(0, record.last + min(1_000 << exponent, Self.longest) - now)
            }.max() ?? 0
        }
    }

    /// Counts a failure.
    func failed(_ names: [String], at now: Int) {
        records.withLock { records in
            if records.count > Self.most {
                let cutoff = now - Self.memory
                records = records.filter {
                    $0.value.last > cutoff && $0.value.failures >= Self.free
                }
                // Still too many: those that were not heard of for the longest time go.
                if records.count > Self.most {
                    let kept = records.sorted { $0.value.last > $1.value.last }.prefix(
                        Self.most / 2
                    )
                    records = Dictionary(uniqueKeysWithValues: kept.map { ($0.key, $0.value) })
                }
            }
            for name in names {
                var record = records[name] ?? Record()
                if now - record.last > Self.memory { record.failures = 0 }
                record.failures += 1
                record.last = now
                records[name] = record
            }
        }
    }

    /// Forgets the failures of a name.
    func succeeded(_ names: [String]) {
        records.withLock { records in for name in names { records[name] = nil } }
    }
}
