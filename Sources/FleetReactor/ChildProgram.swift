internal import CLinux
internal import Glibc

/// A program of this machine that was started for a session of fleet's, in a session of its own.
///
/// Ctrl-C is for fleet, which ends it itself. And it has no terminal to ask at: in the background it would be stopped at
/// its question (SIGTTIN, termios(3)), and nobody would know what is waited for. An `ssh` in a ProxyCommand that wants a
/// passphrase fails at once instead, and says so.
package enum ChildProgram {
    /// How long a program may take to go, in milliseconds.
    private static let farewellMilliseconds: UInt64 = 2_000

    /// Starts a program; blocks for as long as a fork takes.
    ///
    /// - Parameters:
    ///   - words: The program and its arguments; a name without a slash is looked for in `PATH`.
    ///   - environment: All its variables; nil for ours.
    ///   - directory: Where it begins; nil for where we are.
    ///   - files: Our descriptors that become its 0, 1, 2 and so on; closed here by whoever opened them.
    /// - Returns: Its process id, or the error number.
    package static func start(
        _ words: [String],
        environment: [String]? = nil,
        directory: String? = nil,
        files: [Int32]
    ) -> Result<Int32, Errno> {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (index, file) in files.enumerated() where file >= 0 {
            posix_spawn_file_actions_adddup2(&actions, file, Int32(index))
        }
        if let directory { posix_spawn_file_actions_addchdir_np(&actions, directory) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        let flags = Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) | fleet_spawn_setsid()
        posix_spawnattr_setflags(&attributes, flags)
        var arguments = words.map { strdup($0) } + [nil]
        defer { for text in arguments { free(text) } }
        var child: pid_t = 0
        let status: Int32
        if let environment {
            var variables = environment.map { strdup($0) } + [nil]
            defer { for text in variables { free(text) } }
            status = posix_spawnp(&child, words[0], &actions, &attributes, &arguments, &variables)
        } else {
            status = posix_spawnp(&child, words[0], &actions, &attributes, &arguments, environ)
        }
        return status == 0 ? .success(child) : .failure(Errno(number: status))
    }

    /// An error number of the system's.
    package struct Errno: Error, Sendable, Hashable {
        /// The number.
        package let number: Int32
        /// What the system says of it.
        package var text: String { String(cString: strerror(number)) }
    }

    /// Ends a program with its group and reaps it, off the reactors.
    ///
    /// - Parameters:
    ///   - process: Its process id.
    ///   - gone: Called once it is no more, on a thread of no reactor.
    package static func end(_ process: Int32, then gone: @escaping @Sendable () -> Void = {}) {
        kill(-process, SIGTERM)
        BlockingQueue.shared.perform {
            defer { gone() }
            var status: Int32 = 0
            for _ in 0..<(farewellMilliseconds / 20) {
                guard waitpid(process, &status, WNOHANG) == 0 else { return }
                usleep(20_000)
            }
            kill(-process, SIGKILL)
            waitpid(process, &status, 0)
        }
    }

    /// Reaps a program when it ends by itself, however late that is; the reactor only.
    package static func reap(_ process: Int32, on reactor: Reactor) {
        let file = fleet_pidfd_open(process)
        guard file >= 0 else { return end(process) }
        reactor.register(file) { [weak reactor] _ in
            var status: Int32 = 0
            guard waitpid(process, &status, WNOHANG) != 0 else { return }
            reactor?.close(file)
        }
    }
}
