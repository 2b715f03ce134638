internal import Glibc

/// The private directory that holds the journal: `$XDG_STATE_HOME/fleet`, mode 0700.
public struct StateDirectory: Sendable, Hashable {
    /// Its path.
    public let path: String

    /// Makes the directory if need be, and refuses one that others could change.
    ///
    /// - Throws: ``JournalError/stateDirectory(path:reason:fix:)``.
    public init(path: String) throws(JournalError) {
        self.path = path
        try Self.make(path)
        var status = stat()
        guard lstat(path, &status) == 0 else {
            throw .stateDirectory(path: path, reason: Self.reason(), fix: nil)
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw .stateDirectory(
                path: path,
                reason: "is not a directory",
                fix: "move it away, or use --state-dir"
            )
        }
        guard status.st_uid == geteuid() else {
            throw .stateDirectory(
                path: path,
                reason: "belongs to user id \(status.st_uid)",
                fix: "use --state-dir with a directory of your own"
            )
        }
        guard status.st_mode & 0o077 == 0 else {
            throw .stateDirectory(
                path: path,
                reason: "is open to other users",
                fix: "chmod 700 \(path)"
            )
        }
        if let name = Self.networkFileSystem(of: path) {
            throw .stateDirectory(
                path: path,
                reason:
                    "is on a network file system (\(name)), where neither SQLite's log nor a lock holds what it promises",
                fix:
                    "copy all of it to a local disk while no fleet runs (cp -a), and name that with --state-dir or "
                    + "FLEET_STATE_DIR"
            )
        }
        guard access(path, W_OK | X_OK) == 0 else {
            throw .stateDirectory(
                path: path,
                reason: "is not writable (\(Self.reason()))",
                fix: "chmod 700 \(path)"
            )
        }
    }

    /// The file systems that several machines share.
    private static let networks: Set<String> = [
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "glusterfs",
        "fuse.glusterfs", "fuse.sshfs",
    ]

    private static func networkFileSystem(of path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        var status = stat()
        guard stat(real, &status) == 0 else { return nil }
        // What the path is really on, also below a mount that hides others (makedev(3)).
        let device = UInt64(status.st_dev)
        let major = device >> 8 & 0xFFF | device >> 32 & ~0xFFF
        let minor = device & 0xFF | device >> 12 & ~0xFF
        // Network file systems have no device of their own; most disks do, and are not looked for.
        guard major == 0 else { return nil }
        guard let file = fopen("/proc/self/mountinfo", "re") else { return nil }
        defer { fclose(file) }
        let name = " \(major):\(minor) "
        var mounts = ""
        var line: UnsafeMutablePointer<CChar>?
        var size = 0
        while getline(&line, &size, file) > 0, let line {
            if strstr(line, name) != nil { mounts += String(cString: line) }
        }
        free(line)
        return networkFileSystem(of: String(cString: real), mounts: mounts)
    }

    /// The network file system that a path is on, by the kernel's list of mounts (proc(5), mountinfo); nil for another.
    ///
    /// https://www.sqlite.org/wal.html: "All processes using a database must be on the same host computer".
    static func networkFileSystem(of path: String, mounts: String) -> String? {
        var found: (point: String, type: String)?
        for line in mounts.split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            guard words.count > 6, let dash = words.firstIndex(of: "-"), dash + 1 < words.count
            else { continue }
            let point = words[4].replacing("\\040", with: " ").replacing("\\011", with: "\t")
                .replacing("\\134", with: "\\")
            guard path == point || path.hasPrefix(point.hasSuffix("/") ? point : point + "/") else {
                continue
            }
            // A later mount over the same place is the one that is seen.
            if point.utf8.count >= found?.point.utf8.count ?? 0 { found = (point, words[dash + 1]) }
        }
        return found.flatMap { networks.contains($0.type) ? $0.type : nil }
    }

    private static func make(_ path: String) throws(JournalError) {
        var partial = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            partial += (partial.isEmpty || partial.hasSuffix("/") ? "" : "/") + part
            guard mkdir(partial, 0o700) != 0, errno != EEXIST else { continue }
            // A parent on a read-only file system says so here even when it exists.
            guard access(partial, F_OK) != 0 else { continue }
            throw .stateDirectory(
                path: path,
                reason: "cannot be made (\(partial): \(reason()))",
                fix: "name another one with --state-dir or FLEET_STATE_DIR"
            )
        }
    }

    private static func reason() -> String { String(cString: strerror(errno)) }
}
