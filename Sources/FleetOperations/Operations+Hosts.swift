public import FleetClients
internal import FleetInventory
internal import FleetRollout
internal import FleetTransport
internal import FleetYAML

/// A host, and how it is reached.
public struct HostLine: Sendable, Hashable, Encodable {
    /// Its name.
    public let host: String
    /// What reaches it; of `auto` what is tried first.
    public let client: String
    /// Its address; empty for this machine itself.
    public let address: String
    /// The TCP port; 0 for this machine itself.
    public let port: Int
    /// The account that logs in.
    public let user: String
    /// The groups that it is in.
    public let groups: [String]
    /// Its variables.
    public let variables: [String: String]
    /// The way in one word, as in `deploy@10.0.0.1:22`.
    public let way: String

    private enum CodingKeys: CodingKey {
        case host, client, address, port, user, groups, variables
    }
}

extension UnrecordedOperations {
    /// Lists hosts and how they are reached; contacts none.
    ///
    /// - Throws: ``OperationFailure`` for hosts that there are not, and a configuration that cannot be read.
    public func hosts(_ selection: HostSelection) async throws(OperationFailure) -> [HostLine] {
        let (_, hosts) = try selection.hosts(of: project, isOnlyShown: true)
        let transport = Controller.transport(in: project, settings)
        var lines: [HostLine] = []
        for host in hosts {
            let way = try await answer(about: host, transport.way(to:))
            lines.append(
                HostLine(
                    host: host.name.text,
                    client: way.client.rawValue,
                    address: way.hostname,
                    port: way.port,
                    user: way.user,
                    groups: host.groups,
                    variables: host.variables,
                    way: way.text + (way.client == .openssh ? " by ssh" : "")
                )
            )
        }
        return lines
    }

    /// Every setting of one host, where it comes from, and where `ssh` would do otherwise.
    ///
    /// - Throws: ``OperationFailure`` for a host that there is not, and a configuration that cannot be read.
    public func explain(_ name: String, of selection: HostSelection)
        async throws(OperationFailure) -> [ClientTransport.Explanation]
    {
        let (_, hosts) = try selection.hosts(of: project, isOnlyShown: true)
        guard let host = hosts.first(where: { $0.name.text == name }) else {
            throw OperationFailure(
                .usage,
                "there is no host `\(name)` among those selected",
                hints: Suggestion.hint(for: name, in: hosts.map(\.name.text))
            )
        }
        let transport = Controller.transport(in: project, settings)
        return try await answer(about: host, transport.explanation(of:))
    }

    private func answer<Answer>(
        about host: Host,
        _ ask: (HostEndpoint) async throws(TransportError) -> Answer
    ) async throws(OperationFailure) -> Answer {
        do throws(TransportError) {
            return try await ask(host.endpoint)
        } catch {
            throw OperationFailure(.invalidFiles, "\(host.name): \(error.message)")
        }
    }
}
