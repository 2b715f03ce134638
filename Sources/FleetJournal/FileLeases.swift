internal import Glibc

/// Leases for changing environments from this machine, implemented as file locks in the state directory.
///
/// The kernel releases a lock when its process ends, for whatever reason.
public struct FileLeases: EnvironmentLeases {
    private let directory: StateDirectory

    /// Creates leases whose files are in a state directory.
    public init(in directory: StateDirectory) { self.directory = directory }

    /// The directory that the locks are in.
    var path: String { directory.path }

    private func path(_ environment: String) -> String { "\(directory.path)/\(environment).lock" }

    /// Whoever is changing an environment at this moment, in words; nil if nobody is.
    func anyHolder() -> String? {
        guard let folder = opendir(directory.path) else { return nil }
        defer { closedir(folder) }
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard name.hasSuffix(".lock") else { continue }
            let file = open("\(directory.path)/\(name)", O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
            guard file >= 0 else { continue }
            defer { close(file) }
            if flock(file, LOCK_SH | LOCK_NB) != 0 { return Self.text(of: file) }
        }
        return nil
    }

    /// As ``EnvironmentLeases`` promises.
    public func acquire(_ environment: String, for owner: String) async throws(JournalError)
        -> any EnvironmentLease
    {
        let path = path(environment)
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw Self.unopened(path) }
        // Closes the file, also when somebody else has it.
        let lock = FileLease(file)
        guard await Self.take(file) else {
            throw .locked(environment: environment, owner: Self.text(of: file))
        }
        let text = Array(owner.utf8)
        // The text only helps whoever is refused; the lock is the kernel's.
        if ftruncate(file, 0) == 0 { _ = pwrite(file, text, text.count, 0) }
        return lock
    }

    /// As ``EnvironmentLeases`` promises.
    public func holder(of environment: String) throws(JournalError) -> String? {
        let path = path(environment)
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else {
            guard errno == ENOENT else { throw Self.unopened(path) }
            return nil
        }
        defer { close(file) }
        guard flock(file, LOCK_SH | LOCK_NB) != 0 else { return nil }
        return Self.text(of: file)
    }

    private static func unopened(_ path: String) -> JournalError {
        .stateDirectory(
            path: path,
            reason: "cannot be opened (\(String(cString: strerror(errno))))",
            fix: nil
        )
    }

    private static func text(of file: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 400)
        let count = pread(file, &buffer, buffer.count, 0)
        return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    }

    /// Whoever only looks holds the file for a moment, and is waited for: two seconds in all, for a machine that is busy.
    private static func take(_ file: Int32) async -> Bool {
        for _ in 0..<1_000 {
            if flock(file, LOCK_EX | LOCK_NB) == 0 { return true }
            // Somebody holds it as their own: then nobody can share it either.
            guard flock(file, LOCK_SH | LOCK_NB) == 0 else { return false }
            flock(file, LOCK_UN)
            do { try await Task.sleep(for: .milliseconds(2)) } catch {
                // Cancelled: nobody waits for it any more.
                return false
            }
        }
        return false
    }
}

/// A file that is locked.
private final class FileLease: EnvironmentLease {
    private let file: Int32

    init(_ file: Int32) { self.file = file }

    /// A child that was forked and has not run its program yet has the file open, too: closing it is not enough.
    func release() { flock(file, LOCK_UN) }

    deinit {
        release()
        close(file)
    }
}
