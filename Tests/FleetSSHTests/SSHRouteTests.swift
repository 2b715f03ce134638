import FleetTestSupport
import FleetTransport
import Foundation
import Synchronization
import Testing

@testable import FleetHostShell
@testable import FleetReactor
@testable import FleetSSH

/// The ways to a host: jump hosts, proxy commands, several addresses.
@Suite(.serialized) struct SSHRouteTests {
    private let target: SSHDServer
    private let jump: SSHDServer
    private let outer: SSHDServer
    private let knownHosts: String

    init() throws {
        target = try SSHDServer(configuration: ["RekeyLimit 1M"])
        // One key for both, as one person has.
        jump = try SSHDServer(
            configuration: ["AuthorizedKeysFile \(target.keyFile).pub", "RekeyLimit 1M"]
        )
        // Behind a relay the port is another one, so the names stand for any.
        outer = try SSHDServer(configuration: ["AuthorizedKeysFile \(target.keyFile).pub"])
        let known = [target, jump, outer].map { $0.directory.read("known_hosts") ?? "" }
        try target.directory.write(known.joined(), to: "both")
        knownHosts = target.directory.path + "/both"
    }

    private func transport() -> SSHTransport {
        var environment = SSHTransport.Environment(
            home: target.directory.path,
            user: NSUserName(),
            agentSocket: nil
        )
        environment.busyMilliseconds = 1_000
        environment.systemConfiguration = "/nonexistent"
        return SSHTransport(environment)
    }

    private func endpoint(
        _ name: HostName = "web1",
        through route: String?,
        port: Int? = nil
    ) -> HostEndpoint {
        var ssh = target.endpoint(port: port, knownHosts: knownHosts).ssh
        ssh.jump = route
        return HostEndpoint(name: name, ssh: ssh)
    }

    private func run(_ text: String, on session: any HostSession) async throws -> String {
        let output = OutputRecorder()
        let result = try await session.run(
            Script(text),
            timeoutMilliseconds: 30_000,
            output: output
        )
        #expect(result.status == .exited(0))
        return output.text
    }

    // MARK: Jump hosts

    @Test func oneAndTwoJumpHostsLeadToTheTarget() async throws {
        let transport = transport()
        let hop = "\(NSUserName())@127.0.0.1:\(jump.port)"
        for route in [hop, "127.0.0.1:\(outer.port),\(hop)"] {
            let session = try await transport.open(endpoint(through: route), rollout: "r1")
            let text = try await run("echo $HOME; head -c 3000000 /dev/zero | wc -c", on: session)
            #expect(text == "\(target.home)\n3000000\n")
            await session.close(removingRunDirectory: false)
        }
    }

    /// 3 MB through two layers that both exchange keys anew every megabyte.
    @Test func rekeyingIsInvisibleThroughAJumpHost() async throws {
        let session = try await transport().open(
            endpoint(through: "127.0.0.1:\(jump.port)"),
            rollout: "r1"
        )
        let output = OutputRecorder()
        let result = try await session.runDetached(
            Script("head -c 3000000 /dev/zero | tr '\\0' 'y'"),
            key: ActionKey("f0-1"),
            timeoutMilliseconds: 60_000,
            output: output
        )
        #expect(result == CommandResult(status: .exited(0), outputBytes: 3_000_000))
        #expect(output.bytes.allSatisfy { $0 == UInt8(ascii: "y") })
        await session.close(removingRunDirectory: true)
    }

