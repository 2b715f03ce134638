package import FleetReport
internal import FleetRollout
internal import Glibc

/// Hands a rollout's trace to `fleet-web`, the program beside this one that speaks HTTP.
package struct TraceSender: Sendable {
    private let settings: TraceSettings
    private let parent: String?

    /// The longest that this program waits for the other one, in milliseconds; it goes on by itself then.
    private static let patienceMilliseconds = 5_000
    /// How often it is looked whether it has ended, in milliseconds.
    private static let intervalMilliseconds = 20

    /// Prepares to send.
    ///
    /// - Parameters:
    ///   - settings: Where to.
    ///   - parent: What `TRACEPARENT` says; nil for nothing.
    package init(_ settings: TraceSettings, parent: String?) {
        self.settings = settings
        self.parent = parent
    }

    /// Sends the trace of a rollout.
    ///
    /// - Parameter report: The rollout.
    /// - Returns: Why it was not sent, in words; nil if it was.
    package func send(_ report: RolloutReport) -> String? {
        let export = TraceExport(
            report,
            context: TraceContext(rollout: report.id.description, parent: parent),
            service: settings.service,
            resource: settings.resource.sorted { $0.key < $1.key }
        )
        guard let program = SiblingProgram.path("fleet-web") else {
            return "no trace was sent: this program cannot find itself"
        }
        guard access(program, X_OK) == 0 else {
            return "no trace was sent: \(program) is missing, which belongs beside fleet"
        }
        let lines = Array(export.bodies().joined(separator: [0x0A]))
        return run(program, lines)
    }

    private func run(_ program: String, _ input: [UInt8]) -> String? {
        guard let file = tmpfile(), let said = tmpfile() else {
            return "no trace was sent: \(String(cString: strerror(errno)))"
        }
        defer {
            fclose(file)
            fclose(said)
        }
        guard fwrite(input, 1, input.count, file) == input.count, fflush(file) == 0,
            lseek(fileno(file), 0, SEEK_SET) == 0
        else { return "no trace was sent: \(String(cString: strerror(errno)))" }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, fileno(file), STDIN_FILENO)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, fileno(said), STDERR_FILENO)
        var words: [UnsafeMutablePointer<CChar>?] = [strdup(program), strdup("traces"), nil]
        defer { for word in words { free(word) } }
        var process = pid_t()
        let code = posix_spawn(&process, program, &actions, nil, &words, environ)
        guard code == 0 else { return "no trace was sent: \(String(cString: strerror(code)))" }
        var status: Int32 = 0
        for _ in 0..<Self.patienceMilliseconds / Self.intervalMilliseconds {
            let ended = waitpid(process, &status, WNOHANG)
            guard ended == 0 else {
                return ended == process && status == 0
                    ? nil : "no trace was sent: \(text(of: said))"
            }
            usleep(UInt32(Self.intervalMilliseconds * 1000))
        }
        return "the trace is still being sent to \(settings.place); nobody waits for it"
    }

    private func text(of file: UnsafeMutablePointer<FILE>) -> String {
        rewind(file)
        var bytes = [UInt8](repeating: 0, count: 2_000)
        let count = fread(&bytes, 1, bytes.count, file)
        return Sanitizer.line(String(decoding: bytes[..<count], as: UTF8.self))
    }
}
