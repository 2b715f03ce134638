internal import CLibSSH2
internal import FleetTransport
internal import Glibc

/// A private key, parsed once for all hosts; signing is ours, so libssh2 never parses it again.
///
/// libssh2's own loading made OpenSSL decode the key for every host: half of a login's CPU
/// (measured).
///
/// `@unchecked Sendable`: an `EVP_PKEY` that nobody changes may sign on several threads at once.
final class PrivateKey: @unchecked Sendable {
    /// What kind of key it is.
    enum Kind: Sendable, Hashable {
        case ed25519
        case ecdsa(curve: String, digest: String)
        case rsa
    }

    let kind: Kind
    /// The public half as it stands on the wire.
    let publicBlob: [UInt8]
    private let key: OpaquePointer

    private init(kind: Kind, publicBlob: [UInt8], key: OpaquePointer) {
        self.kind = kind
        self.publicBlob = publicBlob
        self.key = key
    }

    deinit { EVP_PKEY_free(key) }

    /// Why a key cannot be used.
    struct Unusable: Error, Sendable, Hashable {
        let reason: String
        /// Whether a passphrase, or another one, would help.
        var wantsPassphrase = false

        static let locked = Unusable(reason: "it has a passphrase", wantsPassphrase: true)
        static let wrongPassphrase = Unusable(
            reason: "the passphrase is wrong",
            wantsPassphrase: true
        )
    }

    /// Signs data with a digest by OpenSSL's name; nil for Ed25519.
    ///
    /// - Returns: The raw signature as libssh2 expects it from its callback.
    func sign(_ data: UnsafeRawBufferPointer, digest: String?) -> [UInt8]? {
        var output: UnsafeMutablePointer<UInt8>?
        var length = 0
        let status = fleet_sign(
            key,
            digest,
            data.baseAddress?.assumingMemoryBound(to: UInt8.self),
            data.count,
            &output,
            &length
        )
        defer { free(output) }
        guard status == 0, let output else { return nil }
        let raw = Array(UnsafeBufferPointer(start: output, count: length))
        guard case .ecdsa = kind else { return raw }
        return Self.twoIntegers(der: raw)
    }

    /// RFC 5656, section 3.1.2: OpenSSL's DER sequence as two SSH integers.
    private static func twoIntegers(der: [UInt8]) -> [UInt8]? {
        var rest = der[...]
        func length() -> Int? {
            guard let first = rest.popFirst() else { return nil }
            guard first & 0x80 != 0 else { return Int(first) }
            let digits = rest.prefix(Int(first & 0x7F))
            rest = rest.dropFirst(digits.count)
            return digits.reduce(0) { $0 << 8 | Int($1) }
        }
        guard rest.popFirst() == 0x30, length() != nil else { return nil }
        var writer = WireFormatWriter()
        for _ in 0..<2 {
            guard rest.popFirst() == 0x02, let size = length(), rest.count >= size else {
                return nil
            }
            writer.magnitude(rest.prefix(size))
            rest = rest.dropFirst(size)
        }
        return writer.bytes
    }

    // MARK: Reading

    /// Reads a key file: OpenSSH's own format, PEM or PKCS#8.
    ///
    /// - Throws: ``Unusable``.
    static func read(_ text: String, passphrase: String? = nil) throws(Unusable) -> PrivateKey {
        let header = Array("-----BEGIN OPENSSH PRIVATE KEY-----".utf8)
        if lines(of: text).contains(where: { $0.starts(with: header) }) {
            return try readOpenSSH(text, passphrase: passphrase)
        }
        let bytes = Array(text.utf8)
        guard let key = fleet_key_from_pem(bytes, Int32(bytes.count), passphrase) else {
            guard text.contains("ENCRYPTED") else {
                throw Unusable(reason: "it is not a private key")
            }
            throw passphrase == nil ? .locked : .wrongPassphrase
        }
        return try describe(key)
    }

