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

    /// Something that this version cannot do.
    public struct Limitation: Sendable, Hashable {
        /// What it is.
        public let text: String
        /// What helps where there is no other client.
        public let cure: String
    }

    /// What this version cannot do, and what to do about it.
    public static var limitations: [Limitation] { limitations(isModern: isModern) }

    /// As measured against OpenSSH 9.2.
    static func limitations(isModern: Bool) -> [Limitation] {
        let always = [
            Limitation(
                text: "servers that allow only post-quantum key exchanges (sntrup761, mlkem768)",
                cure: "allow curve25519-sha256"
            ),
            Limitation(
                text: "hosts that are known by an authority only (`@cert-authority`)",
                cure: "`fleet trust` them"
            ),
            Limitation(
                text: "FIDO keys that are files, and Kerberos",
                cure: "put the key into an agent"
            ),
        ]
        guard !isModern else { return always }
        return always + [
            Limitation(
                text: "servers that have only an RSA host key",
                cure: "give them an Ed25519 key"
            ),
            Limitation(
                text:
                    "servers that allow only AES-GCM, ChaCha20 or `-etm` MACs, as ssh-audit advises",
                cure: "allow aes256-ctr and hmac-sha2-256"
            ),
            Limitation(
                text: "Ed25519 and RSA user certificates",
                cure: "use ECDSA, or a plain key"
            ),
            Limitation(
                text: "RSA user keys with servers other than OpenSSH",
                cure: "use an Ed25519 key"
            ),
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
