public import FleetTransport
import Foundation

/// An SSH server that breaks the protocol on purpose; the user's name says how.
///
/// See `hostile_server.py`.
public final class HostileSSHServer: Sendable {
    /// Keys and the server's log.
    public let directory: TemporaryDirectory
    private let process: ChildProcess
    private let port: Int

    /// Starts the server and waits until it listens.
    ///
    /// - Throws: ``Command/Failed`` with what it said if it does not start.
    public init() throws {
        directory = try TemporaryDirectory()
        try Command.shell(
            """
            ssh-keygen -q -t ed25519 -N '' -f key
            ssh-keygen -q -t ed25519 -N '' -f host_key
            """,
            in: directory.path
        )
        let log = try LogPipe(directory.path + "/port")
        process = try ChildProcess(
            [
                "/usr/bin/python3", "-W", "ignore",
                Package.root + "/Tests/Support/hostile_server.py", directory.path,
            ],
            files: ("/dev/null", log.entrance, directory.path + "/log")
        )
        guard log.waits(for: "\n"),
            let port = Int((directory.read("port") ?? "").trimmingCharacters(in: .newlines))
        else {
            process.wait()
            throw Command.Failed(
                description: "no hostile server: \(directory.read("log") ?? "")"
            )
        }
        self.port = port
        let key = (directory.read("host_key.pub") ?? "").split(separator: " ").prefix(2)
        try directory.write(
            "[127.0.0.1]:* \(key.joined(separator: " "))\n",
            to: "known_hosts"
        )
    }

    deinit {
        kill(process.pid, SIGKILL)
        process.wait()
    }

    /// How to reach the server as a user who gets the treatment of that name.
    public func endpoint(user: String) -> HostEndpoint {
        var ssh = SSHSettings()
        ssh.hostname = "127.0.0.1"
        ssh.port = port
        ssh.user = user
        ssh.identityFiles = [directory.path + "/key"]
        ssh.knownHostsFile = directory.path + "/known_hosts"
        return HostEndpoint(name: HostName(user), ssh: ssh)
    }
}
