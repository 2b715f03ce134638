internal import Glibc

/// A process of this program that goes on without this terminal: in a session of its own, with its output in a file.
package struct DetachedProcess: Sendable {
    private let process: pid_t
    /// Where its output goes.
    package let log: String

    /// Why it was not started.
    package struct Failure: Error {
        /// What the system said.
        package let reason: String
    }

    /// Starts it.
    ///
    /// - Parameters:
    ///   - arguments: The words behind the program's name.
    ///   - log: The file for what it prints; only its owner can read it.
    /// - Throws: ``Failure``.
    package init(_ arguments: [String], log: String) throws(Failure) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        let flags = O_WRONLY | O_CREAT | O_APPEND
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log, flags, 0o600)
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // POSIX_SPAWN_SETSID of glibc 2.26, which the Glibc module does not have.
        posix_spawnattr_setflags(&attributes, 0x80)
        var words: [UnsafeMutablePointer<CChar>?] = (["fleet"] + arguments).map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        var process = pid_t()
        let code = posix_spawn(&process, "/proc/self/exe", &actions, &attributes, words, environ)
        guard code == 0 else { throw Failure(reason: String(cString: strerror(code))) }
        self.process = process
        self.log = log
    }

    /// What the names of its files begin with.
    private static let prefix = "detached-"
    /// How long they are kept, in seconds: what they hold is in the journal, too.
    private static let keptSeconds = 30 * 86_400

    /// Names the files of a detached rollout, and removes those of long ago.
    ///
    /// - Parameters:
    ///   - directory: The state directory.
    ///   - unixMilliseconds: The time of day.
    /// - Returns: A path without an ending.
    package static func files(in directory: String, at unixMilliseconds: Int) -> String {
        if let listing = opendir(directory) {
            defer { closedir(listing) }
            while let entry = readdir(listing) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) { name in
                    name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                var status = stat()
                let path = "\(directory)/\(name)"
                guard name.hasPrefix(prefix), lstat(path, &status) == 0,
                    status.st_mtim.tv_sec < unixMilliseconds / 1000 - keptSeconds
                else { continue }
                unlink(path)
            }
        }
        return "\(directory)/\(prefix)\(unixMilliseconds)"
    }

    /// Whether it has not ended yet.
    package var isRunning: Bool {
        var status: Int32 = 0
        return waitpid(process, &status, WNOHANG) == 0
    }
}
