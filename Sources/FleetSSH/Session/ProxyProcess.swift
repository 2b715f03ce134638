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
    /// Becomes readable when the command has ended; -1 where the system cannot tell.
    let watch: Int32
    private let messages: Int32

    /// How much of the command's complaints is shown, in bytes.
    private static let messageLimitBytes = 400

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
        let started = ChildProgram.start(
            ["/bin/sh", "-c", "exec \(command)"],
            files: [ends[1], ends[1], messages]
        )
        close(ends[1])
        socket = ends[0]
        switch started {
        case .success(let child):
            process = child
            watch = fleet_pidfd_open(child)
        case .failure(let error):
            // `deinit` closes `messages`, also when this initialiser throws.
            close(ends[0])
            process = 0
            watch = -1
            throw .unreachable(address: command, reason: error.text)
        }
        _ = fcntl(socket, F_SETFL, fcntl(socket, F_GETFL, 0) | O_NONBLOCK)
    }

    deinit { if messages >= 0 { close(messages) } }

    /// How the command has ended, for people; nil while it runs.
    ///
    /// It is left to be reaped by ``end()``: until then nobody else gets its number.
    var ending: (isSuccess: Bool, text: String)? {
        var info = siginfo_t()
        guard waitid(P_PID, id_t(process), &info, WEXITED | WNOHANG | WNOWAIT) == 0,
            info.si_signo == SIGCHLD
        else { return nil }
        let status = fleet_child_status(&info)
        return info.si_code == CLD_EXITED
            ? (status == 0, "it exited(\(status))") : (false, "signal \(status) ended it")
    }

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
    func end() { ChildProgram.end(process) }
}
