internal import Glibc

/// Tells our trailers from a host's output in one stream of bytes, however it is cut up.
///
/// A trailer is a line break, the session's nonce, a space, words, a line break. The nonce has 128
/// random bits: output that imitates a trailer is output.
struct HostShellReader {
    /// What a piece of the stream is.
    enum Piece {
        /// Bytes that a host printed.
        case bytes(UnsafeRawBufferPointer)
        /// The words of one of our own lines.
        case line([Substring])
    }

    /// The longest line of ours, in bytes.
    static let lineLimitBytes = 512

    private let marker: [UInt8]
    /// Bytes that may be the beginning of a trailer.
    private var held: [UInt8] = []

    init(nonce: String) { marker = Array("\n\(nonce) ".utf8) }

    /// Takes the next bytes and hands on what they are; undecided ones are kept.
    mutating func read(_ bytes: UnsafeRawBufferPointer, _ take: (Piece) -> Void) {
        if held.isEmpty {
            let rest = scan(bytes, take)
            held = Array(bytes[rest...])
        } else {
            let joined = held + bytes
            held = joined.withUnsafeBytes { buffer in
                let rest = scan(buffer, take)
                return Array(buffer[rest...])
            }
        }
    }

    /// Hands on what is decided; returns where the undecided bytes begin.
    private func scan(_ bytes: UnsafeRawBufferPointer, _ take: (Piece) -> Void) -> Int {
        var start = 0
        var position = 0
        while let at = Self.lineBreak(in: bytes, from: position) {
            let tail = bytes[at...]
            guard tail.starts(with: marker.prefix(tail.count)) else {
                position = at + 1
                continue
            }
            // The marker, or all that has arrived of it.
            let body = at + marker.count
            let end = body <= bytes.count ? Self.lineBreak(in: bytes, from: body) : nil
            guard let end else {
                if bytes.count - at > Self.lineLimitBytes {
                    position = at + 1
                    continue
                }
                emit(bytes, start..<at, take)
                return at
            }
            emit(bytes, start..<at, take)
            let words = String(decoding: bytes[body..<end], as: UTF8.self).split(separator: " ")
            take(.line(words))
            start = end + 1
            position = start
        }
        emit(bytes, start..<bytes.count, take)
        return bytes.count
    }

    /// The next line break; by memchr, because a step may print gigabytes.
    private static func lineBreak(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard start < bytes.count, let base = bytes.baseAddress,
            let found = memchr(base + start, 0x0A, bytes.count - start)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }

    private func emit(
        _ bytes: UnsafeRawBufferPointer,
        _ range: Range<Int>,
        _ take: (Piece) -> Void
    ) {
        guard !range.isEmpty else { return }
        take(.bytes(UnsafeRawBufferPointer(rebasing: bytes[range])))
    }
}
