package import FleetOperations
internal import FleetTransport

extension Face {
    /// Hosts with the same holder are one line.
    package func show(_ holders: [HostLocks.Holder]) {
        var lines: [(text: String, hosts: [HostName])] = []
        for holder in holders {
            if let index = lines.firstIndex(where: { $0.text == holder.text }) {
                lines[index].hosts.append(holder.host)
            } else {
                lines.append((holder.text, [holder.host]))
            }
        }
        for line in lines { print("\(HostRange.fold(line.hosts))  \(line.text)") }
    }
}
