internal import FleetPlan
public import FleetTransport

/// What a deploy would bring to some hosts, for other programs.
public struct DiffLine: Sendable, Encodable {
    /// The hosts.
    public let hosts: [HostName]
    /// The tag or the commit that they run by the journal; nil if it knows nothing of them.
    public let from: String?
    /// The commit of that.
    public let fromCommit: String?
    /// The tag or the commit that they will run.
    public let to: String?
    /// The commit of that.
    public let toCommit: String?
    /// What is between; nil if no clone here has both commits.
    public let change: ReleaseChange?

    /// The lines of an outlook.
    ///
    /// - Parameter outlook: The outlook.
    /// - Returns: A line for each group of hosts.
    public static func lines(of outlook: PlanOutlook) -> [DiffLine] {
        outlook.moves.map { move in
            DiffLine(
                hosts: move.hosts,
                from: move.from?.label,
                fromCommit: move.from?.commit,
                to: move.to?.label,
                toCommit: move.to?.commit,
                change: move.change
            )
        }
    }
}
