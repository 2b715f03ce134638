package import FleetOperations
package import FleetReport
internal import FleetRunner
internal import FleetTransport

/// What `fleet fetch` has brought.
package enum FetchText {
    /// A line for each host, and the next thing to do where a file did not come.
    package static func lines(of fetched: FetchedFiles, style: Style) -> [String] {
        fetched.outcomes.flatMap { host, outcome in
            switch outcome {
            case .fetched(let path, let bytes):
                ["\(style.green("✓")) \(host): \(path), \(bytes) bytes"]
            case .failed(let reason, let hint):
                ["\(style.red("✗")) \(host): \(Sanitizer.line(reason))"]
                    + (hint.map { ["  \($0)"] } ?? [])
            }
        }
    }
}
