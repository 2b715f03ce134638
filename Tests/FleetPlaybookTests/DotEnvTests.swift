import FleetPlaybook
import Testing

struct DotEnvTests {
    @Test func namesAreFoundAndValuesAreNot() {
        let file = DotEnv("# comment\n\nA=1\n  export B=x=y\r\nC=\nA=2\n\t\n")
        #expect(file.keys == ["A", "B", "C"])
        #expect(file.badLines.isEmpty)
    }

    @Test(
        "Lines that are none are counted",
        arguments: [
            ("A", [1]), ("A=1\n=2", [2]), ("1A=1", [1]), ("A B=1", [1]), ("export\nA=1", [1]),
            ("A-B=1\nC", [1, 2]),
        ]
    )
    func bad(_ text: String, _ lines: [Int]) { #expect(DotEnv(text).badLines == lines) }

    @Test func nothingIsNothing() {
        #expect(DotEnv("").keys.isEmpty && DotEnv("").badLines.isEmpty)
    }

    @Test("A value that opens with a quote goes to the closing one, and nothing in it is a name")
    func quotes() {
        let key = "KEY=\"-----BEGIN KEY-----\nMIIB=\nAB=CD\n-----END KEY-----\"\nNEXT=1\n"
        #expect(DotEnv(key).keys == ["KEY", "NEXT"] && DotEnv(key).badLines.isEmpty)
        let windows = key.replacing("\n", with: "\r\n")
        #expect(DotEnv(windows).keys == ["KEY", "NEXT"] && DotEnv(windows).badLines.isEmpty)
        #expect(DotEnv("A='x\ny'\nB=2\n").keys == ["A", "B"])
        #expect(DotEnv("A=\"x \\\" y\nz\"\nB=2\n").keys == ["A", "B"])
        #expect(DotEnv("A=\"open\nB=2\n").badLines == [1], "a quote that nothing closes")
        #expect(DotEnv("A=it's\nB=2\n").keys == ["A", "B"], "a quote inside opens nothing")
    }

    /// Row K5.
    @Test("A byte order mark is no part of the first name")
    func mark() {
        #expect(DotEnv("\u{FEFF}A=1\n").keys == ["A"] && DotEnv("\u{FEFF}A=1\n").badLines.isEmpty)
    }
}
