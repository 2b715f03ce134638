internal import CLibSSH2
internal import FleetTransport

/// The algorithms that a host is offered, each list with the most wanted first.
struct AlgorithmChoice: Sendable, Hashable {
    var keyExchange = Algorithms.keyExchange
    var hostKeys = Algorithms.hostKeys
    var ciphers = Algorithms.ciphers
    var macs = Algorithms.macs

    /// What is offered if nobody says anything.
    static let usual = AlgorithmChoice()
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

    /// What a list of ssh_config(5) leaves of ours: names and patterns in the order that is wanted, or with `+`, `-`
    /// or `^` what is to be added to the default, removed from it or put first; nil for everything.
    static func allowed(by text: String?, of ours: [String]) -> [String] {
        guard let text, let sign = text.first else { return ours }
        let patterns = text.drop { "+-^".contains($0) }.split(separator: ",").map(String.init)
        var named: [String] = []
        for pattern in patterns {
            named += ours.filter { Glob.matches(pattern, $0) && !named.contains($0) }
        }
        switch sign {
        case "+": return ours
        case "-": return ours.filter { !named.contains($0) }
        case "^": return named + ours.filter { !named.contains($0) }
        default: return named
        }
    }

    /// Host-key methods with those of known keys first, so that the server proves a key we hold.
    static func hostKeys(preferring known: [String], of ours: [String] = hostKeys) -> [String] {
        let wanted = Set(
            known.flatMap { $0 == "ssh-rsa" ? ["rsa-sha2-512", "rsa-sha2-256"] : [$0] }
        )
        // In our own order, as ssh has it: the order of the lines in a file decides nothing.
        return ours.filter(wanted.contains) + ours.filter { !wanted.contains($0) }
    }

    /// Every preference as libssh2 wants it; an empty one is a method of which nothing is left.
    ///
    /// - Parameters:
    ///   - hostKeyTypes: The types of the keys that are known.
    ///   - choice: What may be offered at all.
    /// - Returns: Each method and its names.
    static func preferences(hostKeyTypes: [String], of choice: AlgorithmChoice)
        -> [(method: Int32, names: String)]
    {
        let isUsual = choice == .usual
        let common =
            isUsual
            ? usual
            : lists(of: choice).map { ($0, available($0, of: $1).joined(separator: ",")) }
        guard !hostKeyTypes.isEmpty || !isUsual else { return common }
        let order = hostKeys(preferring: hostKeyTypes, of: choice.hostKeys)
        let names = order.filter(knownHostKeys.contains).joined(separator: ",")
        return common.map { $0.method == LIBSSH2_METHOD_HOSTKEY ? ($0.method, names) : $0 }
    }

    /// ssh_config(5)'s name of a list, for messages.
    static func keyword(of method: Int32) -> String {
        switch method {
        case LIBSSH2_METHOD_KEX: "KexAlgorithms"
        case LIBSSH2_METHOD_HOSTKEY: "HostKeyAlgorithms"
        case LIBSSH2_METHOD_CRYPT_CS, LIBSSH2_METHOD_CRYPT_SC: "Ciphers"
        default: "MACs"
        }
    }

    /// What this client has of a list, whatever ssh_config leaves of it.
    static func all(_ method: Int32) -> [String] {
        let list = lists(of: .usual).first { $0.method == method }?.names ?? []
        return available(method, of: list)
    }

    private static func lists(of choice: AlgorithmChoice) -> [(method: Int32, names: [String])] {
        [
            (LIBSSH2_METHOD_KEX, choice.keyExchange), (LIBSSH2_METHOD_CRYPT_CS, choice.ciphers),
            (LIBSSH2_METHOD_CRYPT_SC, choice.ciphers), (LIBSSH2_METHOD_MAC_CS, choice.macs),
            (LIBSSH2_METHOD_MAC_SC, choice.macs), (LIBSSH2_METHOD_HOSTKEY, choice.hostKeys),
        ]
    }

    private static let knownHostKeys = available(LIBSSH2_METHOD_HOSTKEY, of: hostKeys)
    private static let usual: [(method: Int32, names: String)] =
        lists(of: .usual).map { ($0, available($0, of: $1).joined(separator: ",")) }

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
    static func disagree(with server: ServerOpening, _ choice: AlgorithmChoice) -> Bool {
        !disagreements(with: server, choice).isEmpty
    }

    /// Which lists have nothing in common, with both sides' names.
    static func disagreement(with server: ServerOpening, _ choice: AlgorithmChoice) -> String {
        let parts = disagreements(with: server, choice)
        return parts.isEmpty
            ? "libssh2 \(LibSSH2.version) and \(server.banner ?? "the server") found none"
            : parts.joined(separator: "; ")
    }

    private static func disagreements(with server: ServerOpening, _ choice: AlgorithmChoice)
        -> [String]
    {
        let pairs: [(what: String, method: Int32, ours: [String], theirs: [String])] = [
            ("key exchange", LIBSSH2_METHOD_KEX, choice.keyExchange, server.keyExchange),
            ("host key", LIBSSH2_METHOD_HOSTKEY, choice.hostKeys, server.hostKeys),
            ("cipher", LIBSSH2_METHOD_CRYPT_CS, choice.ciphers, server.ciphers),
            ("MAC", LIBSSH2_METHOD_MAC_CS, choice.macs, server.macs),
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
