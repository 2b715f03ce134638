/// A range of IP addresses, as in `10.0.0.0/8`, `::1` or `unix`: whoever comes through a Unix socket.
public struct AddressRange: Sendable, Hashable {
    private let bytes: [UInt8]
    private let bits: Int
    private let isSocket: Bool

    /// Reads a range; nil if the text is none.
    public init?(_ text: String) {
        isSocket = text == "unix"
        guard !isSocket else {
            bytes = []
            bits = 0
            return
        }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let address = Self.address(String(parts[0])) else { return nil }
        let most = address.count * 8
        var bits = most
        if parts.count == 2 {
            guard let wanted = Int(parts[1]), (0...most).contains(wanted) else { return nil }
            bits = wanted
        }
        bytes = address
        self.bits = bits
    }

    /// Whether an address is in the range.
    ///
    /// - Parameter text: An address; nil for whoever comes through a Unix socket.
    /// - Returns: Whether it is.
    public func contains(_ text: String?) -> Bool {
        guard let text else { return isSocket }
        guard !isSocket, let address = Self.address(text), address.count == bytes.count else {
            return false
        }
        for bit in 0..<bits where (address[bit / 8] ^ bytes[bit / 8]) & (0x80 >> (bit % 8)) != 0 {
            return false
        }
        return true
    }

    /// The bytes of an address, 4 or 16 of them; an IPv4 address in IPv6's clothes is an IPv4 address (RFC 4291,
    /// 2.5.5.2).
    static func address(_ text: String) -> [UInt8]? {
        guard text.contains(":") else { return version4(text[...]) }
        var head: [UInt8] = []
        var tail: [UInt8]?
        // `::` stands for as many zeros as are missing.
        let halves = text.split(separator: "::", maxSplits: 2, omittingEmptySubsequences: false)
        let hasGap = text.contains("::")
        guard hasGap ? halves.count == 2 : halves.count == 1 else { return nil }
        for (number, half) in halves.enumerated() {
            guard let read = groups(half) else { return nil }
            if number == 0 { head = read } else { tail = read }
        }
        let count = head.count + (tail?.count ?? 0)
        guard hasGap ? count <= 14 : count == 16 else { return nil }
        let all = head + [UInt8](repeating: 0, count: 16 - count) + (tail ?? [])
        let mapped = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF]
        return Array(all[..<12]) == mapped ? Array(all[12...]) : all
    }

    private static func groups(_ text: Substring) -> [UInt8]? {
        guard !text.isEmpty else { return [] }
        var bytes: [UInt8] = []
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (number, part) in parts.enumerated() {
            if number == parts.count - 1, part.contains(".") {
                guard let last = version4(part) else { return nil }
                bytes += last
                continue
            }
            guard (1...4).contains(part.utf8.count), part.allSatisfy(\.isHexDigit),
                let value = UInt16(part, radix: 16)
            else { return nil }
            bytes += [UInt8(value >> 8), UInt8(value & 0xFF)]
        }
        return bytes
    }

    private static func version4(_ text: Substring) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bytes: [UInt8] = []
        for part in parts {
            // A leading zero means octal to some, and something else to others.
            guard (1...3).contains(part.utf8.count),
                part.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                part == "0" || !part.hasPrefix("0"), let byte = UInt8(part)
            else { return nil }
            bytes.append(byte)
        }
        return bytes
    }

    /// The address that a request comes from, when proxies stand between.
    ///
    /// Each proxy adds, at the right of `X-Forwarded-For`, whom it talked to. What the outermost trusted proxy saw is
    /// the first address from the right that is none of theirs; everything to the left of it may be invented.
    ///
    /// - Parameters:
    ///   - peer: The other end of the connection; nil for a Unix socket.
    ///   - forwarded: The values of the `X-Forwarded-For` headers, in their order.
    ///   - proxies: The proxies that are trusted.
    /// - Returns: The address; `unix` for whoever comes through a socket without any other.
    public static func client(peer: String?, forwarded: [String], proxies: [AddressRange]) -> String
    {
        var seen = peer
        guard proxies.contains(where: { $0.contains(peer) }) else { return peer ?? "unix" }
        let hops = forwarded.flatMap { $0.split(separator: ",") }.map {
            String($0.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }
        for hop in hops.reversed() {
            // What is no address was written by nobody whom we trust.
            guard address(hop) != nil else { break }
            seen = hop
            guard proxies.contains(where: { $0.contains(hop) }) else { break }
        }
        return seen ?? "unix"
    }
}
