import FleetTestSupport
import FleetTransport
import Foundation
import Synchronization
import Testing

@testable import FleetSSH

/// Keys that an agent holds, and agents that do not answer as they should.
@Suite(.serialized) struct AgentTests {
    private let server: SSHDServer
    private let told = Told()

    init() throws {
        server = try SSHDServer()
        try Command.shell("mkdir -m 700 .ssh", in: server.directory.path)
    }

    /// What the person was told.
    private final class Told: Sendable {
        private let texts = Mutex<[String]>([])

        /// Given once for each text.
        let isTold = DispatchSemaphore(value: 0)

        func add(_ text: String) {
            texts.withLock { $0.append(text) }
            isTold.signal()
        }
        var all: [String] { texts.withLock { $0 } }
    }

    private var path: String { server.directory.path }

    private func login(
        agent: String?,
        config: String = "",
        _ change: (inout SSHSettings) -> Void = { _ in }
    ) async throws -> TransportError? {
        try server.directory.write(config, to: ".ssh/config", mode: 0o600)
        var environment = SSHTransport.Environment(
            home: path,
            user: NSUserName(),
            agentSocket: agent
        )
        environment.systemConfiguration = "/nonexistent"
        let told = told
        environment.notice = { told.add($0) }
        var ssh = server.endpoint().ssh
        ssh.identityFiles = nil
        change(&ssh)
        do throws(TransportError) {
            let session = try await SSHTransport(environment)
                .open(HostEndpoint(name: "web1", ssh: ssh), rollout: "r1")
            await session.close(removingRunDirectory: false)
            return nil
        } catch {
            return error
        }
    }

    private func keys(_ count: Int) throws -> [String] {
        try (0..<count).map { number in
            let file = "\(path)/other\(number)"
            try Command.shell("ssh-keygen -q -t ed25519 -N '' -f '\(file)'")
            return file
        }
    }

    // MARK: Which key

    /// Row H53.
    @Test(
        "A public half says which of the agent's keys is meant",
        arguments: [
            "IdentityFile ~/only.pub\n", "IdentityFile ~/only\nIdentitiesOnly yes\n",
            "IdentityFile ~/only.pub\nIdentitiesOnly yes\n",
            "IdentityFile ~/commented.pub\nIdentitiesOnly yes\n",
        ]
    )
    func publicHalves(config: String) async throws {
        let agent = try SSHAgent()
        try agent.add([server.keyFile])
        try Command.shell(
            "cp key.pub only.pub; (echo '# my YubiKey'; cat key.pub) >commented.pub",
            in: path
        )
        #expect(try await login(agent: agent.socket, config: config) == nil)
        let error = try await login(agent: nil, config: config)
        #expect(error?.token == "E_CREDENTIAL", "\(String(describing: error))")
    }

