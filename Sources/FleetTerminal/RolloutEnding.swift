package import FleetOperations
package import FleetReport
internal import Glibc

/// What is left of a rollout besides what was printed: reports, and what a CI system takes.
///
/// None of it changes the rollout, or what the program exits with: what cannot be written is said.
package struct RolloutEnding: Sendable {
    /// The system that runs this as a job; nil for none.
    package let system: CISystem?
    /// The reports that were asked for.
    package let files: [ReportFile]
    /// The file that gets what later jobs can use; nil for none.
    package let outputs: String?
    private let variable: @Sendable (String) -> String?

    /// GitHub takes 1 MiB for all summaries of a step.
    private static let summaryLimit = 1 << 20

    /// Says what is wanted.
    ///
    /// - Parameters:
    ///   - system: The system that runs this as a job; nil for none.
    ///   - files: The reports that were asked for.
    ///   - outputs: The file that gets what later jobs can use; nil for none.
    ///   - variable: Gives the value of an environment variable.
    package init(
        system: CISystem?,
        files: [ReportFile],
        outputs: String?,
        variable: @escaping @Sendable (String) -> String?
    ) {
        self.system = system
        self.files = files
        self.outputs = outputs
        self.variable = variable
    }

    /// Whether there is anything to do.
    package var isWanted: Bool {
        system != nil || !files.isEmpty || outputs != nil || traces != nil
    }

    /// What sends traces; nil unless OpenTelemetry's variables name a place.
    private var traces: TraceSender? {
        TraceSettings(variable).map { TraceSender($0, parent: variable("TRACEPARENT")) }
    }

    /// The span that the rollout's trace is in; nil if there is to be no trace.
    package var traceParent: TraceParent? {
        traces == nil ? nil : TraceParent(variable("TRACEPARENT"))
    }

    /// Writes it all.
    ///
    /// - Parameter report: The rollout.
    /// - Returns: What could not be written, in words.
    package func write(_ report: RolloutReport) -> [String] {
        var problems: [String] = []
        for file in files {
            do throws(OperationFailure) { try file.write(report) } catch {
                problems.append(error.message)
            }
        }
        let lines = CISystem.outputs(of: report, file: files.first?.path, for: system)
        if system == .github, let file = variable("GITHUB_OUTPUT") {
            problems += append(lines.map { Self.pair($0.name, $0.value) }.joined(), to: file)
        }
        if let outputs {
            let named = CISystem.outputs(of: report, file: files.first?.path, for: nil)
            let text = named.map { "\($0.name)=\(Sanitizer.line($0.value))\n" }.joined()
            problems += append(text, to: outputs)
        }
        if system == .github, let file = variable("GITHUB_STEP_SUMMARY") {
            var status = stat()
            let used = stat(file, &status) == 0 ? Int(status.st_size) : 0
            let text = MarkdownReport(report).text(
                limit: max(2_000, min(900_000, Self.summaryLimit - used - 10_000))
            )
            if used + text.utf8.count < Self.summaryLimit { problems += append(text, to: file) }
        }
        if let problem = traces?.send(report) { problems.append(problem) }
        for line in system?.annotations(of: report) ?? [] {
            Terminal.standardError.command(line)
        }
        return problems
    }

    /// A name and its value as GITHUB_OUTPUT takes them, whatever is in the value.
    private static func pair(_ name: String, _ value: String) -> String {
        guard value.contains(where: \.isNewline) else { return "\(name)=\(value)\n" }
        let end = "fleet-\(UInt64.random(in: 0...(.max)))"
        return "\(name)<<\(end)\n\(value)\n\(end)\n"
    }

    private func append(_ text: String, to path: String) -> [String] {
        let file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
        guard file >= 0 else {
            return ["\(path) cannot be written: \(String(cString: strerror(errno)))"]
        }
        defer { close(file) }
        let bytes = Array(text.utf8)
        guard Glibc.write(file, bytes, bytes.count) == bytes.count else {
            return ["\(path) cannot be written: \(String(cString: strerror(errno)))"]
        }
        return []
    }
}
