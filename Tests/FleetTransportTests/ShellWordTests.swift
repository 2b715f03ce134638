import FleetTestSupport
import FleetTransport
import Testing

struct ShellWordTests {
    static let nasty = [
        "", "plain", "two words", "it's", "'", "''", "\"", "$HOME", "`id`", "$(id)", "\\", "a\\'b",
        "line\nbreak", "tab\there", "!history", "ünïcødé ✓", "*", "~", "-n", "a;b&&c|d>e<f", "#not",
        "trailing\\", "{}[]()", "%s%n",
    ]

    @Test(arguments: ["dash", "bash"])
    func valuesArriveByteExactThroughARealShell(_ shell: String) throws {
        let script = Script(
            "for name in \(Self.nasty.indices.map { "V\($0)" }.joined(separator: " ")); do eval \"printf '%s\\\\0' \\\"\\$$name\\\"\"; done",
            environment: Self.nasty.enumerated().map { EnvironmentVariable("V\($0)", $1) }
        )
        let result = try Command.run([shell, "-s"], input: script.shellText)
        #expect(result.status == 0, "\(result.errors)")
        #expect(
            result.output.split(separator: "\0", omittingEmptySubsequences: false).dropLast().map(
                String.init
            ) == Self.nasty
        )
    }

    @Test func aScriptCannotEatWhatTheShellReadsNext() throws {
        let text = Script("cat; read line || echo nothing").shellText + "\necho after\n"
        #expect(try Command.run(["sh", "-s"], input: text).output == "nothing\nafter\n")
    }

    @Test func aMissingDirectoryHasItsOwnStatus() throws {
        let text = Script("echo ran", directory: "/nowhere/at all").shellText
        let result = try Command.run(["sh", "-s"], input: text)
        #expect(result.status == Int32(Script.missingDirectoryStatus))
        #expect(result.output == "")
    }

    @Test func aTildeMeansTheLoginDirectory() throws {
        let directory = try TemporaryDirectory()
        try directory.write("x", to: "my app/file")
        let text = Script("pwd", directory: "~/my app").shellText
        let result = try Command.run(
            ["sh", "-s"],
            environment: ["HOME": directory.path],
            input: text
        )
        #expect(result.output == directory.path + "/my app\n")
    }

    @Test(arguments: ["A", "_x", "app_dir", "X9"])
    func namesVariables(_ name: String) { #expect(ShellWord.isVariableName(name)) }

    @Test(arguments: ["", "9x", "a-b", "a b", "a=b", "é"])
    func refusesOtherNames(_ name: String) { #expect(!ShellWord.isVariableName(name)) }
}