    /// The public half of a key in OpenSSH's own format, which no passphrase hides.
    static func publicBlob(of text: String) -> [UInt8]? {
        var reader = openSSHReader(text)
        guard reader?.string() != nil, reader?.string() != nil, reader?.string() != nil,
            reader?.uint32() == 1
        else { return nil }
        return reader?.string()
    }

    private static func lines(of text: String) -> [Substring.UTF8View] {
        text.utf8.split(whereSeparator: { $0 == 0x0A || $0 == 0x0D })
    }

    private static func openSSHReader(_ text: String) -> WireFormatReader? {
        let dashes = Array("-----".utf8)
        let body = lines(of: text).filter { !$0.starts(with: dashes) }.joined()
        let magic = Array("openssh-key-v1\0".utf8)
        guard let data = Base64.decode(body.filter { $0 > 0x20 }), data.starts(with: magic) else {
            return nil
        }
        return WireFormatReader(data.dropFirst(magic.count))
    }

    /// The format of OpenSSH's PROTOCOL.key.
    private static func readOpenSSH(_ text: String, passphrase: String?) throws(Unusable)
        -> PrivateKey
    {
        guard var reader = openSSHReader(text) else {
            throw Unusable(reason: "it is no whole OpenSSH key")
        }
        guard let cipher = reader.text(), let derivation = reader.text(),
            let options = reader.string(), reader.uint32() == 1, let publicBlob = reader.string(),
            var secret = reader.string()
        else { throw Unusable(reason: "it is cut short") }
        if cipher != "none" {
            guard let passphrase else { throw .locked }
            secret = try decrypt(
                secret,
                tag: reader.remaining,
                cipher: cipher,
                derivation: derivation,
                options: options,
                passphrase: passphrase
            )
        }
        var fields = WireFormatReader(secret)
        guard let first = fields.uint32(), first == fields.uint32(), let type = fields.text() else {
            // The two numbers are equal when the decryption was right.
            throw cipher == "none" ? Unusable(reason: "its check numbers differ") : .wrongPassphrase
        }
        var key: OpaquePointer?
        var kind = Kind.ed25519
        switch type {
        case "ssh-ed25519":
            guard fields.string() != nil, let pair = fields.string(), pair.count == 64 else {
                break
            }
            key = fleet_key_from_ed25519(Array(pair.prefix(32)))
        case "ssh-rsa":
            kind = .rsa
            guard let n = fields.magnitude(), let e = fields.magnitude(), let d = fields.magnitude()
            else { break }
            key = fleet_key_from_rsa(
                n,
                Int32(n.count),
                e,
                Int32(e.count),
                d,
                Int32(d.count)
            )
        default:
            guard let curve = fields.text(), let digest = Self.digests[curve],
                let point = fields.string(), let scalar = fields.magnitude()
            else {
                throw Unusable(reason: "a key of this kind (\(type)) \(SSHTransport.forOpenSSH)")
            }
            kind = .ecdsa(curve: curve, digest: digest)
            key = fleet_key_from_ecdsa(
                Self.openSSLCurves[curve] ?? "",
                point,
                point.count,
                scalar,
                Int32(scalar.count)
            )
        }
        guard let key else { throw Unusable(reason: "its \(type) numbers are not a key") }
        return PrivateKey(kind: kind, publicBlob: publicBlob, key: key)
    }

    /// Ciphers of encrypted keys by OpenSSH's names: OpenSSL's name, and sizes in bytes.
    private static let ciphers: [String: (name: String, key: Int, iv: Int, isAEAD: Bool)] = [
        "aes256-ctr": ("AES-256-CTR", 32, 16, false),
        "aes256-cbc": ("AES-256-CBC", 32, 16, false),
        "aes192-ctr": ("AES-192-CTR", 24, 16, false),
        "aes192-cbc": ("AES-192-CBC", 24, 16, false),
        "aes128-ctr": ("AES-128-CTR", 16, 16, false),
        "aes128-cbc": ("AES-128-CBC", 16, 16, false),
        "aes128-gcm@openssh.com": ("id-aes128-GCM", 16, 12, true),
        "aes256-gcm@openssh.com": ("id-aes256-GCM", 32, 12, true),
    ]

