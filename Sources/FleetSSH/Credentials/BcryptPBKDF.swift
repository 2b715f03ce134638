internal import CLibSSH2

/// The key derivation of OpenSSH's encrypted private keys: bcrypt_pbkdf(3) of OpenBSD.
///
/// OpenSSL has no bcrypt, so Blowfish's expensive key schedule (Provos and Mazières, "A
/// Future-Adaptable Password Scheme", 1999) is here. Its tables are the first 33,344 bits of pi's
/// fraction; they are worked out rather than copied, and the tests open keys that ssh-keygen wrote.
enum BcryptPBKDF {
    /// The most rounds.
    ///
    /// More than this are refused: each costs about a millisecond, and a file may name any
    /// number. ssh-keygen's default is 16 or 24.
    static let roundsLimit = 1_024

    /// Derives a key.
    ///
    /// - Returns: `count` bytes; nil for rounds out of bounds or an empty salt.
    static func derive(passphrase: [UInt8], salt: [UInt8], rounds: Int, count: Int) -> [UInt8]? {
        guard (1...roundsLimit).contains(rounds), !salt.isEmpty, (1...1024).contains(count) else {
            return nil
        }
        let blocks = (count + 31) / 32
        var key = [UInt8](repeating: 0, count: count)
        let hashedPassphrase = SHA512.digest(of: passphrase)
        for block in 0..<blocks {
            let number = UInt32(block + 1)
            let counter = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> UInt32($0)) }
            var last = hash(hashedPassphrase, SHA512.digest(of: salt + counter))
            var sum = last
            for _ in 1..<max(rounds, 1) {
                last = hash(hashedPassphrase, SHA512.digest(of: last))
                for index in sum.indices { sum[index] ^= last[index] }
            }
            // The blocks are interleaved, so that no part of the key is cheaper than the whole.
            for index in 0..<32 where index * blocks + block < count {
                key[index * blocks + block] = sum[index]
            }
        }
        return key
    }

    /// bcrypt over two SHA-512 digests: 32 bytes.
    private static func hash(_ passphrase: [UInt8], _ salt: [UInt8]) -> [UInt8] {
        var cipher = Blowfish()
        cipher.expand(key: passphrase, salt: salt)
        for _ in 0..<64 {
            cipher.expand(key: salt)
            cipher.expand(key: passphrase)
        }
        var words = Blowfish.words(of: Array("OxychromaticBlowfishSwatDynamite".utf8), count: 8)
        for _ in 0..<64 {
            for pair in stride(from: 0, to: 8, by: 2) {
                (words[pair], words[pair + 1]) = cipher.encrypt(words[pair], words[pair + 1])
            }
        }
        // Little-endian, as OpenBSD has it.
        return words.flatMap { word in
            [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: word >> UInt32($0)) }
        }
    }
}

/// SHA-512 by libcrypto.
private enum SHA512 {
    static func digest(of bytes: [UInt8]) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: 64)
        _ = CLibSSH2.SHA512(bytes, bytes.count, &output)
        return output
    }
}

/// Blowfish with bcrypt's key schedule.
private struct Blowfish {
    private var p: [UInt32]
    private var s: [UInt32]

    private static let initial = pi()

    init() {
        p = Array(Self.initial[..<18])
        s = Array(Self.initial[18...])
    }

    /// Pi's fraction as 18 + 4 x 256 words, by Machin's formula.
    private static func pi() -> [UInt32] {
        var words = [UInt32](repeating: 0, count: 18 + 1024)
        precondition(fleet_pi_words(&words, Int32(words.count)) == 0, "out of memory")
        return words
    }

    /// Big-endian words of bytes that are read round and round.
    static func words(of bytes: [UInt8], count: Int) -> [UInt32] {
        (0..<count).map { index in
            (0..<4).reduce(0) { $0 << 8 | UInt32(bytes[(index * 4 + $1) % bytes.count]) }
        }
    }

    mutating func expand(key: [UInt8], salt: [UInt8]? = nil) {
        let words = Self.words(of: key, count: 18)
        for index in p.indices { p[index] ^= words[index] }
        let mix = salt.map { Self.words(of: $0, count: $0.count / 4) }
        var left: UInt32 = 0
        var right: UInt32 = 0
        var turn = 0
        func next() -> UInt32 {
            guard let mix else { return 0 }
            defer { turn = (turn + 1) % mix.count }
            return mix[turn]
        }
        for index in stride(from: 0, to: 18, by: 2) {
            (left, right) = encrypt(left ^ next(), right ^ next())
            (p[index], p[index + 1]) = (left, right)
        }
        for index in stride(from: 0, to: 1024, by: 2) {
            (left, right) = encrypt(left ^ next(), right ^ next())
            (s[index], s[index + 1]) = (left, right)
        }
    }

    func encrypt(_ left: UInt32, _ right: UInt32) -> (UInt32, UInt32) {
        p.withUnsafeBufferPointer { p in
            s.withUnsafeBufferPointer { s in
                var l = left ^ p[0]
                var r = right
                for round in stride(from: 1, to: 17, by: 2) {
                    r ^= Self.f(l, s) ^ p[round]
                    l ^= Self.f(r, s) ^ p[round + 1]
                }
                return (r ^ p[17], l)
            }
        }
    }

    @inline(__always)
    private static func f(_ x: UInt32, _ s: UnsafeBufferPointer<UInt32>) -> UInt32 {
        let a = s[Int(x >> 24)] &+ s[256 + Int(x >> 16 & 255)]
        return (a ^ s[512 + Int(x >> 8 & 255)]) &+ s[768 + Int(x & 255)]
    }
}
