internal import Glibc
internal import Synchronization

/// A local file that is being sent to hosts, each of which reads it from its beginning.
///
/// Hosts that start together are about as far as each other, so the pieces read last are kept: most
/// of them are read once for all hosts, and cost nobody a change of threads.
package final class SourceFile: Sendable {
    /// How much is read at once, in bytes.
    package static let pieceBytes = 256 << 10
    /// How many pieces are kept: 16 MiB of a file, however many hosts it goes to.
    package static let pieceLimit = 64

    private let descriptor: Int32
    private let pieces = Mutex<[(index: Int, bytes: [UInt8])]>([])

    package init?(path: String) {
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// A piece that was read a short while ago; nil if it has to be read.
    package func piece(at index: Int) -> [UInt8]? {
        pieces.withLock { $0.last { $0.index == index }?.bytes }
    }

    /// Reads a piece, so only for ``BlockingQueue``; none at the end, or after an error, which the
    /// size check then finds.
    package func readPiece(at index: Int) -> [UInt8] {
        let size = Self.pieceBytes
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, filled in
            while filled < size {
                let place = off_t(index * size + filled)
                let count = pread(
                    descriptor,
                    buffer.baseAddress.map { $0 + filled },
                    size - filled,
                    place
                )
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { break }
                filled += count
            }
        }
        pieces.withLock { pieces in
            guard !pieces.contains(where: { $0.index == index }) else { return }
            if pieces.count == Self.pieceLimit { pieces.removeFirst() }
            pieces.append((index, bytes))
        }
        return bytes
    }
}

/// The local files that are being sent; a file is open as long as somebody sends it.
package final class SourceFiles: Sendable {
    package init() {}

    private struct Reference { weak var file: SourceFile? }

    private let files = Mutex<[String: Reference]>([:])

    /// A file that somebody is sending.
    package func known(_ path: String) -> SourceFile? { files.withLock { $0[path]?.file } }

    /// The file of a path, shared by all who send it; nil if it cannot be read.
    ///
    /// It may block, so only for ``BlockingQueue``.
    package func open(_ path: String) -> SourceFile? {
        guard let file = known(path) ?? SourceFile(path: path) else { return nil }
        return files.withLock { files in
            if let known = files[path]?.file { return known }
            files = files.filter { $0.value.file != nil }
            files[path] = Reference(file: file)
            return file
        }
    }
}
