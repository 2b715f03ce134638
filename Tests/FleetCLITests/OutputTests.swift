import FleetTestSupport
import Foundation
import Testing

/// Where results go: a reader that is slow, and a place that takes nothing.
@Suite(.serialized) struct OutputTests {
    private let fixture: FleetFixture

    init() throws { fixture = try FleetFixture(hosts: 1) }

    @Test("An error code is explained from anywhere, and a mistyped one is told from a real one")
    func explain() throws {
        func explain(_ code: String...) throws -> Command {
            try fixture.fleet(["explain"] + code, environment: [:], in: "")
        }
        let known = try explain("dirty")
        #expect(known.status == 0 && known.output.hasPrefix("E_DIRTY  "), "\(known.errors)")
        let unknown = try explain("E_DIRTI")
        #expect(unknown.status == 64 && unknown.errors.contains("did you mean E_DIRTY"))
        let all = try explain("-o", "json").output.split(separator: "\n")
        #expect(all.count > 80 && all.allSatisfy { $0.hasPrefix(#"{"v":1,"cause":"#) })
    }

    /// Row K2.
    @Test("A pipe that says `later` loses nothing")
    func nonBlockingPipe() throws {
        let program = """
            import os, subprocess, sys
            reader, writer = os.pipe()
            os.set_blocking(writer, False)
            child = subprocess.Popen(sys.argv[1:], stdout=writer, stdin=subprocess.DEVNULL)
            os.close(writer)
            total = lines = 0
            while True:
                piece = os.read(reader, 4096)
                if not piece: break
                total += len(piece)
                lines += piece.count(b"\\n")
            print(child.wait(), lines)
            """
        let done = try Command.run(
            [
                "/usr/bin/python3", "-c", program, Package.binary, "exec", "production", "--",
                "seq 1 100000",
            ],
            in: fixture.directory.path + "/project",
            environment: [
                "FLEET_STATE_DIR": fixture.directory.path + "/state",
                "HOME": fixture.directory.path,
                "FLEET_TRUSTED_FILES": "all", "SSH_AUTH_SOCK": "",
            ]
        )
        let words = done.output.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
        #expect(
            words.count == 2 && words[0] == 0 && words[1] > 100_000,
            "\(done.output)\(done.errors)"
        )
    }

    /// Row K2.
    @Test(
        "Results that cannot be written are an error of their own",
        arguments: ["exec", "history", "check"]
    )
    func fullDevice(command: String) throws {
        let words = command == "exec" ? "exec production -- seq 1 100000" : command
        let done = try Command.run(
            ["sh", "-c", "\"$BINARY\" \(words) >/dev/full"],
            in: fixture.directory.path + "/project",
            environment: [
                "BINARY": Package.binary, "FLEET_STATE_DIR": fixture.directory.path + "/state",
                "HOME": fixture.directory.path, "FLEET_TRUSTED_FILES": "all", "SSH_AUTH_SOCK": "",
            ]
        )
        #expect(done.status == 74, "\(done.status): \(done.errors)")
    }
}
