import FleetYAML
import Testing

struct YAMLReaderTests {
    private func fields(_ text: String) throws -> (YAMLReader, YAMLFields) {
        let reader = YAMLReader(file: "a.yml", source: text)
        let root = try YAMLDocument.parse(text, file: "a.yml")
        return (reader, try #require(reader.fields(root, of: "the test")))
    }

    @Test func gathersEveryProblemInTheOrderOfTheFile() throws {
        let (reader, fields) = try fields("port: many\nflag: yes\ntime: 5\nstrange: 1\n")
        #expect(fields.milliseconds("time") == nil)
        #expect(fields.flag("flag") == nil)
        #expect(fields.number("port", in: 1...9) == nil)
        fields.refuseUnknown()
        let error = #expect(throws: Diagnostics.self) { try reader.finish() }
        #expect(
            error?.all.map(\.message) == [
                "`port` must be a whole number from 1 to 9, not `many`",
                "`flag` must be `true` or `false`, not `yes`",
                "`time` must be a duration, not `5`",
                "unknown key `strange` in the test",
            ]
        )
    }

    @Test func suggestsTheKeyThatWasMeant() throws {
        let (reader, fields) = try fields("retires: 3\n")
        _ = fields.number("retries", in: 0...9)
        fields.refuseUnknown()
        let error = #expect(throws: Diagnostics.self) { try reader.finish() }
        #expect(error?.all.first?.hints == ["did you mean `retries`?"])
    }

    @Test func listsTheKeysWhenNothingIsNear() throws {
        let (reader, fields) = try fields("zzzzzz: 3\n")
        _ = fields.text("name")
        fields.refuseUnknown(others: ["run"])
        let error = #expect(throws: Diagnostics.self) { try reader.finish() }
        #expect(error?.all.first?.hints == ["the test takes: name, run"])
    }

    @Test(arguments: [
        ("250ms", 250), ("5s", 5000), ("10m", 600_000), ("1h30m", 5_400_000), ("2d", 172_800_000),
        ("0s", 0),
    ])
    func readsDurations(_ text: String, _ milliseconds: Int) {
        #expect(YAMLReader.milliseconds(text) == milliseconds)
    }

    @Test(arguments: ["", "5", "s", "5x", "-5s", "1.5s", "31d", "999999999999999999999s", "5 s"])
    func refusesWhatIsNoDuration(_ text: String) {
        #expect(YAMLReader.milliseconds(text) == nil)
    }

    @Test func takesOneTextForAListOfOne() throws {
        let (reader, fields) = try fields("a: x\nb: [y, z]\nc:\n")
        #expect(fields.texts("a") == ["x"])
        #expect(fields.texts("b") == ["y", "z"])
        #expect(fields.texts("c") == nil)
        try reader.finish()
    }

    @Test func readsAnEmptyValueInAMapAsEmptyText() throws {
        let (reader, fields) = try fields("env:\n  A: \"\"\n  B:\n  C: x\n")
        #expect(fields.textMap("env").map(\.value) == ["", "", "x"])
        try reader.finish()
    }
}

struct DiagnosticRendererTests {
    @Test func showsTheLineAndACaretUnderTheColumn() {
        let diagnostics = Diagnostics(
            [
                Diagnostic(
                    "unknown key `stpes`",
                    at: SourceLocation(file: "p.yml", line: 2, column: 1),
                    hints: ["did you mean `steps`?"]
                )
            ],
            sources: ["p.yml": "name: x\nstpes: []\n"]
        )
        #expect(
            diagnostics.rendered == """
                p.yml:2:1: error: unknown key `stpes`
                  2 | stpes: []
                    | ^
                  hint: did you mean `steps`?
                """
        )
    }

    @Test func keepsTheCaretInPlaceAfterTabsAndHidesControlCharacters() {
        let diagnostics = Diagnostics(
            [Diagnostic("x", at: SourceLocation(file: "p", line: 1, column: 3))],
            sources: ["p": "\t\u{1B}bad"]
        )
        #expect(diagnostics.rendered.contains("1 | \t\u{FFFD}bad"))
        #expect(diagnostics.rendered.contains("| \t ^"))
    }

    @Test func leavesOutAPlaceThatIsNotInTheText() {
        let diagnostics = Diagnostics(
            [Diagnostic("x", at: SourceLocation(file: "p", line: 9, column: 3))],
            sources: ["p": "one line"]
        )
        #expect(diagnostics.rendered == "p:9:3: error: x")
    }
}

struct SuggestionTests {
    @Test(arguments: [
        ("prodution", "production"), ("stagign", "staging"), ("Production", "production"),
        ("deploi", "deploy"),
    ])
    func findsWhatWasMeant(_ typed: String, _ meant: String) {
        let names = ["production", "staging", "deploy"]
        #expect(Suggestion.closest(to: typed, in: names) == meant)
    }

    @Test func saysNothingWhenNothingIsNear() {
        #expect(Suggestion.closest(to: "zzz", in: ["production", "staging"]) == nil)
        #expect(Suggestion.closest(to: "", in: ["production"]) == nil)
        #expect(Suggestion.closest(to: "x", in: []) == nil)
    }
}
