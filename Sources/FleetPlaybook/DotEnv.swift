internal import FleetTransport

/// A `.env` file, as far as fleet looks into it: the names in it, never the values.
public struct DotEnv: Sendable, Hashable {
    /// The names that have a value, in the order of the file, each once.
    public let keys: [String]
    /// The numbers of lines that are no `NAME=value`, from 1.
    public let badLines: [Int]

    /// Looks through a file's text: `NAME=value` or `export NAME=value` a line, comments, empty lines.
    public init(_ text: String) {
        var keys: [String] = []
        var badLines: [Int] = []
        // By bytes: a carriage return and a line feed are one Character.
        let lines = text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            var rest = Substring(line).drop { $0.isWhitespace }
            if rest.isEmpty || rest.hasPrefix("#") { continue }
            if rest.hasPrefix("export ") { rest = rest.dropFirst(7).drop { $0 == " " } }
            let name = String(rest.prefix { $0 != "=" })
            guard rest.contains("="), ShellWord.isVariableName(name) else {
                badLines.append(index + 1)
                continue
            }
            if !keys.contains(name) { keys.append(name) }
        }
        self.keys = keys
        self.badLines = badLines
    }
}
