public import FleetClients
internal import FleetInventory
internal import FleetRollout
internal import FleetTransport
internal import FleetYAML

/// A host, and how it is reached.
public struct HostLine: Sendable, Hashable, Encodable {
    /// Its name.
    public let host: String
    /// The client that connects to the host; for `auto`, the client that is tried first.
    public let client: String
    /// The host's address; empty if the host is this machine.
    public let address: String
    /// The TCP port; 0 if the host is this machine.
    public let port: Int
    /// The account that logs in.
    public let user: String
    /// The groups that it is in.
    public let groups: [String]
    /// Its variables.
    public let variables: [String: String]
    /// A short form of account, address and port, as in `deploy@10.0.0.1:22`.
    public let way: String

    private enum CodingKeys: CodingKey {
        case host, client, address, port, user, groups, variables
    }
}

extension UnrecordedOperations {
    /// Lists hosts and how they are reached; contacts no host.
    ///
    /// - Throws: ``OperationFailure`` if a selected host does not exist or a configuration file cannot be read.
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

    /// Explains every setting of one host: its source, and where `ssh` would behave differently.
    ///
    /// - Throws: ``OperationFailure`` if the host does not exist or a configuration file cannot be read.
    public func explain(_ name: String, of selection: HostSelection)
        async throws(OperationFailure) -> [ClientTransport.Explanation]
    {
        let (_, hosts) = try selection.hosts(of: project, isOnlyShown: true)
        guard let host = hosts.first(where: { $0.name.text == name }) else {
            throw OperationFailure(
                .usage,
                "there is no host `\(name)` among those selected",
                hints: Suggestion.hint(for: name, in: hosts.map(\.name.text))
                    + ["`fleet hosts ENV` lists them"]
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
