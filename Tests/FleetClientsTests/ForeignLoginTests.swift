import FleetClients
import FleetSSH
import FleetTestSupport
import FleetTransport
import Foundation
import Testing

/// Ways to log in, and keys of hosts, that only `ssh` knows: `auto` finds them.
@Suite(.serialized) struct ForeignLoginTests {
    private func transport(
        _ server: SSHDServer,
        agent: String? = nil,
        variables: [String: String] = [:]
    ) -> ClientTransport {
        var environment = SSHTransport.Environment(
            home: server.home,
            user: NSUserName(),
            agentSocket: agent
        )
        environment.busyMilliseconds = 1_500
        var all = ProcessInfo.processInfo.environment.merging(variables) { $1 }
        all["SSH_AUTH_SOCK"] = agent
        return ClientTransport(environment, variables: all)
    }

    private func logsIn(
        _ transport: ClientTransport,
        _ server: SSHDServer,
        change: (inout SSHSettings) -> Void = { _ in }
    ) async throws -> String? {
        var ssh = server.endpoint().ssh
        change(&ssh)
        let session = try await transport.open(HostEndpoint(name: "web1", ssh: ssh), rollout: "r1")
        let output = OutputRecorder()
        _ = try await session.run(Script("echo in"), timeoutMilliseconds: 20_000, output: output)
        #expect(output.text == "in\n")
        await session.close(removingRunDirectory: false)
        return session.client
    }

