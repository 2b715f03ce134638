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
            let place = "\(Self.shown(location.file)):\(location.line):\(location.column)"
            lines.append("\(place): error: \(Self.shown(diagnostic.message))")
            lines += excerpt(at: location)
        } else {
            lines.append("error: \(Self.shown(diagnostic.message))")
        }
        lines += diagnostic.hints.map { "  hint: \(Self.shown($0))" }
        return lines.joined(separator: "\n")
    }

    /// A text that may quote what a file says: shown, not obeyed.
    private static func shown(_ text: String) -> String {
        String(text.map { $0.isShowable || $0 == "\n" ? $0 : "\u{FFFD}" })
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
        self == "\t"
            || unicodeScalars.allSatisfy { scalar in
                switch scalar.value {
                case 0..<0x20, 0x7F..<0xA0, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069: false
                default: true
                }
            }
    }
}
