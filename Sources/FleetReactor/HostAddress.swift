package import FleetTransport
internal import Glibc

/// A socket address, ready for `connect`.
package struct HostAddress: Sendable, Hashable {
    package let family: Int32
    package let bytes: [UInt8]
    /// The address as people write it.
    package let text: String

    /// An address that is written as a number; nil if the text is a name.
    package init?(literal text: String, port: Int) {
        do throws(TransportError) {
            self = try Self.lookUp(text, port: port, flags: AI_NUMERICHOST)[0]
        } catch {
            // The error says that the text is no number, which is the answer.
            return nil
        }
    }

    private init(_ address: UnsafeMutablePointer<sockaddr>, _ length: socklen_t, _ family: Int32) {
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        getnameinfo(address, length, &host, socklen_t(host.count), nil, 0, NI_NUMERICHOST)
        let end = host.firstIndex(of: 0) ?? host.endIndex
        text = String(decoding: host[..<end].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        bytes = Array(UnsafeRawBufferPointer(start: address, count: Int(length)))
        self.family = family
    }

    /// Finds a host's addresses, in the resolver's order; blocks.
    ///
    /// - Throws: ``FleetTransport/TransportError``.
    package static func lookUp(
        _ name: String,
        port: Int,
        family: Int32 = AF_UNSPEC,
        flags: Int32 = AI_ADDRCONFIG
    ) throws(TransportError) -> [HostAddress] {
        var hints = addrinfo()
        hints.ai_flags = flags | AI_NUMERICSERV
        hints.ai_family = family
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(name, String(port), &hints, &list)
        defer { if list != nil { freeaddrinfo(list) } }
        guard status == 0 else {
            let reason = gai_strerror(status).map { String(cString: $0) } ?? "no address"
            // A name server that cannot be asked is like a host that cannot be reached.
            if status == EAI_AGAIN { throw .unreachable(address: name, reason: reason) }
            throw .nameNotFound(name: name, reason: reason)
        }
        var found: [HostAddress] = []
        var node = list
        while let entry = node?.pointee {
            if let address = entry.ai_addr {
                found.append(HostAddress(address, entry.ai_addrlen, entry.ai_family))
            }
            node = entry.ai_next
        }
        guard !found.isEmpty else { throw .nameNotFound(name: name, reason: "no address") }
        return found
    }

    /// The same addresses with the families taking turns, so that one family that leads nowhere
    /// costs one attempt only.
    package static func alternating(_ addresses: [HostAddress]) -> [HostAddress] {
        guard let first = addresses.first else { return [] }
        let own = addresses.filter { $0.family == first.family }
        let other = addresses.filter { $0.family != first.family }
        var result: [HostAddress] = []
        for index in 0..<max(own.count, other.count) {
            if index < own.count { result.append(own[index]) }
            if index < other.count { result.append(other[index]) }
        }
        return result
    }
}
