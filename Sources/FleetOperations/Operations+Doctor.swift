internal import FleetClients
internal import FleetInventory
internal import FleetOpenSSH
public import FleetRollout
internal import FleetRunner
internal import FleetSSH
internal import FleetTransport

/// What this machine has to reach hosts with.
public struct MachineFindings: Sendable {
    /// The system's `ssh`, as it calls itself; nil if there is none that can be used.
    public let openSSH: String?
    /// Why not.
    public let whyNoOpenSSH: String?
    /// The libssh2 that is used.
    public let libssh2: String
    /// What that cannot do, and what helps.
    public let limitations: [(text: String, cure: String)]
    /// Why it must not be used; nil if nothing speaks against it.
    public let danger: String?

    /// Looks at this machine; contacts nobody.
    public static func look() async -> MachineFindings {
        var ssh: String?
        var why: String?
        do throws(OpenSSHMissing) {
            ssh = try await OpenSSHTransport(.init(variables: [])).programVersion().description
        } catch {
            why = error.reason
        }
        return MachineFindings(
            openSSH: ssh,
            whyNoOpenSSH: why,
            libssh2: LibSSH2.version,
            limitations: LibSSH2.limitations.map { ($0.text, $0.cure) },
            danger: LibSSH2.danger
        )
    }
}

extension UnrecordedOperations {
    /// Logs in to every host and looks at what it is like; changes nothing.
    ///
    /// - Returns: What was found, and why libssh2 does not reach a host where `ssh` does.
    /// - Throws: ``OperationFailure`` for hosts that there are not.
    public func examine(_ selection: HostSelection) async throws(OperationFailure)
        -> [(findings: HostFindings, why: String?)]
    {
        let (inventory, hosts) = try selection.hosts(of: project)
        let transport = try await Controller.openTransport(for: hosts, in: project, settings)
        let found = await HostExamination(
            transport: transport,
            environment: inventory.environment,
            clock: SystemClock()
        ).findings(of: hosts)
        return zip(found, hosts).map { ($0, transport.whyOpenSSH(for: $1.endpoint)?.message) }
    }
}
