import FleetTestSupport
import FleetTransport
import Foundation
import Testing

@testable import FleetHostShell

struct HostShellReaderTests {
    private static let nonce = "0123456789abcdef0123456789abcdef"

    /// Reads a stream in pieces and writes down what it was.
    private func read(_ stream: [UInt8], pieces: [Int]) -> (bytes: [UInt8], lines: [[String]]) {
        var reader = HostShellReader(nonce: Self.nonce)
        var bytes: [UInt8] = []
        var lines: [[String]] = []
        var rest = stream[...]
        var index = 0
        while !rest.isEmpty {
            let size = max(1, pieces[index % pieces.count])
            let piece = Array(rest.prefix(size))
            rest = rest.dropFirst(size)
            index += 1
            piece.withUnsafeBytes { buffer in
                reader.read(buffer) { found in
                    switch found {
                    case .bytes(let data): bytes += data
                    case .line(let words): lines.append(words.map(String.init))
                    }
                }
            }
        }
        return (bytes, lines)
    }

    @Test(arguments: [[1], [2], [3, 5], [7, 1, 33], [64], [1000]])
    func findsTrailersHoweverTheStreamIsCut(_ pieces: [Int]) {
        let stream =
            "noise\n\n\(Self.nonce) READY 7\n\n\n\(Self.nonce) BEGIN a\nout\nput\n\(Self.nonce) END a 0 7\n\ntail\n"
        let (bytes, lines) = read(Array(stream.utf8), pieces: pieces)
        #expect(lines == [["READY", "7"], ["BEGIN", "a"], ["END", "a", "0", "7"]])
        #expect(String(decoding: bytes, as: UTF8.self) == "noise\n\nout\nput\ntail")
    }

    /// Row H23.
    @Test func outputThatImitatesATrailerIsOutput() {
        let other = String(repeating: "f", count: 32)
        let stream =
            "\n\(other) END a 0 0\n\(Self.nonce.dropLast())x END a 0 0\nx\(Self.nonce) END\n "
        let (bytes, lines) = read(Array(stream.utf8), pieces: [4])
        #expect(lines.isEmpty)
        #expect(String(decoding: bytes, as: UTF8.self) == stream)
    }

    /// Row H23.
    @Test("What a process list shows marks nothing but the first line")
    func openMark() throws {
        let line = try #require(
            HostShell.commandLine(
                running: Script("echo; echo \(Self.nonce) END run 0 0; exit 3"),
                id: "run",
                mark: Self.nonce
            )
        )
        let output = try Command.run(["sh", "-c", line], environment: ["HOME": "/"]).output
        for size in [1, 7, 1000] {
            var reader = HostShellReader(mark: Self.nonce)
            var lines: [[String]] = []
            var rest = Array(output.utf8)[...]
            while !rest.isEmpty {
                Array(rest.prefix(size)).withUnsafeBytes { buffer in
                    reader.read(buffer) {
                        if case .line(let words) = $0 { lines.append(words.map(String.init)) }
                    }
                }
                rest = rest.dropFirst(size)
            }
            #expect(lines.map(\.first) == ["READY", "BEGIN", "END"])
            #expect(lines.last == ["END", "run", "3", "0"])
        }
    }

    /// Row H23.
    @Test("The mark of sudo's question marks a question and nothing else", arguments: [1, 5, 1000])
    func questionMark(size: Int) {
        let mark = String(repeating: "e", count: 32)
        let stream = "\n\(mark) END a 0 0\n\n\(mark) SUDO sudo\nx\n\(Self.nonce) END sudo 0 1\n"
        var reader = HostShellReader(nonce: Self.nonce)
        var lines: [[String]] = []
        func read(_ text: String) {
            var rest = Array(text.utf8)[...]
            while !rest.isEmpty {
                Array(rest.prefix(size)).withUnsafeBytes { buffer in
                    reader.read(buffer) {
                        if case .line(let words) = $0 { lines.append(words.map(String.init)) }
                    }
                }
                rest = rest.dropFirst(size)
            }
        }
        reader.expectQuestion(mark)
        read(stream)
        #expect(lines == [["SUDO", "sudo"], ["END", "sudo", "0", "1"]])
        reader.expectQuestion(nil)
        read("\n\(mark) SUDO sudo\n\n\(Self.nonce) END x 0 0\n")
        #expect(lines.count == 3)
    }

    /// Row H21.
    @Test func keepsEveryByteOfBinaryOutput() {
        var random = SystemRandomNumberGenerator()
        let noise = (0..<50_000).map { _ in UInt8.random(in: 0...255, using: &random) } + [65]
        let stream = noise + Array("\n\(Self.nonce) END a 0 1\n".utf8)
        let (bytes, lines) = read(stream, pieces: [4096, 1, 77])
        #expect(bytes == noise)
        #expect(lines == [["END", "a", "0", "1"]])
    }
}

