internal import FleetInventory

/// The clock that people read times on: what it is ahead of UTC at any moment, and what that is called.
///
/// The face gives the machine's own one; tests, and texts that are compared, take ``utc``.
public struct Zone: Sendable {
    private let offset: @Sendable (_ unixSeconds: Int) -> (seconds: Int, name: String)

    /// A clock.
    ///
    /// - Parameter offset: From seconds since 1970 to what the clock is ahead of UTC, in seconds, and the name of
    ///   that, as in `CET`.
    public init(offset: @escaping @Sendable (_ unixSeconds: Int) -> (seconds: Int, name: String)) {
        self.offset = offset
    }

    /// UTC.
    public static let utc = Zone { _ in (0, "UTC") }

    /// Date and time to the second with the zone's name, `2026-11-22 20:05:12 CET`.
    ///
    /// - Parameter unixMilliseconds: Milliseconds since 1970.
    /// - Returns: The text.
    public func text(unixMilliseconds: Int) -> String {
        let offset = offset(unixMilliseconds / 1000)
        return DurationText.utc(unixMilliseconds: unixMilliseconds + offset.seconds * 1000)
            + " \(offset.name)"
    }

    /// Date and time to the minute, without the zone's name: for columns whose head names the zone.
    ///
    /// - Parameter unixMilliseconds: Milliseconds since 1970.
    /// - Returns: The text.
    public func minute(unixMilliseconds: Int) -> String {
        String(text(unixMilliseconds: unixMilliseconds).prefix(16))
    }

    /// The zone's name at a moment, as in `CET`.
    ///
    /// - Parameter unixMilliseconds: Milliseconds since 1970.
    /// - Returns: The name.
    public func name(unixMilliseconds: Int) -> String { offset(unixMilliseconds / 1000).name }

    /// How a column of times is written: the zone stands in its head, or beside each time where it is not the same for
    /// all, as when summer time ended in between.
    ///
    /// - Parameter unixMilliseconds: The column's times, in milliseconds since 1970.
    /// - Returns: What the head says, and how each time is written.
    func column(_ unixMilliseconds: [Int]) -> (head: String, time: (Int) -> String) {
        let names = Set(unixMilliseconds.map { name(unixMilliseconds: $0) })
        if names.count > 1 { return ("local time", { text(unixMilliseconds: $0) }) }
        return (
            names.first ?? name(unixMilliseconds: 0),
            { String(text(unixMilliseconds: $0).prefix(19)) }
        )
    }

    /// When a day begins on this clock.
    ///
    /// - Parameter days: The day, in days since 1970-01-01.
    /// - Returns: Milliseconds since 1970.
    public func start(ofDay days: Int) -> Int {
        let utc = days * 86_400
        // Twice, because the clock may be another one on the day before.
        let guess = utc - offset(utc).seconds
        return (utc - offset(guess).seconds) * 1000
    }

    /// As RFC 3339 wants it, in UTC, to the millisecond: `2026-11-22T19:05:12.123Z`.
    ///
    /// - Parameter unixMilliseconds: Milliseconds since 1970.
    /// - Returns: The text.
    public static func rfc3339(unixMilliseconds: Int) -> String {
        let date = DurationText.utc(unixMilliseconds: unixMilliseconds).split(separator: " ")
        let fraction = String(unixMilliseconds % 1000)
        let zeros = String(repeating: "0", count: max(0, 3 - fraction.count))
        return "\(date[0])T\(date[1]).\(zeros)\(fraction)Z"
    }
}
