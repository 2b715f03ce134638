/// One host to go through on the way to another: `[user@]host[:port]` or `ssh://…`
/// (ssh_config(5), ProxyJump).
struct JumpHop: Sendable, Hashable {
    let user: String?
    let host: String
    let port: Int?

    /// Reads one hop; nil if it is none.
    init?(_ text: some StringProtocol) {
        var rest = String(text)[...]
        let isAddress = rest.hasPrefix("ssh://")
        if isAddress {
            rest = rest.dropFirst(6)
            while rest.hasSuffix("/") { rest = rest.dropLast() }
        }
        if let at = rest.lastIndex(of: "@") {
            user = isAddress ? Self.decoded(rest[..<at]) : String(rest[..<at])
            rest = rest[rest.index(after: at)...]
        } else {
            user = nil
        }
        var port: Substring?
        if rest.hasPrefix("["), let close = rest.firstIndex(of: "]") {
            let behind = rest[rest.index(after: close)...]
            guard behind.isEmpty || behind.hasPrefix(":") else { return nil }
            port = behind.isEmpty ? nil : Substring(behind.dropFirst())
            host = String(rest[rest.index(after: rest.startIndex)..<close])
        } else if let colon = rest.lastIndex(of: ":"), rest.firstIndex(of: ":") == colon {
            port = Substring(rest[rest.index(after: colon)...])
            host = String(rest[..<colon])
        } else {
            host = String(rest)
        }
        if let port, !port.isEmpty {
            guard let number = SSHConfigurationReader.port(String(port)) else { return nil }
            self.port = number
        } else {
            self.port = nil
        }
        // A name that begins with a dash has turned into an option before (CVE-2017-1000117).
        // A user's name comes into a hop's ProxyCommand as `%r`, where a shell reads it.
        guard user.map(ShellMeaning.isNone) ?? true else { return nil }
        let isSound =
            !host.isEmpty && !host.hasPrefix("-") && user?.isEmpty != true && !host.contains("/")
        guard isSound, host.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value != 0x7F })
        else { return nil }
    }

    /// The user's name of an `ssh://` address, where a percent sign and two digits stand for a byte (RFC 3986).
    private static func decoded(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            if byte == UInt8(ascii: "%"), digits.utf8.count == 2,
                let value = UInt8(digits, radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Reads a comma-separated list, first hop first; nil if one of them is none.
    static func list(_ text: some StringProtocol) -> [JumpHop]? {
        var hops: [JumpHop] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let hop = JumpHop(part) else { return nil }
            hops.append(hop)
        }
        return hops
    }

    /// The hop as it is written.
    var text: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return (user.map { $0 + "@" } ?? "") + name + (port.map { ":\($0)" } ?? "")
    }
}

/// What a shell would take for more than a word.
enum ShellMeaning {
    /// Whether a text that is put into a command line stays the one word that it is.
    ///
    /// OpenSSH refuses most of these in names of users and hosts since 9.6 (CVE-2023-51385).
    static func isNone(_ text: String) -> Bool {
        guard text.utf8.first != UInt8(ascii: "-") else { return false }
        return text.utf8.allSatisfy { byte in
            byte > 0x20 && byte != 0x7F && !"'\"`$\\;&<>|(){}*?!,".utf8.contains(byte)
        }
    }
}
