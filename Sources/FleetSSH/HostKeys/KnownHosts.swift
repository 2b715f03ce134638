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

    /// Whether the blob is a key and nothing else, as far as its type is one of OpenSSH's (sshkey.c, RFC 4253, 5656, 8709,
    /// PROTOCOL.u2f); of others that the type is followed by whole strings.
    var isWhole: Bool {
        var reader = WireFormatReader(blob)
        guard let type = reader.text() else { return false }
        var fields: [[UInt8]] = []
        while !reader.isAtEnd {
            guard let field = reader.string() else { return false }
            fields.append(field)
        }
        switch type {
        case "ssh-ed25519": return fields.count == 1 && fields[0].count == 32
        case "sk-ssh-ed25519@openssh.com": return fields.count == 2 && fields[0].count == 32
        case "ssh-rsa": return fields.count == 2
        case "ssh-dss": return fields.count == 4
        case "sk-ecdsa-sha2-nistp256@openssh.com": return fields.count == 3
        case _ where type.hasPrefix("ecdsa-sha2-"):
            return fields.count == 2 && fields[0].elementsEqual(type.utf8.dropFirst(11))
        default: return !fields.isEmpty
        }
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
        /// Only keys of other types are known.
        case otherType(known: HostKey, place: String)
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

    /// A line as it stands in its file.
    private struct Raw {
        let file: Int
        let number: Int
        let bytes: Range<Int>
    }

    private var files: [(name: String, bytes: [UInt8])] = []
    private var raws: [Raw] = []
    /// Where each plain name stands, by its hash.
    ///
    /// A fleet's file has a line for every host, of which most runs need a few. Each entry points to the next one of the same hash.
    private var heads: [UInt64: Int] = [:]
    private var entries: [(raw: Int, next: Int)] = []
    /// Lines with wildcards, negations or markers, and hashed ones: these have to be tried.
    private var tried: [Int] = []

    /// Reads a file's bytes after what was read before.
    ///
    /// Bytes and not characters, and of each line only the names: the file has a line for every
    /// host anybody here ever met. What a line says is read when somebody asks for its host.
    mutating func read(_ bytes: [UInt8], file: String) {
        files.append((file, bytes))
        var number = 0
        var start = 0
        while start < bytes.count {
            number += 1
            let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
            index(bytes, start..<end, number)
            start = end + 1
        }
    }

    private mutating func index(_ bytes: [UInt8], _ line: Range<Int>, _ number: Int) {
        guard let first = line.first(where: { !Self.isSpace(bytes[$0]) }),
            bytes[first] != UInt8(ascii: "#")
        else { return }
        let raw = raws.count
        raws.append(Raw(file: files.count - 1, number: number, bytes: first..<line.upperBound))
        var hash = Self.emptyHash
        for place in first...line.upperBound {
            let byte = place < line.upperBound ? bytes[place] : 0x20
            switch byte {
            case UInt8(ascii: "*"), UInt8(ascii: "?"), UInt8(ascii: "!"), UInt8(ascii: "@"),
                UInt8(ascii: "|"):
                tried.append(raw)
                return
            case UInt8(ascii: ","), 0x20, 0x09, 0x0D:
                entries.append((raw, heads[hash] ?? -1))
                heads[hash] = entries.count - 1
                hash = Self.emptyHash
                if byte != UInt8(ascii: ",") { return }
            default: hash = Self.hash(hash, byte)
            }
        }
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0D
    }

    /// FNV-1a over small letters; only narrows down which lines are read.
    private static let emptyHash: UInt64 = 0xCBF2_9CE4_8422_2325
    private static func hash(_ hash: UInt64, _ byte: UInt8) -> UInt64 {
        let small = (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
        return (hash ^ UInt64(small)) &* 0x100_0000_01B3
    }

    /// The lines that speak of a name, in the files' order.
    ///
    /// A broken line speaks of nobody.
    func lines(for name: String) -> [Line] {
        var found = Set(tried)
        var next = heads[name.utf8.reduce(Self.emptyHash, Self.hash)] ?? -1
        while next >= 0 {
            found.insert(entries[next].raw)
            next = entries[next].next
        }
        return found.sorted().compactMap { line($0) }.filter { Self.matches($0, name) }
    }

    /// Lines that cannot be read, as `file:line`.
    var skipped: [String] {
        raws.indices.compactMap { line($0) == nil ? place(raws[$0]).text : nil }
    }

    private func place(_ raw: Raw) -> Place { Place(file: files[raw.file].name, line: raw.number) }

    private func line(_ index: Int) -> Line? {
        let raw = raws[index]
        let bytes = files[raw.file].bytes[raw.bytes]
        // OpenSSH looks for the end of a marker at the first blank, and only where there is none at the first tab.
        if bytes.first == UInt8(ascii: "@"), bytes.contains(0x20),
            bytes.prefix(while: { $0 != 0x20 }).contains(0x09)
        {
            return nil
        }
        let words = bytes.split(whereSeparator: Self.isSpace)
        return Self.line(words[...], place: place(raw))
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
        guard key.isWhole, key.typeBytes.elementsEqual(words[words.startIndex + 1]),
            let names = names(words[words.startIndex])
        else { return nil }
        return Line(marker: marker, names: names, key: key, at: place)
    }

    private static func names(_ field: ArraySlice<UInt8>) -> Line.Names? {
        if field.starts(with: Array("|1|".utf8)) {
            let parts = field.dropFirst(3).split(
                separator: UInt8(ascii: "|"),
                omittingEmptySubsequences: false
            )
            guard parts.count == 2, let salt = Base64.decode(parts[0]),
                salt.count == 20, let hash = Base64.decode(parts[1]), hash.count == 20
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
        if let line = plain.first(where: { $0.key.type == key.type }) {
            return .changed(known: line.key, place: line.place)
        }
        if port != 22 {
            switch verdict(host: host, port: 22, key: key) {
            case .match: return .match
            case .revoked(let place): return .revoked(place: place)
            case .changed, .otherType, .unknown, .authorityOnly: break
            }
        }
        if let line = plain.first { return .otherType(known: line.key, place: line.place) }
        guard let line = found.first(where: { $0.marker == .authority }) else { return .unknown }
        return .authorityOnly(place: line.place)
    }

    /// Where a key is marked as withdrawn for a host, whichever key that is; nil if none is.
    ///
    /// It may be the authority's: then a key that nobody knows is not to be accepted by itself.
    func revocation(host: String, port: Int) -> String? {
        lines(for: Self.name(host: host, port: port)).first { $0.marker == .revoked }?.place
    }

    /// The types of the keys known for a host, so that the server is asked to prove one of them.
    func knownTypes(host: String, port: Int) -> [String] {
        let types = lines(for: Self.name(host: host, port: port))
            .filter { $0.marker == .none }.map(\.key.type)
        return types.isEmpty && port != 22 ? knownTypes(host: host, port: 22) : types
    }

    /// A line that makes a key known; where `isHashed`, its name is hidden (ssh_config(5), HashKnownHosts).
    static func text(host: String, port: Int, key: HostKey, isHashed: Bool) -> String {
        let name = name(host: host, port: port)
        return "\(isHashed ? hidden(name) : name) \(key.type) \(Base64.encode(key.blob))\n"
    }

    /// A name as `ssh-keygen -H` writes it: a random salt and what HMAC-SHA1 makes of both.
    private static func hidden(_ name: String) -> String {
        var random = SystemRandomNumberGenerator()
        let salt = (0..<20).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        var output = [UInt8](repeating: 0, count: 20)
        let bytes = Array(name.utf8)
        guard fleet_hmac_sha1(salt, Int32(salt.count), bytes, bytes.count, &output) == 0 else {
            return name
        }
        return "|1|\(Base64.encode(salt))|\(Base64.encode(output))"
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
