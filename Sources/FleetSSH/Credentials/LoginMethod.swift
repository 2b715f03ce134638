internal import Glibc

/// A way to log in that this client knows, by its name on the wire (RFC 4252, RFC 4256).
enum LoginMethod: String, Sendable, Hashable {
    case publicKey = "publickey"
    case keyboardInteractive = "keyboard-interactive"
    case password
}

/// Which keys may be offered (ssh_config(5): PubkeyAcceptedAlgorithms, RequiredRSASize).
struct KeyRule: Sendable, Hashable {
    /// OpenSSH's default, in bits.
    static let leastRSABits = 1024

    /// The list as it stands in ssh_config; nil for every algorithm.
    var algorithms: String?
    /// Shorter RSA keys are not used, in bits.
    var leastRSABits = KeyRule.leastRSABits

    /// Why a key may not be offered; nil if it may.
    func objection(to blob: [UInt8]) -> String? {
        let type = HostKey(blob: blob).type
        let suffix = "-cert-v01@openssh.com"
        let isCertificate = type.hasSuffix(suffix)
        let plain = isCertificate ? String(type.dropLast(suffix.count)) : type
        let names = plain == "ssh-rsa" ? ["rsa-sha2-512", "rsa-sha2-256"] : [plain]
        let signed = isCertificate ? names.map { $0 + suffix } : names
        if Algorithms.allowed(by: algorithms, of: signed).isEmpty {
            return "`PubkeyAcceptedAlgorithms` of ssh_config leaves \(type) out"
        }
        if let bits = Self.rsaBits(of: blob), bits < leastRSABits {
            return "it has \(bits) bits, and `RequiredRSASize` asks for \(leastRSABits)"
        }
        return nil
    }

    /// The length of an RSA key's modulus, in bits; nil for other keys.
    static func rsaBits(of blob: [UInt8]) -> Int? {
        var reader = WireFormatReader(blob)
        guard reader.text() == "ssh-rsa", reader.string() != nil, let modulus = reader.string()
        else {
            return nil
        }
        let digits = modulus.drop { $0 == 0 }
        guard let first = digits.first else { return 0 }
        return digits.count * 8 - first.leadingZeroBitCount
    }
}

/// Where accounts of this machine live.
enum HomeDirectory {
    /// An account's home directory by the system's files; nil if there is no such account.
    static func of(_ name: String) -> String? {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16_384)
        guard getpwnam_r(name, &entry, &buffer, buffer.count, &found) == 0, let found else {
            return nil
        }
        return found.pointee.pw_dir.map { String(cString: $0) }
    }
}
