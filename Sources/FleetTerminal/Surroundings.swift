package import FleetOperations
internal import FleetRollout
internal import FleetSSH
internal import FleetTransport
internal import Glibc

/// What the program finds around it: the user, the environment variables, the working directory.
package enum Surroundings {
    package static func variable(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// All environment variables.
    package static var variables: [String: String] {
        var found: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let parts = String(cString: text).split(
                separator: "=",
                maxSplits: 1,
                omittingEmptySubsequences: false
            )
            if parts.count == 2 { found[String(parts[0])] = String(parts[1]) }
            entry += 1
        }
        return found
    }

    package static var home: String { variable("HOME") ?? accountHome ?? "/" }

    /// What the system says of the account, whatever HOME is.
    private static var accountHome: String? {
        getpwuid(getuid()).map { String(cString: $0.pointee.pw_dir) }
    }

    package static var user: String {
        getpwuid(getuid()).map { String(cString: $0.pointee.pw_name) } ?? variable("USER") ?? "root"
    }

    package static var workingDirectory: String {
        guard let path = getcwd(nil, 0) else { return "." }
        defer { free(path) }
        return String(cString: path)
    }

    /// A directory of the XDG Base Directory Specification: a relative path is to be ignored.
    private static func absolute(_ name: String) -> String? {
        variable(name).flatMap { $0.hasPrefix("/") ? $0 : nil }
    }

    /// `--state-dir`, then `FLEET_STATE_DIR`, then `$XDG_STATE_HOME/fleet`.
    package static func stateDirectory(option: String?) -> String {
        let path =
            option ?? variable("FLEET_STATE_DIR")
            ?? (absolute("XDG_STATE_HOME") ?? home + "/.local/state") + "/fleet"
        return fromHere(path)
    }

    /// What stands for standard output where a file is named.
    package static let standardOutput = "-"

    /// A file that is written: a path that means the same from everywhere, or ``standardOutput``.
    package static func output(_ path: String) -> String {
        path == standardOutput ? path : fromHere(path)
    }

    /// A path that means the same from everywhere: plans are taken up again from other directories.
    package static func fromHere(_ path: String) -> String {
        path.hasPrefix("/") ? path : workingDirectory + "/" + path
    }

    /// What the engine stands on here.
    package static func settings(stateDirectory: String, acceptsUnsafeLibrary: Bool)
        -> Controller.Settings
    {
        var settings = Controller.Settings(
            stateDirectory: stateDirectory,
            ssh: SSHTransport.Environment(
                home: SSHTransport.Environment.home(variable: home, account: accountHome ?? home),
                user: user,
                agentSocket: variable("SSH_AUTH_SOCK"),
                variable: { variable($0) }
            ),
            variables: variables,
            prompt: { Terminal.askSecret($0) }
        )
        settings.acceptsUnsafeLibrary = acceptsUnsafeLibrary
        return settings
    }

    /// Lets the terminal that goes away, or the pipe that nobody reads any more, end this process.
    package static func endWithTheTerminal() {
        signal(SIGHUP, SIG_DFL)
        signal(SIGPIPE, SIG_DFL)
    }

    /// What the system said of the last call that failed.
    package static var lastError: String { String(cString: strerror(errno)) }

    /// The time of day, in milliseconds since 1970: for people and policies, never for deadlines.
    package static var unixMilliseconds: Int {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return now.tv_sec * 1000 + now.tv_nsec / 1_000_000
    }

    /// The person whom a CI system names, where it says that it is one: elsewhere these variables are leftovers.
    package static var actor: String? {
        let systems = [
            ("GITHUB_ACTIONS", "GITHUB_ACTOR"), ("GITLAB_CI", "GITLAB_USER_LOGIN"),
            ("BUILDKITE", "BUILDKITE_BUILD_CREATOR"),
        ]
        return systems.lazy.compactMap { system, name in
            variable(system).flatMap { $0.isEmpty ? nil : variable(name) }
        }.first { !$0.isEmpty }
    }

    /// Who has called sudo, where this is root.
    private static var invoker: String? { geteuid() == 0 ? variable("SUDO_USER") : nil }

    /// Who is doing this: the person a CI system names, or the login.
    ///
    /// - Parameters:
    ///   - command: The command line, as it is recorded.
    ///   - version: The program's version.
    /// - Returns: The initiator.
    package static func initiator(command: String, version: String) -> Initiator {
        var host = [CChar](repeating: 0, count: 256)
        gethostname(&host, host.count - 1)
        let end = host.firstIndex(of: 0) ?? host.endIndex
        return Initiator(
            user: actor ?? invoker ?? user,
            machine: String(decoding: host[..<end].map { UInt8(bitPattern: $0) }, as: UTF8.self),
            command: command,
            version: version
        )
    }
}