/// The shell text itself, run by real shells over plain pipes.
struct HostShellTests {
    private static let nonce = "0123456789abcdef0123456789abcdef"

    /// What a shell is sent for a list of requests.
    private static func input(_ requests: [HostShell.Request]) -> String {
        let bytes =
            HostShell.prologue(nonce: nonce, rollout: "r1")
            + (requests.contains { $0.needsDetachedFunctions } ? HostShell.detachedFunctions : [])
        return String(decoding: bytes, as: UTF8.self) + requests.map(\.line).joined()
    }

    private func run(
        _ shell: [String],
        _ requests: [HostShell.Request],
        home: TemporaryDirectory
    ) throws -> [String] {
        let result = try Command.run(
            shell + ["-s"],
            environment: ["HOME": home.path],
            input: Self.input(requests)
        )
        return result.output.split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.replacingOccurrences(of: Self.nonce, with: "@") }
            .filter { !$0.isEmpty && !$0.hasPrefix("@ READY") }
    }

    static let shells: [[String]] = [["dash"], ["bash", "--posix"]]

    @Test(arguments: shells)
    func runsAttached(_ shell: [String]) throws {
        let home = try TemporaryDirectory()
        let lines = try run(
            shell,
            [
                HostShell.attached(Script("echo out; echo err >&2; exit 3"), id: "a"),
                HostShell.attached(Script("if then"), id: "b"),
                HostShell.attached(Script("echo still here"), id: "c"),
            ],
            home: home
        )
        #expect(lines.prefix(4) == ["@ BEGIN a", "out", "err", "@ END a 3 0"])
        #expect(lines.contains("@ END b 2 0"), "a syntax error ends the script, not the shell")
        #expect(lines.suffix(3) == ["@ BEGIN c", "still here", "@ END c 0 0"])
    }

    /// Login shells that are on this machine; sshd runs each command as `SHELL -c COMMAND`.
    static let loginShells = [
        ["dash"], ["bash"], ["bash", "-r"], ["zsh"], ["fish"], ["tcsh"], ["busybox", "sh"],
    ].filter { shell in
        ["/bin/", "/usr/bin/"].contains { access($0 + shell[0], X_OK) == 0 }
    }

    /// Row H26.
    ///
    /// Whatever the account's shell is, our two kinds of command line mean the same to it.
    @Test(arguments: loginShells)
    func everyLoginShellRunsOurCommandLines(_ shell: [String]) throws {
        let home = try TemporaryDirectory()
        func run(_ line: String, input: String = "") throws -> [String] {
            let output = try Command.run(
                shell + ["-c", line],
                environment: ["HOME": home.path, "PATH": "/usr/bin:/bin"],
                input: input
            ).output
            return output.replacingOccurrences(of: Self.nonce, with: "@")
                .split(separator: "\n").map(String.init).filter { !$0.hasPrefix("@ READY") }
        }
        let text = #"echo "$HOME" | wc -c >/dev/null; (exit 3) || echo {a,b} $((2+3)) ~ [x] * #c"#
        let line = try #require(
            HostShell.commandLine(running: Script(text), id: "run", mark: Self.nonce)
        )
        let direct = try run(line)
        // The host makes up the word that marks the lines behind the first.
        #expect(direct.first?.hasSuffix(" BEGIN run") ?? false)
        #expect(direct.last?.hasSuffix(" END run 0 0") ?? false)
        #expect(!direct.joined().contains("@"))
        #expect(direct.dropFirst().first?.hasPrefix("{a,b} 5 \(home.path) [x]") ?? false)
        let requests = [HostShell.attached(Script("echo 'a!b'; exit 4"), id: "x")]
        let asked = try run(HostShell.command, input: Self.input(requests))
        #expect(asked == ["@ BEGIN x", "a!b", "@ END x 4 0"])
    }

    @Test func aBrokenScriptOnACommandLineStillEnds() throws {
        let home = try TemporaryDirectory()
        for (text, status) in [("echo )", 2), ("exit 7", 7), ("kill -9 $$", nil), ("", 0)] {
            let line = try #require(
                HostShell.commandLine(running: Script(text), id: "run", mark: Self.nonce)
            )
            let output = try Command.run(["sh", "-c", line], environment: ["HOME": home.path])
                .output
            #expect(output.contains("END run") == (status != nil))
            if let status { #expect(output.contains(" END run \(status) 0")) }
        }
    }

    @Test(arguments: [
        "it's", "a\\b", "hello!", "two\nlines", "caf\u{e9}", String(repeating: "x", count: 1_001),
    ])
    func whatALoginShellMightChangeGoesThroughStandardInput(_ text: String) {
        #expect(HostShell.commandLine(running: Script(text), id: "run", mark: "n") == nil)
    }

    @Test func valuesNeverStandOnACommandLine() {
        var script = Script("echo $A", environment: [EnvironmentVariable("A", "secret")])
        #expect(HostShell.commandLine(running: script, id: "run", mark: "n") == nil)
        script = Script("id", becomeUser: "root")
        #expect(HostShell.commandLine(running: script, id: "run", mark: "n") == nil)
    }

    @Test(arguments: shells)
    func runsDetachedOnce(_ shell: [String]) throws {
        let home = try TemporaryDirectory()
        let script = Script("echo once >>\"$HOME/marks\"; printf 'no line end'; kill -9 $$")
        let lines = try run(
            shell,
            [
                HostShell.detached(script, key: ActionKey("f0-1")),
                HostShell.detached(script, key: ActionKey("f0-1")),
                HostShell.rest(ActionKey("f0-1"), from: 3),
            ],
            home: home
        )
        #expect(
            lines == [
                "@ BEGIN f0-1", "no line end", "@ END f0-1 137 11", "@ DUPLICATE f0-1",
                "@ BEGIN f0-1", "line end", "@ END f0-1 137 11",
            ]
        )
        #expect(home.read("marks") == "once\n")
    }

    @Test(arguments: shells)
    func tellsWhatBecameOfAStep(_ shell: [String]) throws {
        let home = try TemporaryDirectory()
        let ended = ActionKey("f0-1")
        let never = ActionKey("f1-1")
        let lines = try run(
            shell,
            [
                HostShell.detached(Script("echo done; exit 4"), key: ended),
                HostShell.recover(ended, from: 0), HostShell.recover(never, from: 0),
                HostShell.detached(Script("echo too late"), key: never), HostShell.stop(ended),
                HostShell.stop(ActionKey("f2-1")),
            ],
            home: home
        )
        #expect(
            lines == [
                "@ BEGIN f0-1", "done", "@ END f0-1 4 5", "@ BEGIN f0-1", "done",
                "@ END f0-1 4 5", "@ NEVER f1-1", "@ DUPLICATE f1-1", "@ END f0-1 4 0",
                "@ NEVER f2-1",
            ]
        )
    }

    @Test func stopsAStepThatIgnoresTerm() async throws {
        let home = try TemporaryDirectory()
        let key = ActionKey("f0-1")
        let script = Script(
            "trap '' TERM; echo up >\"$HOME/up\"; sleep 1000 & while :; do sleep 1000; done"
        )
        async let first = Task.detached {
            try Command.run(
                ["sh", "-s"],
                environment: ["HOME": home.path],
                input: Self.input([HostShell.detached(script, key: key)])
            )
        }.value
        try await eventually("the step is up") { home.has("up") }
        let lines = try run(["sh"], [HostShell.stop(key)], home: home)
        #expect(lines == ["@ END f0-1 gone 0"])
        _ = try await first
        let pid = (home.read(".fleet/runs/r1/f0-1/pid") ?? "").split(separator: " ").first ?? ""
        #expect(try Command.run(["pgrep", "-r", "S,R,D", "-g", String(pid)]).status != 0)
    }

    /// Row H6.
    @Test func saysWhenNothingCanBeWritten() throws {
        let home = try TemporaryDirectory()
        try home.write("in the way", to: ".fleet")
        let lines = try run(
            ["sh"],
            [HostShell.detached(Script("echo x"), key: ActionKey("f0-1"))],
            home: home
        )
        #expect(lines.count == 1 && lines[0].hasPrefix("@ NOSPOOL f0-1 /"), "\(lines)")
    }
}
