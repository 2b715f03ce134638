public import FleetRollout

extension FailureCause {
    /// A failure in one line that is safe to show: what ended, and why.
    ///
    /// Journals of before the reason was part of a failure's summary have it in the excerpt only.
    ///
    /// - Parameter failure: The failure.
    /// - Returns: One line.
    public static func summary(of failure: Failure) -> String {
        let said = Sanitizer.line(failure.summary)
        let isBare =
            ["exited ", "no end within ", "was killed by "].contains { said.hasPrefix($0) }
            && !said.contains(": ")
        return isBare ? Sanitizer.line(summary(said, output: failure.excerpt)) : said
    }
}