    /// Row H53.
    @Test("Of many keys in the agent, one that is also a file is offered, and the rest is named")
    func sevenKeys() async throws {
        let agent = try SSHAgent()
        try agent.add(try keys(7))
        try Command.shell("cp key .ssh/id_ed25519; cp key.pub .ssh/id_ed25519.pub", in: path)
        // In the agent, last of all, and only a file.
        #expect(try await login(agent: agent.socket) == nil)
        try agent.add([server.keyFile])
        #expect(try await login(agent: agent.socket) == nil)
        try Command.shell("rm .ssh/id_ed25519", in: path)
        #expect(try await login(agent: agent.socket) == nil, "only the public half")

        try Command.shell("rm .ssh/id_ed25519.pub", in: path)
        let error = try await login(agent: agent.socket)
        #expect(error?.token == "E_AUTH")
        #expect(
            error?.message.contains("3 more keys were not offered: 5 are the limit") ?? false,
            "\(String(describing: error))"
        )
    }

    /// Row H53.
    @Test("How many keys are offered can be set; a server that has counted enough is named")
    func keyLimit() async throws {
        let agent = try SSHAgent()
        try agent.add(try keys(7) + [server.keyFile])
        let error = try await login(agent: agent.socket) { $0.keyLimit = 8 }
        // After the sixth, or while the seventh is on its way.
        #expect(
            error?.message.contains(/after [67] keys/) ?? false,
            "\(String(describing: error))"
        )
        #expect(error?.message.contains("MaxAuthTries") ?? false)
    }

    @Test("With IdentitiesOnly the agent's other keys stay where they are")
    func identitiesOnly() async throws {
        let agent = try SSHAgent()
        try agent.add([server.keyFile])
        let stranger = try keys(1)[0]
        let config = "IdentityFile \(stranger)\n"
        #expect(try await login(agent: agent.socket, config: config) == nil)
        let error = try await login(agent: agent.socket, config: config + "IdentitiesOnly yes\n")
        guard case .authenticationDenied(_, let tried, _) = error else {
            return #expect(Bool(false), "\(String(describing: error))")
        }
        #expect(tried == ["ssh-ed25519 \(stranger)"])
    }

    @Test("What the inventory says of keys holds for its jump hosts, too")
    func jumpHostsKeys() throws {
        var ssh = SSHSettings()
        (ssh.identityFiles, ssh.identitiesOnly, ssh.keyLimit) = (["/k"], true, 2)
        let transport = SSHTransport(.init(home: path, user: "me", agentSocket: nil))
        let hop = try #require(JumpHop("bastion"))
        let jump = transport.jumpEndpoint([hop], for: HostEndpoint(name: "web1", ssh: ssh)).ssh
        #expect(jump.identitiesOnly == true && jump.keyLimit == 2 && jump.identityFiles == ["/k"])
    }

    @Test("A key that ssh_config rules out is not offered, and the error says so")
    func ruledOut() async throws {
        let error = try await login(agent: nil, config: "PubkeyAcceptedAlgorithms -ssh-ed25519\n") {
            $0.identityFiles = [server.keyFile]
        }
        #expect(error?.token == "E_CREDENTIAL")
        #expect(error?.message.contains("`PubkeyAcceptedAlgorithms` of ssh_config leaves") ?? false)
        try Command.shell("ssh-keygen -q -t rsa -b 2048 -N '' -f rsa", in: path)
        let short = try await login(agent: nil, config: "RequiredRSASize 3072\n") {
            $0.identityFiles = [path + "/rsa"]
        }
        #expect(
            short?.message.contains("it has 2048 bits") ?? false,
            "\(String(describing: short))"
        )
    }

    @Test("A key in a token is used through the agent (PKCS#11)") func token() async throws {
        let library = "/usr/lib/softhsm/libsofthsm2.so"
        try #require(FileManager.default.fileExists(atPath: library), "install softhsm2")
        try Command.shell(
            """
            mkdir tokens; echo "directories.tokendir = $PWD/tokens" >softhsm2.conf
            export SOFTHSM2_CONF=$PWD/softhsm2.conf
            softhsm2-util --init-token --free --label fleet --pin 1234 --so-pin 1234 >/dev/null
            openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out token.pem 2>/dev/null
            softhsm2-util --import token.pem --token fleet --label k --id 01 --pin 1234 >/dev/null
            printf '#!/bin/sh\\necho 1234\\n' >askpass; chmod +x askpass
            """,
            in: path
        )
        // The agent's helper reads the token's place from its own variables.
        let agent = try SSHAgent(["-P", "/usr/lib/*"], ["SOFTHSM2_CONF": path + "/softhsm2.conf"])
        try agent.add(
            ["-s", library],
            ["SSH_ASKPASS": path + "/askpass", "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"]
        )
        let list = try Command.run(["ssh-add", "-L"], environment: ["SSH_AUTH_SOCK": agent.socket])
        let line = try #require(list.output.split(separator: "\n").first)
        try server.directory.write(line + "\n", to: "key.pub")
        #expect(try await login(agent: agent.socket) == nil)
        try server.directory.write(line + "\n", to: "token.pub")
        let config = "IdentityFile ~/token.pub\nIdentitiesOnly yes\n"
        #expect(try await login(agent: agent.socket, config: config) == nil)
    }

    // MARK: Agents that do not answer

    /// Row O26.
    @Test(
        "A silent agent is waited for for two seconds, and named; a key file logs in all the same"
    )
    func silence() async throws {
        let stub = try StubAgent { _ in .silence }
        let error = try await login(agent: stub.socket)
        #expect(error?.token == "E_CREDENTIAL")
        #expect(
            error?.message.contains("the agent at \(stub.socket): it does not answer") ?? false,
            "\(String(describing: error))"
        )
        #expect(try await login(agent: stub.socket) { $0.identityFiles = [server.keyFile] } == nil)
    }

    /// Row O26.
    @Test("A socket that is none, that nobody listens at, or that speaks something else is named")
    func noAgent() async throws {
        try server.directory.write("", to: "file")
        let words = try StubAgent { _ in .bytes(Array("HTTP/1.1 400 Bad Request\r\n".utf8)) }
        try Command.shell(
            "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"dead\")'",
            in: path
        )
        for (socket, reason) in [
            (path + "/file", "refused"), (path + "/nowhere", "No such file"),
            (words.socket, "no agent"), (path + "/dead", "refused"),
            ("/" + String(repeating: "x", count: 200), "too long"),
        ] {
            let error = try await login(agent: socket)
            #expect(error?.token == "E_CREDENTIAL", "\(socket)")
            #expect(error?.message.contains(reason) ?? false, "\(String(describing: error))")
            #expect(try await login(agent: socket) { $0.identityFiles = [server.keyFile] } == nil)
        }
    }

    /// Row O26.
    @Test(
        "An agent that refuses to sign, or dies over it, is named as the one who did not",
        arguments: [true, false]
    )
    func refusal(refuses: Bool) async throws {
        let agent = try SSHAgent()
        try agent.add([server.keyFile])
        let stub = try StubAgent(before: agent.socket) { question in
            question == 11 ? .passOn : refuses ? .bytes([0, 0, 0, 1, 5]) : .hangUp
        }
        let error = try await login(agent: stub.socket)
        #expect(error?.token == "E_AUTH")
        let words = refuses ? "it refuses to sign with it" : "it has hung up"
        #expect(
            error?.message.contains("the agent says: \(words)") ?? false,
            "\(String(describing: error))"
        )
    }

    /// Row O26.
    @Test("An agent that waits for a touch is waited for, and the person is told once")
    func touch() async throws {
        let agent = try SSHAgent()
        try agent.add([server.keyFile])
        let told = told
        let stub = try StubAgent(before: agent.socket) { question in
            // The touch comes when the person has been told.
            if question == 13 { _ = told.isTold.wait(timeout: .now() + 25) }
            return .passOn
        }
        #expect(try await login(agent: stub.socket) == nil)
        #expect(told.all.count == 1)
        #expect(told.all.first?.hasPrefix("waiting for the agent to sign with") ?? false)
    }
}
