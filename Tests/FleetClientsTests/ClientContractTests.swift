import FleetClients
import FleetHostShell
import FleetSSH
import FleetTestSupport
import FleetTransport
import Foundation
import Testing

/// What every client promises of a host: the same for libssh2, the system's `ssh`, and this machine itself.
@Suite(.serialized) struct ClientContractTests {
    private let server: SSHDServer
    private let output = OutputRecorder()

    init() throws { server = try SSHDServer() }

    private func transport(
        _ server: SSHDServer? = nil,
        change: (inout SSHTransport.Environment) -> Void = { _ in }
    ) -> ClientTransport {
        var environment = SSHTransport.Environment(
            home: (server ?? self.server).home,
            user: NSUserName(),
            agentSocket: nil
        )
        environment.busyMilliseconds = 1_500
        change(&environment)
        return ClientTransport(environment, variables: ProcessInfo.processInfo.environment)
    }

    private func endpoint(
        _ client: HostClient,
        _ server: SSHDServer? = nil,
        change: (inout SSHSettings) -> Void = { _ in }
    ) -> HostEndpoint {
        var ssh = (server ?? self.server).endpoint().ssh
        ssh.client = client
        change(&ssh)
        return HostEndpoint(name: "web1", ssh: ssh)
    }

    private static let clients: [HostClient] = [.libssh2, .openssh, .local]

    private func text(_ session: any HostSession, _ script: String) async throws -> String {
        let output = OutputRecorder()
        _ = try await session.run(Script(script), timeoutMilliseconds: 20_000, output: output)
        return output.text
    }

    @Test(arguments: clients)
    func runsCommandsOneAfterAnother(_ client: HostClient) async throws {
        let session = try await transport().open(endpoint(client), rollout: "r1")
        for status in [0, 3, 0] {
            let result = try await session.run(
                Script(
                    "echo \"$A\"; pwd; cat; exit \(status)",
                    environment: [EnvironmentVariable("A", "it's \"x\"")]
                ),
                timeoutMilliseconds: 20_000,
                output: output
            )
            #expect(result.status == .exited(status))
        }
        #expect(output.text == String(repeating: "it's \"x\"\n\(server.home)\n", count: 3))
        #expect(session.client?.isEmpty == false)
        await session.close(removingRunDirectory: false)
    }

    /// Row H51.
    @Test(
        "What a script of another account leaves behind writes into nobody else's answers",
        .enabled(if: getuid() == 0),
        arguments: clients
    )
    func leftBehind(_ client: HostClient) async throws {
        let session = try await transport().open(endpoint(client), rollout: "r1")
        let left = """
            (i=0; while [ $i -lt 300 ]; do i=$((i + 1)); echo forged; sleep 0.01; done) &
            echo of nobody
            """
        for user in ["nobody", "daemon", nil] {
            let output = OutputRecorder()
            // It says its own line while the last account's process goes on saying its.
            let result = try await session.run(
                Script("sleep 0.3; echo of mine\n" + left, becomeUser: user),
                timeoutMilliseconds: 20_000,
                output: output
            )
            #expect(result.status == .exited(0))
            #expect(output.text.hasPrefix("of mine\n"), "\(output.text)")
            if user == "daemon" {
                let stepOutput = OutputRecorder()
                // A step's outcome does not come this way, but what it printed does.
                let step = try await session.runDetached(
                    Script("sleep 0.3; echo of the step"),
                    key: ActionKey("f0-1"),
                    timeoutMilliseconds: 20_000,
                    output: stepOutput
                )
                #expect(step == CommandResult(status: .exited(0), outputBytes: 12))
                #expect(stepOutput.text == "of the step\n")
            }
        }
        await session.close(removingRunDirectory: true)
    }

