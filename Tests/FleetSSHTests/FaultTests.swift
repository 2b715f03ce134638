import FleetTestSupport
import FleetTransport
import Foundation
import Testing

@testable import FleetReactor
@testable import FleetSSH

/// Hostile networks and servers; each test is named by the row of docs/faults.md that it covers.
@Suite(.serialized) struct FaultTests {
    private let server: SSHDServer

    init() throws { server = try SSHDServer() }

    private func transport(
        busy: Int = 0,
        banner: Int = 10_000,
        handshake: Int = 20_000,
        configuration: String? = nil
    ) throws -> SSHTransport {
        var environment = SSHTransport.Environment(
            home: server.directory.path,
            user: NSUserName(),
            agentSocket: nil
        )
        environment.busyMilliseconds = busy
        environment.bannerMilliseconds = banner
        environment.handshakeMilliseconds = handshake
        environment.systemConfiguration = "/nonexistent"
        if let configuration {
            try server.directory.write(configuration, to: ".ssh/config", mode: 0o600)
        }
        return SSHTransport(environment)
    }

    private func failure(_ endpoint: HostEndpoint, _ transport: SSHTransport) async
        -> TransportError?
    {
        do throws(TransportError) {
            let session = try await transport.open(endpoint, rollout: "r1")
            await session.close(removingRunDirectory: false)
            return nil
        } catch {
            return error
        }
    }

    /// Our own sockets that are still connected to a port, half-closed ones included (proc(5),
    /// /proc/net/tcp).
    private func connections(to port: Int) throws -> Int {
        let table = try String(contentsOfFile: "/proc/net/tcp", encoding: .utf8)
        let suffix = ":" + String(format: "%04X", port)
        return table.split(separator: "\n").dropFirst().count { line in
            let fields = line.split(separator: " ")
            return fields[2].hasSuffix(suffix) && ["01", "08"].contains(fields[3])
        }
    }

    // MARK: Connecting

    @Test("N1: a refused port is said at once, with the address")
    func refused() async throws {
        let port = try SSHDServer.freePort()
        let error = await failure(server.endpoint(port: port), try transport())
        #expect(error == .unreachable(address: "127.0.0.1", reason: "Connection refused"))
    }

    @Test("N2: a network without a route is said at once")
    func noRoute() async throws {
        var ssh = server.endpoint().ssh
        // Class E (RFC 1112) is routed nowhere.
        ssh.hostname = "240.0.0.1"
        ssh.connectTimeoutMilliseconds = 1_000
        let error = await failure(HostEndpoint(name: "web1", ssh: ssh), try transport())
        #expect(["E_UNREACHABLE", "E_TIMEOUT"].contains(error?.token))
        #expect(error?.isRetryable ?? false)
    }

    @Test("N3: a host that does not answer ends at the connect deadline")
    func blackhole() async throws {
        let silent = try SilentPort()
        var ssh = server.endpoint(port: silent.port).ssh
        ssh.connectTimeoutMilliseconds = 700
        let error = await failure(HostEndpoint(name: "web1", ssh: ssh), try transport())
        #expect(error == .timedOut(.connecting, milliseconds: 700))
    }

