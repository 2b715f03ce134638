internal import FleetTransport

/// A `.env` file, as far as fleet looks into it: the names in it, never the values.
public struct DotEnv: Sendable, Hashable {
    /// The names that have a value, in the order of the file, each once.
    public let keys: [String]
    /// The numbers of lines that are no `NAME=value`, from 1.
    public let badLines: [Int]

    /// Looks through a file's text: `NAME=value` or `export NAME=value` a line, comments, empty lines.
    ///
    /// A value that opens with a quote goes on to the closing one, also over lines.
    public init(_ text: String) {
        var keys: [String] = []
        var badLines: [Int] = []
        var bytes = Array(text.utf8)[...]
        // A byte order mark, as some editors put one, is no part of a name.
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes = bytes.dropFirst(3) }
        // By bytes: a carriage return and a line feed are one Character.
        let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
        var quote: (mark: UInt8, line: Int)?
        for (index, line) in lines.enumerated() {
            if let open = quote {
                if Self.closes(line, open.mark) { quote = nil }
                continue
            }
            var rest = Substring(String(decoding: line, as: UTF8.self)).drop { $0.isWhitespace }
            if rest.isEmpty || rest.hasPrefix("#") { continue }
            if rest.hasPrefix("export ") { rest = rest.dropFirst(7).drop { $0 == " " } }
            let name = String(rest.prefix { $0 != "=" })
            guard rest.contains("="), ShellWord.isVariableName(name) else {
                badLines.append(index + 1)
                continue
            }
            let value = Array(rest.dropFirst(name.count + 1).utf8)
            if let mark = value.first, mark == 0x22 || mark == 0x27,
                !Self.closes(value[1...], mark)
            {
                quote = (mark, index + 1)
            }
            if !keys.contains(name) { keys.append(name) }
        }
        // A quote that nothing closes: everything behind it would be its value.
        if let quote { badLines.append(quote.line) }
        self.keys = keys
        self.badLines = badLines.sorted()
    }

    /// Whether a line holds the mark that ends a quotation; a backslash before it makes it a part of that.
    private static func closes(_ line: ArraySlice<UInt8>, _ mark: UInt8) -> Bool {
        var isEscaped = false
        for byte in line {
            if isEscaped {
                isEscaped = false
            } else if byte == 0x5C, mark == 0x22 {
                isEscaped = true
            } else if byte == mark {
                return true
            }
        }
        return false
    }
}
