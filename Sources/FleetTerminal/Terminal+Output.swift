internal import FleetReport
package import FleetRunner

extension Terminal {
    /// Prints an output piece by piece, whatever its size, and says where bytes are missing.
    package func print(_ output: OutputCapture) {
        let total = output.totalBytes
        let dropped = output.droppedBytes
        let kept = total - dropped
        guard kept > 0 else { return }
        let head = dropped > 0 ? min(kept, OutputCapture.Limits.spool.head) : kept
        write(output, 0..<head)
        guard dropped > 0 else { return }
        write("(\(dropped) bytes in the middle were not kept)\n")
        write(output, head..<kept)
    }

    private func write(_ output: OutputCapture, _ range: Range<Int>) {
        let size = min(range.count, OutputCapture.pieceBytes)
        withUnsafeTemporaryAllocation(byteCount: size, alignment: 16) { buffer in
            var start = range.lowerBound
            var last: UInt8 = 0x0A
            while start < range.upperBound {
                let room = UnsafeMutableRawBufferPointer(
                    rebasing: buffer[..<min(size, range.upperBound - start)]
                )
                var piece = buffer[..<output.read(from: start, into: room)]
                guard !piece.isEmpty else { break }
                // A character is not cut in two: pieces end with a line where there is one.
                if start + piece.count < range.upperBound, let end = piece.lastIndex(of: 0x0A) {
                    piece = piece[...end]
                }
                start += piece.count
                last = piece[piece.endIndex - 1]
                let bytes = UnsafeRawBufferPointer(rebasing: piece)
                if Sanitizer.isPlain(bytes) {
                    write(bytes)
                } else {
                    let text = String(decoding: bytes, as: UTF8.self)
                    write(Sanitizer.safe(text))
                }
            }
            if last != 0x0A { write("\n") }
        }
    }
}