    @Test("N4: a name that does not exist is no reason to try again; one that does is asked once")
    func names() async throws {
        let resolver = Resolver()
        let missing = await #expect(throws: TransportError.self) {
            try await resolver.addresses(of: "no-such-host.invalid", port: 22, family: AF_UNSPEC)
        }
        #expect(["E_DNS", "E_UNREACHABLE"].contains(missing?.token))
        let first = try await resolver.addresses(of: "localhost", port: 22, family: AF_INET)
        let again = try await resolver.addresses(of: "localhost", port: 22, family: AF_INET)
        #expect(first == again)
        #expect(first.map(\.text) == ["127.0.0.1"])
    }

    // MARK: Banner and keys

    @Test("N5: endless lines before the banner are cut off")
    func endlessLines() async throws {
        let chatty = try TalkingServer(["welcome to the maze\r\n"], repeats: true)
        let error = await failure(server.endpoint(port: chatty.port), try transport())
        guard case .notSSH(let seen) = error else {
            return #expect(Bool(false), "\(String(describing: error))")
        }
        #expect(seen.hasPrefix("welcome to the maze"))
    }

    @Test("N5: a server that hangs up the moment it is connected to is not waited for")
    func hangsUpAtOnce() async throws {
        // Connection, bytes and end may come in one event; which it is depends on the moment.
        for words in ["", "SSH-2.0-x\r\n", "go away\r\n"] {
            let rude = try TalkingServer([words], hangsUp: true)
            let transport = try transport(busy: 0)
            for _ in 0..<20 {
                let error = await failure(server.endpoint(port: rude.port), transport)
                guard case .connectionLost = error else {
                    return #expect(Bool(false), "`\(words)`: \(String(describing: error))")
                }
            }
        }
    }

    @Test("N5: a banner that trickles ends at the deadline for all of it")
    func tarpit() async throws {
        let slow = try TalkingServer(["x"], pauseMicroseconds: 50_000, repeats: true)
        let error = await failure(
            server.endpoint(port: slow.port),
            try transport(banner: 600)
        )
        #expect(error == .timedOut(.banner, milliseconds: 600))
    }

    @Test("N6: a trickle after the banner ends at the deadline for the key exchange")
    func trickle() async throws {
        let relay = try Relay(to: server.port)
        relay.trouble(fromServer: .trickle(microseconds: 3_000))
        let error = await failure(
            server.endpoint(port: relay.port),
            try transport(handshake: 700)
        )
        #expect(error == .timedOut(.handshake, milliseconds: 700))
        #expect(error?.hint?.contains("MTU") ?? false)
    }

    @Test("N7, N8: a connection that is cut at any byte is an error, and leaks nothing")
    func cutAnywhere() async throws {
        // Deadlines that no load can reach: the end itself is noticed, also by whoever is sending.
        let transport = try transport(banner: 600_000, handshake: 600_000)
        let relay = try Relay(to: server.port)
        var endpoint = server.endpoint(port: relay.port)
        var ssh = endpoint.ssh
        ssh.connectTimeoutMilliseconds = 600_000
        endpoint = HostEndpoint(name: endpoint.name, ssh: ssh)
        // Up to the end of a login the server sends about 2.5 kB.
        for bytes in stride(from: 0, to: 2_700, by: 13) {
            relay.cutAfter(bytes: bytes, bytes % 2 == 0 ? .end : .reset)
            guard let error = await failure(endpoint, transport) else {
                #expect(bytes > 1_500, "logged in with \(bytes) bytes")
                continue
            }
            #expect(error.isRetryable, "\(bytes): \(error)")
        }
        try await eventually("no connection is left open") {
            try connections(to: relay.port) == 0
        }
    }

    @Test("N18: a path that swallows large packets ends with a hint at the MTU")
    func largePacketsVanish() async throws {
        let relay = try Relay(to: server.port)
        relay.trouble(fromServer: .dropLarge(bytes: 400))
        let error = await failure(
            server.endpoint(port: relay.port),
            try transport(handshake: 700)
        )
        #expect(error == .timedOut(.handshake, milliseconds: 700))
        #expect(error?.hint?.contains("MTU") ?? false)
    }

    @Test("N23: something that speaks HTTP is named, with what it said")
    func captivePortal() async throws {
        let portal = try TalkingServer([
            "HTTP/1.1 400 Bad Request\r\nServer: p\u{1B}[31mrtal\r\n\r\n"
        ])
        let error = await failure(server.endpoint(port: portal.port), try transport())
        #expect(error == .notSSH(seen: "HTTP/1.1 400 Bad Request Server: p [31mrtal"))
        #expect(error?.token == "E_PROTO")
    }

    @Test(
        "N24: an sshd that keeps this address out is named at once, and not asked again and again"
    )
    func penalties() async throws {
        let strict = try TalkingServer(["Not allowed at this time\r\n"], hangsUp: true)
        // As long as usual: a busy server would be asked again for a minute.
        var environment = SSHTransport.Environment(
            home: server.directory.path,
            user: NSUserName(),
            agentSocket: nil
        )
        environment.systemConfiguration = "/nonexistent"
        let error = await failure(
            server.endpoint(port: strict.port),
            SSHTransport(environment)
        )
        #expect(error?.token == "E_UNREACHABLE", "\(String(describing: error))")
        #expect(error?.message.contains("PerSourcePenalties") ?? false)
        #expect(error?.hint?.contains("PerSourcePenaltyExemptList") ?? false)
    }

    // MARK: Busy servers

    @Test("N16: no host fails because of our own parallelism")
    func maxStartups() async throws {
        let busy = try SSHDServer(configuration: ["MaxStartups 3:50:6"])
        var environment = SSHTransport.Environment(
            home: busy.directory.path,
            user: NSUserName(),
            agentSocket: nil
        )
        environment.systemConfiguration = "/nonexistent"
        let transport = SSHTransport(environment)
        await withTaskGroup(of: TransportError?.self) { group in
            for number in 0..<60 {
                let endpoint = busy.endpoint(name: HostName("web\(number)"))
                group.addTask { await failure(endpoint, transport) }
            }
            for await error in group { #expect(error == nil) }
        }
    }

    @Test("N17: one session at a time is enough for steps and uploads")
    func maxSessionsOne() async throws {
        let narrow = try SSHDServer(configuration: ["MaxSessions 1"])
        try narrow.directory.write("payload", to: "source")
        let endpoint = narrow.endpoint()
        let session = try await transport().open(endpoint, rollout: "r1")
        for attempt in 1...2 {
            let result = try await session.runDetached(
                Script("echo step"),
                key: ActionKey("f0-\(attempt)"),
                timeoutMilliseconds: 20_000,
                output: OutputRecorder()
            )
            #expect(result.status == .exited(0))
            let upload = Upload(
                source: narrow.directory.path + "/source",
                sizeBytes: 7,
                sha256: "unused",
                prepare: Script(":"),
                finish: Script("mv \"$FLEET_UPLOAD\" \"$HOME/arrived\(attempt)\"")
            )
            let sent = try await session.upload(
                upload,
                key: ActionKey("f1-\(attempt)"),
                timeoutMilliseconds: 20_000,
                output: OutputRecorder()
            )
            #expect(sent.status == .exited(0))
        }
        #expect(narrow.directory.read("home/arrived2") == "payload")
        await session.close(removingRunDirectory: true)
    }

    // MARK: Under way

    /// A step that leaves a mark each time it runs and prints lines that can be counted.
    private static let step = Script(
        #"echo run >>"$HOME/marks"; i=0; while [ $i -lt 400 ]; do echo "line $i of the step"; i=$((i+1)); done; exit 5"#
    )

    @Test("N9, N14: a step whose link is cut at any byte ran once, and its output is complete")
    func cutInMidStep() async throws {
        var random = SeededRandom(seed: 9)
        let transport = try transport()
        let expected = (0..<400).map { "line \($0) of the step\n" }.joined()
        for round in 0..<25 {
            let key = ActionKey("f\(round)-1")
            try? FileManager.default.removeItem(atPath: server.home + "/marks")
            let relay = try Relay(to: server.port)
            let endpoint = server.endpoint(name: HostName("w\(round)"), port: relay.port)
            let session = try await transport.open(endpoint, rollout: "r1")
            relay.cutAfter(
                bytes: 2_600 + Int.random(in: 0...9_500, using: &random),
                round % 2 == 0 ? .end : .reset
            )
            let output = OutputRecorder()
            var result: CommandResult?
            do throws(TransportError) {
                result = try await session.runDetached(
                    Self.step,
                    key: key,
                    timeoutMilliseconds: 20_000,
                    output: output
                )
            } catch {
                #expect(error.mayHaveRun || error.isRetryable, "\(error)")
            }
            await session.close(removingRunDirectory: false)
            if let result {
                #expect(
                    result == CommandResult(status: .exited(5), outputBytes: expected.utf8.count)
                )
                #expect(output.text == expected)
                continue
            }
            relay.cutAfter(bytes: nil)
            let again = try await transport.open(endpoint, rollout: "r1")
            let recovered = OutputRecorder()
            let found = try await again.recover(
                key,
                from: 0,
                timeoutMilliseconds: 20_000,
                output: recovered
            )
            switch found {
            case .ended(let result):
                #expect(
                    result == CommandResult(status: .exited(5), outputBytes: expected.utf8.count)
                )
                #expect(recovered.text == expected)
                #expect(server.directory.read("home/marks") == "run\n")
            case .neverStarted:
                #expect(!server.directory.has("home/marks"))
            case .vanished: #expect(Bool(false), "nobody killed the step")
            }
            await again.close(removingRunDirectory: false)
        }
    }

    @Test("N13: a link that goes silent, either way, is found", arguments: [true, false])
    func halfOpen(_ isFromServer: Bool) async throws {
        let relay = try Relay(to: server.port)
        let transport = try transport(
            configuration: "ServerAliveInterval 3\nServerAliveCountMax 1\n"
        )
        let session = try await transport.open(server.endpoint(port: relay.port), rollout: "r1")
        _ = try await session.run(
            Script(":"),
            timeoutMilliseconds: 10_000,
            output: OutputRecorder()
        )
        relay.trouble(
            fromServer: isFromServer ? .blackhole : nil,
            fromClient: isFromServer ? nil : .blackhole
        )
        // Far behind the silence that is noticed.
        let error = await #expect(throws: TransportError.self) {
            _ = try await session.run(
                Script("sleep 3000"),
                timeoutMilliseconds: 3_600_000,
                output: OutputRecorder()
            )
        }
        #expect(error?.mayHaveRun ?? false)
        #expect(error?.message.contains("nothing was heard") ?? false)
        await session.close(removingRunDirectory: false)
    }

    @Test("N13: a command that is only quiet is left alone")
    func quietIsNotDead() async throws {
        let transport = try transport(
            configuration: "ServerAliveInterval 3\nServerAliveCountMax 1\n"
        )
        let session = try await transport.open(server.endpoint(), rollout: "r1")
        let result = try await session.run(
            Script("sleep 8"),
            timeoutMilliseconds: 60_000,
            output: OutputRecorder()
        )
        #expect(result.status == .exited(0))
        await session.close(removingRunDirectory: false)
    }

    @Test("N15: a byte that is changed while nobody waits for anything ends the session, too")
    func corruptionWhileIdle() async throws {
        let transport = try transport()
        let relay = try Relay(to: server.port)
        relay.trouble(fromServer: .flip(at: 12_000))
        let session = try await transport.open(
            server.endpoint(name: HostName("idle"), port: relay.port),
            rollout: "r1"
        )
        // It goes on talking once nobody listens any more, past the byte that is changed.
        let begun = try await session.run(
            Script(
                "(i=0; while [ $i -lt 300 ]; do i=$((i + 1)); echo 0123456789012345678901234567890123456789; sleep 0.005; done; : >talked) &"
            ),
            timeoutMilliseconds: 20_000,
            output: OutputRecorder()
        )
        #expect(begun.status == .exited(0))
        try await eventually("it has said everything") {
            FileManager.default.fileExists(atPath: server.home + "/talked")
        }
        await #expect(throws: TransportError.self) {
            try await session.run(
                Script("echo still here"),
                timeoutMilliseconds: 20_000,
                output: OutputRecorder()
            )
        }
        await session.close(removingRunDirectory: false)
    }

    @Test("N15: a changed byte ends the session and is never output")
    func corruption() async throws {
        let transport = try transport()
        for place in stride(from: 2_700, to: 6_700, by: 800) {
            let relay = try Relay(to: server.port)
            relay.trouble(fromServer: .flip(at: place))
            let endpoint = server.endpoint(name: HostName("w\(place)"), port: relay.port)
            let output = OutputRecorder()
            do throws(TransportError) {
                let session = try await transport.open(endpoint, rollout: "r1")
                _ = try await session.run(
                    Script("head -c 40000 /dev/zero | tr '\\0' 'x'"),
                    timeoutMilliseconds: 20_000,
                    output: output
                )
                #expect(Bool(false), "byte \(place) was changed and nobody noticed")
            } catch {
                #expect(error.isRetryable, "\(error)")
            }
            #expect(output.bytes.allSatisfy { $0 == UInt8(ascii: "x") })
        }
    }

    @Test("N21: exchanging keys anew every megabyte is invisible")
    func rekey() async throws {
        let busy = try SSHDServer(configuration: ["RekeyLimit 1M"])
        let session = try await transport().open(busy.endpoint(), rollout: "r1")
        let output = OutputRecorder()
        let result = try await session.run(
            Script("head -c 12000000 /dev/zero | tr '\\0' 'x'"),
            timeoutMilliseconds: 60_000,
            output: output
        )
        #expect(result == CommandResult(status: .exited(0), outputBytes: 12_000_000))
        #expect(output.bytes.allSatisfy { $0 == UInt8(ascii: "x") })
        await session.close(removingRunDirectory: false)
    }

    // MARK: Servers that say no

    @Test("H5: a server without a common algorithm is answered with both lists")
    func noCommonAlgorithm() async throws {
        let modern = try SSHDServer(
            configuration: ["KexAlgorithms sntrup761x25519-sha512@openssh.com"]
        )
        let error = await failure(modern.endpoint(), try transport())
        #expect(error?.token == "E_ALGO")
        let message = error?.message ?? ""
        #expect(message.contains("key exchange: fleet (libssh2"))
        #expect(message.contains("curve25519-sha256"))
        #expect(message.contains("has sntrup761x25519-sha512@openssh.com"), "\(message)")
    }

    @Test(
        "H24: what ended a command is told apart",
        arguments: [
            ("exit 255", 255), ("/etc/passwd", 126), ("no-such-command-here", 127),
            ("sh -c 'kill -9 $$'", 137),
        ]
    )
    func endings(_ text: String, _ status: Int) async throws {
        let session = try await transport().open(server.endpoint(), rollout: "r1")
        let attached = try await session.run(
            Script(text),
            timeoutMilliseconds: 20_000,
            output: OutputRecorder()
        )
        #expect(attached.status == .exited(status))
        let detached = try await session.runDetached(
            Script(text),
            key: ActionKey("f0-1"),
            timeoutMilliseconds: 20_000,
            output: OutputRecorder()
        )
        #expect(detached.status == .exited(status))
        await session.close(removingRunDirectory: true)
    }

    @Test("H21: output without line breaks, with NUL and with broken characters is kept as it is")
    func strangeBytes() async throws {
        let session = try await transport().open(server.endpoint(), rollout: "r1")
        let output = OutputRecorder()
        let text = #"printf '\000\377\303'; printf '\251\r50%%\r\033[2J'; head -c 200000 /dev/zero"#
        let result = try await session.runDetached(
            Script(text),
            key: ActionKey("f0-1"),
            timeoutMilliseconds: 20_000,
            output: output
        )
        #expect(result.status == .exited(0))
        let start: [UInt8] = [0, 0xFF, 0xC3, 0xA9] + Array("\r50%\r\u{1B}[2J".utf8)
        #expect(output.bytes == start + [UInt8](repeating: 0, count: 200_000))
        await session.close(removingRunDirectory: true)
    }

    @Test("H28: a login that talks, before and after, is not mistaken for output")
    func noisyLogin() async throws {
        let noisy = try SSHDServer(configuration: [
            "ForceCommand echo 'Welcome! END run 0 0'; echo; sh -c \"$SSH_ORIGINAL_COMMAND\"; echo bye"
        ])
        let session = try await transport().open(noisy.endpoint(), rollout: "r1")
        let output = OutputRecorder()
        let result = try await session.run(
            Script("echo real"),
            timeoutMilliseconds: 20_000,
            output: output
        )
        #expect(result.status == .exited(0))
        #expect(output.text == "real\n")
        await session.close(removingRunDirectory: false)
    }

    @Test(
        "H28: a login that eats our input or ends is named",
        arguments: [
            "cat >/dev/null; sh -s", "exit 0", "head -c 1 >/dev/null; sh -s",
        ]
    )
    func greedyLogin(_ command: String) async throws {
        let greedy = try SSHDServer(configuration: ["ForceCommand \(command)"])
        let session = try await transport().open(greedy.endpoint(), rollout: "r1")
        let error = await #expect(throws: TransportError.self) {
            _ = try await session.run(
                Script("touch \"$HOME/ran\""),
                timeoutMilliseconds: 4_000,
                output: OutputRecorder()
            )
        }
        #expect(["E_SHELL", "E_LOST"].contains(error?.token), "\(String(describing: error))")
        #expect(!greedy.directory.has("home/ran"))
        await session.close(removingRunDirectory: false)
    }
}
