internal import FleetTransport

/// The parts of `~/.ssh/config` that fleet reads: Host, HostName, User, Port, IdentityFile and
/// UserKnownHostsFile (ssh_config(5)).
struct SSHConfiguration: Sendable {
    private struct Block {
        var patterns: [String]
        var settings: [(key: String, value: String)] = []
    }

    private var blocks: [Block] = []

    /// Reads a file's text.
    ///
    /// Other keywords are skipped; a `Match` block never applies.
    init(_ text: String = "") {
        var block = Block(patterns: ["*"])
        for raw in text.split(separator: "\n") {
            guard let (key, value) = Self.keyword(raw) else { continue }
            switch key {
            case "host":
                blocks.append(block)
                block = Block(patterns: value.split(separator: " ").map(String.init))
            case "match":
                blocks.append(block)
                block = Block(patterns: [])
            default:
                block.settings.append((key, value))
            }
        }
        blocks.append(block)
    }

    /// Splits `Keyword value` or `Keyword=value`; keywords do not mind their case.
    private static func keyword(_ line: Substring) -> (String, String)? {
        let trimmed = line.drop { $0 == " " || $0 == "\t" }
        guard let first = trimmed.first, first != "#" else { return nil }
        let key = trimmed.prefix { $0 != " " && $0 != "\t" && $0 != "=" }
        var value = trimmed.dropFirst(key.count)
            .drop { $0 == " " || $0 == "\t" || $0 == "=" }
        while let last = value.last, last.isWhitespace { value.removeLast() }
        if value.count > 1, value.hasPrefix("\""), value.hasSuffix("\"") {
            value = value.dropFirst().dropLast()
        }
        return value.isEmpty ? nil : (key.lowercased(), String(value))
    }

    /// What the file says about a host; the first value found wins, identity files add up.
    func settings(for host: String) -> SSHSettings {
        var settings = SSHSettings()
        for block in blocks where Self.applies(block.patterns, to: host) {
            for (key, value) in block.settings {
                switch key {
                case "hostname":
                    settings.hostname =
                        settings.hostname ?? value.replacing("%h", with: host)
                case "user": settings.user = settings.user ?? value
                case "port": settings.port = settings.port ?? Int(value)
                case "identityfile":
                    settings.identityFiles = (settings.identityFiles ?? []) + [value]
                case "userknownhostsfile":
                    settings.knownHostsFile = settings.knownHostsFile ?? value
                default: break
                }
            }
        }
        return settings
    }

    private static func applies(_ patterns: [String], to host: String) -> Bool {
        var isMatch = false
        for pattern in patterns {
            let isNegated = pattern.hasPrefix("!")
            let glob = isNegated ? String(pattern.dropFirst()) : pattern
            guard Glob.matches(glob, host) else { continue }
            if isNegated { return false }
            isMatch = true
        }
        return isMatch
    }
}
