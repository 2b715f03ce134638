/// Reads typed values out of nodes and gathers everything that is wrong with them.
///
/// A read that fails records a diagnostic and returns nil, so that one pass over a file finds all
/// problems; ``finish()`` throws them together.
public final class YAMLReader {
    /// The file being read.
    public let file: String
    private let source: String
    private var diagnostics: [Diagnostic] = []

    /// Makes a reader for one file.
    public init(file: String, source: String) {
        self.file = file
        self.source = source
    }

    /// Records a problem.
    public func report(_ message: String, at location: SourceLocation?, hints: [String] = []) {
        diagnostics.append(Diagnostic(message, at: location, hints: hints))
    }

    /// Whether no problem was recorded so far.
    public var isContent: Bool { diagnostics.isEmpty }

    /// Throws every problem recorded so far, in the order of the file.
    ///
    /// - Throws: ``Diagnostics`` if there is at least one problem.
    public func finish() throws(Diagnostics) {
        guard !diagnostics.isEmpty else { return }
        let ordered = diagnostics.enumerated().sorted { first, second in
            let a = (first.element.location?.line ?? 0, first.element.location?.column ?? 0)
            let b = (second.element.location?.line ?? 0, second.element.location?.column ?? 0)
            return a == b ? first.offset < second.offset : a < b
        }
        throw Diagnostics(ordered.map(\.element), sources: [file: source])
    }

    // MARK: Shapes

    /// The node as a mapping whose keys are then read one by one.
    public func fields(_ node: YAMLNode, of what: String) -> YAMLFields? {
        guard case .mapping(let pairs) = node.content else {
            report("\(what) must be a mapping, not \(node.kind)", at: node.location)
            return nil
        }
        return YAMLFields(reader: self, pairs: pairs, what: what, location: node.location)
    }

    /// The node as a list.
    public func items(_ node: YAMLNode, of what: String) -> [YAMLNode]? {
        guard case .sequence(let items) = node.content else {
            report("\(what) must be a list, not \(node.kind)", at: node.location)
            return nil
        }
        return items
    }

    // MARK: Scalars

    /// The node as text, exactly as written.
    public func text(_ node: YAMLNode, of what: String) -> String? {
        guard case .scalar(let text, _) = node.content, !node.isNull else {
            report("\(what) must be text, not \(node.kind)", at: node.location)
            return nil
        }
        guard !text.contains("\0") else {
            report("\(what) must not hold a NUL character", at: node.location)
            return nil
        }
        return text
    }

    /// The node as text that says something; reports text that is blank.
    ///
    /// A script without a word succeeds, and every page contains nothing: what is blank by mistake would be taken for a
    /// test that passed.
    ///
    /// - Parameters:
    ///   - node: The node.
    ///   - what: What it is, for messages.
    ///   - isScript: Whether it is a script, which says nothing if it is made of comments only.
    /// - Returns: The text; nil after reporting.
    public func filledText(_ node: YAMLNode, of what: String, isScript: Bool = false) -> String? {
        guard let text = text(node, of: what) else { return nil }
        let says = text.split(whereSeparator: \.isNewline).contains { line in
            let words = line.drop(while: \.isWhitespace)
            return !words.isEmpty && !(isScript && words.first == "#")
        }
        guard says else {
            report("\(what) is empty", at: node.location)
            return nil
        }
        return text
    }

    /// The node as a list of texts; one text stands for a list of one.
    public func texts(_ node: YAMLNode, of what: String) -> [String]? {
        if case .scalar = node.content { return text(node, of: what).map { [$0] } }
        return items(node, of: what)?.compactMap { text($0, of: what) }
    }

    /// The node as `true` or `false`; YAML's other spellings are refused.
    public func flag(_ node: YAMLNode, of what: String) -> Bool? {
        guard let word = text(node, of: what) else { return nil }
        switch word {
        case "true": return true
        case "false": return false
        default:
            report("\(what) must be `true` or `false`, not `\(word)`", at: node.location)
            return nil
        }
    }

    /// The node as a whole number within `range`.
    public func number(_ node: YAMLNode, of what: String, in range: ClosedRange<Int>) -> Int? {
        guard let word = text(node, of: what) else { return nil }
        guard let number = Int(word), range.contains(number) else {
            let bounds = "from \(range.lowerBound) to \(range.upperBound)"
            report(
                "\(what) must be a whole number \(bounds), not `\(word)`",
                at: node.location
            )
            return nil
        }
        return number
    }

