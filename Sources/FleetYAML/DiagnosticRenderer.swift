extension Diagnostics {
    /// The longest source line shown under a message, in characters.
    static let longestShownLine = 160

    /// The problems as text: `file:line:column: error: …`, the line itself, a caret, the hints.
    ///
    /// The first line has the form that editors and CI systems turn into links.
    public var rendered: String {
        all.map(render).joined(separator: "\n")
    }

    private func render(_ diagnostic: Diagnostic) -> String {
        var lines: [String] = []
        if let location = diagnostic.location {
            let place = "\(location.file):\(location.line):\(location.column)"
            lines.append("\(place): error: \(diagnostic.message)")
            lines += excerpt(at: location)
        } else {
            lines.append("error: \(diagnostic.message)")
        }
        lines += diagnostic.hints.map { "  hint: \($0)" }
        return lines.joined(separator: "\n")
    }

    private func excerpt(at location: SourceLocation) -> [String] {
        guard let source = sources[location.file] else { return [] }
        let lines = source.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        guard location.line >= 1, location.line <= lines.count else { return [] }
        let line: [Character] = lines[location.line - 1].map { $0.isShowable ? $0 : "\u{FFFD}" }
        guard line.count <= Self.longestShownLine, location.column <= line.count + 1 else {
            return []
        }
        // Tabs stay tabs in the margin, so that the caret stands under its character.
        let margin: [Character] = line.prefix(location.column - 1).map { $0 == "\t" ? "\t" : " " }
        let number = String(location.line)
        let gutter = String(repeating: " ", count: number.count)
        return [
            "  \(number) | \(String(line))",
            "  \(gutter) | \(String(margin))^",
        ]
    }
}

extension Character {
    /// Whether a terminal shows the character instead of obeying it.
    fileprivate var isShowable: Bool {
        self == "\t" || unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
    }
}
