internal import Glibc
internal import Synchronization

/// Room on the disk that is given up when it is full, so that what has begun can still be recorded
/// to its end.
final class JournalReserve: Sendable {
    /// Its size in bytes: the way back of 500 hosts is about a tenth of it (measured).
    static let sizeBytes = 8 << 20

    private enum State { case unknown, kept, missing, givenUp }

    private let path: String
    private let state = Mutex(State.unknown)

    /// Names the room in a directory; ``arm()`` keeps it.
    init(in directory: String) {
        path = directory + "/reserve"
        _ = arm()
    }

    /// Keeps the room, also where it was given up before and there is room again; false if there is none.
    func arm() -> Bool {
        state.withLock { state in
            guard state != .kept else { return true }
            // What was given up is for the rollout that goes on without it: there has to be more than that.
            if state == .givenUp, !hasRoomForTwo { return false }
            let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
            guard file >= 0 else {
                let isFull = errno == ENOSPC || errno == EDQUOT
                if state == .unknown { state = isFull ? .missing : .kept }
                return !isFull
            }
            defer { close(file) }
            let status = posix_fallocate(file, 0, off_t(Self.sizeBytes))
            // A file system that cannot set room aside is no reason to refuse.
            guard status == ENOSPC || status == EDQUOT else {
                state = .kept
                return true
            }
            unlink(path)
            if state == .unknown { state = .missing }
            return false
        }
    }

    private var hasRoomForTwo: Bool {
        var status = statvfs()
        let folder = String(path.dropLast("/reserve".count))
        guard statvfs(folder, &status) == 0 else { return false }
        return Int(status.f_bavail) * Int(status.f_frsize) >= 2 * Self.sizeBytes
    }

    /// Whether the room was needed, and there has been none since.
    var isUsed: Bool { state.withLock { $0 == .givenUp } }

    /// Gives the room up; false if that was done before.
    func giveUp() -> Bool {
        state.withLock { state in
            guard state != .givenUp, unlink(path) == 0 else { return false }
            state = .givenUp
            return true
        }
    }
}
