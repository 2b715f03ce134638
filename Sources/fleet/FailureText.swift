import FleetOperations
import FleetReport
import FleetYAML

extension OperationFailure {
    /// A failure as text for a terminal: what is wrong in files, or one message and what to do next.
    var rendered: String {
        if let diagnostics { return diagnostics.rendered }
        return (["fleet: error: \(message)"] + hints.map { "  hint: \($0)" })
            .map(Sanitizer.safe).joined(separator: "\n")
    }
}
