import FleetProject
import FleetTestSupport
import FleetTransport
import Foundation
import Testing

/// Where an inventory says that a secret is.
struct SecretReaderTests {
    private let directory: TemporaryDirectory
    private let reader: SecretReader

    init() throws {
        directory = try TemporaryDirectory()
        reader = SecretReader(root: directory.path)
    }

    /// The secret, or why there is none.
    private func read(_ source: SecretSource) async -> String {
        do throws(SecretReader.Unavailable) { return try await reader.read(source) } catch {
            return "error: \(error.reason)"
        }
    }

    @Test("The first line, of a file as of a command, whatever its line end")
    func firstLine() async throws {
        for text in ["secret\nmore\n", "secret\r\nmore", "secret"] {
            try directory.write(text, to: "file", mode: 0o600)
            #expect(await read(.file("file")) == "secret")
            #expect(await read(.command(["cat", "file"])) == "secret")
        }
    }

    @Test("A secret that is too long is refused and never cut off")
    func tooLong() async throws {
        let longest = String(repeating: "x", count: SecretReader.limitBytes)
        try directory.write(longest + "\n", to: "file", mode: 0o600)
        #expect(await read(.file("file")) == longest)
        #expect(await read(.command(["cat", "file"])) == longest)
        try directory.write(longest + "x\n", to: "file", mode: 0o600)
        for source in [SecretSource.file("file"), .command(["cat", "file"])] {
            #expect(await read(source).hasPrefix("error: "), "\(source)")
        }
    }

    @Test("A pipe is read to the end of its first line, however it comes")
    func pipes() async throws {
        try Command.shell("mkfifo -m 600 pipe", in: directory.path)
        let writer = try ChildProcess(
            ["sh", "-c", "exec >pipe; printf sec; sleep 0.2; printf 'ret\\nmore\\n'"],
            in: directory.path
        )
        #expect(await read(.file("pipe")) == "secret")
        writer.wait()
    }

    @Test("Nothing, a file for everybody and a command that fails are no secrets")
    func none() async throws {
        try directory.write("\n", to: "empty", mode: 0o600)
        try directory.write("secret\n", to: "open", mode: 0o644)
        #expect(await read(.file("empty")).contains("holds no secret"))
        #expect(await read(.file("open")).contains("chmod 600"))
        #expect(await read(.file("nowhere")).contains("No such file"))
        #expect(await read(.command(["sh", "-c", "echo secret; exit 1"])).contains("failed"))
    }
}
