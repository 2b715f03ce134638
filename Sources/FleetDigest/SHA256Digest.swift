internal import CLibSSH2

/// A SHA-256 digest that is computed piece by piece.
///
/// `@unchecked Sendable`: used by one caller at a time, in turn.
public final class SHA256Stream: @unchecked Sendable {
    private let context = EVP_MD_CTX_new()

    /// Begins a digest.
    public init() { EVP_DigestInit_ex(context, EVP_sha256(), nil) }

    deinit { EVP_MD_CTX_free(context) }

    /// Takes the next bytes.
    public func update(_ bytes: [UInt8]) { EVP_DigestUpdate(context, bytes, bytes.count) }

    /// Ends the digest: 64 lower-case hexadecimal digits.
    public func finish() -> String {
        var output = [UInt8](repeating: 0, count: 32)
        EVP_DigestFinal_ex(context, &output, nil)
        return SHA256Digest.hexadecimal(output)
    }
}

/// A SHA-256 digest (FIPS 180-4), computed by libcrypto.
///
/// The one place where plans, journal entries and uploads are hashed. Swift's own `Hasher` is seeded
/// per process and must not be used for anything that is stored.
public struct SHA256Digest: Sendable, Hashable, CustomStringConvertible {
    /// The 32 bytes.
    public let bytes: [UInt8]

    /// Hashes bytes.
    public init(of data: some Sequence<UInt8>) {
        let input = Array(data)
        var output = [UInt8](repeating: 0, count: 32)
        _ = SHA256(input, input.count, &output)
        bytes = output
    }

    /// Hashes a text's UTF-8 bytes.
    public init(of text: String) {
        self.init(of: text.utf8)
    }

    /// 64 lower-case hexadecimal digits.
    public var description: String { Self.hexadecimal(bytes) }

    /// Bytes as lower-case hexadecimal digits.
    public static func hexadecimal(_ bytes: [UInt8]) -> String {
        String(unsafeUninitializedCapacity: 2 * bytes.count) { text in
            for (index, byte) in bytes.enumerated() {
                text[2 * index] = digit(byte >> 4)
                text[2 * index + 1] = digit(byte & 15)
            }
            return 2 * bytes.count
        }
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}
