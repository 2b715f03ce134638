/// HTML or XML that is put together from markup of this program and text of others.
///
/// Text can get in only through ``text(_:)`` or ``HTMLText/escaped(_:)``: nothing that a host, a repository or a person
/// wrote is ever taken for markup.
public struct HTMLText {
    /// What was put together so far.
    private(set) var html = ""

    /// Adds markup of this program.
    mutating func markup(_ markup: StaticString) { html += "\(markup)" }

    /// Adds markup whose parts were escaped, as ``escaped(_:)`` does, or are numbers.
    mutating func safe(_ markup: String) { html += markup }

    /// Adds text of any origin.
    mutating func text(_ text: String) { html += Self.escaped(text) }

    /// Adds an element that holds text.
    mutating func element(_ name: StaticString, _ text: String, class kind: StaticString = "") {
        let kind = "\(kind)"
        html += "<\(name)\(kind.isEmpty ? "" : " class=\"\(kind)\"")>"
        html += Self.escaped(text)
        html += "</\(name)>"
    }

    /// Text that means itself in an element and in a quoted attribute.
    ///
    /// Control characters are made visible, because a page has no use for them and XML 1.0 does not allow them; nor
    /// does it allow the two that are no characters.
    public static func escaped(_ text: String) -> String {
        let safe = Sanitizer.safe(text)
        guard safe.utf8.contains(where: { Self.special.contains($0) }) else { return safe }
        var result = ""
        for character in safe.unicodeScalars {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            case "\u{FFFE}", "\u{FFFF}": result += "\u{FFFD}"
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }

    /// The first bytes of what is replaced; 0xEF begins U+FFFE and U+FFFF.
    private static let special: Set<UInt8> = Set("&<>\"'".utf8).union([0xEF])
}
