internal import FleetReactor
internal import Glibc

/// The system's `ssh`: which one it is, and whether it will do.
public struct OpenSSHVersion: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The numbers in front of the `p`.
    public let major: Int
    /// See above.
    public let minor: Int
    /// The program's own words, as in `OpenSSH_9.2p1`.
    public let description: String

    /// The oldest that will do: `-o StrictHostKeyChecking=accept-new`, `%` escapes and messages are as here since 8.0.
    public static let least = (major: 8, minor: 0)

    /// Reads what `ssh -V` says; nil if it is no OpenSSH.
    public init?(said: String) {
        guard
            let found = said.firstMatch(
                of: /OpenSSH_(?:for_Windows_)?([0-9]{1,4})\.([0-9]{1,4})[^ ,]*/
            ),
            let major = Int(found.1), let minor = Int(found.2)
        else { return nil }
        self.major = major
        self.minor = minor
        description = String(found.0)
    }

    /// By number.
    public static func < (one: OpenSSHVersion, other: OpenSSHVersion) -> Bool {
        (one.major, one.minor) < (other.major, other.minor)
    }

    /// Whether it is new enough.
    public var isUsable: Bool { (major, minor) >= Self.least }

    /// Whether it knows SessionType, StdinNull and ForkAfterAuthentication (release notes of OpenSSH 8.7).
    var hasSessionType: Bool { (major, minor) >= (8, 7) }

    /// Asks a program; blocks, for as long as it takes to start and at most a few seconds.
    ///
    /// - Returns: Its version, or why it cannot be used, for people.
    static func ask(_ program: String) -> Result<OpenSSHVersion, OpenSSHMissing> {
        let text: String
        do throws(OpenSSHMissing) {
            text = try OpenSSHProgram.output(
                of: [program, "-V"],
                environment: nil,
                withErrors: true
            )
        } catch {
            return .failure(error)
        }
        guard let version = OpenSSHVersion(said: text) else {
            return .failure(
                OpenSSHMissing(
                    reason: "`\(program) -V` does not say which OpenSSH it is: `\(text.prefix(80))`"
                )
            )
        }
        guard version.isUsable else {
            return .failure(
                OpenSSHMissing(reason: "\(version) is older than OpenSSH 8.0, which fleet needs")
            )
        }
        return .success(version)
    }
}

/// Why the system's `ssh` cannot be used.
public struct OpenSSHMissing: Error, Sendable, Hashable {
    /// For people.
    public let reason: String
}

/// What a short run of the program says.
enum OpenSSHProgram {
    /// The longest that such a run may take, in seconds.
    private static let seconds = 10
    /// The most that is read, in bytes.
    private static let limitBytes = 1 << 20

    /// Runs it and reads what it prints; blocks.
    ///
    /// - Parameters:
    ///   - words: The program and its arguments.
    ///   - environment: Its variables; nil for ours.
    ///   - withErrors: Whether what it says on standard error is read, too.
    ///   - seconds: The longest that it may take.
    /// - Returns: What it printed, up to its end.
    /// - Throws: ``OpenSSHMissing`` if it cannot be started.
    static func output(
        of words: [String],
        environment: [String]?,
        withErrors: Bool,
        within seconds: Int = seconds
    ) throws(OpenSSHMissing) -> String {
        var ends: [Int32] = [-1, -1]
        guard
            socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0
        else { throw OpenSSHMissing(reason: String(cString: strerror(errno))) }
        defer { close(ends[0]) }
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        let started = ChildProgram.start(
            words,
            environment: environment,
            files: [null, ends[1], withErrors ? ends[1] : null]
        )
        close(ends[1])
        close(null)
        guard case .success(let process) = started else {
            throw OpenSSHMissing(
                reason: "`\(words[0])` cannot be started: install openssh-client"
            )
        }
        defer { ChildProgram.end(process) }
        let deadline = Reactor.now() + UInt64(seconds) * 1_000_000_000
        var said: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while said.count < limitBytes {
            let left = (Int64(deadline) - Int64(Reactor.now())) / 1_000_000
            var entry = pollfd(fd: ends[0], events: Int16(POLLIN), revents: 0)
            guard left > 0, poll(&entry, 1, Int32(left)) > 0 else { break }
            let count = recv(ends[0], &buffer, buffer.count, 0)
            guard count > 0 else { break }
            said += buffer[..<count]
        }
        return String(decoding: said, as: UTF8.self)
    }
}