    private static func decrypt(
        _ secret: [UInt8],
        tag: [UInt8],
        cipher: String,
        derivation: String,
        options: [UInt8],
        passphrase: String
    ) throws(Unusable) -> [UInt8] {
        guard let known = ciphers[cipher], derivation == "bcrypt" else {
            throw Unusable(
                reason: "it is encrypted with \(cipher) and \(derivation), which is not supported; "
                    + "load it into ssh-agent (`ssh-add`)"
            )
        }
        var fields = WireFormatReader(options)
        guard let salt = fields.string(), let rounds = fields.uint32(),
            let bytes = BcryptPBKDF.derive(
                passphrase: Array(passphrase.utf8),
                salt: salt,
                rounds: Int(rounds),
                count: known.key + known.iv
            ), !known.isAEAD || tag.count >= 16
        else { throw Unusable(reason: "its encryption options are broken") }
        // An AEAD may hand out a block more than it got.
        var output = [UInt8](repeating: 0, count: secret.count + 32)
        let status = fleet_decrypt(
            known.name,
            Array(bytes[..<known.key]),
            Array(bytes[known.key...]),
            secret,
            Int32(secret.count),
            known.isAEAD ? Array(tag.prefix(16)) : nil,
            &output
        )
        guard status == 0 else { throw .wrongPassphrase }
        return Array(output.prefix(secret.count))
    }

    private static let digests = [
        "nistp256": "SHA256", "nistp384": "SHA384", "nistp521": "SHA512",
    ]
    private static let openSSLCurves = [
        "nistp256": "prime256v1", "nistp384": "secp384r1", "nistp521": "secp521r1",
    ]

    /// The public blob of a key that OpenSSL has read.
    private static func describe(_ key: OpaquePointer) throws(Unusable) -> PrivateKey {
        var buffer = [UInt8](repeating: 0, count: 2048)
        var length = 0
        var writer = WireFormatWriter()
        switch fleet_key_kind(key) {
        case EVP_PKEY_ED25519:
            guard fleet_key_octets(key, "pub", &buffer, buffer.count, &length) == 0 else { break }
            writer.text("ssh-ed25519")
            writer.string(buffer[..<length])
            return PrivateKey(kind: .ed25519, publicBlob: writer.bytes, key: key)
        case EVP_PKEY_EC:
            var name = [CChar](repeating: 0, count: 64)
            guard fleet_key_text(key, "group", &name, name.count) == 0,
                fleet_key_octets(key, "encoded-pub-key", &buffer, buffer.count, &length) == 0
            else { break }
            let end = name.firstIndex(of: 0) ?? name.endIndex
            let group = String(decoding: name[..<end].map { UInt8(bitPattern: $0) }, as: UTF8.self)
            guard let curve = openSSLCurves.first(where: { $0.value == group })?.key,
                let digest = digests[curve]
            else { break }
            writer.text("ecdsa-sha2-\(curve)")
            writer.text(curve)
            writer.string(buffer[..<length])
            return PrivateKey(
                kind: .ecdsa(curve: curve, digest: digest),
                publicBlob: writer.bytes,
                key: key
            )
        case EVP_PKEY_RSA:
            writer.text("ssh-rsa")
            for name in ["e", "n"] {
                let size = fleet_key_number(key, name, &buffer, Int32(buffer.count))
                guard size > 0 else { throw Unusable(reason: "its numbers cannot be read") }
                writer.magnitude(buffer[..<Int(size)])
            }
            return PrivateKey(kind: .rsa, publicBlob: writer.bytes, key: key)
        default: break
        }
        EVP_PKEY_free(key)
        throw Unusable(reason: "it is of a kind that is not supported")
    }
}
