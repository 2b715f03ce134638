import Foundation

/// A program started by a test: no descriptor but the first three, no signal blocked or ignored.
///
/// Foundation's `Process` is not used: its children inherit descriptors by which it learns of other
/// children's ends, so a server that lives on keeps everybody waiting.
public struct ChildProcess: Sendable {
    /// The process id.
    public let pid: Int32

    /// Starts a program found in PATH.
    ///
    /// - Parameters:
    ///   - arguments: The program and its arguments.
    ///   - directory: Where it runs; nil is here.
    ///   - environment: Variables added to ours.
    ///   - files: Paths for standard input, output and error.
    /// - Throws: ``Command/Failed`` if there is no such program.
    public init(
        _ arguments: [String],
        in directory: String? = nil,
        environment: [String: String] = [:],
        files: (input: String, output: String, errors: String) = (
            "/dev/null", "/dev/null", "/dev/null"
        )
    ) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, files.input, O_RDONLY, 0)
        for (descriptor, path) in [(Int32(1), files.output), (2, files.errors)] {
            posix_spawn_file_actions_addopen(
                &actions,
                descriptor,
                path,
                O_WRONLY | O_CREAT | O_APPEND,
                0o600
            )
        }
        for descriptor in Int32(3)..<1024 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        let arguments = (directory.map { ["env", "-C", $0] } ?? []) + arguments

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        // Dispatch's threads block signals, and a child would inherit that.
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(
            &attributes,
            Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)
        )

        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0)=\($1)") } + [nil]
        defer {
            for pointer in argv + envp { free(pointer) }
        }
        var pid: pid_t = 0
        let status = posix_spawnp(&pid, arguments[0], &actions, &attributes, &argv, &envp)
        guard status == 0 else {
            throw Command.Failed(
                description: "cannot start \(arguments): \(String(cString: strerror(status)))"
            )
        }
        self.pid = pid
    }

    /// Waits for the end; the exit status, or minus the signal.
    @discardableResult
    public func wait() -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return status & 0x7F == 0 ? status >> 8 & 0xFF : -(status & 0x7F)
    }

    /// Whether it has not ended yet; an ended one is waited for.
    public var isRunning: Bool {
        var status: Int32 = 0
        return waitpid(pid, &status, WNOHANG) == 0
    }
}
