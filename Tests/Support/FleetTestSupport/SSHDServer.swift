public import FleetTransport
import Foundation
import Synchronization

/// A real sshd on loopback, of the user that runs the tests, with a port, host key and HOME of its
/// own.
///
/// Needs no root.
public final class SSHDServer: Sendable {
    /// The server's directory: keys, configuration, and the host's HOME as `home`.
    public let directory: TemporaryDirectory
    /// The port it listens on, at 127.0.0.1.
    public let port: Int
    /// The address it listens on.
    public let address: String
    private let process: ChildProcess

    /// The host's home directory.
    public var home: String { directory.path + "/home" }
    /// The private key that may log in.
    public var keyFile: String { directory.path + "/key" }
    /// A known_hosts file that knows the server.
    public var knownHostsFile: String { directory.path + "/known_hosts" }

    /// Starts a server and waits until it listens.
    ///
    /// - Parameters:
    ///   - configuration: More lines for its configuration.
    ///   - keyType: The type of the user's key.
    ///   - hostKeyType: The type of the host's key.
    ///   - address: The loopback address it listens on.
    ///   - searchPath: Where its commands are, instead of everywhere.
    ///   - isHostile: Whether the account's files and variables are those of ``HostileSurroundings``.
    ///   - old: A server that has been stopped and whose port and users it takes over.
    ///   - keepsHostKey: Whether it has the other server's host key, too.
    ///   - environment: Variables for the server itself.
    /// - Throws: ``Command/Failed`` with sshd's log if it does not start.
    public init(
        configuration: [String] = [],
        keyType: String = "ed25519",
        hostKeyType: String = "ed25519",
        address: String = "127.0.0.1",
        searchPath: String? = nil,
        hostile isHostile: Bool = false,
        replacing old: SSHDServer? = nil,
        keepsHostKey: Bool = false,
        environment: [String: String] = [:]
    ) throws {
        self.address = address
        let listens = address.contains(":") ? "[\(address)]" : address
        directory = try TemporaryDirectory()
        let path = directory.path
        try Command.shell(
            """
            mkdir home
            ssh-keygen -q -t \(keyType) -N '' -f key
            ssh-keygen -q -t \(hostKeyType) -N '' -f host_key
            if [ "$(id -u)" -eq 0 ]; then mkdir -p /run/sshd; fi
            """,
            in: path
        )
        if let old {
            let other = old.directory.path
            try Command.shell(
                "cp '\(other)/key' '\(other)/key.pub' ."
                    + (keepsHostKey ? " && cp '\(other)/host_key' '\(other)/host_key.pub' ." : ""),
                in: path
            )
        }
        let variables = isHostile ? try HostileSurroundings.write(to: directory, in: "home") : [:]
        let more = variables.map { " \($0.key)=\($0.value)" }.sorted().joined()
        var found: (ChildProcess, Int)?
        // Somebody else may take the port between the look and the start.
        for _ in 0..<5 where found == nil {
            let port = try old?.port ?? Self.freePort()
            let lines =
                configuration + [
                    "ListenAddress \(listens):\(port)", "HostKey \(path)/host_key", "PidFile none",
                    "AuthorizedKeysFile \(path)/key.pub", "StrictModes no", "UsePAM no",
                    "PasswordAuthentication no", "KbdInteractiveAuthentication no",
                    "PermitRootLogin prohibit-password", "MaxStartups 200", "PrintMotd no",
                    "SetEnv HOME=\(path)/home" + (searchPath.map { " PATH=\($0)" } ?? "") + more,
                ]
            try directory.write(lines.joined(separator: "\n") + "\n", to: "sshd_config")
            found = try Self.start(path, environment).map { ($0, port) }
        }
        guard let found else {
            throw Command.Failed(
                description: "sshd did not start: \(directory.read("sshd.log") ?? "")"
            )
        }
        (process, port) = found
        let key = (directory.read("host_key.pub") ?? "").split(separator: " ").prefix(2)
        try directory.write("[\(address)]:* \(key.joined(separator: " "))\n", to: "known_hosts")
    }

    deinit { stop() }

    /// The server's process.
    public var pid: Int32 { process.pid }

    /// Ends the server and every connection to it.
    public func stop() {
        guard process.isRunning else { return }
        dropConnections()
        kill(process.pid, SIGTERM)
        process.wait()
    }

    /// Ends every session's process, as a host does that loses power: nobody says goodbye.
    public func dropConnections() {
        let children = try? Command.run(["pgrep", "-P", String(process.pid)])
        for child in (children?.output ?? "").split(separator: "\n") {
            if let pid = pid_t(child) { kill(pid, SIGKILL) }
        }
    }

    /// How to reach the server.
    ///
    /// - Parameters:
    ///   - name: The host's name in the inventory.
    ///   - port: Another port, as that of a relay.
    ///   - knownHosts: Another known_hosts file.
    /// - Returns: An endpoint with everything explicit.
    public func endpoint(
        name: HostName = "web1",
        port: Int? = nil,
        knownHosts: String? = nil
    ) -> HostEndpoint {
        var ssh = SSHSettings()
        ssh.hostname = address
        ssh.port = port ?? self.port
        ssh.identityFiles = [keyFile]
        ssh.knownHostsFile = knownHosts ?? knownHostsFile
        return HostEndpoint(name: name, ssh: ssh)
    }

    private static func start(_ path: String, _ environment: [String: String]) throws
        -> ChildProcess?
    {
        let log = try LogPipe(path + "/sshd.log")
        let process = try ChildProcess(
            ["/usr/sbin/sshd", "-D", "-e", "-f", "\(path)/sshd_config"],
            environment: environment,
            files: ("/dev/null", "/dev/null", log.entrance)
        )
        guard log.waits(for: "Server listening on") else {
            process.wait()
            return nil
        }
        return process
    }

    /// A port that nobody listens on now.
    public static func freePort() throws -> Int {
        let server = try Listener()
        return server.port
    }
}

/// Addresses of this machine that nobody else uses.
public enum Loopback {
    private static let count = Atomic<Int>(0)

    /// One of 127.64.0.0 to 127.127.255.255, not given out before by this process, nor by another one that was given
    /// another `FLEET_TEST_LANE`, and rarely by any other.
    public static func address() -> String {
        let number = count.add(1, ordering: .relaxed).oldValue
        return "127.\(64 + lane).\(number / 250).\(number % 250 + 1)"
    }

    private static let lane: Int = {
        let given = ProcessInfo.processInfo.environment["FLEET_TEST_LANE"].flatMap { Int($0) }
        return given.map { $0 % 2 } ?? 2 + Int(getpid()) % 62
    }()
}

/// A listening socket on a loopback address.
public final class Listener: Sendable {
    /// The descriptor.
    public let descriptor: Int32
    /// The port it got.
    public let port: Int

    /// Listens on a port that is free.
    ///
    /// - Parameters:
    ///   - text: The address.
    ///   - backlog: How many connections the kernel accepts for it.
    /// - Throws: `POSIXError` if there is no port.
    public init(address text: String = "127.0.0.1", backlog: Int32 = 128) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        inet_pton(AF_INET, text, &address.sin_addr)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, size) | listen(descriptor, backlog)
                    | getsockname(descriptor, address, &size)
            }
        }
        guard status == 0 else { throw POSIXError(.EADDRINUSE) }
        port = Int(UInt16(bigEndian: address.sin_port))
    }

    deinit { close(descriptor) }
}