    /// The node as a duration in milliseconds: `250ms`, `5s`, `10m`, `2h`, `1h30m`.
    public func milliseconds(_ node: YAMLNode, of what: String) -> Int? {
        guard let word = text(node, of: what) else { return nil }
        guard let value = Self.milliseconds(word) else {
            report(
                "\(what) must be a duration, not `\(word)`",
                at: node.location,
                hints: ["write a number with a unit: `250ms`, `5s`, `10m`, `2h`"]
            )
            return nil
        }
        return value
    }

    /// Reads a duration's text; nil if it is none, or longer than 30 days.
    public static func milliseconds(_ text: String) -> Int? {
        var total = 0
        var rest = Substring(text)
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            guard let count = Int(digits), count < 1_000_000_000 else { return nil }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { $0.isLetter }
            guard
                let scale = [
                    "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000,
                ][String(unit)]
            else { return nil }
            rest = rest.dropFirst(unit.count)
            total += count * scale
        }
        return total <= 30 * 86_400_000 ? total : nil
    }
}

/// The keys of one mapping, read one by one; whatever is left unread at the end is unknown.
public final class YAMLFields {
    /// What the mapping is, for messages.
    public let what: String
    /// Where the mapping begins.
    public let location: SourceLocation
    private let reader: YAMLReader
    private let pairs: [YAMLNode.Pair]
    private var known: [String] = []

    init(reader: YAMLReader, pairs: [YAMLNode.Pair], what: String, location: SourceLocation) {
        self.reader = reader
        self.pairs = pairs
        self.what = what
        self.location = location
    }

    /// All entries, for mappings whose keys are names.
    public var entries: [YAMLNode.Pair] { pairs }

    /// Whether a key was written, without reading it.
    public func has(_ key: String) -> Bool { pairs.contains { $0.key == key } }

    /// Where a key was written.
    public func location(of key: String) -> SourceLocation? {
        pairs.first { $0.key == key }?.keyLocation
    }

    /// The value of a key, or nil if it is absent or null.
    public func node(_ key: String) -> YAMLNode? {
        known.append(key)
        guard let value = pairs.first(where: { $0.key == key })?.value, !value.isNull else {
            return nil
        }
        return value
    }

    /// Reads a key as text.
    public func text(_ key: String) -> String? {
        node(key).flatMap { reader.text($0, of: "`\(key)`") }
    }

    /// Reads a key as text on one line, as names are.
    public func line(_ key: String) -> String? {
        guard let node = node(key), let text = reader.text(node, of: "`\(key)`") else { return nil }
        guard !text.unicodeScalars.contains("\n") else {
            reader.report("`\(key)` must be one line", at: node.location)
            return nil
        }
        return text
    }

    /// Reads a key that must be there, as text that is not blank.
    public func requiredText(_ key: String) -> String? {
        guard let node = node(key) else {
            reader.report("\(what) needs `\(key)`", at: location)
            return nil
        }
        return reader.filledText(node, of: "`\(key)`")
    }

    /// Reads a key as text or a list of texts.
    public func texts(_ key: String) -> [String]? {
        node(key).flatMap { reader.texts($0, of: "`\(key)`") }
    }

    /// Reads a key as `true` or `false`.
    public func flag(_ key: String) -> Bool? {
        node(key).flatMap { reader.flag($0, of: "`\(key)`") }
    }

    /// Reads a key as a whole number.
    public func number(_ key: String, in range: ClosedRange<Int>) -> Int? {
        node(key).flatMap { reader.number($0, of: "`\(key)`", in: range) }
    }

    /// Reads a key as a duration in milliseconds.
    public func milliseconds(_ key: String) -> Int? {
        node(key).flatMap { reader.milliseconds($0, of: "`\(key)`") }
    }

    /// Reads a key as a mapping of names to texts, in the order of the file.
    public func textMap(_ key: String) -> [(key: String, value: String, location: SourceLocation)] {
        guard let node = node(key), let fields = reader.fields(node, of: "`\(key)`") else {
            return []
        }
        return fields.entries.compactMap { pair in
            // An empty value is a value here: `FLAG: ""` and `FLAG:` both set it to nothing.
            let value = pair.value.isNull ? "" : reader.text(pair.value, of: "`\(pair.key)`")
            return value.map { (pair.key, $0, pair.keyLocation) }
        }
    }

    /// Reports every key that nobody read, with a suggestion.
    ///
    /// - Parameter others: Keys that are valid here although this call did not read them.
    public func refuseUnknown(others: [String] = []) {
        let all = known + others
        for pair in pairs where !all.contains(pair.key) {
            let near = Suggestion.hint(for: pair.key, in: all)
            let list = "\(what) takes: \(Set(all).sorted().joined(separator: ", "))"
            reader.report(
                "unknown key `\(pair.key)` in \(what)",
                at: pair.keyLocation,
                hints: near.isEmpty ? [list] : near
            )
        }
    }
}
