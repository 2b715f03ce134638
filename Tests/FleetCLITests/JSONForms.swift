import FleetTestSupport
import Foundation
import Testing

/// Holds what fleet prints for other programs against the schemas in docs/schema, whichever test had it printed.
enum JSONForms {
    /// The schema of what each command prints; the others carry something out and print events.
    private static let schemas = [
        "history": "history", "status": "status", "audit": "audit", "health": "health",
        "releases": "release", "stats": "stats", "diff": "diff", "report": "report",
        "check": "check", "doctor": "finding", "plan": "plan",
    ]

    /// Checks a command's output if it was asked for JSON.
    ///
    /// - Throws: ``Command/Failed`` if the checker cannot be started.
    static func check(_ result: Command, of arguments: [String]) throws {
        if arguments.first == "events" { try check(result.output, "event") }
        if let place = arguments.firstIndex(of: "--progress"), arguments[place + 1] == "json" {
            try check(result.errors, "event")
        }
        guard let place = arguments.firstIndex(of: "-o"),
            arguments.dropFirst(place + 1).first == "json"
        else { return }
        switch arguments.first {
        case "hosts":
            try check(result.output, arguments.contains("--explain") ? "setting" : "hosts")
        case "explain":
            try check(
                result.output,
                result.output.contains("planDigest") ? "report" : "explanation"
            )
        default: try check(result.output, schemas[arguments.first ?? ""] ?? "event")
        }
    }

    private static func check(_ text: String, _ schema: String) throws {
        // The system's Python, which has the packages that scripts/test installs.
        let checked = try Command.run(
            ["/usr/bin/python3", Package.root + "/scripts/validate-json", schema],
            in: Package.root,
            input: text
        )
        #expect(checked.status == 0, "\(schema): \(checked.errors)\n\(text.prefix(2000))")
    }
}
