import FleetYAML
import Testing

struct YAMLDocumentTests {
    @Test func keepsScalarsAsWritten() throws {
        let text = "version: 1.10\nanswer: no\ntime: 22:22\nid: 0123456\nbig: 123e4567\n"
        let root = try YAMLDocument.parse(text, file: "a.yml")
        guard case .mapping(let pairs) = root.content else { return #expect(Bool(false)) }
        let values = pairs.map { pair in
            if case .scalar(let text, _) = pair.value.content { text } else { "?" }
        }
        #expect(values == ["1.10", "no", "22:22", "0123456", "123e4567"])
    }

    @Test func knowsWhereEverythingStands() throws {
        let root = try YAMLDocument.parse("a: 1\nb:\n  - x\n  - yy: z\n", file: "a.yml")
        guard case .mapping(let pairs) = root.content,
            case .sequence(let items) = pairs[1].value.content,
            case .mapping(let inner) = items[1].content
        else { return #expect(Bool(false)) }
        #expect(pairs[0].keyLocation == SourceLocation(file: "a.yml", line: 1, column: 1))
        #expect(items[0].location == SourceLocation(file: "a.yml", line: 3, column: 5))
        #expect(inner[0].value.location == SourceLocation(file: "a.yml", line: 4, column: 9))
    }

    @Test(arguments: [
        ("a: &x 1\nb: *x\n", "aliases (`*name`) are not supported"),
        ("a: [&x 1, *x]\n", "aliases"),
        ("a: &x {}\nb: *x\n", "aliases"),
        ("a: [&x [], *x]\n", "aliases"),
        ("a: &x {b: 1}\nc: {<<: *x}\n", "aliases"),
        ("a: !!int 5\n", "tags"),
        ("a: !secret x\n", "tags"),
        ("a: 1\na: 2\n", "duplicate key `a`"),
        ("a: [1, 2\n", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("? [1, 2]\n: 3\n", "a key must be text"),
        ("a:\tb\n\t- c\n", "not valid YAML"),
    ])
    func refuses(_ text: String, saying part: String) {
        let error = #expect(throws: Diagnostics.self) {
            try YAMLDocument.parse(text, file: "a.yml")
        }
        #expect(error?.all.contains { $0.message.contains(part) } ?? false)
        #expect(error?.all.allSatisfy { $0.location != nil } ?? false)
    }

    @Test func refusesAnAliasBombAtOnce() {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        for level in 1...9 {
            let item = "*a\(level - 1)"
            text +=
                "a\(level): &a\(level) [\(Array(repeating: item, count: 9).joined(separator: ", "))]\n"
        }
        #expect(throws: Diagnostics.self) { try YAMLDocument.parse(text, file: "bomb.yml") }
    }

    @Test func refusesWhatIsTooDeepOrTooLarge() {
        let deep = String(repeating: "[", count: 40) + String(repeating: "]", count: 40)
        #expect(throws: Diagnostics.self) { try YAMLDocument.parse(deep, file: "deep.yml") }
        let large = "a: " + String(repeating: "x", count: YAMLDocument.sizeLimitBytes)
        #expect(throws: Diagnostics.self) { try YAMLDocument.parse(large, file: "large.yml") }
        let many =
            "[" + Array(repeating: "1", count: YAMLDocument.nodeLimit + 5).joined(separator: ",")
            + "]"
        let error = #expect(throws: Diagnostics.self) {
            try YAMLDocument.parse(many, file: "many.yml")
        }
        #expect(error?.all.count == 1, "the budget is reported once")
    }

    @Test func readsAnEmptyFileAsNothing() throws {
        for text in ["", "\n\n", "# only a comment\n", "~\n"] {
            #expect(try YAMLDocument.parse(text, file: "a.yml").isNull)
        }
    }
}
