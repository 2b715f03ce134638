import Yams

/// Turns YAML text into located nodes, and refuses what YAML allows but nobody wants in a deploy.
///
/// Only Yams' `compose` is used: its `load` took 154 s for a 400-byte alias bomb (measured).
/// Aliases, tags and duplicate keys are refused.
public enum YAMLDocument {
    /// The largest document read, in bytes: an inventory of 100,000 hosts with settings of their own.
    public static let sizeLimitBytes = 32 << 20
    /// The deepest nesting read.
    public static let depthLimit = 32
    /// The most nodes read: 100,000 hosts with ten settings each.
    public static let nodeLimit = 3_000_000

    /// Parses one document.
    ///
    /// - Parameters:
    ///   - text: The whole file.
    ///   - file: The name that locations will carry.
    /// - Returns: The root node; a null scalar if the file holds nothing.
    /// - Throws: ``Diagnostics`` with every refusal found.
    public static func parse(_ text: String, file: String) throws(Diagnostics) -> YAMLNode {
        // A byte order mark says nothing about what follows it (RFC 3629, section 6).
        let text = text.hasPrefix("\u{FEFF}") ? String(text.dropFirst()) : text
        let sources = [file: text]
        guard text.utf8.count <= sizeLimitBytes else {
            throw Diagnostics([
                Diagnostic(
                    "the file is larger than \(sizeLimitBytes) bytes",
                    at: SourceLocation(file: file, line: 1, column: 1)
                )
            ])
        }
        let root: Node?
        do {
            // The basic resolver has no rules, so a tag other than `str` was written by hand.
            root = try compose(yaml: text, .basic)
        } catch {
            throw Diagnostics([diagnostic(for: error, file: file)], sources: sources)
        }
        let start = SourceLocation(file: file, line: 1, column: 1)
        guard let root else {
            return YAMLNode(content: .scalar("", plain: true), location: start)
        }
        var walk = Walk(file: file, last: start)
        let node = walk.node(root, depth: 1)
        guard walk.refusals.isEmpty else { throw Diagnostics(walk.refusals, sources: sources) }
        return node
    }

    private static func diagnostic(for error: any Error, file: String) -> Diagnostic {
        func place(_ mark: Mark) -> SourceLocation {
            SourceLocation(file: file, line: max(1, mark.line), column: max(1, mark.column))
        }
        switch error as? YamlError {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            return Diagnostic("not valid YAML: \(problem)", at: place(mark))
        case .duplicatedKeysInMapping(let keys, let context):
            let names = keys.map { "`\($0)`" }.joined(separator: ", ")
            return Diagnostic("duplicate key \(names)", at: place(context.mark))
        case .reader(let problem, _, _, _):
            let start = SourceLocation(file: file, line: 1, column: 1)
            return Diagnostic("not valid YAML: \(problem)", at: start)
        default:
            return Diagnostic("not valid YAML: \(error)")
        }
    }
}

/// Walks Yams' tree within the budgets and collects what is refused.
private struct Walk {
    let file: String
    var last: SourceLocation
    var visited = 0
    var refusals: [Diagnostic] = []
    /// Whether the limit was reached: what is behind it was not looked at.
    var isCut = false

    /// Whether a character is obeyed rather than shown; line breaks and tabs are not meant.
    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09, 0x0A: false
        case 0..<0x20, 0x7F..<0xA0, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069: true
        default: false
        }
    }

    /// Visits a node; `isFirst` says that it may begin where the node around it begins.
    mutating func node(_ node: Node, depth: Int, isFirst: Bool = true) -> YAMLNode {
        let location =
            node.mark.map {
                SourceLocation(file: file, line: max(1, $0.line), column: max(1, $0.column))
            } ?? last
        let nothing = YAMLNode(content: .scalar("", plain: true), location: location)
        visited += 1
        guard visited <= YAMLDocument.nodeLimit else {
            if visited == YAMLDocument.nodeLimit + 1 {
                isCut = true
                refuse("more than \(YAMLDocument.nodeLimit) values in one file", location)
            }
            return nothing
        }
        // Yams puts the node itself where an alias stood. It forgets the anchor by then, but not
        // the place: a node that stands before what was read last was named by an alias.
        let here = (location.line, location.column)
        let before = (last.line, last.column)
        guard here > before || (here == before && isFirst) else {
            refuse(
                "aliases (`*name`) are not supported",
                last,
                hint: "write the value out, or put it under `vars:`"
            )
            return nothing
        }
        last = location
        guard depth <= YAMLDocument.depthLimit else {
            refuse("nested deeper than \(YAMLDocument.depthLimit) levels", location)
            return nothing
        }
        switch node {
        case .scalar(let scalar):
            check(scalar.tag, plain: .str, location)
            if let scalar = scalar.string.unicodeScalars.first(where: Self.isControl) {
                refuse(
                    "U+\(String(scalar.value, radix: 16, uppercase: true)) is a control character: nobody sees it, "
                        + "and a terminal obeys it",
                    location
                )
            }
            return YAMLNode(
                content: .scalar(scalar.string, plain: scalar.style == .plain),
                location: location
            )
        case .sequence(let sequence):
            check(sequence.tag, plain: .seq, location)
            var items: [YAMLNode] = []
            for item in sequence {
                items.append(self.node(item, depth: depth + 1, isFirst: items.isEmpty))
            }
            return YAMLNode(content: .sequence(items), location: location)
        case .mapping(let mapping):
            check(mapping.tag, plain: .map, location)
            return YAMLNode(content: .mapping(pairs(mapping, depth: depth)), location: location)
        case .alias:
            refuse("aliases (`*name`) are not supported", location)
            return nothing
        }
    }

    private mutating func pairs(_ mapping: Node.Mapping, depth: Int) -> [YAMLNode.Pair] {
        var pairs: [YAMLNode.Pair] = []
        for (key, value) in mapping {
            let keyNode = node(key, depth: depth + 1, isFirst: pairs.isEmpty)
            let valueNode = node(value, depth: depth + 1, isFirst: false)
            guard case .scalar(let text, _) = keyNode.content else {
                refuse("a key must be text", keyNode.location)
                continue
            }
            pairs.append(.init(key: text, keyLocation: keyNode.location, value: valueNode))
        }
        return pairs
    }

    private mutating func check(_ tag: Tag, plain: Tag.Name, _ location: SourceLocation) {
        if tag.description != plain.rawValue, tag.description != "" {
            refuse(
                "tags (`\(tag.description)`) are not supported",
                location,
                hint: "remove the tag"
            )
        }
    }

    private mutating func refuse(
        _ message: String,
        _ location: SourceLocation,
        hint: String? = nil
    ) {
        // An alias brings all that is behind it along: one refusal for one place.
        guard refusals.last?.location != location else { return }
        refusals.append(Diagnostic(message, at: location, hints: hint.map { [$0] } ?? []))
    }
}
