internal import CLibSSH2
public import FleetTransport
internal import FoundationEssentials
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

    /// The file that would hold it, and the line.
    let file: String
    let line: String
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
        let known = knownHosts(settings)
        let key = try await proveKey(
            of: endpoint,
            preferring: known.knownTypes(host: host, port: port)
        )
        let standing: OfferedHostKey.Standing
        switch known.verdict(host: host, port: port, key: key) {
        case .match: standing = .known
        case .unknown, .authorityOnly: standing = .new
        case .changed(let other, let place):
            standing = .changed(known: other.fingerprint, place: place)
        case .revoked(let place): standing = .revoked(place: place)
        }
        return OfferedHostKey(
            name: KnownHosts.name(host: host, port: port),
            fingerprint: key.fingerprint,
            standing: standing,
            file: settings.knownHostsFiles.first ?? "",
            line: KnownHosts.text(host: host, port: port, key: key)
        )
    }

    /// Adds keys to the known_hosts files of their hosts, all of a file's or none.
    ///
    /// - Throws: ``FleetTransport/TransportError/localFile(path:reason:)``.
    public func trust(_ keys: [OfferedHostKey]) async throws(TransportError) {
        for (path, keys) in Dictionary(grouping: keys, by: \.file) {
            let lines = Set(keys.map(\.line)).sorted().joined()
            let reason = await BlockingQueue.shared.run { KnownHostsFile.add(lines, to: path) }
            if let reason { throw .localFile(path: path, reason: reason) }
        }
        forgetKnownHosts()
    }
}

/// Writes a known_hosts file: the new one is complete before it takes the old one's place, so that
/// a crash or a full disk leaves what was there.
enum KnownHostsFile {
    /// Adds lines at the end; returns what went wrong.
    static func add(_ lines: String, to path: String) -> String? {
        guard !path.isEmpty else { return "there is no known_hosts file to write" }
        // A link, as dotfile managers make them, stays one.
        let target = realpath(path, nil).map { pointer in
            defer { free(pointer) }
            return String(cString: pointer)
        }
        let file = target ?? path
        if let slash = file.lastIndex(of: "/") { mkdir(String(file[..<slash]), 0o700) }
        var old = FileManager.default.contents(atPath: file).map { Array($0) } ?? []
        if let last = old.last, last != 0x0A { old.append(0x0A) }
        var status = stat()
        let mode = stat(file, &status) == 0 ? status.st_mode & 0o777 : 0o600
        let temporary = "\(file).fleet-\(getpid())"
        guard write(old + lines.utf8, to: temporary, mode: mode),
            rename(temporary, file) == 0
        else {
            let reason = String(cString: strerror(errno))
            unlink(temporary)
            return reason
        }
        return nil
    }

    private static func write(_ bytes: [UInt8], to path: String, mode: mode_t) -> Bool {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)
        guard file >= 0 else { return false }
        defer { close(file) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return fsync(file) == 0
    }
}
