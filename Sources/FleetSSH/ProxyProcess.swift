internal import CLibSSH2
internal import CLinux
internal import FleetHostShell
internal import FleetReactor
internal import FleetTransport
internal import Glibc

/// The command of a `ProxyCommand`, with one end of a socket pair as its input and output.
final class ProxyProcess: Sendable {
    /// Our end, non-blocking.
    let socket: Int32
    private let process: pid_t
    private let messages: Int32

    /// How much of the command's complaints is shown, in bytes.
    private static let messageLimitBytes = 400
    /// How long the command may take to go, in milliseconds.
    private static let farewellMilliseconds = 2_000

    /// Starts the command; blocks for as long as a fork takes.
    ///
    /// - Throws: ``FleetTransport/TransportError/unreachable(address:reason:)``.
    init(command: String) throws(TransportError) {
        var ends: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else {
            throw .unreachable(address: command, reason: String(cString: strerror(errno)))
        }
        // A file and not a pipe: what the command complains about must never block it.
        messages = fleet_memory_file()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 0)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        if messages >= 0 { posix_spawn_file_actions_adddup2(&actions, messages, 2) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        // A group of its own: Ctrl-C is for fleet, which ends the command itself.
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        posix_spawnattr_setflags(&attributes, Int16(flags))
        let words = ["/bin/sh", "-c", "exec \(command)"]
        var arguments = words.map { strdup($0) } + [nil]
        var child: pid_t = 0
        let status = posix_spawn(&child, "/bin/sh", &actions, &attributes, &arguments, environ)
        for argument in arguments { free(argument) }
        posix_spawn_file_actions_destroy(&actions)
        posix_spawnattr_destroy(&attributes)
        close(ends[1])
        socket = ends[0]
        process = child
        guard status == 0 else {
            // `deinit` closes `messages`, also when this initialiser throws.
            close(ends[0])
            throw .unreachable(address: command, reason: String(cString: strerror(status)))
        }
        _ = fcntl(socket, F_SETFL, fcntl(socket, F_GETFL, 0) | O_NONBLOCK)
    }

    deinit { if messages >= 0 { close(messages) } }

    /// The last of what the command wrote to its standard error.
    var complaint: String {
        guard messages >= 0 else { return "" }
        let end = lseek(messages, 0, SEEK_END)
        let start = max(0, end - off_t(Self.messageLimitBytes))
        var buffer = [UInt8](repeating: 0, count: Self.messageLimitBytes)
        let count = pread(messages, &buffer, buffer.count, start)
        guard count > 0 else { return "" }
        return SSHText.oneLine(buffer.prefix(count))
    }

    /// Ends the command and reaps it; `socket` is closed by whoever watches it.
    func end() {
        let process = process
        kill(-process, SIGTERM)
        BlockingQueue.shared.perform {
            var status: Int32 = 0
            for _ in 0..<(Self.farewellMilliseconds / 20) {
                guard waitpid(process, &status, WNOHANG) == 0 else { return }
                usleep(20_000)
            }
            kill(-process, SIGKILL)
            waitpid(process, &status, 0)
        }
    }
}
