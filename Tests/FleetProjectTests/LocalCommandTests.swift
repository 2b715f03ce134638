import FleetProject
import FleetTestSupport
import Testing

/// Commands that a project names, run by the shell of this machine.
struct LocalCommandTests {
    private let directory: TemporaryDirectory

    /// A limit, for the code behind it; no machine is so busy that it is reached.
    private static let longEnough = 3_600

    init() throws { directory = try TemporaryDirectory() }

    private func run(_ command: String, input: String = "", within seconds: Int? = nil)
        async throws -> LocalCommand.Result
    {
        try await LocalCommand.run(
            command,
            in: directory.path,
            with: ["FLEET_TEXT": "a \"b\" $(c)"],
            input: input,
            withinSeconds: seconds
        )
    }

    @Test("It reads its input and its variables, where it was told to run")
    func runs() async throws {
        let result = try await run("cat >read; printf %s \"$FLEET_TEXT\" >text", input: "{}\n")
        #expect(result.isSuccess && result.reason.isEmpty, "\(result)")
        #expect(directory.read("read") == "{}\n")
        #expect(directory.read("text") == "a \"b\" $(c)")
    }

    @Test(
        "A failure says why: in its own words, or by its status",
        arguments: [
            ("echo no; echo first >&2; echo last >&2; exit 3", "last"), ("exit 3", "it exited(3)"),
            ("kill -9 $$", "it signaled(9)"),
        ]
    )
    func fails(command: String, reason: String) async throws {
        let result = try await run(command)
        #expect(!result.isSuccess && result.reason == reason, "\(result)")
    }

    @Test("One that does not end is killed, with what it has started")
    func hangs() async throws {
        // On a busy machine the shell may not have come that far in a second.
        for seconds in [1, 10, 100] where !directory.has("child") {
            let result = try await run("sleep 600 & echo $! >child; wait", within: seconds)
            #expect(!result.isSuccess && result.reason == "no end within \(seconds) s", "\(result)")
        }
        let child = try #require(directory.read("child"))
        try await eventually("the child is gone") {
            let state = try Command.run([
                "ps", "-o", "stat=", "-p", child.split(separator: "\n")[0].description,
            ])
            return state.status != 0 || state.output.hasPrefix("Z")
        }
    }

    @Test(
        "Commands that do not want their input end as they end, every time",
        arguments: ["exit 0", "exec sleep 0.02 </dev/null", "head -c 3 >/dev/null"]
    )
    func unwanted(command: String) async throws {
        for _ in 1...40 {
            let result = try await run(
                command,
                input: String(repeating: "x", count: 600),
                within: Self.longEnough
            )
            #expect(result.isSuccess, "\(result)")
        }
    }

    @Test("Input that nobody reads holds nothing up")
    func unread() async throws {
        let result = try await run(
            "exit 0",
            input: String(repeating: "x", count: 1 << 20),
            within: Self.longEnough
        )
        #expect(result.isSuccess, "\(result)")
    }
}
