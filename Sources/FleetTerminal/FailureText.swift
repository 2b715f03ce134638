package import FleetOperations
internal import FleetReport
internal import FleetRollout
internal import FleetYAML
internal import Synchronization

/// How a failure is told: in words on standard error, and on standard output, too, if that is read by a program.
package enum FailureText {
    private static let isRead = Mutex(false)

    /// Whether standard output is read by a program, as `-o json` says.
    package static var isJSON: Bool {
        get { isRead.withLock { $0 } }
        set { isRead.withLock { $0 = newValue } }
    }

    /// Tells what an operation has ended with.
    package static func tell(_ failure: OperationFailure) {
        Terminal.standardError.write(failure.rendered + "\n")
        tell(
            FailureLine(
                status: Int(failure.status.rawValue),
                message: failure.message,
                hints: failure.hints,
                problems: failure.diagnostics?.all.map { problem in
                    FailureLine.Problem(
                        file: problem.location?.file ?? "",
                        line: problem.location?.line ?? 0,
                        column: problem.location?.column ?? 0,
                        message: problem.message
                    )
                }
            )
        )
    }

    /// Tells a program what is wrong with the arguments; people are told by the parser.
    ///
    /// - Parameters:
    ///   - message: What the parser said.
    ///   - status: What the program exits with.
    ///   - arguments: The arguments.
    package static func tell(_ message: String, _ status: Int32, arguments: [String]) {
        guard status != 0 else { return }
        let asks = zip(arguments, arguments.dropFirst() + [""]).contains { word, next in
            ["-ojson", "--output=json"].contains(word)
                || ["-o", "--output"].contains(word) && next == "json"
        }
        if asks { isJSON = true }
        tell(FailureLine(status: Int(status), message: message, hints: [], problems: nil))
    }

    private static func tell(_ line: FailureLine) {
        guard isJSON else { return }
        Terminal.standardOutput.write(JSONLine.bytes(of: line))
    }
}

extension OperationFailure {
    /// A failure as text for a terminal: what is wrong in files, or one message and what to do next.
    var rendered: String {
        if let diagnostics { return diagnostics.rendered }
        return (["fleet: error: \(message)"] + hints.map { "  hint: \($0)" })
            .map(Sanitizer.safe).joined(separator: "\n")
    }
}
