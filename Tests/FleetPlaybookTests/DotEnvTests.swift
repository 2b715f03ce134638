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
}
