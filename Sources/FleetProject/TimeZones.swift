internal import Foundation

/// The tz database, as Foundation reads it.
public enum TimeZones {
    /// What a zone adds to UTC at any time, in seconds; nil if there is no such zone.
    ///
    /// - Parameter name: A name of the tz database, as in `Europe/Berlin`, or `UTC`.
    /// - Returns: From seconds since 1970 to seconds.
    public static func offset(of name: String) -> (@Sendable (Int) -> Int)? {
        // Abbreviations, such as `CEST`, are an hour off for half of the year, and `Berlin` is no zone: only
        // names of the tz database say what a clock shows.
        guard name == "UTC" || name.contains("/") && !name.hasPrefix("/"),
            let zone = TimeZone(identifier: name)
        else { return nil }
        return { zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double($0))) }
    }
}
