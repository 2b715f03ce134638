public import FleetRollout

/// Texts for those who follow a rollout that another process carries out.
public enum FollowText {
    /// What is said when nobody carries a rollout out any more.
    public static func abandoned(_ id: RolloutID) -> String {
        "nobody carries rollout \(id) out any more, and it has no end\n"
            + "  next: fleet resume \(id)    go on from there\n"
            + "  next: fleet resume \(id) --back    put the touched hosts back"
    }
}
