import FleetTestSupport
import FleetTransport
import Testing

/// Scripts as a shell is given them.
struct ScriptTests {
    private func run(_ script: Script, in shell: String = "sh") throws -> Command {
        try Command.run([shell, "-s"], input: script.shellText)
    }

    @Test(
        "What only the shell reads may be a megabyte long; programs that it starts do not get it",
        arguments: ["dash", "bash", "busybox"]
    )
    func longValues(shell: String) throws {
        let long = String(repeating: "a'b\n", count: 1 << 18)
        let script = Script(
            #"printf '%s' "$FLEET_LONG" | wc -c; env | grep -c FLEET_LONG; echo "$FLEET_SHORT""#,
            environment: [
                EnvironmentVariable("FLEET_LONG", long, isExported: false),
                EnvironmentVariable("FLEET_SHORT", "x"),
            ]
        )
        let result = try Command.run(
            shell == "busybox" ? ["busybox", "sh", "-s"] : [shell, "-s"],
            input: script.shellText
        )
        let words = result.output.split(whereSeparator: \.isWhitespace)
        #expect(words == ["\(long.utf8.count)", "0", "x"], "\(result.errors)")
    }

    @Test("A script that lacks its library says so and does nothing")
    func libraries() throws {
        let script = Script("greet", library: "greetings")
        let whole = script.completed(by: ["greetings": "greet() { echo hello; }"])
        #expect(try run(whole).output == "hello\n")
        #expect(whole.library == nil && whole.completed(by: [:]) == whole)
        let lacking = try run(script.completed(by: [:]))
        #expect(lacking.status == 1 && lacking.output.contains("E_PLAN"))
    }
}