    @Test("A user certificate beside its key, and one in the agent", arguments: [false, true])
    func userCertificate(isInAgent: Bool) async throws {
        let place = try TemporaryDirectory()
        try Command.shell(
            """
            ssh-keygen -q -t ed25519 -N '' -f authority; ssh-keygen -q -t ed25519 -N '' -f me
            ssh-keygen -q -s authority -I me -n "$(id -un)" me.pub
            """,
            in: place.path
        )
        let server = try SSHDServer(
            configuration: [
                "TrustedUserCAKeys \(place.path)/authority.pub", "AuthorizedKeysFile none",
            ]
        )
        let agent = try SSHAgent()
        if isInAgent { try agent.add([place.path + "/me"]) }
        let client = try await logsIn(
            transport(server, agent: isInAgent ? agent.socket : nil),
            server
        ) {
            $0.identityFiles = isInAgent ? nil : [place.path + "/me"]
        }
        #expect(
            client?.hasPrefix(LibSSH2.version.hasPrefix("1.10.") ? "OpenSSH_" : "libssh2") ?? false
        )
    }

    @Test("A FIDO key, as a file and in the agent", arguments: [false, true])
    func securityKey(isInAgent: Bool) async throws {
        let place = try TemporaryDirectory()
        let token = try SecurityKey(in: place.path)
        let provider = ["SSH_SK_PROVIDER": token.library]
        let made = try Command.run(
            ["ssh-keygen", "-q", "-t", "ed25519-sk", "-N", "", "-f", place.path + "/sk"],
            environment: provider
        )
        try #require(made.status == 0, "\(made.errors)")
        let server = try SSHDServer(configuration: ["AuthorizedKeysFile \(place.path)/sk.pub"])
        try server.directory.write(
            "SecurityKeyProvider \(token.library)\n",
            to: "home/.ssh/config",
            mode: 0o600
        )
        let agent = try SSHAgent(["-P", place.path + "/*"])
        if isInAgent { try agent.add(["-S", token.library, place.path + "/sk"], provider) }
        let client = try await logsIn(
            transport(server, agent: isInAgent ? agent.socket : nil),
            server
        ) {
            $0.identityFiles = isInAgent ? nil : [place.path + "/sk"]
        }
        #expect(client?.hasPrefix("OpenSSH_") ?? false)
    }

    @Test("A Kerberos ticket, where ssh_config allows it, and why not where there is none")
    func kerberos() async throws {
        let realm = try KerberosRealm()
        let server = try SSHDServer(
            configuration: KerberosRealm.configuration,
            environment: realm.variables
        )
        try server.directory.write(
            (server.directory.read("known_hosts") ?? "").replacing(
                "[127.0.0.1]",
                with: "[localhost]"
            ),
            to: "known_hosts"
        )
        let config = "GSSAPIAuthentication yes\n"
        try server.directory.write(config, to: "home/.ssh/config", mode: 0o600)
        func attempt() async throws -> String? {
            try await logsIn(transport(server, variables: realm.variables), server) {
                ($0.hostname, $0.identityFiles) = ("localhost", nil)
            }
        }
        // Without a ticket it is the missing key that is told.
        let error = await #expect(throws: TransportError.self) { try await attempt() }
        #expect(error?.token == "E_CREDENTIAL", "\(String(describing: error))")
        try await eventually("the KDC answers") { try realm.getTicket() }
        #expect(try await attempt()?.hasPrefix("OpenSSH_") ?? false)
    }

    @Test(
        "A banner that libssh2 cannot hold is named as that, and leaves the host to ssh",
        arguments: [62_000, 200_000]
    )
    func longBanner(bytes: Int) async throws {
        let place = try TemporaryDirectory()
        try place.write(
            String(repeating: String(repeating: "x", count: 79) + "\n", count: bytes / 80),
            to: "banner"
        )
        let server = try SSHDServer(configuration: ["Banner \(place.path)/banner"])
        #expect(try await logsIn(transport(server), server)?.hasPrefix("OpenSSH_") ?? false)
        let error = await #expect(throws: TransportError.self) {
            try await logsIn(transport(server), server) { $0.client = .libssh2 }
        }
        #expect(error?.token == "E_CLIENT", "\(String(describing: error))")
        #expect(error?.message.contains("banner") ?? false, "\(String(describing: error))")
    }

    // MARK: Keys of hosts

    @Test(
        "The key of a host that only ssh reaches is collected, shown and remembered like any other",
        arguments: [false, true]
    )
    func trust(isHashed: Bool) async throws {
        let server = try SSHDServer(
            configuration: ["MACs hmac-sha2-512-etm@openssh.com", "Ciphers aes256-ctr"]
        )
        var ssh = server.endpoint(knownHosts: server.directory.path + "/fresh").ssh
        ssh.client = .openssh
        try server.directory.write(
            "HashKnownHosts \(isHashed ? "yes" : "no")\n",
            to: "home/.ssh/config",
            mode: 0o600
        )
        let transport = transport(server)
        let endpoint = HostEndpoint(name: "web1", ssh: ssh)
        let offered = try #require(try await transport.offeredKey(of: endpoint))
        #expect(offered.standing == .new && offered.name == "[127.0.0.1]:\(server.port)")
        let line = try Command.shell("ssh-keygen -lf host_key.pub", in: server.directory.path)
        #expect(line.contains(offered.fingerprint.split(separator: " ")[1]))
        #expect(
            server.directory.read("fresh") == nil,
            "nothing is written before somebody says yes"
        )
        try await transport.trust([offered])
        #expect(
            server.directory.read("fresh")?.hasPrefix(isHashed ? "|1|" : "[127.0.0.1]:") ?? false
        )
        #expect(try await transport.offeredKey(of: endpoint)?.standing == .known)
        #expect(try await logsIn(transport, server) { $0 = ssh } != nil)

        let other = (server.directory.read("key.pub") ?? "").split(separator: " ").prefix(2)
        try server.directory.write(
            "[127.0.0.1]:\(server.port) \(other.joined(separator: " "))\n",
            to: "fresh"
        )
        // Names with blanks are printed by ssh as several names: nothing is guessed.
        try Command.shell("mkdir 'my dir' && cp fresh 'my dir/kh'", in: server.directory.path)
        try server.directory.write(
            "UserKnownHostsFile \"\(server.directory.path)/my dir/kh\"\n",
            to: "home/.ssh/config",
            mode: 0o600
        )
        var own = ssh
        own.knownHostsFile = nil
        let unclear = await #expect(throws: TransportError.self) {
            try await self.transport(server).offeredKey(of: HostEndpoint(name: "web1", ssh: own))
        }
        #expect(unclear?.token == "E_SSH_CONFIG", "\(String(describing: unclear))")

        let changed = try await self.transport(server).offeredKey(of: endpoint)
        guard case .changed = changed?.standing else {
            return #expect(Bool(false), "\(String(describing: changed))")
        }
    }

    @Test(
        "A host behind an authority is known, by whichever client; its way needs no key of its own"
    )
    func authority() async throws {
        let place = try TemporaryDirectory()
        let path = place.path
        try Command.shell(
            """
            ssh-keygen -q -t ed25519 -N '' -f host_key; ssh-keygen -q -t ed25519 -N '' -f authority
            ssh-keygen -q -s authority -I host -h -n 127.0.0.1 host_key.pub
            echo "@cert-authority * $(cat authority.pub)" >authorities
            """,
            in: path
        )
        let server = try SSHDServer(
            configuration: [
                "HostKey \(path)/host_key", "HostCertificate \(path)/host_key-cert.pub",
            ]
        )
        var ssh = server.endpoint(knownHosts: path + "/authorities").ssh
        for client in [HostClient.auto, .openssh] {
            ssh.client = client
            let offered = try await transport(server).offeredKey(
                of: HostEndpoint(name: "web1", ssh: ssh)
            )
            #expect(offered?.standing == .known, "\(client): \(String(describing: offered))")
        }
    }

    @Test("A key that nothing keeps is not called remembered")
    func notKept() async throws {
        let server = try SSHDServer()
        let transport = transport(server)
        var ssh = server.endpoint().ssh
        ssh.knownHostsFile = "/dev/null"
        let offered = try #require(
            try await transport.offeredKey(of: HostEndpoint(name: "web1", ssh: ssh))
        )
        let error = await #expect(throws: TransportError.self) {
            try await transport.trust([offered])
        }
        #expect(error?.message.contains("is not kept") ?? false, "\(String(describing: error))")
        var status = stat()
        #expect(stat("/dev/null", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
    }
}
