internal import CLibSSH2
internal import FleetDigest
internal import FleetTransport

/// A host's public key as it stands on the wire (RFC 4253, section 6.6).
struct HostKey: Sendable, Hashable {
    /// The key blob.
    let blob: [UInt8]

    /// The blob's first string, as in `ssh-ed25519` or `ecdsa-sha2-nistp256`.
    var type: String { String(decoding: typeBytes, as: UTF8.self) }

    fileprivate var typeBytes: ArraySlice<UInt8> {
        guard blob.count > 4 else { return [] }
        let length = blob[..<4].reduce(0) { $0 << 8 | Int($1) }
        return length <= blob.count - 4 ? blob[4..<4 + length] : []
    }

    /// The fingerprint as `ssh-keygen -l` prints it, with the type in front.
    var fingerprint: String {
        let digest = Base64.encode(SHA256Digest(of: blob).bytes)
        return "\(type) SHA256:\(String(digest.prefix { $0 != "=" }))"
    }
}

/// What known_hosts files say about hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
///
/// Our own reader: libssh2's takes a key marked `@revoked` for a match, ignores wildcards, and
/// drops the rest of a file after one broken line (measured).
struct KnownHosts: Sendable {
    /// What is known about a key that a host offers.
    enum Verdict: Sendable, Hashable {
        /// The key is known.
        case match
        /// Another key is known.
        case changed(known: HostKey, place: String)
        /// The key is known to be stolen or withdrawn.
        case revoked(place: String)
        /// No key of the host is known.
        case unknown
        /// Only a certificate authority is known for the host, and libssh2 negotiates no host
        /// certificates (design note: broken upstream in 1.10 and 1.11).
        case authorityOnly(place: String)
    }

    /// One line that holds a key.
    struct Line: Sendable, Hashable {
        enum Marker { case none, revoked, authority }
        enum Names: Hashable {
            case patterns([(isNegated: Bool, glob: String)])
            case hashed(salt: [UInt8], hash: [UInt8])

            static func == (first: Names, second: Names) -> Bool {
                switch (first, second) {
                case (.patterns(let a), .patterns(let b)): a.elementsEqual(b, by: ==)
                case (.hashed(let a, let b), .hashed(let c, let d)): a == c && b == d
                default: false
                }
            }
            func hash(into hasher: inout Hasher) {
                switch self {
                case .patterns(let list): hasher.combine(list.map(\.glob))
                case .hashed(let salt, let hash):
                    hasher.combine(salt)
                    hasher.combine(hash)
                }
            }
        }
        let marker: Marker
        let names: Names
        let key: HostKey
        let at: Place

        /// File and line, for messages.
        var place: String { at.text }
    }

    /// Where a line stands.
    struct Place: Sendable, Hashable {
        let file: String
        let line: Int

        var text: String { "\(file):\(line)" }
    }

    private(set) var lines: [Line] = []
    /// Where each plain name stands: a fleet's file has a line for every host, and a lookup must
    /// not read them all.
    private var places: [String: [Int]] = [:]
    /// Lines with wildcards or negations, and hashed ones: these have to be tried.
    private var patterned: [Int] = []
    private var hashed: [Int] = []
    /// Lines that could not be read, as `file:line`.
    private(set) var skipped: [String] = []

    /// Reads a file's bytes after what was read before.
    ///
    /// A broken line is skipped and remembered. Bytes and not characters: the file has a line for
    /// every host anybody here ever met.
    mutating func read(_ bytes: [UInt8], file: String) {
        var number = 0
        for raw in bytes.split(separator: 0x0A, omittingEmptySubsequences: false) {
            number += 1
            let words = raw.split { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }
            guard let first = words.first, first.first != UInt8(ascii: "#") else { continue }
            let place = Place(file: file, line: number)
            if let line = Self.line(words[...], place: place) {
                index(line)
            } else {
                skipped.append(place.text)
            }
        }
    }

    private mutating func index(_ line: Line) {
        let number = lines.count
        lines.append(line)
        switch line.names {
        case .hashed: hashed.append(number)
        case .patterns(let patterns):
            let isPlain = patterns.allSatisfy { pattern in
                !pattern.isNegated && !pattern.glob.utf8.contains { $0 == 0x2A || $0 == 0x3F }
            }
            guard isPlain else { return patterned.append(number) }
            for name in Set(patterns.map(\.glob)) { places[name, default: []].append(number) }
        }
    }

