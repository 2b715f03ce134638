internal import FleetTransport
internal import Glibc

/// A socket address, ready for `connect`.
struct HostAddress: Sendable, Hashable {
    let family: Int32
    let bytes: [UInt8]
    /// The address as people write it.
    let text: String

    /// Finds a host's addresses, in the resolver's order; numbers are not looked up.
    static func resolve(_ name: String, port: Int) async throws(TransportError) -> [HostAddress] {
        if let literal = lookup(name, port: port, flags: AI_NUMERICHOST).addresses.first {
            return [literal]
        }
        let (addresses, reason, mayPass) = await BlockingQueue.shared.run {
            lookup(name, port: port, flags: AI_ADDRCONFIG)
        }
        guard !addresses.isEmpty else {
            // A name server that cannot be asked is like a host that cannot be reached.
            if mayPass { throw .unreachable(address: name, reason: reason ?? "no name server") }
            throw .nameNotFound(name: name, reason: reason ?? "no address")
        }
        return addresses
    }

    private static func lookup(_ name: String, port: Int, flags: Int32)
        -> (addresses: [HostAddress], reason: String?, mayPass: Bool)
    {
        var hints = addrinfo()
        hints.ai_flags = flags | AI_NUMERICSERV
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(name, String(port), &hints, &list)
        defer { if list != nil { freeaddrinfo(list) } }
        guard status == 0 else {
            return ([], gai_strerror(status).map { String(cString: $0) }, status == EAI_AGAIN)
        }
        var found: [HostAddress] = []
        var node = list
        while let entry = node?.pointee {
            if let address = entry.ai_addr {
                var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
                getnameinfo(
                    address,
                    entry.ai_addrlen,
                    &host,
                    socklen_t(host.count),
                    nil,
                    0,
                    NI_NUMERICHOST
                )
                let end = host.firstIndex(of: 0) ?? host.endIndex
                found.append(
                    HostAddress(
                        family: entry.ai_family,
                        bytes: Array(
                            UnsafeRawBufferPointer(start: address, count: Int(entry.ai_addrlen))
                        ),
                        text: String(
                            decoding: host[..<end].map { UInt8(bitPattern: $0) },
                            as: UTF8.self
                        )
                    )
                )
            }
            node = entry.ai_next
        }
        return (found, nil, false)
    }
}
