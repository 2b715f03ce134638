/// The bounds within which a rollout decides; every one of them ends a loop.
enum RolloutLimits {
    /// How long a lost host is looked for before its step counts as unknown, in milliseconds.
    static let reconnectBudgetMilliseconds = 120_000
    /// The least looks before a host counts as lost: a controller that slept must look again.
    static let leastReconnects = 3
    /// How often the connection may be lost during one step.
    static let losses = 50
    /// The shortest pause between two rounds of questions while a release soaks, in milliseconds.
    static let soakMilliseconds = 2_000
    /// The first wait before looking for a lost host; it doubles up to the next one.
    static let firstReconnectMilliseconds = 500
    /// The longest wait between two looks.
    static let longestReconnectMilliseconds = 8000
    /// The wait before a failed step is tried again.
    static let retryMilliseconds = 1000
    /// How often a question of preflight is asked that gets no answer.
    static let questions = 3
    /// The largest difference between a host's clock and the controller's, in seconds.
    ///
    /// Kerberos' limit (RFC 4120, 5.2.3). Certificates, tokens and logs go wrong beyond it.
    static let clockSkewSeconds = 300
    /// How often a step back is tried; steps back may always be repeated.
    static let revertAttempts = 3
    /// How many hosts that were well on the new release may fail to go back before no other one that
    /// is well is sent after them.
    static let brokenReverts = 2
    /// How often an idempotent step is started again because its effect is unknown.
    static let reruns = 3
    /// The most attempts at one step, whatever the reasons.
    static let attempts = 120
}
