internal import FleetRollout
internal import FleetOperations
internal import FleetReport

/// Why the API did not do what it was asked.
struct APIFailure: Encodable {
    private let line: FailureLine

    /// The form that `fleet -o json` has for failures, too.
    init(_ refusal: Refusal) {
        line = FailureLine(
            status: Int(refusal.failure.status.rawValue),
            message: refusal.failure.message,
            hints: refusal.failure.hints,
            problems: nil
        )
    }

    func encode(to encoder: any Encoder) throws { try line.encode(to: encoder) }
}