    @Test func manyHostsShareOneConnectionToTheirJumpHost() async throws {
        let relay = try Relay(to: jump.port)
        let transport = transport()
        let route = "127.0.0.1:\(relay.port)"
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<24 {
                let endpoint = endpoint(HostName("web\(number)"), through: route)
                group.addTask {
                    let session = try await transport.open(endpoint, rollout: "r1")
                    #expect(try await run("echo \(number)", on: session) == "\(number)\n")
                    await session.close(removingRunDirectory: false)
                }
            }
            try await group.waitForAll()
        }
        // Further ones are opened when a slow machine makes hosts wait for their turn, and never more than eight.
        #expect((1...8).contains(relay.acceptedCount))
    }

    /// N20: when the jump host dies, everything behind it is lost, and is found again.
    ///
    /// Row N20.
    @Test func aJumpHostThatDiesLosesItsHostsAndIsConnectedToAnew() async throws {
        let relay = try Relay(to: jump.port)
        let transport = transport()
        let endpoint = endpoint(through: "127.0.0.1:\(relay.port)")
        let session = try await transport.open(endpoint, rollout: "r1")
        let lost = Task { () -> TransportError? in
            do throws(TransportError) {
                _ = try await session.runDetached(
                    Script(
                        "touch \"$HOME/up\"; until [ -e \"$HOME/go\" ]; do sleep 0.05; done; echo done; exit 3"
                    ),
                    key: ActionKey("f0-1"),
                    timeoutMilliseconds: 30_000,
                    output: OutputRecorder()
                )
                return nil
            } catch {
                return error
            }
        }
        try await eventually("the step is up") {
            FileManager.default.fileExists(atPath: target.home + "/up")
        }
        relay.cut(.reset)
        let error = await lost.value
        #expect(error?.mayHaveRun ?? false, "\(String(describing: error))")
        await session.close(removingRunDirectory: false)
        let again = try await transport.open(endpoint, rollout: "r1")
        _ = FileManager.default.createFile(atPath: target.home + "/go", contents: nil)
        let output = OutputRecorder()
        let found = try await again.recover(
            ActionKey("f0-1"),
            from: 0,
            timeoutMilliseconds: 30_000,
            output: output
        )
        #expect(found == .ended(CommandResult(status: .exited(3), outputBytes: 5)))
        await again.close(removingRunDirectory: true)
    }

    @Test func aDeadHostBehindAJumpHostDoesNotHoldUpTheOthers() async throws {
        let transport = transport()
        let route = "127.0.0.1:\(jump.port)"
        var dead = endpoint("dead", through: route).ssh
        // TEST-NET-1 (RFC 5737): routed nowhere, so it is silent or refused at once.
        dead.hostname = "192.0.2.1"
        dead.connectTimeoutMilliseconds = 600_000
        let deadEndpoint = HostEndpoint(name: "dead", ssh: dead)
        let error = Mutex<TransportError?>(nil)
        Task {
            do throws(TransportError) {
                _ = try await transport.open(deadEndpoint, rollout: "r1")
            } catch let found {
                error.withLock { $0 = found }
            }
        }
        for number in 0..<3 {
            let session = try await transport.open(
                endpoint(HostName("web\(number)"), through: route),
                rollout: "r1"
            )
            #expect(try await run("echo up", on: session) == "up\n")
            await session.close(removingRunDirectory: false)
        }
        // It is still being waited for, unless the network has refused it at once.
        if case .timedOut? = error.withLock({ $0 }) {
            Issue.record("the living hosts were waited for no longer than the dead one")
        }
    }

    @Test func moreDeadHostsThanSessionsDoNotHoldUpALivingOne() async throws {
        let transport = transport()
        let route = "127.0.0.1:\(jump.port)"
        let silent = try SilentPort()
        await withDiscardingTaskGroup { group in
            for number in 0..<(JumpHost.laneLimit + 4) {
                var ssh = endpoint("dead", through: route).ssh
                ssh.port = silent.port
                ssh.connectTimeoutMilliseconds = 1_500
                let dead = HostEndpoint(name: HostName("dead\(number)"), ssh: ssh)
                group.addTask {
                    do throws(TransportError) {
                        _ = try await transport.open(dead, rollout: "r1")
                        #expect(Bool(false), "nobody answers there")
                    } catch {
                        #expect(error == .timedOut(.connecting, milliseconds: 1_500), "\(error)")
                    }
                }
            }
        }
        let session = try await transport.open(endpoint(through: route), rollout: "r1")
        #expect(try await run("echo up", on: session) == "up\n")
        await session.close(removingRunDirectory: false)
    }

    @Test func anErrorAtTheJumpHostNamesIt() async throws {
        var ssh = endpoint(through: "nobody@127.0.0.1:\(jump.port)").ssh
        ssh.connectTimeoutMilliseconds = 3_000
        let error = await #expect(throws: TransportError.self) {
            try await transport().open(HostEndpoint(name: "web1", ssh: ssh), rollout: "r1")
        }
        #expect(error?.token == "E_AUTH")
        #expect(error?.message.contains("on the way, at") ?? false)
    }

    // MARK: Proxy commands

    @Test func aProxyCommandLeadsToTheTarget() async throws {
        var ssh = endpoint(through: nil).ssh
        ssh.proxyCommand =
            "ssh -F none -i \(target.keyFile) -o UserKnownHostsFile=\(knownHosts) "
            + "-p \(jump.port) -W %h:%p 127.0.0.1"
        let session = try await transport().open(
            HostEndpoint(name: "web1", ssh: ssh),
            rollout: "r1"
        )
        #expect(try await run("echo $HOME", on: session) == target.home + "\n")
        await session.close(removingRunDirectory: false)
    }

    @Test func whatAProxyCommandComplainsAboutIsShown() async throws {
        var ssh = endpoint(through: nil).ssh
        ssh.proxyCommand = "sh -c 'echo no way to %h >&2; exit 1'"
        let error = await #expect(throws: TransportError.self) {
            try await transport().open(HostEndpoint(name: "web1", ssh: ssh), rollout: "r1")
        }
        #expect(
            error?.message.contains("no way to 127.0.0.1") ?? false,
            "\(String(describing: error))"
        )
    }

    @Test(
        "A proxy command that fails is an error at once, with how it ended, and is not taken for a busy server",
        arguments: [
            ("false", "it exited(1) without a word"),
            ("echo no >&2; exit 3", "it exited(3); it said `no`"),
            ("/no/such/program", "it exited(127)"), ("kill -9 $$", "signal 9 ended it"),
            ("ssh -F none -o BatchMode=yes -p 1 -W %h:%p 127.0.0.1", "it exited(255)"),
        ]
    )
    func failedProxy(command: String, words: String) async throws {
        var environment = SSHTransport.Environment(
            home: target.directory.path,
            user: NSUserName(),
            agentSocket: nil
        )
        environment.systemConfiguration = "/nonexistent"
        // As it is: a busy server is waited for for a minute, and the test would hang.
        #expect(environment.busyMilliseconds == 60_000)
        var ssh = endpoint(through: nil).ssh
        ssh.proxyCommand =
            command.contains(";") || command.hasPrefix("kill") ? "sh -c '\(command)'" : command
        do throws(TransportError) {
            _ = try await SSHTransport(environment)
                .open(HostEndpoint(name: "web1", ssh: ssh), rollout: "r1")
            #expect(Bool(false), "reached")
        } catch {
            #expect(error.token == "E_UNREACHABLE", "\(error)")
            #expect(error.message.contains(words), "\(error.message)")
        }
    }

    @Test("A jump host that lets nothing through is named, with what to change there")
    func prohibitingJumpHost() async throws {
        let strict = try SSHDServer(
            configuration: [
                "AllowTcpForwarding no", "AuthorizedKeysFile \(target.keyFile).pub",
            ]
        )
        try target.directory.write(
            (target.directory.read("both") ?? "") + (strict.directory.read("known_hosts") ?? ""),
            to: "both"
        )
        let error = await #expect(throws: TransportError.self) {
            try await transport().open(endpoint(through: "127.0.0.1:\(strict.port)"), rollout: "r1")
        }
        #expect(error?.token == "E_REFUSED", "\(String(describing: error))")
        #expect(error?.message.contains("127.0.0.1:\(strict.port)") ?? false)
        #expect(error?.hint?.contains("AllowTcpForwarding yes") ?? false)
    }

    @Test("BindAddress is where a connection comes from; one that this machine has not is named")
    func bindAddress() async throws {
        func open(_ address: String) async throws -> String {
            try target.directory.write("BindAddress \(address)\n", to: ".ssh/config", mode: 0o600)
            let session = try await transport().open(endpoint(through: nil), rollout: "r1")
            let output = try await run("echo $SSH_CONNECTION", on: session)
            await session.close(removingRunDirectory: false)
            return output
        }
        #expect(try await open("127.9.8.7").hasPrefix("127.9.8.7 "))
        let error = await #expect(throws: TransportError.self) { try await open("192.0.2.1") }
        #expect(error?.token == "E_UNREACHABLE")
        #expect(error?.message.contains("annot assign requested address") ?? false)
        let other = await #expect(throws: TransportError.self) { try await open("::1") }
        #expect(other?.token == "E_UNREACHABLE", "of another family")
    }

    @Test("SetEnv is for the host's shell, as far as the host takes it; SendEnv sends nothing")
    func setEnvironment() async throws {
        let server = try SSHDServer(configuration: ["AcceptEnv FLEET_* LC_*"])
        try server.directory.write(
            "SetEnv FLEET_ONE=1 FLEET_TWO=\"a b=c\" OTHER=x\nSendEnv LC_*\n",
            to: ".ssh/config",
            mode: 0o600
        )
        var environment = SSHTransport.Environment(
            home: server.directory.path,
            user: NSUserName(),
            agentSocket: nil
        )
        environment.systemConfiguration = "/nonexistent"
        let session = try await SSHTransport(environment).open(server.endpoint(), rollout: "r1")
        let text = try await run("echo \"$FLEET_ONE,$FLEET_TWO,$OTHER\"", on: session)
        #expect(text == "1,a b=c,\n")
        await session.close(removingRunDirectory: false)
    }

    @Test func aProxyCommandIsEndedWithItsSession() async throws {
        var ssh = endpoint(through: nil).ssh
        let mark = target.directory.path + "/proxy.pid"
        ssh.proxyCommand =
            "sh -c 'echo $$ >\(mark); exec ssh -F none -i \(target.keyFile) -o "
            + "UserKnownHostsFile=\(knownHosts) -p \(jump.port) -W %h:%p 127.0.0.1'"
        let session = try await transport().open(
            HostEndpoint(name: "web1", ssh: ssh),
            rollout: "r1"
        )
        let pid = try #require(
            pid_t(
                (target.directory.read("proxy.pid") ?? "").trimmingCharacters(
                    in: .whitespacesAndNewlines
                )
            )
        )
        #expect(kill(pid, 0) == 0)
        await session.close(removingRunDirectory: false)
        try await eventually("the command is gone") { kill(pid, 0) != 0 }
    }

    // MARK: Addresses

    @Test func theNextAddressIsTriedWhileTheFirstIsSilent() async throws {
        let reactors = ReactorPool()
        let session = SSHSession(
            reactor: reactors.reactor(for: "x"),
            rollout: "r1",
            sources: SourceFiles()
        )
        let silent = try #require(HostAddress(literal: "192.0.2.1", port: 22))
        let refused = try #require(HostAddress(literal: "127.0.0.1", port: SSHDServer.freePort()))
        let good = try #require(HostAddress(literal: "127.0.0.1", port: target.port))
        try await session.connect(to: [silent, refused, good], within: 5_000)
        #expect(await session.address == "127.0.0.1")
        await session.tearDown(.connectionLost(.connecting, reason: "done"))
    }

    @Test func everyAddressThatFailedIsNamed() async throws {
        let reactors = ReactorPool()
        let session = SSHSession(
            reactor: reactors.reactor(for: "x"),
            rollout: "r1",
            sources: SourceFiles()
        )
        let addresses = [
            try #require(HostAddress(literal: "127.0.0.1", port: SSHDServer.freePort())),
            try #require(HostAddress(literal: "127.0.0.2", port: SSHDServer.freePort())),
        ]
        let error = await #expect(throws: TransportError.self) {
            try await session.connect(to: addresses, within: 5_000)
        }
        #expect(
            error
                == .unreachable(
                    address: "127.0.0.1, 127.0.0.2",
                    reason: "Connection refused; Connection refused"
                )
        )
        await session.tearDown(.connectionLost(.connecting, reason: "done"))
    }

    @Test func familiesTakeTurns() throws {
        let v6 = try (1...3).map { try #require(HostAddress(literal: "fd00::\($0)", port: 22)) }
        let v4 = try (1...2).map { try #require(HostAddress(literal: "10.0.0.\($0)", port: 22)) }
        let order = HostAddress.alternating(v6 + v4).map(\.text)
        #expect(order == ["fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2", "fd00::3"])
    }

    @Test func connectsOverIPv6() async throws {
        guard let server = try? SSHDServer(address: "::1") else { return }
        let session = try await transport().open(server.endpoint(), rollout: "r1")
        #expect(try await run("echo ${SSH_CONNECTION%% *}", on: session) == "::1\n")
        await session.close(removingRunDirectory: false)
    }
}
