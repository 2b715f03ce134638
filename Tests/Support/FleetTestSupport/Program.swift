import Foundation

/// Programs that tests write and run at once.
public enum Program {
    /// Writes a program, so that it can be started at once.
    ///
    /// Whatever this process starts at the same moment, in another test, would hold the file open for writing
    /// until it runs a program itself, and the kernel starts no such file (execve(2), ETXTBSY). So another
    /// process writes it.
    ///
    /// - Parameters:
    ///   - text: What it says.
    ///   - path: Where it stands.
    ///   - mode: Its permissions.
    /// - Throws: ``Command/Failed``.
    public static func write(_ text: String, to path: String, mode: Int = 0o755) throws {
        let written = try Command.run(
            ["install", "-m", String(mode, radix: 8), "/dev/stdin", path],
            input: text
        )
        guard written.status == 0 else { throw Command.Failed(description: written.errors) }
    }
}
