package import FleetReport
internal import Glibc

/// The clock of the machine that fleet runs on.
package enum LocalTimes {
    /// The zone that `TZ`, or else /etc/localtime, says.
    package static let zone = Zone { seconds in
        var time = time_t(seconds)
        var parts = tm()
        guard localtime_r(&time, &parts) != nil else { return (0, "UTC") }
        let name = parts.tm_zone.map { String(cString: $0) } ?? ""
        return (parts.tm_gmtoff, name.isEmpty ? "local time" : name)
    }
}

extension LocalTimes {
    /// The time of day, in milliseconds since 1970: for people, never for deadlines.
    static var unixMilliseconds: Int {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return now.tv_sec * 1000 + now.tv_nsec / 1_000_000
    }
}
