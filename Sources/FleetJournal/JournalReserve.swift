internal import Glibc
internal import Synchronization

/// Room on the disk that is given up when it is full, so that what has begun can still be recorded
/// to its end.
final class JournalReserve: Sendable {
    /// Its size in bytes: the way back of 500 hosts is about a tenth of it (measured).
    static let sizeBytes = 8 << 20

    private let path: String
    /// Whether there was no room.
    let isMissing: Bool
    private let isGivenUp = Mutex(false)

    /// Keeps room in a directory.
    init(in directory: String) {
        path = directory + "/reserve"
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else {
            isMissing = errno == ENOSPC || errno == EDQUOT
            return
        }
        defer { close(file) }
        let status = posix_fallocate(file, 0, off_t(Self.sizeBytes))
        // A file system that cannot set room aside is no reason to refuse.
        isMissing = status == ENOSPC || status == EDQUOT
        if isMissing { unlink(path) }
    }

    /// Whether the room was needed.
    var isUsed: Bool { isGivenUp.withLock { $0 } }

    /// Gives the room up; false if that was done before.
    func giveUp() -> Bool {
        isGivenUp.withLock { isGivenUp in
            guard !isGivenUp, unlink(path) == 0 else { return false }
            isGivenUp = true
            return true
        }
    }
}
