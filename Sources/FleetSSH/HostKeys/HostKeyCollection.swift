internal import CLibSSH2
internal import FleetFiles
internal import FleetReactor
public import FleetTransport
internal import Glibc

/// A key that a host proved, and what is known about it.
public struct OfferedHostKey: Sendable, Hashable {
    /// What known_hosts says about the key.
    public enum Standing: Sendable, Hashable {
        /// The key is known.
        case known
        /// No key of the host is known.
        case new
        /// Another key is known, at a file and line.
        case changed(known: String, place: String)
        /// The key is marked as stolen or withdrawn, at a file and line.
        case revoked(place: String)
    }

    /// The host's name in known_hosts, as in `[web1]:2222`.
    public let name: String
    /// The key's type and SHA-256, as `ssh-keygen -l` prints them.
    public let fingerprint: String
    /// What is known about it.
    public let standing: Standing

    /// Whether a certificate authority is known for the host, and no key of its own.
    public var isBehindAuthority = false

    /// The file that would hold it, and the line.
    let file: String
    let line: String
}

extension KnownHosts.Verdict {
    /// What it means for somebody who is to say whether a key is right.
    fileprivate var standing: OfferedHostKey.Standing {
        switch self {
        case .match: .known
        case .unknown, .authorityOnly: .new
        // A host of which a key is known is not new: whoever stands in between has a key of another type, too.
        case .changed(let other, let place), .otherType(let other, let place):
            .changed(known: other.fingerprint, place: place)
        case .revoked(let place): .revoked(place: place)
        }
    }
}

extension SSHTransport {
    /// The hosts that the way to a host leads through, the first one first.
    public func jumpHosts(for endpoint: HostEndpoint) throws(TransportError) -> [HostEndpoint] {
        guard case .jump(let hops) = try effectiveSettings(for: endpoint).route else { return [] }
        return (1...hops.count).map { jumpEndpoint(Array(hops.prefix($0)), for: endpoint) }
    }

    /// Connects to a host, lets it prove its key, and hangs up: nothing is logged in to.
    ///
    /// - Throws: ``FleetTransport/TransportError``.
    public func offeredKey(of endpoint: HostEndpoint) async throws(TransportError)
        -> OfferedHostKey
    {
        let settings = try effectiveSettings(for: endpoint)
        let (host, port) = settings.keyName
        let known = try knownHosts(settings)
        let key = try await proveKey(
            of: endpoint,
            preferring: known.knownTypes(host: host, port: port)
        )
        try await refuseRevoked(key, settings)
        let verdict = known.verdict(host: host, port: port, key: key)
        let isBehindAuthority = if case .authorityOnly = verdict { true } else { false }
        return OfferedHostKey(
            name: KnownHosts.name(host: host, port: port),
            fingerprint: key.fingerprint,
            standing: verdict.standing,
            isBehindAuthority: isBehindAuthority,
            file: settings.ownKnownHostsFile ?? "",
            line: KnownHosts.text(
                host: host,
                port: port,
                key: key,
                isHashed: settings.hashesKnownHosts
            )
        )
    }

    /// A key that a host has proved to `ssh`, beside what its known_hosts files say.
    ///
    /// - Parameters:
    ///   - line: What `ssh` has written down, names in the clear; nil where it knows the key already.
    ///   - fingerprint: The key's type and SHA-256.
    ///   - files: The known_hosts files that `ssh` looks in; the first one is written.
    ///   - isHashed: Whether names are hidden there.
    ///   - name: The host's name, for messages.
    /// - Returns: The key and what is known about it.
    /// - Throws: ``FleetTransport/TransportError``.
    public func offeredKey(
        line: String?,
        fingerprint: String,
        files: [String],
        isHashed: Bool,
        name: String
    ) throws(TransportError) -> OfferedHostKey {
        guard let line else {
            return OfferedHostKey(
                name: name,
                fingerprint: fingerprint,
                standing: .known,
                file: "",
                line: ""
            )
        }
        var read = KnownHosts()
        read.read(Array((line + "\n").utf8), file: "ssh")
        let names = line.split(separator: " ")[0].split(separator: ",")
        var (host, port) = (names.first.map(String.init) ?? name, 22)
        if host.hasPrefix("["), let close = host.firstIndex(of: "]") {
            port = Int(host[close...].dropFirst(2)) ?? 22
            host = String(host[host.index(after: host.startIndex)..<close])
        }
        guard let key = read.lines(for: KnownHosts.name(host: host, port: port)).first?.key else {
            throw .configuration(reason: "ssh has written no key of \(name) down")
        }
        let known = try self.files.knownHosts(files)
        return OfferedHostKey(
            name: KnownHosts.name(host: host, port: port),
            fingerprint: key.fingerprint,
            standing: known.verdict(host: host, port: port, key: key).standing,
            file: files.first ?? "",
            line: KnownHosts.text(host: host, port: port, key: key, isHashed: isHashed)
        )
    }

    /// Adds keys to the known_hosts files of their hosts, all of a file's or none.
    ///
    /// - Throws: ``FleetTransport/TransportError/localFile(path:reason:)``.
    public func trust(_ keys: [OfferedHostKey]) async throws(TransportError) {
        for (path, keys) in Dictionary(grouping: keys, by: \.file) {
            let lines = Set(keys.map(\.line)).sorted().joined()
            let reason = await BlockingQueue.shared.run {
                KnownHostsFile.add(lines, to: path)
                    ?? (KnownHostsFile.holds(lines, in: path)
                        ? nil
                        : "what is written there is not kept; name another file in the inventory, "
                            + "`ssh: { known_hosts: … }`, or in ssh_config (UserKnownHostsFile)")
            }
            if let reason { throw .localFile(path: path, reason: reason) }
        }
        forgetKnownHosts()
    }
}

/// A known_hosts file that grows.
enum KnownHostsFile {
    /// Whether lines stand there; `/dev/null` takes everything and keeps nothing.
    static func holds(_ lines: String, in path: String) -> Bool {
        guard let bytes = WholeFile.read(path) else { return false }
        let kept = Set(String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline))
        return lines.split(whereSeparator: \.isNewline).allSatisfy(kept.contains)
    }

    /// Adds lines at the end; returns what went wrong.
    static func add(_ lines: String, to path: String) -> String? {
        guard !path.isEmpty else { return "there is no known_hosts file to write" }
        if let slash = path.lastIndex(of: "/") { mkdir(String(path[..<slash]), 0o700) }
        do throws(WholeFile.Failure) {
            // Two runs that meet new hosts at once must not lose each other's lines.
            _ = try WholeFile.append(Array(lines.utf8), to: path, mode: 0o600)
            return nil
        } catch {
            return error.reason
        }
    }
}
