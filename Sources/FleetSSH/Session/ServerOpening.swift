internal import FleetHostShell

/// What a server said first: lines, its banner, and the algorithms it offers.
///
/// RFC 4253, sections 4.2 and 7.1. Only for messages: libssh2 does the protocol.
struct ServerOpening: Sendable {
    /// The most that may come before the banner, in bytes and lines; sshd sends nothing.
    static let limitBytes = 8_192
    static let limitLines = 64

    /// The name-lists of a KEXINIT, in order; empty if there is none.
    private(set) var offers: [[String]] = []
    /// The banner line, once it is complete.
    private(set) var banner: String?
    private let bytes: [UInt8]
    private var lines = 0

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        var rest = bytes[...]
        while let end = rest.firstIndex(of: 0x0A) {
            let line = rest[..<end]
            rest = rest[(end + 1)...]
            lines += 1
            guard line.starts(with: Array("SSH-".utf8)) else { continue }
            banner = SSHText.oneLine(line)
            offers = Self.offers(in: rest)
            break
        }
    }

    /// Whether the first line is a complete banner, as it nearly always is; costs nothing.
    static func beginsWithBanner(_ bytes: [UInt8]) -> Bool {
        bytes.starts(with: Self.mark) && bytes.contains(0x0A)
    }

    private static let mark = Array("SSH-".utf8)

    /// The first words that came, printable.
    var firstWords: String { SSHText.oneLine(bytes.prefix(200), limit: 80) }

    /// Why this is no SSH server; nil while it may still become one.
    var problem: String? {
        guard banner == nil else { return nil }
        let isHTTP = bytes.starts(with: Array("HTTP/".utf8))
        let isTooMuch = bytes.count > Self.limitBytes || lines > Self.limitLines
        return isHTTP || isTooMuch ? firstWords : nil
    }

    var keyExchange: [String] { offer(0) }
    var hostKeys: [String] { offer(1) }
    var ciphers: [String] { offer(2) }
    var macs: [String] { offer(4) }

    private func offer(_ index: Int) -> [String] { index < offers.count ? offers[index] : [] }

    private static func offers(in packet: ArraySlice<UInt8>) -> [[String]] {
        var reader = WireFormatReader(packet)
        // Length, padding length, message number 20, 16 random bytes.
        guard let length = reader.uint32(), length < 35_000, reader.byte() != nil,
            reader.byte() == 20
        else { return [] }
        for _ in 0..<16 { _ = reader.byte() }
        var offers: [[String]] = []
        for _ in 0..<10 {
            guard let list = reader.text() else { break }
            offers.append(list.split(separator: ",").map { SSHText.oneLine(Array($0.utf8)) })
        }
        return offers
    }
}
