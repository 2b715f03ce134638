import Foundation

/// An account of this machine's for one test, with a home of its own and no password; it is removed again.
///
/// Needs root.
public final class TestAccount: Sendable {
    /// Its name.
    public let name: String
    /// Its home directory.
    public let home: String

    /// Whether accounts can be made here.
    public static let canBeMade = getuid() == 0 && access("/usr/sbin/useradd", X_OK) == 0

    /// Makes one.
    ///
    /// - Parameter key: A public key file that may log in.
    /// - Throws: ``Command/Failed``.
    public init(key: String) throws {
        name = "fleet-t\(Int.random(in: 10_000...99_999))"
        home = "/tmp/\(name)"
        try Command.shell(
            """
            useradd -m -d \(home) -s /bin/sh -p '*' \(name)
            cp '\(key)' \(home)/authorized_keys && chmod 755 \(home) && chmod 644 \(home)/authorized_keys
            """
        )
    }

    /// What an sshd is told for it.
    public var configuration: [String] {
        ["AuthorizedKeysFile \(home)/authorized_keys", "SetEnv HOME=\(home)"]
    }

    deinit {
        _ = try? Command.run(
            ["sh", "-c", "pkill -KILL -u \(name); userdel -rf \(name); rm -rf \(home)"]
        )
    }
}
