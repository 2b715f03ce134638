/// A minute of a day on the clock of some time zone.
public struct LocalTime: Sendable, Hashable, Comparable {
    /// Days since 1970-01-01.
    public let day: Int
    /// Minutes since midnight.
    public let minute: Int

    /// A minute of a day.
    public init(day: Int, minute: Int) {
        self.day = day
        self.minute = minute
    }

    /// The local time at an instant.
    ///
    /// - Parameters:
    ///   - unixSeconds: The instant, in seconds since 1970.
    ///   - offsetSeconds: What the time zone adds to UTC then.
    public init(unixSeconds: Int, offsetSeconds: Int) {
        let minutes = (unixSeconds + offsetSeconds).floored(by: 60)
        day = minutes.floored(by: 1440)
        minute = minutes - day * 1440
    }

    /// Reads `22:00`, which means the next time that a clock shows it, or `2026-12-20 22:00`.
    ///
    /// The result is nil if the text is neither.
    public init?(_ text: String, after now: LocalTime) {
        let words = text.split { $0 == " " || $0 == "T" }.map(String.init)
        guard let last = words.last, let minute = ChangeWindow.minute(last), words.count <= 2 else {
            return nil
        }
        guard words.count == 2 else {
            self.init(day: minute > now.minute ? now.day : now.day + 1, minute: minute)
            return
        }
        guard let day = ChangeWindow.date(words[0]) else { return nil }
        self.init(day: day, minute: minute)
    }

    /// Returns the instant at which the clocks of a time zone show this local time, in seconds since 1970.
    ///
    /// When clocks are set back, they show one hour twice: the result is then the first of the two instants after
    /// `now`, or the earlier one if both are over. A local time that is skipped when clocks are set forward is moved to
    /// the same distance after the change.
    ///
    /// - Parameters:
    ///   - now: The instant, in seconds since 1970, after which the result should be.
    ///   - offset: The offset of the time zone from UTC at an instant, in seconds.
    /// - Returns: Seconds since 1970.
    public func unixSeconds(after now: Int = .min, offset: (Int) -> Int) -> Int {
        let local = (day * 1440 + minute) * 60
        // No zone is a day away from UTC, so both offsets around the time are among these.
        let candidates = Set([offset(local - 86_400), offset(local), offset(local + 86_400)])
            .map { local - $0 }
        let shown = candidates.filter { $0 + offset($0) == local }.sorted()
        return shown.first { $0 > now } ?? shown.first ?? local - offset(local - 86_400)
    }

    /// The day of the week, 0 for Monday: 1970-01-01 was a Thursday.
    public var weekday: Int { (day + 3) - (day + 3).floored(by: 7) * 7 }

    /// Minutes since Monday's midnight.
    var minuteOfWeek: Int { weekday * 1440 + minute }

    /// Earlier times first.
    public static func < (first: LocalTime, second: LocalTime) -> Bool {
        (first.day, first.minute) < (second.day, second.minute)
    }
}

extension Int {
    /// The quotient, rounded down.
    fileprivate func floored(by divisor: Int) -> Int {
        self >= 0 ? self / divisor : -((divisor - 1 - self) / divisor)
    }
}

/// A period that recurs every week, or occurs once.
///
/// - `Fri 16:00 - Mon 09:00`: from one time to the other, every week
/// - `Mon-Thu 09:00-16:00`, `Sat 10:00-12:00`, `daily 22:00-04:00`: these hours of these days
/// - `2026-12-20 - 2027-01-03`, `2026-12-20 12:00 - 2027-01-03 09:00`: once; a last day is included completely
public struct ChangeWindow: Sendable, Hashable {
    private enum Kind: Sendable, Hashable {
        /// Minutes of the week; the second may be the smaller one.
        case weekly(from: Int, to: Int)
        /// Minutes of the day; the second may be the smaller one.
        case hours(days: Set<Int>, from: Int, to: Int)
        case once(from: LocalTime, to: LocalTime)
    }

    /// As it was written.
    public let text: String
    private let kind: Kind

