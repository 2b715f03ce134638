internal import FleetFiles
package import FleetOperations
package import FleetReport
internal import FleetRollout

/// A file that a report is written to.
package struct ReportFile: Sendable, Hashable {
    /// The form of a report.
    package enum Form: Sendable, Hashable {
        case html, junit, markdown
    }

    /// The form.
    package let form: Form
    /// The file.
    package let path: String

    package init(form: Form, path: String) {
        self.form = form
        self.path = path
    }

    /// Writes it, as a whole or not at all.
    ///
    /// - Throws: ``OperationFailure`` if it cannot be written; what was there is still there.
    package func write(_ report: RolloutReport) throws(OperationFailure) {
        let text =
            switch form {
            case .html: ReportPage(report).html()
            case .junit: JUnitReport(report).xml()
            case .markdown: MarkdownReport(report).text()
            }
        try Self.write(
            text,
            to: path,
            hints: ["`fleet report \(report.id)` makes it again", "the rollout is as it was"]
        )
    }

    /// Writes a report's text.
    ///
    /// - Parameters:
    ///   - text: The text.
    ///   - path: The file.
    ///   - hints: What can be done if it cannot be written.
    /// - Throws: ``OperationFailure``; what was there is still there.
    package static func write(_ text: String, to path: String, hints: [String] = [])
        throws(OperationFailure)
    {
        guard path != Surroundings.standardOutput else {
            return Terminal.standardOutput.write(text)
        }
        do {
            try WholeFile.write(Array(text.utf8), to: path, mode: 0o644)
        } catch {
            throw OperationFailure(
                .usage,
                "the report cannot be written to \(path): \(error.reason)",
                hints: hints
            )
        }
    }
}
