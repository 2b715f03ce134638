internal import FleetClients
internal import FleetInventory
internal import FleetOpenSSH
public import FleetRollout
internal import FleetRunner
internal import FleetSSH
internal import FleetTransport

/// The SSH programs and libraries that this machine has.
public struct MachineFindings: Sendable {
    /// The version that the system's `ssh` reports; nil if no usable `ssh` is installed.
    public let openSSH: String?
    /// Why the system's `ssh` cannot be used; nil if it can.
    public let whyNoOpenSSH: String?
    /// The version of libssh2 in use.
    public let libssh2: String
    /// What this version of libssh2 cannot do, each with a remedy.
    public let limitations: [(text: String, cure: String)]
    /// Why this version of libssh2 must not be used; nil if it is safe as far as is known.
    public let danger: String?

    /// Examines this machine; contacts no host.
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
    /// Logs in to every host and examines it; changes nothing.
    ///
    /// - Returns: The findings for each host, and why libssh2 cannot reach it if the system's `ssh` has to.
    /// - Throws: ``OperationFailure`` if a selected host does not exist.
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
