internal import CLibSSH2
internal import Glibc

/// A growing buffer that is filled at one end and emptied at the other.
final class ByteQueue {
    private(set) var base: UnsafeMutableRawPointer?
    private var capacity = 0
    private var head = 0
    private var tail = 0

    deinit { free(base) }

    /// How many bytes are waiting.
    var count: Int { tail - head }

    /// The first waiting byte.
    var start: UnsafeMutableRawPointer? { base.map { $0 + head } }

    /// Where the next byte will stand.
    var end: UnsafeMutableRawPointer? { base.map { $0 + tail } }

    /// Room for `size` more bytes; follow with ``grow(_:)``.
    func room(for size: Int) -> UnsafeMutableRawPointer? {
        if capacity - tail < size {
            if head > 0, let base {
                memmove(base, base + head, tail - head)
                tail -= head
                head = 0
            }
            if capacity - tail < size {
                var wanted = max(capacity, 4096)
                while wanted - tail < size { wanted *= 2 }
                base = realloc(base, wanted)
                precondition(base != nil, "out of memory")
                capacity = wanted
            }
        }
        return base.map { $0 + tail }
    }

    /// Counts bytes that were written into the room.
    func grow(_ count: Int) { tail += count }

    /// Adds bytes at the end.
    func append(_ bytes: UnsafeRawPointer, _ count: Int) {
        room(for: count)?.copyMemory(from: bytes, byteCount: count)
        tail += count
    }

    /// Takes at most `limit` bytes from the front.
    func take(into target: UnsafeMutableRawPointer, _ limit: Int) -> Int {
        let size = min(limit, count)
        guard size > 0, let start else { return 0 }
        target.copyMemory(from: start, byteCount: size)
        drop(size)
        return size
    }

    /// Forgets bytes at the front.
    func drop(_ size: Int) {
        head += size
        guard head == tail else { return }
        head = 0
        tail = 0
        // A buffer that a large transfer blew up is given back.
        guard capacity > 1 << 16 else { return }
        free(base)
        base = nil
        capacity = 0
    }
}

/// The two buffers between libssh2 and whatever carries its bytes.
///
/// libssh2 never touches a socket: its SEND callback always takes everything, so a packet is never
/// half sent, and its RECV callback reads what has arrived.
///
/// `@unchecked Sendable`: confined to one reactor; a jump host's session fills the wires of the
/// sessions behind it, which live on the same reactor.
final class Wire: @unchecked Sendable {
    let incoming = ByteQueue()
    let outgoing = ByteQueue()
    /// The other side has closed: RECV returns 0 once the buffer is empty.
    var isAtEnd = false
    /// The first bytes that arrived, until the handshake is over.
    ///
    /// What the server called itself and which algorithms it offered, for messages: libssh2 tells
    /// neither.
    private(set) var opening: [UInt8]? = []
    /// Torn down: sends vanish and nothing arrives, so that freeing a session never waits.
    var isDead = false

    /// Text of the keyboard-interactive login; libssh2 hands its callback nothing but this wire.
    var loginAnswers: LoginAnswers?

    /// How much of the beginning is kept, in bytes; a banner and a KEXINIT are less than 4 KiB.
    static let openingLimitBytes = 16_384

    /// Counts bytes that were written into the room of `incoming`.
    func arrived(_ count: Int) {
        if let known = opening?.count, known < Self.openingLimitBytes, let start = incoming.end {
            let size = min(count, Self.openingLimitBytes - known)
            opening?.append(contentsOf: UnsafeRawBufferPointer(start: start, count: size))
        }
        incoming.grow(count)
    }

    /// Forgets the beginning.
    func forgetOpening() { opening = nil }

    static let receive: fleet_recv = { _, buffer, length, _, abstract in
        guard let wire = Wire.from(abstract), let buffer, !wire.isDead else { return 0 }
        let count = wire.incoming.take(into: buffer, length)
        if count > 0 { return count }
        return wire.isAtEnd ? 0 : Int(-EAGAIN)
    }

    static let send: fleet_send = { _, buffer, length, _, abstract in
        guard let wire = Wire.from(abstract), let buffer, !wire.isDead else { return length }
        wire.outgoing.append(buffer, length)
        return length
    }

    static func from(_ abstract: UnsafeMutablePointer<UnsafeMutableRawPointer?>?) -> Wire? {
        abstract?.pointee.map { Unmanaged<Wire>.fromOpaque($0).takeUnretainedValue() }
    }
}