    /// The lines that speak of a name, in the files' order.
    func lines(for name: String) -> [Line] {
        let tried = (patterned + hashed).filter { Self.matches(lines[$0], name) }
        let found = (places[name] ?? []) + tried
        return found.sorted().map { lines[$0] }
    }

    private static func line(_ words: ArraySlice<ArraySlice<UInt8>>, place: Place) -> Line? {
        var words = words
        var marker = Line.Marker.none
        if let first = words.first, first.first == UInt8(ascii: "@") {
            switch String(decoding: first, as: UTF8.self) {
            case "@revoked": marker = .revoked
            case "@cert-authority": marker = .authority
            default: return nil
            }
            words = words.dropFirst()
        }
        guard words.count >= 3, let blob = Base64.decode(words[words.startIndex + 2]) else {
            return nil
        }
        let key = HostKey(blob: blob)
        guard key.typeBytes.elementsEqual(words[words.startIndex + 1]),
            let names = names(words[words.startIndex])
        else { return nil }
        return Line(marker: marker, names: names, key: key, at: place)
    }

    private static func names(_ field: ArraySlice<UInt8>) -> Line.Names? {
        if field.starts(with: Array("|1|".utf8)) {
            let parts = field.dropFirst(3).split(separator: UInt8(ascii: "|"))
            guard parts.count == 2, let salt = Base64.decode(parts[0]),
                let hash = Base64.decode(parts[1]), hash.count == 20
            else { return nil }
            return .hashed(salt: salt, hash: hash)
        }
        let list = field.split(separator: UInt8(ascii: ",")).map { word in
            let isNegated = word.first == UInt8(ascii: "!")
            let name = (isNegated ? word.dropFirst() : word).map { byte in
                (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
            }
            return (isNegated, String(decoding: name, as: UTF8.self))
        }
        return list.isEmpty ? nil : .patterns(list)
    }

    // MARK: Asking

    /// What is known about a key that a host offers.
    ///
    /// A host on another port than 22 is looked up as `[host]:port`, and a key known for the plain
    /// name is accepted too, as OpenSSH does.
    func verdict(host: String, port: Int, key: HostKey) -> Verdict {
        let found = lines(for: Self.name(host: host, port: port))
        if let line = found.first(where: { $0.marker == .revoked && $0.key == key }) {
            return .revoked(place: line.place)
        }
        let plain = found.filter { $0.marker == .none }
        if plain.contains(where: { $0.key == key }) { return .match }
        if let line = plain.first(where: { $0.key.type == key.type }) ?? plain.first {
            return .changed(known: line.key, place: line.place)
        }
        if port != 22 {
            switch verdict(host: host, port: 22, key: key) {
            case .match: return .match
            case .revoked(let place): return .revoked(place: place)
            case .changed, .unknown, .authorityOnly: break
            }
        }
        guard let line = found.first(where: { $0.marker == .authority }) else { return .unknown }
        return .authorityOnly(place: line.place)
    }

    /// The types of the keys known for a host, so that the server is asked to prove one of them.
    func knownTypes(host: String, port: Int) -> [String] {
        let types = lines(for: Self.name(host: host, port: port))
            .filter { $0.marker == .none }.map(\.key.type)
        return types.isEmpty && port != 22 ? knownTypes(host: host, port: 22) : types
    }

    /// A line that makes a key known.
    static func text(host: String, port: Int, key: HostKey) -> String {
        "\(name(host: host, port: port)) \(key.type) \(Base64.encode(key.blob))\n"
    }

    /// How known_hosts writes a host on a port.
    static func name(host: String, port: Int) -> String {
        port == 22 ? host.lowercased() : "[\(host.lowercased())]:\(port)"
    }

    private static func matches(_ line: Line, _ name: String) -> Bool {
        switch line.names {
        case .hashed(let salt, let hash):
            var output = [UInt8](repeating: 0, count: 20)
            let bytes = Array(name.utf8)
            guard fleet_hmac_sha1(salt, Int32(salt.count), bytes, bytes.count, &output) == 0 else {
                return false
            }
            return output == hash
        case .patterns(let patterns):
            // A negated pattern that matches excludes the host, whatever else stands in the line.
            var isMatch = false
            for pattern in patterns where Glob.matches(pattern.glob, name) {
                if pattern.isNegated { return false }
                isMatch = true
            }
            return isMatch
        }
    }
}
