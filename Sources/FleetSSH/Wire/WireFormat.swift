/// Reads SSH's own data types (RFC 4251, section 5).
struct WireFormatReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: some Sequence<UInt8>) { rest = Array(bytes)[...] }

    var isAtEnd: Bool { rest.isEmpty }

    /// What has not been read yet.
    var remaining: [UInt8] { Array(rest) }

    mutating func byte() -> UInt8? { rest.popFirst() }

    mutating func uint32() -> UInt32? {
        guard rest.count >= 4 else { return nil }
        defer { rest = rest.dropFirst(4) }
        return rest.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    mutating func string() -> [UInt8]? {
        guard let length = uint32(), rest.count >= Int(length) else { return nil }
        defer { rest = rest.dropFirst(Int(length)) }
        return Array(rest.prefix(Int(length)))
    }

    mutating func text() -> String? { string().map { String(decoding: $0, as: UTF8.self) } }

    /// A positive multiple-precision integer without its leading zero.
    mutating func magnitude() -> [UInt8]? { string().map { Array($0.drop { $0 == 0 }) } }
}

/// Writes SSH's own data types (RFC 4251, section 5).
struct WireFormatWriter {
    private(set) var bytes: [UInt8] = []

    mutating func byte(_ value: UInt8) { bytes.append(value) }

    mutating func uint32(_ value: UInt32) {
        for shift in [24, 16, 8, 0] {
            bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(shift)))
        }
    }

    mutating func string(_ value: some Collection<UInt8>) {
        uint32(UInt32(value.count))
        bytes += value
    }

    mutating func text(_ value: String) { string(Array(value.utf8)) }

    /// A positive integer, with a zero in front when its first bit is set.
    mutating func magnitude(_ value: some Sequence<UInt8>) {
        let digits = Array(value.drop { $0 == 0 })
        string((digits.first ?? 0) & 0x80 != 0 ? [0] + digits : digits)
    }
}