    @Test(arguments: clients)
    func aPersonsCommandIsOneOfThem(_ client: HostClient) async throws {
        let session = try await transport().open(endpoint(client), rollout: "r1")
        for _ in 1...2 {
            let result = try await session.runOnly(
                Script("echo out; echo err >&2; exit 7"),
                timeoutMilliseconds: 20_000,
                output: output
            )
            #expect(result.status == .exited(7))
        }
        #expect(output.text == "out\nerr\nout\nerr\n")
        await session.close(removingRunDirectory: false)
    }

    @Test(arguments: clients)
    func aDetachedStepRunsOnceAndLeavesNothing(_ client: HostClient) async throws {
        let session = try await transport().open(endpoint(client), rollout: "r1")
        let key = ActionKey("f0-1")
        let result = try await session.runDetached(
            Script("echo hello; exit 5"),
            key: key,
            timeoutMilliseconds: 20_000,
            output: output
        )
        #expect(result == CommandResult(status: .exited(5), outputBytes: 6))
        let again = try await session.recover(
            key,
            from: 2,
            timeoutMilliseconds: 20_000,
            output: output
        )
        #expect(again == .ended(CommandResult(status: .exited(5), outputBytes: 6)))
        #expect(output.text == "hello\nllo\n")
        #expect(
            try await session.recover(
                ActionKey("f1-1"),
                from: 0,
                timeoutMilliseconds: 20_000,
                output: output
            ) == .neverStarted
        )
        await session.close(removingRunDirectory: true)
        try await eventually("the run directory is gone") {
            !FileManager.default.fileExists(atPath: server.home + "/.fleet/runs/r1")
        }
    }

    @Test(arguments: clients)
    func outputIsByteExact(_ client: HostClient) async throws {
        try Command.shell(
            "head -c 5000000 /dev/urandom >bytes; printf '\\n' >>bytes",
            in: server.home
        )
        let wanted = try #require(FileManager.default.contents(atPath: server.home + "/bytes"))
        let session = try await transport().open(endpoint(client), rollout: "r1")
        for isDetached in [false, true] {
            let output = OutputRecorder()
            let script = Script("cat bytes")
            _ =
                isDetached
                ? try await session.runDetached(
                    script,
                    key: ActionKey("f0-1"),
                    timeoutMilliseconds: 30_000,
                    output: output
                )
                : try await session.run(script, timeoutMilliseconds: 30_000, output: output)
            #expect(output.bytes == Array(wanted))
        }
        await session.close(removingRunDirectory: true)
    }

    @Test(arguments: clients)
    func aHangIsEndedWithEverythingItStarted(_ client: HostClient) async throws {
        let session = try await transport().open(endpoint(client), rollout: "r1")
        let mark = "10\(Int.random(in: 10_000...99_999))"
        let hang = Script("echo before; sleep \(mark) & sleep \(mark)")
        let detached = try await session.runDetached(
            hang,
            key: ActionKey("f0-1"),
            timeoutMilliseconds: 3000,
            output: output
        )
        #expect(detached.status == .timedOut(confirmedDead: true))
        #expect(output.text == "before\n")
        let attached = try await session.run(hang, timeoutMilliseconds: 500, output: output)
        #expect(attached.status == .timedOut(confirmedDead: true))
        #expect(try await text(session, "pgrep -f '[s]leep \(mark)' || echo none") == "none\n")
        await session.close(removingRunDirectory: true)
    }

    @Test(arguments: clients, ["", "MaxSessions 1"])
    func filesArriveComplete(_ client: HostClient, configuration: String) async throws {
        let server = configuration.isEmpty ? server : try SSHDServer(configuration: [configuration])
        try Command.shell("head -c 3000000 /dev/urandom >file", in: server.directory.path)
        let path = server.directory.path + "/file"
        let session = try await transport(server).open(endpoint(client, server), rollout: "r1")
        _ = try await text(session, "mkdir -p there")
        let result = try await session.upload(
            Upload(
                source: path,
                sizeBytes: 3_000_000,
                sha256: "",
                handOver: nil,
                prepare: Script(":"),
                finish: Script("cp \"$FLEET_UPLOAD\" there/file")
            ),
            key: ActionKey("f0-1"),
            timeoutMilliseconds: 60_000,
            output: output
        )
        #expect(result.status == .exited(0), "\(output.text)")
        #expect(
            FileManager.default.contentsEqual(atPath: path, andPath: server.home + "/there/file")
        )
        await session.close(removingRunDirectory: true)
    }

    @Test(arguments: clients)
    func connectsFromTheHost(_ client: HostClient) async throws {
        let session = try await transport().open(endpoint(client), rollout: "r1")
        let heard = OutputRecorder()
        try await session.exchange(
            host: "127.0.0.1",
            port: server.port,
            request: Array("x\r\n".utf8),
            withinMilliseconds: 10_000
        ) { bytes in
            bytes.withUnsafeBytes { heard.write($0) }
            return heard.text.contains("SSH-2.0")
        }
        #expect(heard.text.hasPrefix("SSH-2.0"))
        try await session.exchange(
            host: "localhost",
            port: server.port,
            request: [],
            withinMilliseconds: 10_000
        ) { _ in true }
        // The kernel accepts for a process that hangs: `tcp` proves no more than that.
        let hanging = try Listener(backlog: 8)
        try await session.exchange(
            host: "127.0.0.1",
            port: hanging.port,
            request: [],
            withinMilliseconds: 10_000
        ) { _ in true }
        // A name that the host cannot find is refused in the same way.
        do throws(TransportError) {
            try await session.exchange(
                host: "nobody.invalid",
                port: server.port,
                request: [],
                withinMilliseconds: 60_000
            ) { _ in true }
            #expect(Bool(false), "connected")
        } catch {
            #expect(
                error.token == "E_REFUSED" && !error.message.contains("prohibited"),
                "\(error)"
            )
        }
        let nobody = try SSHDServer.freePort()
        await #expect(throws: TransportError.self) {
            do throws(TransportError) {
                try await session.exchange(
                    host: "127.0.0.1",
                    port: nobody,
                    request: [],
                    withinMilliseconds: 10_000
                ) { _ in true }
            } catch {
                #expect(
                    error.token == "E_REFUSED" && !error.message.contains("prohibited"),
                    "\(error)"
                )
                throw error
            }
        }
        #expect(try await text(session, "echo still here") == "still here\n")
        await session.close(removingRunDirectory: false)
    }

    @Test(
        "A host that forbids forwarding is told from one on which nobody listens",
        arguments: [HostClient.libssh2, .openssh]
    )
    func forbiddenForwarding(_ client: HostClient) async throws {
        let server = try SSHDServer(configuration: ["AllowTcpForwarding no"])
        let session = try await transport(server).open(endpoint(client, server), rollout: "r1")
        do throws(TransportError) {
            try await session.exchange(
                host: "127.0.0.1",
                port: server.port,
                request: [],
                withinMilliseconds: 10_000
            ) { _ in true }
            #expect(Bool(false), "connected")
        } catch {
            #expect(error.token == "E_REFUSED" && error.message.contains("prohibited"), "\(error)")
        }
        await session.close(removingRunDirectory: false)
    }

    /// Row N17.
    @Test(
        "A connection that is cut costs neither a step's outcome nor its output",
        arguments: [HostClient.libssh2, .openssh]
    )
    func cut(_ client: HostClient) async throws {
        let transport = transport()
        for _ in 1...5 {
            let session = try await transport.open(endpoint(client), rollout: "r1")
            let key = ActionKey("f\(Int.random(in: 0...1_000_000))-1")
            let running = Task {
                try await session.runDetached(
                    Script(
                        "echo one; touch began; until [ -e go ]; do sleep 0.05; done; echo two; exit 4"
                    ),
                    key: key,
                    timeoutMilliseconds: 20_000,
                    output: OutputRecorder()
                )
            }
            try await eventually("the step runs") {
                FileManager.default.fileExists(atPath: server.home + "/began")
            }
            server.dropConnections()
            await #expect(throws: TransportError.self) { _ = try await running.value }
            await session.close(removingRunDirectory: false)
            let next = try await transport.open(endpoint(client), rollout: "r1")
            _ = try await text(next, "touch go")
            let output = OutputRecorder()
            let found = try await next.recover(
                key,
                from: 0,
                timeoutMilliseconds: 20_000,
                output: output
            )
            #expect(found == .ended(CommandResult(status: .exited(4), outputBytes: 8)))
            #expect(output.text == "one\ntwo\n")
            _ = try await text(next, "rm -f began go")
            await next.close(removingRunDirectory: true)
        }
    }

    @Test("An ssh that is killed is a connection that is lost")
    func killedClient() async throws {
        let session = try await transport().open(endpoint(.openssh), rollout: "r1")
        let running = Task {
            try await session.run(
                Script("touch began; sleep 20"),
                timeoutMilliseconds: 30_000,
                output: output
            )
        }
        try await eventually("it runs") {
            FileManager.default.fileExists(atPath: server.home + "/began")
        }
        try Command.shell("pkill -9 -f 'ssh .* -- web1 sh -s$'; :", in: "/")
        await #expect(throws: TransportError.self) { _ = try await running.value }
        await session.close(removingRunDirectory: false)
    }

    // MARK: Which client

    @Test(
        "A host that libssh2 shares nothing with is reached by ssh, without a word",
        .enabled(if: LibSSH2.version.hasPrefix("1.10.")),
        arguments: [
            ["MACs hmac-sha2-256-etm@openssh.com", "Ciphers aes128-ctr"],
            ["Ciphers aes256-gcm@openssh.com"],
            ["Ciphers chacha20-poly1305@openssh.com"],
            ["KexAlgorithms sntrup761x25519-sha512@openssh.com"],
        ]
    )
    func hardenedHosts(configuration: [String]) async throws {
        let server = try SSHDServer(configuration: configuration)
        let transport = transport(server)
        let session = try await transport.open(endpoint(.auto, server), rollout: "r1")
        #expect(try await text(session, "echo hi") == "hi\n")
        #expect(session.client?.hasPrefix("OpenSSH_") ?? false)
        #expect(transport.whyOpenSSH(for: endpoint(.auto, server))?.token == "E_ALGO")
        await session.close(removingRunDirectory: false)
        do throws(TransportError) {
            _ = try await transport.open(endpoint(.libssh2, server), rollout: "r1")
            #expect(Bool(false), "reached")
        } catch {
            #expect(error.token == "E_ALGO")
        }
    }

    @Test("A host with an RSA key only, a host certificate, a user certificate")
    func keysThatLibssh2CannotUse() async throws {
        let server = try SSHDServer(hostKeyType: "rsa -b 2048")
        let session = try await transport(server).open(endpoint(.auto, server), rollout: "r1")
        #expect(try await text(session, "echo hi") == "hi\n")
        await session.close(removingRunDirectory: false)

        let signed = try TemporaryDirectory()
        let path = signed.path
        try Command.shell(
            """
            ssh-keygen -q -t ed25519 -N '' -f host_key
            ssh-keygen -q -t ed25519 -N '' -f authority
            ssh-keygen -q -s authority -I host -h -n 127.0.0.1 host_key.pub
            echo "@cert-authority * $(cat authority.pub)" >authorities
            """,
            in: path
        )
        let certified = try SSHDServer(
            configuration: [
                "HostKey \(path)/host_key", "HostCertificate \(path)/host_key-cert.pub",
            ]
        )
        let known = endpoint(.auto, certified) { $0.knownHostsFile = path + "/authorities" }
        let second = try await transport(certified).open(known, rollout: "r1")
        #expect(try await text(second, "echo hi") == "hi\n")
        #expect(second.client?.hasPrefix("OpenSSH_") ?? false)
        await second.close(removingRunDirectory: false)
    }

    @Test("What only ssh can decide of its configuration, ssh decides")
    func configuration() async throws {
        try server.directory.write(
            "Match exec \"test web1 = %n\"\n  HostName 127.0.0.1\n  Port \(server.port)\n",
            to: "home/.ssh/config",
            mode: 0o600
        )
        let endpoint = endpoint(.auto) { ($0.hostname, $0.port) = (nil, nil) }
        let session = try await transport().open(endpoint, rollout: "r1")
        #expect(try await text(session, "echo hi") == "hi\n")
        await session.close(removingRunDirectory: false)
    }

    @Test(
        "A configuration that is huge is read; one that goes in circles or is not ours alone is named",
        arguments: [HostClient.auto, .libssh2, .openssh]
    )
    func unusualConfigurations(_ client: HostClient) async throws {
        let place = "Host web1\n  HostName 127.0.0.1\n  Port \(server.port)\n"
        let endpoint = endpoint(client) { ($0.hostname, $0.port) = (nil, nil) }
        func token(_ text: String, mode: Int = 0o600) async throws -> String {
            try server.directory.write(text, to: "home/.ssh/config", mode: mode)
            do throws(TransportError) {
                let session = try await transport().open(endpoint, rollout: "r1")
                await session.close(removingRunDirectory: false)
                return "reached"
            } catch {
                #expect(!error.message.isEmpty)
                return error.token
            }
        }
        let comment = String(
            repeating: "# a line that says nothing at all to anybody\n",
            count: 230_000
        )
        #expect(comment.utf8.count > 10_000_000)
        #expect(try await token(place + comment) == "reached")
        // What a pattern finds may be a directory.
        try Command.shell("mkdir -p home/.ssh/more/old", in: server.directory.path)
        #expect(try await token("Include \(server.home)/.ssh/more/*\n" + place) == "reached")
        let circle = "Include \(server.home)/.ssh/config\n"
        #expect(try await token(place + circle) == "E_SSH_CONFIG")
        #expect(try await token(place, mode: 0o666) == "E_SSH_CONFIG")
        #expect(try await token(place + "Hostt x\n") == "E_SSH_CONFIG")
        #expect(try await token(place) == "reached")
    }

    @Test(
        "An unknown, a changed and a refused key are those errors, whoever notices",
        arguments: [HostClient.libssh2, .openssh]
    )
    func errors(_ client: HostClient) async throws {
        func token(_ endpoint: HostEndpoint) async -> String {
            do throws(TransportError) {
                _ = try await transport().open(endpoint, rollout: "r1")
                return "reached"
            } catch {
                return error.token
            }
        }
        try server.directory.write("", to: "empty")
        let other = (server.directory.read("key.pub") ?? "").split(separator: " ").prefix(2).joined(
            separator: " "
        )
        try server.directory.write("[127.0.0.1]:\(server.port) \(other)\n", to: "changed")
        try Command.shell("ssh-keygen -q -t ed25519 -N '' -f stranger", in: server.directory.path)
        let path = server.directory.path
        #expect(
            await token(endpoint(client) { $0.knownHostsFile = path + "/empty" })
                == "E_HOSTKEY_UNKNOWN"
        )
        #expect(
            await token(endpoint(client) { $0.knownHostsFile = path + "/changed" })
                == "E_HOSTKEY_CHANGED"
        )
        #expect(
            await token(
                endpoint(client) {
                    ($0.identityFiles, $0.identitiesOnly) = ([path + "/stranger"], true)
                }
            ) == "E_AUTH"
        )
        let nobody = try SSHDServer.freePort()
        #expect(await token(endpoint(client) { $0.port = nobody }) == "E_UNREACHABLE")
        #expect(await token(endpoint(client) { $0.hostname = "nowhere.invalid" }) == "E_DNS")
        let strict = try TalkingServer(["Not allowed at this time\r\n"], hangsUp: true)
        #expect(await token(endpoint(client) { $0.port = strict.port }) == "E_UNREACHABLE")
        // A host never seen before is remembered where that was asked for, and only there.
        let fresh = endpoint(client) {
            ($0.knownHostsFile, $0.hostKeys) = (path + "/fresh", .acceptNew)
        }
        #expect(await token(fresh) == "reached")
        let known = try Command.run(
            ["ssh-keygen", "-F", "[127.0.0.1]:\(server.port)", "-f", path + "/fresh"]
        )
        #expect(known.output.contains("ssh-ed25519 "))
    }

    @Test(
        "Through a jump host, with the inventory's key and known hosts",
        arguments: [HostClient.libssh2, .openssh]
    )
    func jump(_ client: HostClient) async throws {
        let jump = try SSHDServer(configuration: ["AuthorizedKeysFile \(server.keyFile).pub"])
        let both =
            (server.directory.read("known_hosts") ?? "")
            + (jump.directory.read("known_hosts") ?? "")
        try server.directory.write(both, to: "both")
        let path = server.directory.path + "/both"
        let way = endpoint(client) {
            ($0.jump, $0.knownHostsFile) = ("\(NSUserName())@127.0.0.1:\(jump.port)", path)
        }
        let session = try await transport().open(way, rollout: "r1")
        #expect(try await text(session, "echo hi") == "hi\n")
        await session.close(removingRunDirectory: false)
    }

    @Test(
        "No host fails because its sshd takes few logins at a time",
        arguments: [HostClient.libssh2, .openssh]
    )
    func maxStartups(_ client: HostClient) async throws {
        let busy = try SSHDServer(configuration: ["MaxStartups 3:50:6"])
        let transport = transport(busy) { $0.busyMilliseconds = 60_000 }
        let endpoint = endpoint(client, busy)
        await withTaskGroup(of: TransportError?.self) { group in
            for number in 0..<20 {
                let host = HostEndpoint(name: HostName("web\(number)"), ssh: endpoint.ssh)
                group.addTask {
                    do throws(TransportError) {
                        let session = try await transport.open(host, rollout: "r1")
                        await session.close(removingRunDirectory: false)
                        return nil
                    } catch {
                        return error
                    }
                }
            }
            for await error in group { #expect(error == nil, "\(String(describing: error))") }
        }
    }

    /// What each of some hosts says to two steps, all hosts at once.
    private func steps(
        onHosts count: Int,
        of endpoint: HostEndpoint,
        by transport: ClientTransport
    ) async throws -> [[String]] {
        try await withThrowingTaskGroup(of: [String].self) { group in
            for number in 1...count {
                group.addTask {
                    let session = try await transport.open(
                        HostEndpoint(name: HostName("web\(number)"), ssh: endpoint.ssh),
                        rollout: "r\(number)"
                    )
                    var said: [String] = []
                    for step in 1...2 {
                        said.append(try await text(session, "echo \(number).\(step)"))
                    }
                    await session.close(removingRunDirectory: false)
                    return said
                }
            }
            return try await group.reduce(into: [[String]]()) { $0.append($1) }
        }
    }

    @Test("200 hosts share 64 sessions of ssh, and each is asked everything")
    func twoHundredHosts() async throws {
        let server = try SSHDServer(configuration: ["MaxStartups 500"])
        let transport = transport(server) { $0.busyMilliseconds = 60_000 }
        let said = try await steps(onHosts: 200, of: endpoint(.openssh, server), by: transport)
        #expect(Set(said) == Set((1...200).map { ["\($0).1\n", "\($0).2\n"] }))
    }

    @Test("Never more than the inventory allows are open, 64 where it says nothing")
    func sessionBound() async throws {
        let place = try TemporaryDirectory()
        // It counts those that are open, itself included, whenever one more is.
        try place.write(
            """
            #!/bin/sh
            [ "$1" != -V ] || { echo OpenSSH_9.2p1 >&2; exit; }
            while [ "$1" != -- ]; do [ "$1" != -E ] || log=$2; shift; done
            cd '\(place.path)' && mkdir -p open && : >"open/$$"
            count=0
            for one in $(ls open); do
                if kill -0 "$one" 2>/dev/null; then count=$((count + 1)); else rm -f "open/$one"; fi
            done
            echo "$count" >>counts
            echo 'debug1: Entering interactive session.' >>"$log"
            HOME='\(place.path)' exec sh -c "$3"
            """,
            to: "ssh",
            mode: 0o755
        )
        for limit in [nil, 5] {
            try place.write("", to: "counts")
            let transport = transport { $0.openSSHProgram = place.path + "/ssh" }
            let said = try await steps(
                onHosts: 200,
                of: endpoint(.openssh) { $0.openSSHSessions = limit },
                by: transport
            )
            #expect(said.count == 200)
            let counts = (place.read("counts") ?? "").split(separator: "\n").compactMap { Int($0) }
            #expect(counts.count >= 200)
            #expect(counts.max() ?? 0 <= limit ?? 64, "\(counts.max() ?? 0)")
            #expect(counts.max() ?? 0 >= min(limit ?? 64, 20), "\(counts.max() ?? 0)")
        }
    }

    @Test("Above their limit, sessions that nobody uses log in again, and nothing waits for ever")
    func sessionLimit() async throws {
        let transport = transport()
        let results = try await withThrowingTaskGroup(of: [String].self) { group in
            for number in 1...12 {
                group.addTask {
                    var ssh = server.endpoint().ssh
                    (ssh.client, ssh.openSSHSessions) = (.openssh, 3)
                    let session = try await transport.open(
                        HostEndpoint(name: HostName("web\(number)"), ssh: ssh),
                        rollout: "r\(number)"
                    )
                    var said: [String] = []
                    for step in 1...3 {
                        let output = OutputRecorder()
                        _ = try await session.runDetached(
                            Script("echo \(number).\(step)"),
                            key: ActionKey("f\(step)-1"),
                            timeoutMilliseconds: 60_000,
                            output: output
                        )
                        said.append(output.text)
                    }
                    await session.close(removingRunDirectory: true)
                    return said
                }
            }
            return try await group.reduce(into: [[String]]()) { $0.append($1) }
        }
        #expect(results.count == 12)
        for said in results {
            let number = said[0].prefix { $0 != "." }
            #expect(said == (1...3).map { "\(number).\($0)\n" })
        }
    }

    @Test(
        "An ssh that is missing, too old or something else is named, and nothing is touched",
        arguments: [
            ("exit 127", "does not say which OpenSSH"),
            ("echo OpenSSH_7.9p1 >&2", "older than OpenSSH 8.0"),
            ("echo PuTTY >&2", "does not say which OpenSSH"),
            ("sleep 30", "does not say which OpenSSH"),
        ]
    )
    func unusableClients(script: String, words: String) async throws {
        let bin = try TemporaryDirectory()
        try bin.write("#!/bin/sh\n\(script)\n", to: "ssh", mode: 0o755)
        let transport = transport { $0.openSSHProgram = bin.path + "/ssh" }
        do throws(TransportError) {
            _ = try await transport.open(endpoint(.openssh), rollout: "r1")
            #expect(Bool(false), "reached")
        } catch {
            #expect(error.message.contains(words), "\(error)")
        }
    }

    @Test("This machine is not another account, and needs no sshd")
    func thisMachine() async throws {
        let transport = transport()
        await #expect(throws: TransportError.self) {
            _ = try await transport.open(endpoint(.local) { $0.user = "somebody" }, rollout: "r1")
        }
        server.stop()
        let session = try await transport.open(
            endpoint(.local) { $0.user = NSUserName() },
            rollout: "r1"
        )
        #expect(session.client == "local")
        #expect(try await text(session, "echo $HOME") == server.home + "\n")
        await session.close(removingRunDirectory: false)
    }
}
