import FleetTestSupport
import FleetTransport
import Foundation
import Testing

@testable import FleetHostShell

/// The text that is sent to hosts, as programs see it that know shells.
struct ShellTextTests {
    private static var files: [String] {
        ["FleetHostShell", "FleetRunner"].flatMap { target in
            let folder = "\(Package.root)/Sources/\(target)/Shell"
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            return names.sorted().map { "\(folder)/\($0)" }
        }
    }

    @Test("Every file is one that each shell can read, and says first what it is for")
    func parses() throws {
        #expect(Self.files.count >= 20)
        for file in Self.files {
            for shell in [["dash"], ["bash", "--posix"], ["busybox", "sh"]] {
                let read = try Command.run(shell + ["-n", file])
                #expect(read.status == 0, "\(file): \(read.errors)")
            }
            let text = try String(contentsOfFile: file, encoding: .utf8)
            #expect(text.hasPrefix("# ") && text.hasSuffix("\n"), "\(file)")
        }
    }

    /// What shellcheck does not know of: SC1007 `a= b=` empties both; SC2016 scripts within scripts are meant for
    /// another shell; SC2034 and SC2154, variables that another file sets or uses; SC2164 a login directory that is
    /// not there is found out by what is done next; SC2089 and SC2090, the words hold no space; SC2254 `$$` and `$PPID` are numbers; SC3044 is asked of bash alone.
    private static let unknown = "SC1007,SC2016,SC2034,SC2089,SC2090,SC2154,SC2164,SC2254,SC3044"

    @Test(
        "shellcheck finds nothing in what a shell is told first, and before its first detached step"
    )
    func isChecked() throws {
        let prologue = HostShell.prologue(nonce: String(repeating: "0", count: 32), rollout: "r1")
        let text = String(decoding: prologue + HostShell.detachedFunctions, as: UTF8.self)
        let step = "\(Package.root)/Sources/FleetHostShell/Shell/step.sh"
        for script in [text, try String(contentsOfFile: step, encoding: .utf8)] {
            let found = try Command.run(
                ["shellcheck", "-s", "sh", "-S", "warning", "-e", Self.unknown, "-"],
                input: script
            )
            #expect(found.status == 0, "\(found.output)")
        }
        let lock = "\(Package.root)/Sources/FleetRunner/Shell"
        for file in Self.files where file.hasPrefix(lock) && !file.hasSuffix("/lock.sh") {
            let whole = try ["\(lock)/lock.sh", file].map {
                try String(contentsOfFile: $0, encoding: .utf8)
            }
            let found = try Command.run(
                ["shellcheck", "-s", "sh", "-S", "warning", "-e", Self.unknown, "-"],
                input: whole.joined()
            )
            #expect(found.status == 0, "\(file): \(found.output)")
        }
    }

    @Test("Comments stay here, and nothing else does")
    func comments() {
        let file = Array("# what it is\nif a; then\n    # why\n    b '#c'\nfi\n".utf8)
        #expect(ShellText.text(file) == "if a; then\n    b '#c'\nfi\n")
        #expect(
            ShellText.bytes(file, Array("d\n".utf8))
                == Array("if a; then\n    b '#c'\nfi\nd\n".utf8)
        )
        let sent = String(decoding: HostShell.detachedFunctions, as: UTF8.self)
        #expect(!sent.contains("\n#") && sent.contains("fleet_start() {"))
    }
}
