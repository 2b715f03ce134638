internal import Foundation

/// The tz database, as Foundation reads it.
public enum TimeZones {
    /// What a zone adds to UTC at any time, in seconds; nil if there is no such zone.
    ///
    /// - Parameter name: A name of the tz database, as in `Europe/Berlin`, or `UTC`.
    /// - Returns: From seconds since 1970 to seconds.
    public static func offset(of name: String) -> (@Sendable (Int) -> Int)? {
        guard let zone = TimeZone(identifier: name) else { return nil }
        return { zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double($0))) }
    }
}
