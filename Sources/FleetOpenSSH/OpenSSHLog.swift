internal import FleetHostShell
internal import FleetTransport

/// What `ssh -v` tells about itself, as far as it explains why it has ended.
///
/// It explains, and proves nothing: that a host was reached shows by the host shell's own lines. The words are those
/// of OpenSSH 8.0 to 10 under `LC_ALL=C` (readconf.c, sshconnect.c, sshconnect2.c, kex.c, mux.c, channels.c).
struct OpenSSHLog: Sendable {
    /// Lines without `debug1:`.
    let lines: [String]
    private let debugged: [String]

    init(_ bytes: some Sequence<UInt8>) {
        let all = String(decoding: Array(bytes), as: UTF8.self).split(whereSeparator: \.isNewline)
        var lines: [String] = []
        var debugged: [String] = []
        for line in all {
            if line.hasPrefix("debug1: ") {
                debugged.append(String(line.dropFirst("debug1: ".count)))
            } else if !line.hasPrefix("debug"), !line.hasPrefix("OpenSSH_") {
                lines.append(SSHText.oneLine(line.utf8))
            }
        }
        self.lines = lines
        self.debugged = debugged
    }

    /// Logged in, and the control socket is there.
    var isLoggedIn: Bool { debugged.contains { $0.hasPrefix("Entering interactive session") } }
    /// The other side has opened what was asked for through the control socket.
    var isOpen: Bool { debugged.contains { $0.contains("master session id:") } }

    /// The key that the host has proved, as in `ssh-ed25519 SHA256:…`.
    var hostKey: String? {
        debugged.last { $0.hasPrefix("Server host key: ") }.map {
            $0.dropFirst("Server host key: ".count).split(separator: " ").prefix(2).joined(
                separator: " "
            )
        }
    }

    /// Why the other side opened no channel, the newest reason.
    var whyNotOpened: String? {
        for line in lines.reversed() {
            if let found = line.firstRange(of: "open failed: ") {
                return String(line[found.upperBound...])
            }
            if let found = line.firstRange(of: "request failed: ") {
                return String(line[found.upperBound...])
            }
        }
        return nil
    }

    /// Why ssh has ended before it was logged in.
    ///
    /// - Parameters:
    ///   - host: The host, by its inventory's name.
    ///   - said: What came on standard error.
    /// - Returns: The error.
    func error(for host: String, said: String) -> TransportError {
        func rest(_ text: String) -> String? {
            for line in lines {
                if let found = line.firstRange(of: text) {
                    return String(line[found.upperBound...])
                }
            }
            return nil
        }
        func has(_ text: String) -> Bool {
            lines.contains { $0.contains(text) } || said.contains(text)
        }
        let shown = lines.suffix(3).joined(separator: " | ")
        let all = shown.isEmpty ? SSHText.oneLine(said.utf8) : shown
        if let names = rest("Could not resolve hostname ") {
            let parts = names.split(separator: ":", maxSplits: 1).map(String.init)
            return .nameNotFound(
                name: parts.first ?? host,
                reason: parts.count > 1 ? String(parts[1].drop { $0 == " " }) : "no address"
            )
        }
        if let place = rest("connect to host ") {
            let parts = place.split(separator: ":", maxSplits: 1).map(String.init)
            return .unreachable(
                address: (parts.first ?? host).replacing(" port ", with: ":"),
                reason: parts.count > 1 ? String(parts[1].drop { $0 == " " }) : "no connection"
            )
        }
        if let reason = rest("Unable to negotiate with ") {
            return .noCommonAlgorithm(reason: "ssh: \(reason)")
        }
        if has("Bad configuration option") || has("bad configuration options")
            || has("Too many recursive configuration includes") || has("open user config file")
            || has("Bad owner or permissions")
            || has("terminating, ") || lines.contains(where: { $0.contains(": line ") })
        {
            return .configuration(reason: "ssh: \(all)")
        }
        let offered = hostKey ?? "a key"
        if has("REVOKED HOST KEY DETECTED") || has("is marked as revoked") || has("revoked by file")
        {
            return .hostKeyRevoked(host: host, offered: offered, place: "ssh's own files")
        }
        if has("REMOTE HOST IDENTIFICATION HAS CHANGED") || has("HOST IDENTIFICATION HAS CHANGED") {
            return .hostKeyChanged(
                host: host,
                offered: offered,
                known: "another one",
                place: lines.first { $0.contains("Offending ") }.flatMap { line in
                    line.firstRange(of: " in ").map { String(line[$0.upperBound...]) }
                } ?? "ssh's known_hosts"
            )
        }
        if has("Host key verification failed") || has("host key is known for") {
            return .hostKeyUnknown(host: host, offered: offered, files: ["ssh's known_hosts"])
        }
        if let methods = rest("Permission denied ("), let end = methods.firstIndex(of: ")") {
            return .authenticationDenied(
                user: lines.compactMap { line in
                    line.firstRange(of: ": Permission denied (").map {
                        String(line[..<$0.lowerBound].prefix { $0 != "@" })
                    }
                }.last ?? "",
                tried: tried,
                accepts: methods[..<end].split(separator: ",").map(String.init)
            )
        }
        if has("Too many authentication failures") {
            return .authenticationDenied(user: "", tried: tried, accepts: [])
        }
        if has(TransportError.penaltyWords)
            || debugged.contains(where: { $0.contains(TransportError.penaltyWords) })
        {
            return .unreachable(address: host, reason: TransportError.penalty)
        }
        if has("banner exchange") || has("kex_exchange_identification") {
            // What a proxy has said is not in the log.
            let more = SSHText.oneLine(said.utf8)
            return .connectionLost(
                .banner,
                reason: "ssh: \(all)" + (more.isEmpty || all.contains(more) ? "" : " | \(more)")
            )
        }
        return .connectionLost(
            .connecting,
            reason: all.isEmpty ? "ssh ended and said nothing" : "ssh: \(all)"
        )
    }

    /// The keys that were offered.
    private var tried: [String] {
        debugged.compactMap { line in
            guard line.hasPrefix("Offering public key: ") else { return nil }
            return SSHText.oneLine(line.dropFirst("Offering public key: ".count).utf8)
        }
    }
}
