internal import Glibc

/// The time of day, for display only; no decision depends on it.
public enum WallClock {
    /// Milliseconds since 1970.
    public static func unixMilliseconds() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
    }
}
