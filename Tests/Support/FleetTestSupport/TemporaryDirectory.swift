import Foundation

/// A directory that goes away with the value that holds it.
public final class TemporaryDirectory: Sendable {
    /// Its path, without symbolic links.
    public let path: String

    /// Makes a directory of mode 0700.
    public init() throws {
        var template = Array((NSTemporaryDirectory() + "/fleet-test-XXXXXX").utf8CString)
        guard let made = mkdtemp(&template) else { throw POSIXError(.EIO) }
        path = URL(fileURLWithPath: String(cString: made)).resolvingSymlinksInPath().path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file, and the directories above it.
    public func write(_ text: String, to name: String, mode: Int = 0o644) throws {
        let file = URL(fileURLWithPath: path + "/" + name)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(),
            withIntermediateDirectories: true
        )
        guard mode & 0o111 == 0 else {
            return try Program.write(text, to: file.path, mode: mode)
        }
        try Data(text.utf8).write(to: file)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file.path)
    }

    /// Reads a file; nil if there is none.
    public func read(_ name: String) -> String? {
        FileManager.default.contents(atPath: path + "/" + name).map {
            String(decoding: $0, as: UTF8.self)
        }
    }

    /// Whether a file is there.
    public func has(_ name: String) -> Bool {
        FileManager.default.fileExists(atPath: path + "/" + name)
    }
}
