internal import CLibSSH2
internal import FleetFiles
internal import FleetTransport
internal import Glibc

/// The library underneath: its one-time initialisation and its versions.
public enum LibSSH2 {
    /// Initialises libssh2 once, before any session; OpenSSL needs no locking callbacks.
    static let isInitialised = libssh2_init(0) == 0

    /// Keeps OpenSSL in one piece until the process is gone; to be called before anything else of it.
    ///
    /// By default it takes itself apart when `exit` begins, while event loops still use it.
    public static func stayUntilTheEnd() { fleet_keep_openssl() }

    /// Whether the library is 1.11 or newer; told at run time, as one binary serves both.
    static let isModern: Bool = libssh2_version(0x010b00) != nil

    /// libssh2's version, as in `1.10.0`.
    public static var version: String {
        libssh2_version(0).map { String(cString: $0) } ?? "unknown"
    }

    /// What this version cannot do, and what to do about it.
    public static var limitations: [String] { limitations(isModern: isModern) }

    /// As measured against OpenSSH 9.2.
    static func limitations(isModern: Bool) -> [String] {
        let always = [
            "no post-quantum key exchange (sntrup761x25519, mlkem768x25519)",
            "no host certificates: hosts behind `@cert-authority` need their plain key, too",
        ]
        guard !isModern else { return always }
        return always + [
            "servers that have only an RSA host key cannot be reached: give them an Ed25519 key",
            "servers that allow only AES-GCM or ChaCha20 cannot be reached: allow aes256-ctr",
            "Ed25519 and RSA user certificates cannot be used: use ECDSA, or a plain key",
            "RSA user keys work with OpenSSH servers only",
        ]
    }

    /// Why this version must not be used as it is; nil if it may.
    ///
    /// 1.11.0 and 1.11.1 write out of bounds before the login (CVE-2026-55200). A distribution's
    /// security revision of them (`+deb13u1`, `ubuntu0.1`) has that mended, and its version number
    /// is the only sign of it.
    public static var danger: String? { danger(version: version, package: packageRevision) }

    static func danger(version: String, package: () -> String?) -> String? {
        guard ["1.11.0", "1.11.1"].contains(version) else { return nil }
        let isPatched = package().map { $0.contains("+deb") || $0.contains("ubuntu0") } ?? false
        guard !isPatched else { return nil }
        return "libssh2 \(version) lets a server write into fleet's memory before the login "
            + "(CVE-2026-55200)"
    }

    /// The Debian package's version, where there is one.
    private static func packageRevision() -> String? {
        guard let data = WholeFile.read("/var/lib/dpkg/status") else {
            return nil
        }
        var isOurs = false
        for line in data.split(separator: 0x0A, omittingEmptySubsequences: false) {
            if line.starts(with: Array("Package: ".utf8)) {
                isOurs =
                    line.dropFirst(9).starts(with: Array("libssh2-1".utf8))
                    && !line.suffix(4).elementsEqual(Array("-dev".utf8))
            } else if isOurs, line.starts(with: Array("Version: ".utf8)) {
                return String(decoding: line.dropFirst(9), as: UTF8.self)
            }
        }
        return nil
    }

    /// A descriptor for libssh2 to look at, where our callbacks carry the bytes.
    ///
    /// libssh2 makes it non-blocking and, when the session is freed, blocking again if it was so
    /// before. By then its number may be another connection's, whose next read would stop the whole
    /// reactor. So there is one for all, non-blocking from the start and never closed.
    static let placeholder = open("/dev/null", O_RDWR | O_CLOEXEC | O_NONBLOCK)

    /// OpenSSL's version line.
    public static var openSSLVersion: String {
        fleet_openssl_version().map { String(cString: $0) } ?? "unknown"
    }
}

/// The algorithms offered, most wanted first.
///
/// Always set: the defaults of 1.10 still offer 3des, arcfour and md5 (measured). Only names that
/// the library knows are given to it: 1.10 strikes out the others by copying overlapping memory
/// with `memcpy`, which may garble the list (AddressSanitizer).
enum Algorithms {
    static let keyExchange = [
        "curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384", "ecdh-sha2-nistp521", "diffie-hellman-group16-sha512",
        "diffie-hellman-group14-sha256",
    ]
    static let hostKeys = [
        "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
        "rsa-sha2-512", "rsa-sha2-256",
    ]
    /// AES-CTR before AES-GCM, and no ChaCha20.
    ///
    /// libssh2 decrypts block by block, so its AES-GCM costs a third more than AES-CTR with a MAC (measured
    /// with 1.11.1). ChaCha20 would be cheaper, but is only safe with servers that know the strict key
    /// exchange (CVE-2023-48795), and the list is sent before we know the server.
    static let ciphers = [
        "aes128-ctr", "aes256-ctr", "aes128-gcm@openssh.com", "aes256-gcm@openssh.com",
    ]
    static let macs = ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"]

