import FleetOperations
import FleetReport
import FleetRollout
import FleetSSH
import FleetServer
import FleetServing
import FleetTerminal
import FleetYAML
import Glibc
import UnixSignals

/// `fleet-server CONFIG STATE VERSION [--first-user NAME] [--accept-libssh2]`: the server, as `fleet serve` starts it.
@main
enum ServerMain {
    static func main() async {
        signal(SIGPIPE, SIG_IGN)
        raiseDescriptorLimit()
        LibSSH2.stayUntilTheEnd()
        let words = Array(CommandLine.arguments.dropFirst())
        guard words.count >= 3 else {
            leave(OperationFailure(.usage, "fleet starts this program: `fleet serve`"))
        }
        var firstUser: String?
        var acceptsLibrary = false
        var rest = words.dropFirst(3)
        while let word = rest.popFirst() {
            switch word {
            case "--first-user": firstUser = rest.popFirst()
            case "--accept-libssh2": acceptsLibrary = true
            default: leave(OperationFailure(.usage, "`\(Sanitizer.line(word))` is no option of it"))
            }
        }
        do throws(OperationFailure) {
            try await serve(words[0], words[1], words[2], firstUser, acceptsLibrary)
        } catch { leave(error) }
    }

    private static func serve(
        _ path: String,
        _ stateDirectory: String,
        _ version: String,
        _ firstUser: String?,
        _ acceptsLibrary: Bool
    ) async throws(OperationFailure) {
        let file = try ServerFileOpening.read(path)
        let settings = Surroundings.settings(
            stateDirectory: stateDirectory,
            acceptsUnsafeLibrary: acceptsLibrary
        )
        let here = Surroundings.initiator(command: "serve", version: version)
        let engine = try ServerEngine(
            file,
            settings,
            credentials: Surroundings.variable("CREDENTIALS_DIRECTORY"),
            machine: here.machine,
            version: version,
            owner: firstUser == nil ? "fleet-server, process \(getpid()), on \(here.machine)" : nil,
            say: { ServiceLog.say($0) }
        )
        if let firstUser { return try await invite(firstUser, engine) }
        let server = try await FleetServer(engine)
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint, .sighup)
        try await server.run(
            ready: { port in
                let place: String =
                    if case .address(let host, _) = file.listen {
                        ServerFile.Listen.address(host: host, port: port).text
                    } else { file.listen.text }
                ServiceLog.say(.note("serving \(file.publicURL) on \(place)"))
                ServiceManager.tell("READY=1\nSTATUS=serving on \(place)")
                ServiceManager.keepAlive()
            },
            until: {
                for await signal in signals {
                    guard signal == .sighup else { break }
                    do throws(OperationFailure) {
                        try server.reload()
                        ServiceLog.say(.note("the certificate was read anew"))
                    } catch { ServiceLog.say(.warning(error.message, next: error.hints.first)) }
                }
                ServiceManager.tell("STOPPING=1")
                ServiceLog.say(.note("stopping: nothing new begins, and what is in flight ends"))
            }
        )
    }

    /// Prints a link by which somebody sets their password.
    private static func invite(_ account: String, _ engine: ServerEngine)
        async throws(OperationFailure)
    {
        let link = try await FleetServer.invite(account, engine)
        print("\(link)\nIt holds for a day, and once.")
    }

    private static func leave(_ failure: OperationFailure) -> Never {
        FailureText.tell(failure)
        exit(failure.status.rawValue)
    }

    /// A connection is a descriptor; the soft limit is often 1024.
    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}

/// The server's log: a line each on standard error, which systemd keeps.
enum ServiceLog {
    static func say(_ happening: Happening) {
        let (level, text): (String, String) =
            switch happening {
            case .progress(let text): ("<7>", text)
            case .note(let text), .waiting(let text): ("<6>", text)
            case .warning(let text, let next): ("<4>", text + (next.map { " (next: \($0))" } ?? ""))
            }
        // Progress is for whoever waits for it, and nobody does.
        guard level != "<7>" else { return }
        let isService = Surroundings.variable("JOURNAL_STREAM") != nil
        let time = DurationText.utc(unixMilliseconds: Surroundings.unixMilliseconds)
        let line = Array("\(isService ? level : time + " ")\(Sanitizer.line(text))\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }
}

/// systemd, if it has started the server: sd_notify(3).
enum ServiceManager {
    /// Tells it something; without it, nothing happens.
    static func tell(_ state: String) {
        guard let path = Surroundings.variable("NOTIFY_SOCKET"), path.utf8.count < 108 else {
            return
        }
        let socket = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return }
        defer { close(socket) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(path.utf8)
        // A socket without a file begins with a NUL.
        if bytes.first == UInt8(ascii: "@") { bytes[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        let message = Array(state.utf8)
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { place in
                _ = sendto(socket, message, message.count, Int32(MSG_NOSIGNAL), place, length)
            }
        }
    }

    /// Tells it twice in each of its intervals that the server lives, as long as tasks are run.
    static func keepAlive() {
        guard let text = Surroundings.variable("WATCHDOG_USEC"), let microseconds = Int(text),
            microseconds > 0
        else { return }
        Task {
            while true {
                tell("WATCHDOG=1")
                try await Task.sleep(for: .microseconds(microseconds / 2))
            }
        }
    }
}
