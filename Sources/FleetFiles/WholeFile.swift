internal import Glibc

/// Files of this machine that are read and replaced as a whole: whoever reads one sees the old or the new
/// one, and a crash or a full disk leaves what was there.
public enum WholeFile {
    /// Why a file was not replaced.
    public struct Failure: Error, Sendable, Hashable {
        /// What the system said.
        public let reason: String
    }

    /// What a file holds; nil if it cannot be read, `errno` then says why.
    ///
    /// A pipe is read to its end; one that nobody writes to is empty.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - limit: The most bytes that are read; what is behind them is left out.
    /// - Returns: The bytes.
    public static func read(_ path: String, limit: Int = .max) -> [UInt8]? {
        // Whoever opens a pipe that nobody writes to would wait for ever.
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { return nil }
        if status.st_mode & S_IFMT != S_IFREG, fcntl(file, F_SETFL, 0) != 0 { return nil }
        var bytes: [UInt8] = []
        while bytes.count < limit {
            // A byte more than there should be: a second read tells that this was all.
            let rest = max(16_384, Int(status.st_size) + 1 - bytes.count)
            let room = min(rest, limit - bytes.count)
            var count = 0
            let piece = [UInt8](unsafeUninitializedCapacity: room) { buffer, filled in
                count = Glibc.read(file, buffer.baseAddress, room)
                filled = max(0, count)
            }
            guard count >= 0 else { return nil }
            guard count > 0 else { break }
            if bytes.isEmpty { bytes = piece } else { bytes += piece }
        }
        return bytes
    }

    /// Puts bytes in a file's place, or makes it.
    ///
    /// A link, as dotfile managers make them, stays one. A file keeps its permissions. What is no regular file,
    /// as `/dev/null` is none, is never replaced.
    ///
    /// - Parameters:
    ///   - bytes: All of it.
    ///   - path: The file.
    ///   - mode: The permissions of one that is not there yet; the umask applies.
    /// - Throws: ``Failure``; nothing has changed then.
    public static func write(_ bytes: [UInt8], to path: String, mode: UInt32) throws(Failure) {
        let file = target(of: path)
        var status = stat()
        let isThere = stat(file, &status) == 0
        guard !isThere || status.st_mode & S_IFMT == S_IFREG else {
            throw Failure(reason: "it is no regular file")
        }
        let temporary = "\(file).fleet-\(getpid())"
        do throws(Failure) {
            let new = open(
                temporary,
                O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                mode_t(mode)
            )
            guard new >= 0 else { throw failure() }
            defer { close(new) }
            if isThere, fchmod(new, status.st_mode & 0o7777) != 0 { throw failure() }
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { Glibc.write(new, $0.baseAddress, $0.count) }
                guard count > 0 else { throw failure() }
                rest = rest.dropFirst(count)
            }
            guard fsync(new) == 0, rename(temporary, file) == 0 else { throw failure() }
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// Adds bytes at the end of a file, or makes it; whoever adds at the same moment waits for its turn.
    ///
    /// A file whose last line is not ended is ended first. What is no regular file takes nothing.
    ///
    /// - Parameters:
    ///   - bytes: Whole lines.
    ///   - path: The file.
    ///   - mode: The permissions of one that is not there yet; the umask applies.
    /// - Returns: Whether it remembers them: a device does not.
    /// - Throws: ``Failure``; where only a part could be written, that is taken away again.
    public static func append(_ bytes: [UInt8], to path: String, mode: UInt32) throws(Failure)
        -> Bool
    {
        let file = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, mode_t(mode))
        guard file >= 0 else { throw failure() }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw failure() }
        guard status.st_mode & S_IFMT == S_IFREG else { return false }
        // Ends with the descriptor.
        guard flock(file, LOCK_EX) == 0, fstat(file, &status) == 0 else { throw failure() }
        var last: UInt8 = 0x0A
        if status.st_size > 0, pread(file, &last, 1, status.st_size - 1) != 1 { throw failure() }
        let all = (last == 0x0A ? [] : [0x0A]) + bytes
        guard Glibc.write(file, all, all.count) == all.count, fsync(file) == 0 else {
            let why = failure()
            ftruncate(file, status.st_size)
            throw why
        }
        return true
    }

    /// What a path stands for at the end, also where a link's target is not there yet.
    private static func target(of path: String) -> String {
        if let pointer = realpath(path, nil) {
            defer { free(pointer) }
            return String(cString: pointer)
        }
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let count = readlink(path, &buffer, buffer.count - 1)
        guard count > 0 else { return path }
        let link = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard !link.hasPrefix("/"), let slash = path.lastIndex(of: "/") else { return link }
        return String(path[...slash]) + link
    }

    private static func failure() -> Failure { Failure(reason: String(cString: strerror(errno))) }
}