    /// Host-key methods with those of known keys first, so that the server proves a key we hold.
    static func hostKeys(preferring known: [String]) -> [String] {
        let wanted = Set(
            known.flatMap { $0 == "ssh-rsa" ? ["rsa-sha2-512", "rsa-sha2-256"] : [$0] }
        )
        // In our own order, as ssh has it: the order of the lines in a file decides nothing.
        return hostKeys.filter(wanted.contains) + hostKeys.filter { !wanted.contains($0) }
    }

    /// What `HostKeyAlgorithms` leaves of our own list (ssh_config(5)): a list of patterns, or with `+`, `-` or
    /// `^` what is to be added to the default, removed from it or put first; nil for everything.
    static func hostKeys(allowedBy text: String?) -> [String] {
        guard let text, let sign = text.first else { return hostKeys }
        let patterns = text.drop { "+-^".contains($0) }.split(separator: ",").map(String.init)
        func isNamed(_ name: String) -> Bool { Patterns.matches(patterns, name) }
        switch sign {
        case "+": return hostKeys
        case "-": return hostKeys.filter { !isNamed($0) }
        case "^": return hostKeys.filter(isNamed) + hostKeys.filter { !isNamed($0) }
        default: return hostKeys.filter(isNamed)
        }
    }

    /// Every preference as libssh2 wants it.
    ///
    /// - Parameters:
    ///   - hostKeyTypes: The types of the keys that are known.
    ///   - allowed: What may be asked for at all, in order; see ``hostKeys(allowedBy:)``.
    /// - Returns: No list at all of a method for which nothing is left.
    static func preferences(hostKeyTypes: [String], allowed: [String] = hostKeys)
        -> [(method: Int32, names: String)]
    {
        let isUsual = hostKeyTypes.isEmpty && allowed == hostKeys
        let wanted = hostKeys(preferring: hostKeyTypes).filter(allowed.contains)
        let order = hostKeyTypes.isEmpty ? allowed : wanted
        let hostKeys =
            isUsual
            ? hostKeyNames : order.filter(knownHostKeys.contains).joined(separator: ",")
        return common + [(LIBSSH2_METHOD_HOSTKEY, hostKeys)]
    }

    private static let knownHostKeys = available(LIBSSH2_METHOD_HOSTKEY, of: hostKeys)
    private static let hostKeyNames = knownHostKeys.joined(separator: ",")
    private static let common: [(method: Int32, names: String)] = [
        (LIBSSH2_METHOD_KEX, keyExchange), (LIBSSH2_METHOD_CRYPT_CS, ciphers),
        (LIBSSH2_METHOD_CRYPT_SC, ciphers), (LIBSSH2_METHOD_MAC_CS, macs),
        (LIBSSH2_METHOD_MAC_SC, macs),
    ].map { ($0, available($0, of: $1).joined(separator: ",")) }

    /// Those of the wanted algorithms that the library on this machine has.
    static func available(_ method: Int32, of wanted: [String]) -> [String] {
        guard let session = libssh2_session_init_ex(nil, nil, nil, nil) else { return wanted }
        defer { libssh2_session_free(session) }
        var list: UnsafeMutablePointer<UnsafePointer<CChar>?>?
        let count = libssh2_session_supported_algs(session, method, &list)
        guard count > 0, let list else { return wanted }
        defer { libssh2_free(session, list) }
        let names = (0..<Int(count)).compactMap { list[$0].map { String(cString: $0) } }
        return wanted.filter(names.contains)
    }

    /// Whether a server's offers leave out everything of ours in some list.
    static func disagree(with server: ServerOpening) -> Bool {
        !disagreements(with: server).isEmpty
    }

    /// Which lists have nothing in common, with both sides' names.
    static func disagreement(with server: ServerOpening) -> String {
        let parts = disagreements(with: server)
        return parts.isEmpty
            ? "libssh2 \(LibSSH2.version) and \(server.banner ?? "the server") found none"
            : parts.joined(separator: "; ")
    }

    private static func disagreements(with server: ServerOpening) -> [String] {
        let pairs: [(what: String, method: Int32, ours: [String], theirs: [String])] = [
            ("key exchange", LIBSSH2_METHOD_KEX, keyExchange, server.keyExchange),
            ("host key", LIBSSH2_METHOD_HOSTKEY, hostKeys, server.hostKeys),
            ("cipher", LIBSSH2_METHOD_CRYPT_CS, ciphers, server.ciphers),
            ("MAC", LIBSSH2_METHOD_MAC_CS, macs, server.macs),
        ]
        var parts: [String] = []
        for (what, method, wanted, theirs) in pairs {
            let ours = available(method, of: wanted)
            guard !theirs.isEmpty, !ours.contains(where: theirs.contains) else { continue }
            parts.append(
                "\(what): fleet (libssh2 \(LibSSH2.version)) has \(ours.joined(separator: ", ")); "
                    + "\(server.banner ?? "the server") has \(theirs.joined(separator: ", "))"
            )
        }
        return parts
    }
}
