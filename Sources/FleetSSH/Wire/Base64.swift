internal import CLibSSH2

/// Base64 as key files and known_hosts have it (RFC 4648, section 4), by libcrypto.
enum Base64 {
    /// The bytes of a text without white space; nil if it is not Base64.
    static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        let input = Array(text)
        guard !input.isEmpty, input.count % 4 == 0 else { return nil }
        let padding = input.suffix(2).count { $0 == UInt8(ascii: "=") }
        // The decoder skips white space at both ends, which would not be ours.
        guard input.dropLast(padding).allSatisfy({ $0 > 0x20 && $0 != UInt8(ascii: "=") }) else {
            return nil
        }
        var output = [UInt8](repeating: 0, count: input.count / 4 * 3)
        let count = EVP_DecodeBlock(&output, input, Int32(input.count))
        guard count >= padding else { return nil }
        return Array(output.prefix(Int(count) - padding))
    }

    /// The text of bytes.
    static func encode(_ bytes: [UInt8]) -> String {
        var output = [UInt8](repeating: 0, count: (bytes.count + 2) / 3 * 4 + 1)
        let count = EVP_EncodeBlock(&output, bytes, Int32(bytes.count))
        return String(decoding: output.prefix(Int(count)), as: UTF8.self)
    }
}
