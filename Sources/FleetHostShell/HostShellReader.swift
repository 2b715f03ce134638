internal import CLinux
internal import Glibc

/// Tells our trailers from a host's output in one stream of bytes, however it is cut up.
///
/// A trailer is a line break, the session's nonce, a space, words, a line break. The nonce has 128
/// random bits: output that imitates a trailer is output.
package struct HostShellReader {
    /// What a piece of the stream is.
    package enum Piece {
        /// Bytes that a host printed.
        case bytes(UnsafeRawBufferPointer)
        /// The words of one of our own lines.
        case line([Substring])
    }

    /// The longest line of ours, in bytes.
    package static let lineLimitBytes = 512

    /// Two marks that others may see: what tells the session's nonce, and what sudo's question carries.
    private var marker: [UInt8]
    private let isOpen: Bool
    private var question: [UInt8]?
    /// Bytes that may be the beginning of a trailer.
    private var held: [UInt8] = []

    /// Reads a stream whose lines carry a nonce.
    package init(nonce: String) {
        marker = Self.marker(nonce)
        isOpen = false
    }

    /// Reads a stream whose first line carries a mark that is no secret, and tells the nonce: `MARK READY GROUP NONCE`.
    package init(mark: String) {
        marker = Self.marker(mark)
        isOpen = true
    }

    private static func marker(_ nonce: String) -> [UInt8] { Array("\n\(nonce) ".utf8) }

    /// From now on, or no longer, lines that carry a mark are sudo's question, and nothing else is.
    package mutating func expectQuestion(_ mark: String?) { question = mark.map(Self.marker) }

    /// Takes the next bytes and hands on what they are; undecided ones are kept.
    package mutating func read(_ bytes: UnsafeRawBufferPointer, _ take: (Piece) -> Void) {
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
    private mutating func scan(_ bytes: UnsafeRawBufferPointer, _ take: (Piece) -> Void) -> Int {
        var start = 0
        var position = 0
        while let (at, length, isQuestion) = next(in: bytes, from: position) {
            let body = at + length
            guard let end = Self.lineBreak(in: bytes, from: body) else {
                if bytes.count - at > Self.lineLimitBytes {
                    position = at + 1
                    continue
                }
                emit(bytes, start..<at, take)
                return at
            }
            let words = String(decoding: bytes[body..<end], as: UTF8.self).split(separator: " ")
            guard !isQuestion || words.first == "SUDO" else {
                position = at + 1
                continue
            }
            emit(bytes, start..<at, take)
            if isOpen, words.first == "READY", words.count == 3 {
                marker = Self.marker(String(words[2]))
            }
            take(.line(words))
            start = end + 1
            position = start
        }
        let rest = min(
            beginning(of: marker, atEndOf: bytes, from: start),
            question.map { beginning(of: $0, atEndOf: bytes, from: start) } ?? bytes.count
        )
        emit(bytes, start..<rest, take)
        return rest
    }

    /// Where the next line of ours begins, how long its mark is, and whether it can only be sudo's question.
    private func next(in bytes: UnsafeRawBufferPointer, from position: Int)
        -> (at: Int, length: Int, isQuestion: Bool)?
    {
        let own = Self.place(of: marker, in: bytes, from: position).map {
            ($0, marker.count, false)
        }
        guard let question, let asked = Self.place(of: question, in: bytes, from: position),
            own.map({ asked < $0.0 }) ?? true
        else { return own }
        return (asked, question.count, true)
    }

    /// Where a trailer may have begun whose marker has not arrived to its end.
    private func beginning(
        of marker: [UInt8],
        atEndOf bytes: UnsafeRawBufferPointer,
        from start: Int
    ) -> Int {
        let first = max(start, bytes.count - marker.count + 1)
        guard first < bytes.count, let base = bytes.baseAddress,
            // A marker has one line break, its first byte: an earlier one cannot be the beginning.
            let found = memrchr(base + first, 0x0A, bytes.count - first)
        else { return bytes.count }
        let at = UnsafeRawPointer(found) - base
        return bytes[at...].elementsEqual(marker.prefix(bytes.count - at)) ? at : bytes.count
    }

    /// The next marker; by memmem, because a step may print gigabytes of short lines.
    private static func place(
        of marker: [UInt8],
        in bytes: UnsafeRawBufferPointer,
        from start: Int
    ) -> Int? {
        guard start < bytes.count, let base = bytes.baseAddress,
            let found = memmem(base + start, bytes.count - start, marker, marker.count)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }

    /// The next line break.
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
