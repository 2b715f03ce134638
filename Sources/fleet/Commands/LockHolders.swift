import FleetOperations
import FleetTransport

extension CommonOptions {
    /// Hosts with the same holder are one line.
    func show(_ holders: [HostLocks.Holder]) {
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
