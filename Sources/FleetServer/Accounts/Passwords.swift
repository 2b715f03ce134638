internal import Crypto
internal import CryptoExtras
internal import Dispatch
internal import FoundationEssentials
internal import HTTPTypes
internal import Synchronization

/// Passwords, as scrypt keeps them (RFC 7914), in the form that `$scrypt$ln=17,r=8,p=1$SALT$HASH` has elsewhere.
///
/// N = 2¹⁷, r = 8, p = 1 (OWASP's password storage advice): 128 MiB and some 0.3 s for each guess. At most two are worked
/// out at a time, so that people who sign in, or guess, cannot use up the machine.
final class Passwords: Sendable {
    /// The shortest password, in characters (NIST SP 800-63B, 5.1.1.2, asks for 8; nobody has to remember these alone).
    static let shortest = 12
    /// The longest password, in bytes.
    static let longest = 1_000

    private static let logRounds = 17
    private let logRounds: Int
    /// The most that wait: who comes after them is told to come again.
    private static let mostWaiting = 16
    private let waiting = Counter()
    private let turn = Mutex(0)
    private let queues = (0..<2).map { DispatchQueue(label: "fleet.password.\($0)") }

    /// Uses scrypt.
    ///
    /// - Parameter logRounds: The binary logarithm of N; tests take less.
    init(logRounds: Int = Passwords.logRounds) { self.logRounds = logRounds }

    /// Why a password is not accepted; nil if it is.
    static func objection(to password: String, account: String) -> String? {
        if password.count < shortest { return "a password needs at least \(shortest) characters" }
        if password.utf8.count > longest { return "a password has at most \(longest) bytes" }
        if Set(password).count < 5 { return "a password needs at least five different characters" }
        if password.lowercased().contains(account.lowercased()), account.count > 3 {
            return "a password must not contain the account's name"
        }
        return nil
    }

    /// How many wait for a password to be worked out.
    private final class Counter: Sendable {
        private let count = Mutex(0)
        func enter(_ most: Int) -> Bool {
            count.withLock { count in
                guard count < most else { return false }
                count += 1
                return true
            }
        }
        func leave() { count.withLock { $0 -= 1 } }
    }

    /// Does something with passwords, unless too many others do.
    ///
    /// - Parameter work: What is done.
    /// - Returns: Its result.
    /// - Throws: ``Refusal`` if too many wait already.
    func inTurn<T: Sendable>(_ work: () async -> T) async throws -> T {
        guard waiting.enter(Self.mostWaiting) else {
            throw Refusal(.serviceUnavailable, "too many people sign in at this moment; try again")
        }
        defer { waiting.leave() }
        return await work()
    }

    /// The hash of a password, with a salt of its own.
    func hash(_ password: String) async -> String {
        let salt = Secrets.bytes(16)
        let key = await derive(password, salt, logRounds: logRounds)
        return "$scrypt$ln=\(logRounds),r=8,p=1$\(Secrets.hex(salt))$\(Secrets.hex(key))"
    }

    /// Whether a password is the one that was hashed.
    ///
    /// - Parameters:
    ///   - password: What was typed.
    ///   - hash: The hash; nil for an account that there is not, which takes as long as one that there is.
    /// - Returns: Whether it is.
    func matches(_ password: String, _ hash: String?) async -> Bool {
        let parts = (hash ?? "").split(separator: "$").map(String.init)
        let rounds = parts.count == 4 ? Int(parts[1].dropFirst(3).prefix { $0 != "," }) : nil
        guard let hash, let rounds, (1...24).contains(rounds), hash.hasPrefix("$scrypt$ln="),
            let salt = Secrets.bytes(hex: parts[2]), let key = Secrets.bytes(hex: parts[3])
        else {
            _ = await derive(password, Secrets.bytes(16), logRounds: logRounds)
            return false
        }
        return Secrets.areEqual(await derive(password, salt, logRounds: rounds), key)
    }

    private func derive(_ password: String, _ salt: [UInt8], logRounds: Int) async -> [UInt8] {
        // Normalised as far as a keyboard's choice between composed and decomposed letters goes is the browser's work.
        let bytes = Array(password.utf8.prefix(Self.longest + 1))
        let queue = queues[
            turn.withLock { turn in
                turn += 1
                return turn % queues.count
            }
        ]
        return await withCheckedContinuation { continuation in
            queue.async {
                do {
                    let key = try KDF.Scrypt.deriveKey(
                        from: bytes,
                        salt: salt,
                        outputByteCount: 32,
                        rounds: 1 << logRounds,
                        blockSize: 8,
                        parallelism: 1
                    )
                    continuation.resume(returning: key.withUnsafeBytes { Array($0) })
                } catch {
                    // Out of memory: nobody is let in by that, because a hash is never empty.
                    continuation.resume(returning: [])
                }
            }
        }
    }
}

/// Random secrets, and how they are stored and compared.
enum Secrets {
    /// Random bytes from the system.
    static func bytes(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }

    /// A secret for an address, a cookie or a token: 256 bits that can stand anywhere.
    static func make() -> String { hex(bytes(32)) }

    /// What is stored of a secret.
    static func hash(_ secret: String) -> String {
        hex(Array(SHA256.hash(data: Array(secret.utf8))))
    }

    /// Whether two are the same, in a time that does not tell where they differ.
    static func areEqual(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        guard !one.isEmpty, one.count == other.count else { return false }
        var difference: UInt8 = 0
        for (a, b) in zip(one, other) { difference |= a ^ b }
        return difference == 0
    }

    /// Whether two texts are the same, whatever their lengths, in a time that does not tell where they differ.
    static func areEqual(_ one: String, _ other: String) -> Bool {
        guard !one.isEmpty, !other.isEmpty else { return false }
        return areEqual(
            Array(SHA256.hash(data: Array(one.utf8))),
            Array(SHA256.hash(data: Array(other.utf8)))
        )
    }

    /// Digits for bytes.
    static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] },
            as: UTF8.self
        )
    }

    /// Bytes for digits; nil if they are none.
    static func bytes(hex text: String) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count % 2 == 0 else { return nil }
        var bytes: [UInt8] = []
        for place in stride(from: 0, to: digits.count, by: 2) {
            guard let high = Character(UnicodeScalar(digits[place])).hexDigitValue,
                let low = Character(UnicodeScalar(digits[place + 1])).hexDigitValue
            else { return nil }
            bytes.append(UInt8(high << 4 | low))
        }
        return bytes
    }

    /// The HMAC-SHA256 of a message.
    static func hmac(_ message: [UInt8], key: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: key)))
    }
}