    /// Reads a window; nil if the text is none.
    public init?(_ text: String) {
        let words = text.split(separator: " ").map(String.init)
        guard let kind = Self.once(words) ?? Self.weekly(words) ?? Self.hours(words) else {
            return nil
        }
        self.text = text
        self.kind = kind
    }

    /// Whether a time is in the window, which includes its first minute but not its last one.
    public func contains(_ time: LocalTime) -> Bool {
        switch kind {
        case .weekly(let from, let to):
            return Self.isBetween(time.minuteOfWeek, from, to)
        case .hours(let days, let from, let to):
            guard Self.isBetween(time.minute, from, to) else { return false }
            // After midnight it is still the evening before.
            let isAfterMidnight = to <= from && time.minute < to
            return days.contains(isAfterMidnight ? (time.weekday + 6) % 7 : time.weekday)
        case .once(let from, let to):
            return from <= time && time < to
        }
    }

    private static func isBetween(_ value: Int, _ from: Int, _ to: Int) -> Bool {
        from < to ? from <= value && value < to : from <= value || value < to
    }

    // MARK: Reading

    private static let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

    private static func weekly(_ words: [String]) -> Kind? {
        guard words.count == 5, words[2] == "-", let first = day(words[0]),
            let from = minute(words[1]), let last = day(words[3]), let to = minute(words[4]),
            (first * 1440 + from) % 10_080 != (last * 1440 + to) % 10_080
        else { return nil }
        return .weekly(
            from: (first * 1440 + from) % 10_080,
            to: (last * 1440 + to) % 10_080
        )
    }

    private static func hours(_ words: [String]) -> Kind? {
        guard words.count == 2 else { return nil }
        let times = words[1].split(separator: "-", omittingEmptySubsequences: false)
            .map { minute(String($0)) }
        guard times.count == 2, let from = times[0], let to = times[1], from != to else {
            return nil
        }
        var days: Set<Int> = []
        for part in words[0].split(separator: ",", omittingEmptySubsequences: false) {
            if part.lowercased() == "daily" {
                days.formUnion(0..<7)
                continue
            }
            let ends = part.split(separator: "-", omittingEmptySubsequences: false)
                .map { day(String($0)) }
            guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1]
            else { return nil }
            var weekday = first
            days.insert(weekday)
            while weekday != last {
                weekday = (weekday + 1) % 7
                days.insert(weekday)
            }
        }
        return .hours(days: days, from: from, to: to)
    }

    private static func once(_ words: [String]) -> Kind? {
        guard let dash = words.firstIndex(of: "-") else { return nil }
        guard let from = time(Array(words[..<dash]), isEnd: false),
            let to = time(Array(words[(dash + 1)...]), isEnd: true), from < to
        else { return nil }
        return .once(from: from, to: to)
    }

    private static func time(_ words: [String], isEnd: Bool) -> LocalTime? {
        guard (1...2).contains(words.count), let day = date(words[0]) else { return nil }
        guard words.count == 2 else { return LocalTime(day: isEnd ? day + 1 : day, minute: 0) }
        return minute(words[1]).map { LocalTime(day: day, minute: $0) }
    }

    private static func day(_ text: String) -> Int? { days.firstIndex(of: text.lowercased()) }

    /// `09:00`; `24:00` is the end of the day.
    static func minute(_ text: String) -> Int? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.count == 2 }),
            let hour = number(parts[0]), let minute = number(parts[1]), minute < 60,
            hour < 24 || hour == 24 && minute == 0
        else { return nil }
        return hour * 60 + minute
    }

    /// Days since 1970 of `2026-12-20`.
    static func date(_ text: String) -> Int? {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, parts.map(\.count) == [4, 2, 2], let year = number(parts[0]),
            let month = number(parts[1]), let day = number(parts[2])
        else { return nil }
        return CivilDate(year: year, month: month, day: day)?.daysSince1970
    }

    private static func number(_ text: Substring) -> Int? {
        text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(text) : nil
    }
}
