import FleetHostShell
import FleetSSH
import FleetTestSupport
import FleetTransport
import Foundation
import Testing

/// The transport against a real sshd.
@Suite(.serialized) struct SSHSessionTests {
    private let server: SSHDServer
    private let output = OutputRecorder()

    init() throws { server = try SSHDServer() }

    private func transport(agent: String? = nil, limit: HostOutputLimit = HostOutputLimit())
        -> SSHTransport
    {
        var environment = SSHTransport.Environment(
            home: server.directory.path,
            user: NSUserName(),
            agentSocket: agent
        )
        environment.busyMilliseconds = 1_500
        environment.outputLimit = limit
        return SSHTransport(environment)
    }

    private func open(port: Int? = nil) async throws -> any HostSession {
        try await transport().open(server.endpoint(port: port), rollout: "r1")
    }

    private func failure(_ endpoint: HostEndpoint, agent: String? = nil) async -> TransportError? {
        do throws(TransportError) {
            let session = try await transport(agent: agent).open(endpoint, rollout: "r1")
            await session.close(removingRunDirectory: false)
            return nil
        } catch {
            return error
        }
    }

    // MARK: Commands

    @Test func runsCommandsOneAfterAnother() async throws {
        let session = try await open()
        for status in [0, 3, 0] {
            let result = try await session.run(
                Script(
                    "echo \"$A\"; pwd; exit \(status)",
                    environment: [EnvironmentVariable("A", "it's \"x\"")]
                ),
                timeoutMilliseconds: 20_000,
                output: output
            )
            #expect(result.status == .exited(status))
        }
        #expect(output.text == String(repeating: "it's \"x\"\n\(server.home)\n", count: 3))
        await session.close(removingRunDirectory: false)
    }

    @Test("A session that nobody uses answers a server that asks whether it is there")
    func idleSessionsAnswer() async throws {
        let strict = try SSHDServer(
            configuration: ["ClientAliveInterval 1", "ClientAliveCountMax 1"]
        )
        let session = try await transport().open(strict.endpoint(), rollout: "r1")
        let begun = try await session.run(
            Script("true"),
            timeoutMilliseconds: 20_000,
            output: OutputRecorder()
        )
        #expect(begun.status == .exited(0))
        // No event: sshd ends a session in silence, after some intervals without an answer.
        try await Task.sleep(for: .seconds(7))
        let after = try await session.run(
            Script("echo still here"),
            timeoutMilliseconds: 20_000,
            output: output
        )
        #expect(after.status == .exited(0) && output.text.contains("still here"))
        await session.close(removingRunDirectory: false)
    }

    @Test func aDetachedStepLeavesNothingBehind() async throws {
        let session = try await open()
        let result = try await session.runDetached(
            Script("echo hello; exit 5"),
            key: ActionKey("f0-1"),
            timeoutMilliseconds: 20_000,
            output: output
        )
        #expect(result == CommandResult(status: .exited(5), outputBytes: 6))
        #expect(FileManager.default.fileExists(atPath: server.home + "/.fleet/runs/r1/f0-1/rc"))
        await session.close(removingRunDirectory: true)
        #expect(!FileManager.default.fileExists(atPath: server.home + "/.fleet/runs/r1"))
    }

    @Test func nothingOfAScriptIsInTheProcessList() async throws {
        let session = try await open()
        let seen = try await session.runDetached(
            Script(
                "cat /proc/*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '[s]3cret-value'",
                environment: [EnvironmentVariable("S", "s3cret-value")]
            ),
            key: ActionKey("f0-1"),
            timeoutMilliseconds: 20_000,
            output: output
        )
        #expect(seen.status == .exited(1))
        #expect(output.text == "0\n")
        await session.close(removingRunDirectory: true)
    }

    /// Row H24.
    @Test func deathBySignalIsNeverSuccess() async throws {
        let session = try await open()
        for isDetached in [true, false] {
            let script = Script("kill -KILL $$; sleep 1")
            if isDetached {
                let result = try await session.runDetached(
                    script,
                    key: ActionKey("f0-1"),
                    timeoutMilliseconds: 20_000,
                    output: output
                )
                #expect(result.status == .exited(137))
            } else {
                // Attached, $$ is the host's shell itself: the session ends, and says so.
                await #expect(throws: TransportError.self) {
                    try await session.run(script, timeoutMilliseconds: 20_000, output: output)
                }
            }
        }
        await session.close(removingRunDirectory: false)
    }

    @Test func hundredMegabytesArriveComplete() async throws {
        let session = try await open()
        for isDetached in [false, true] {
            let counter = ByteCounter()
            let script = Script("head -c 104857600 /dev/zero | tr '\\0' 'x'")
            let result =
                isDetached
                ? try await session.runDetached(
                    script,
                    key: ActionKey("f0-1"),
                    timeoutMilliseconds: 120_000,
                    output: counter
                )
                : try await session.run(script, timeoutMilliseconds: 120_000, output: counter)
            #expect(result == CommandResult(status: .exited(0), outputBytes: 104_857_600))
            #expect(counter.count == 104_857_600)
            #expect(counter.isUniform)
        }
        await session.close(removingRunDirectory: true)
    }

    @Test("H20: a step that prints without end is stopped, and one that only takes long is not")
    func endlessOutput() async throws {
        var limit = HostOutputLimit()
        limit.bytes = 100_000
        limit.lookMilliseconds = 200
        let session = try await transport(limit: limit).open(server.endpoint(), rollout: "r1")
        let flood = try await session.runDetached(
            Script(
                "while head -c 9999 /dev/zero | tr '\\0' x; do sleep 0.02; done"
            ),
            key: ActionKey("f0-1"),
            timeoutMilliseconds: 60_000,
            output: output
        )
        #expect(flood.status == .exited(96))
        #expect(output.text.hasPrefix("xxx"))
        #expect(
            output.text.contains("\nfleet: stopped, because it printed more than 100000 bytes; ")
        )
        #expect(output.bytes.count > 100_000)
        // The host says so only when nothing of the step is alive.
        let left = try await session.recover(
            ActionKey("f0-1"),
            from: output.bytes.count,
            timeoutMilliseconds: 10_000,
            output: OutputRecorder()
        )
        #expect(left == .vanished)
        await session.close(removingRunDirectory: true)
        // Where there is no second session to look with, nothing is looked at.
        let narrow = try SSHDServer(configuration: ["MaxSessions 1"])
        for server in [server, narrow] {
            let session = try await transport(limit: limit).open(server.endpoint(), rollout: "r2")
            let slow = OutputRecorder()
            let long = try await session.runDetached(
                Script("for i in 1 2 3 4 5; do echo $i; sleep 0.3; done; exit 4"),
                key: ActionKey("f0-1"),
                timeoutMilliseconds: 60_000,
                output: slow
            )
            #expect(long == CommandResult(status: .exited(4), outputBytes: 10))
            #expect(slow.text == "1\n2\n3\n4\n5\n")
            await session.close(removingRunDirectory: true)
        }
    }

    @Test func binaryOutputIsByteExact() async throws {
        let session = try await open()
        try Command.shell(
            "head -c 300000 /dev/urandom >bytes; printf '\\n' >>bytes",
            in: server.home
        )
        let wanted = try #require(FileManager.default.contents(atPath: server.home + "/bytes"))
        _ = try await session.runDetached(
            Script("cat bytes"),
            key: ActionKey("f0-1"),
            timeoutMilliseconds: 20_000,
            output: output
        )
        #expect(output.bytes == Array(wanted))
        await session.close(removingRunDirectory: true)
    }

    /// Row H18.
    @Test func aHangIsEndedWithEverythingItStarted() async throws {
        let session = try await open()
        let hang = Script("echo $$ >\"$HOME/pid\"; echo before; sleep 1000 & sleep 1000")
        let detached = try await session.runDetached(
            hang,
            key: ActionKey("f0-1"),
            timeoutMilliseconds: 5000,
            output: output
        )
        #expect(detached.status == .timedOut(confirmedDead: true))
        #expect(output.text == "before\n", "what was printed before the end is not lost")
        let attached = try await session.run(hang, timeoutMilliseconds: 500, output: output)
        #expect(attached.status == .timedOut(confirmedDead: true))
        // The session is still good.
        let after = try await session.run(
            Script(
                "pgrep -f 'sleep 1000' | while read p; do tr '\\0' '\\n' </proc/$p/environ | grep -qx \"HOME=$HOME\" && echo $p; done; :"
            ),
            timeoutMilliseconds: 20_000,
            output: OutputRecorder()
        )
        #expect(after.status == .exited(0))
        #expect(after.outputBytes == 0)
        await session.close(removingRunDirectory: true)
    }

    /// Row H25.
    @Test func aBackgroundChildDoesNotHoldTheStep() async throws {
        let session = try await open()
        let result = try await session.runDetached(
            Script("sleep 30 & echo started"),
            key: ActionKey("f0-1"),
            timeoutMilliseconds: 20_000,
            output: output
        )
        #expect(result.status == .exited(0))
        #expect(output.text == "started\n")
        _ = try await session.run(
            Script("pkill -f 'sleep 30' || :"),
            timeoutMilliseconds: 20_000,
            output: output
        )
        await session.close(removingRunDirectory: true)
    }

    @Test func manyTimeoutsLeaveTheSessionUsable() async throws {
        let session = try await open()
        for attempt in 1...12 {
            let result = try await session.runDetached(
                Script("sleep 100"),
                key: ActionKey("f0-\(attempt)"),
                timeoutMilliseconds: 50,
                output: output
            )
            #expect(result.status == .timedOut(confirmedDead: true))
        }
        await session.close(removingRunDirectory: true)
    }

    // MARK: Lost connections

    @Test func aStepOutlivesItsConnection() async throws {
        let relay = try Relay(to: server.port)
        let session = try await open(port: relay.port)
        let go = server.home + "/go"
        let step = Script(
            "echo first; echo once >>\"$HOME/marks\"; while [ ! -e \"$HOME/go\" ]; do sleep 0.05; done; echo last; exit 7"
        )
        let lost = Task { () -> TransportError? in
            do throws(TransportError) {
                _ = try await session.runDetached(
                    step,
                    key: ActionKey("f0-1"),
                    timeoutMilliseconds: 60_000,
                    output: OutputRecorder()
                )
                return nil
            } catch { return error }
        }
        try await eventually("the step runs") {
            FileManager.default.fileExists(atPath: server.home + "/marks")
        }
        relay.cut(.reset)
        let error = await lost.value
        #expect(error?.mayHaveRun ?? false)
        await session.close(removingRunDirectory: false)

        let second = try await open(port: relay.port)
        let recovery = Task {
            try await second.recover(
                ActionKey("f0-1"),
                from: 0,
                timeoutMilliseconds: 60_000,
                output: output
            )
        }
        _ = FileManager.default.createFile(atPath: go, contents: nil)
        #expect(
            try await recovery.value == .ended(CommandResult(status: .exited(7), outputBytes: 11))
        )
        #expect(output.text == "first\nlast\n", "no byte is lost")
        #expect(try Command.run(["cat", server.home + "/marks"]).output == "once\n")
        await second.close(removingRunDirectory: true)
    }

    @Test func aStepThatNeverStartedNeverWill() async throws {
        let session = try await open()
        let key = ActionKey("f3-1")
        #expect(
            try await session.recover(key, from: 0, timeoutMilliseconds: 20_000, output: output)
                == .neverStarted
        )
        await #expect(throws: TransportError.self) {
            try await session.runDetached(
                Script("echo late >\"$HOME/late\""),
                key: key,
                timeoutMilliseconds: 20_000,
                output: output
            )
        }
        #expect(!FileManager.default.fileExists(atPath: server.home + "/late"))
        await session.close(removingRunDirectory: true)
    }

    @Test(arguments: [0, 1, 20, 500, 1200, 1500])
    func aCutHandshakeIsAnErrorAndNotAHang(_ bytes: Int) async throws {
        let relay = try Relay(to: server.port)
        relay.cutAfter(bytes: bytes)
        let error = await failure(server.endpoint(port: relay.port))
        #expect(error != nil)
        #expect(error?.isRetryable ?? false, "\(String(describing: error))")
    }

    @Test func aServerThatDropsConnectionsBeforeItsBannerIsTriedAgain() async throws {
        let relay = try Relay(to: server.port)
        relay.refuse(true)
        let opening = Task { try await open(port: relay.port) }
        try await eventually("a first attempt") { relay.acceptedCount > 0 }
        relay.refuse(false)
        let session = try await opening.value
        await session.close(removingRunDirectory: false)
    }

    // MARK: Refusals

    /// Row H3.
    @Test func anUnknownHostKeyIsRefusedUnlessNewOnesAreAccepted() async throws {
        try server.directory.write("", to: "empty")
        let file = server.directory.path + "/empty"
        let endpoint = server.endpoint(knownHosts: file)
        guard case .hostKeyUnknown(_, let offered, [file]) = await failure(endpoint) else {
            return #expect(Bool(false))
        }
        #expect(offered.hasPrefix("ssh-ed25519 SHA256:"))
        #expect(server.directory.read("empty") == "")
        var ssh = endpoint.ssh
        ssh.hostKeys = .acceptNew
        #expect(await failure(HostEndpoint(name: "web1", ssh: ssh)) == nil)
        // As people write it, or hidden, as Debian has it (HashKnownHosts).
        let known = try Command.run(["ssh-keygen", "-F", "[127.0.0.1]:\(server.port)", "-f", file])
        #expect(known.output.contains("ssh-ed25519 "))
        #expect(await failure(endpoint) == nil)
    }

    /// Row H2.
    @Test func aChangedHostKeyIsRefusedEvenWhenNewOnesAreAccepted() async throws {
        try Command.shell("ssh-keygen -q -t ed25519 -N '' -f other", in: server.directory.path)
        let key = (server.directory.read("other.pub") ?? "").split(separator: " ").prefix(2).joined(
            separator: " "
        )
        try server.directory.write("# one\n[127.0.0.1]:\(server.port) \(key)\n", to: "wrong")
        var ssh = server.endpoint(knownHosts: server.directory.path + "/wrong").ssh
        ssh.hostKeys = .acceptNew
        guard
            case .hostKeyChanged(_, let offered, let known, let place) =
                await failure(HostEndpoint(name: "web1", ssh: ssh))
        else { return #expect(Bool(false)) }
        #expect(offered != known)
        #expect(place.hasSuffix("/wrong:2"))
    }

    /// Row H1.
    @Test func aRefusedLoginSaysWhatWasTried() async throws {
        try Command.shell("ssh-keygen -q -t ed25519 -N '' -f stranger", in: server.directory.path)
        var ssh = server.endpoint().ssh
        ssh.identityFiles = [server.directory.path + "/stranger"]
        guard
            case .authenticationDenied(_, let tried, let accepts) =
                await failure(HostEndpoint(name: "web1", ssh: ssh))
        else { return #expect(Bool(false)) }
        #expect(tried == ["ssh-ed25519 \(server.directory.path)/stranger"])
        #expect(accepts == ["publickey"])
        ssh.identityFiles = ["/nowhere"]
        guard case .credentialUnusable = await failure(HostEndpoint(name: "web1", ssh: ssh)) else {
            return #expect(Bool(false))
        }
    }

    @Test func aClosedPortIsUnreachable() async throws {
        let endpoint = server.endpoint(port: try SSHDServer.freePort())
        guard case .unreachable(_, let reason) = await failure(endpoint) else {
            return #expect(Bool(false))
        }
        #expect(reason == "Connection refused")
    }

    @Test func aNameWithoutAnAddressIsNotTriedAgain() async throws {
        var ssh = SSHSettings()
        ssh.identityFiles = [server.keyFile]
        let error = await failure(HostEndpoint(name: "no-such-host.invalid", ssh: ssh))
        guard case .nameNotFound = error else { return #expect(Bool(false)) }
        #expect(error?.isRetryable == false)
    }

    @Test func aSilentServerEndsAtTheDeadline() async throws {
        let listener = try Listener()
        var ssh = server.endpoint(port: listener.port).ssh
        ssh.connectTimeoutMilliseconds = 300
        let error = await failure(HostEndpoint(name: "web1", ssh: ssh))
        guard case .timedOut(.banner, _) = error else { return #expect(Bool(false)) }
    }

    /// Row H27.
    @Test func aLoginShellThatDoesNotRunUsIsNamed() async throws {
        let other = try SSHDServer(configuration: ["ForceCommand echo this account is disabled"])
        let session = try await SSHTransport(
            .init(home: other.directory.path, user: NSUserName(), agentSocket: nil)
        ).open(other.endpoint(), rollout: "r1")
        do throws(TransportError) {
            _ = try await session.run(Script(":"), timeoutMilliseconds: 20_000, output: output)
            #expect(Bool(false), "it must not succeed")
        } catch {
            guard case .shellUnusable(let seen) = error else { return #expect(Bool(false)) }
            #expect(seen.contains("this account is disabled"))
        }
        await session.close(removingRunDirectory: false)
    }

    /// A directory with a few programs in it, and no others.
    private func programs(_ names: [String], in directory: TemporaryDirectory) throws -> String {
        let path = directory.path + "/bin"
        try Command.shell("mkdir bin && ln -s /bin/dash bin/sh", in: directory.path)
        for name in names {
            try Command.shell("ln -s \"$(PATH=/usr/bin:/bin command -v \(name))\" '\(path)/'")
        }
        return path
    }

    private static let least = [
        "cat", "mkdir", "rm", "wc", "tail", "head", "cut", "sleep", "mv", "ln", "date", "df", "cp",
        "chmod", "readlink",
    ]

    @Test(
        "H29: a host without setsid and ps: steps are ended with everything they started, all the same",
        arguments: ["busybox", "perl", "python3"]
    )
    func fewPrograms(stranger: String) async throws {
        let directory = try TemporaryDirectory()
        let server = try SSHDServer(searchPath: programs(Self.least + [stranger], in: directory))
        let session = try await SSHTransport(
            .init(home: server.directory.path, user: NSUserName(), agentSocket: nil)
        ).open(server.endpoint(), rollout: "r1")
        let good = try await session.runDetached(
            Script("echo out; setsid 2>/dev/null; [ $? -eq 127 ]"),
            key: ActionKey("f0-1"),
            timeoutMilliseconds: 20_000,
            output: output
        )
        #expect(good.status == .exited(0) && good.outputBytes == 4)
        let slow = try await session.runDetached(
            Script("sleep 600 & echo $! >~/child; wait"),
            key: ActionKey("f1-1"),
            timeoutMilliseconds: 500,
            output: output
        )
        // On a machine that has much to do, the host may not have said so in time; asked again, it does.
        var isDead = slow.status == .timedOut(confirmedDead: true)
        #expect(isDead || slow.status == .timedOut(confirmedDead: false))
        for _ in 0..<3 where !isDead { isDead = try await session.stop(ActionKey("f1-1")) }
        #expect(isDead)
        let child = try #require(server.directory.read("home/child"))
            .trimmingCharacters(in: .newlines)
        let state = try Command.run(["ps", "-o", "stat=", "-p", child]).output
        #expect(state.isEmpty || state.hasPrefix("Z"), "\(state)")
        await session.close(removingRunDirectory: true)
    }

    @Test("H29: where nothing can start a step apart from us, no step is started")
    func nothingToStartWith() async throws {
        let directory = try TemporaryDirectory()
        let server = try SSHDServer(searchPath: programs(Self.least, in: directory))
        let session = try await SSHTransport(
            .init(home: server.directory.path, user: NSUserName(), agentSocket: nil)
        ).open(server.endpoint(), rollout: "r1")
        let refused = try await session.runDetached(
            Script("echo done >~/done"),
            key: ActionKey("f0-1"),
            timeoutMilliseconds: 20_000,
            output: output
        )
        #expect(refused.status == .exited(96) && output.text.contains("neither setsid"))
        #expect(server.directory.read("home/done") == nil)
        await session.close(removingRunDirectory: true)
    }

    // MARK: Credentials

    @Test(arguments: ["ed25519", "ecdsa", "rsa"])
    func logsInWithEveryTypeOfKey(_ type: String) async throws {
        let other = try SSHDServer(keyType: type, hostKeyType: type == "rsa" ? "ecdsa" : "ed25519")
        let session = try await SSHTransport(
            .init(home: other.directory.path, user: NSUserName(), agentSocket: nil)
        ).open(other.endpoint(), rollout: "r1")
        let result = try await session.run(
            Script("echo in"),
            timeoutMilliseconds: 20_000,
            output: output
        )
        #expect(result.status == .exited(0))
        await session.close(removingRunDirectory: false)
    }

    @Test(arguments: ["ed25519", "rsa"])
    func logsInWithTheAgent(_ type: String) async throws {
        let other = try SSHDServer(keyType: type)
        let socket = other.directory.path + "/agent"
        let agent = try Command.shell(
            "ssh-agent -s -a '\(socket)' | sed -n 's/.*AGENT_PID=\\([0-9]*\\).*/\\1/p'"
        )
        defer { kill(pid_t(agent.split(separator: "\n").first ?? "0") ?? 0, SIGTERM) }
        try Command.shell("SSH_AUTH_SOCK='\(socket)' ssh-add -q key", in: other.directory.path)
        var ssh = other.endpoint().ssh
        ssh.identityFiles = nil
        let session = try await SSHTransport(
            .init(home: other.directory.path + "/none", user: NSUserName(), agentSocket: socket)
        ).open(HostEndpoint(name: "web1", ssh: ssh), rollout: "r1")
        let result = try await session.run(
            Script("echo in"),
            timeoutMilliseconds: 20_000,
            output: output
        )
        #expect(result.status == .exited(0))
        await session.close(removingRunDirectory: false)
    }

    // MARK: Files and tunnels

    @Test func anUploadArrivesWholeOrNotAtAll() async throws {
        let session = try await open()
        try Command.shell("head -c 3000000 /dev/urandom >source", in: server.directory.path)
        let source = server.directory.path + "/source"
        let sum = try Command.shell("sha256sum source | cut -c1-64", in: server.directory.path)
        let finish = Script(
            "[ -z \"${FLEET_PRESENT:-}\" ] || exit 0; [ \"$(sha256sum \"$FLEET_UPLOAD\" | cut -c1-64)\" = \"$SUM\" ] && mv \"$FLEET_UPLOAD\" \"$HOME/target\"",
            environment: [EnvironmentVariable("SUM", String(sum.prefix(64)))]
        )
        let upload = Upload(
            source: source,
            sizeBytes: 3_000_000,
            sha256: String(sum.prefix(64)),
            prepare: Script("[ ! -e \"$HOME/target\" ] || echo \(Upload.presentMark)"),
            finish: finish
        )
        for attempt in 1...2 {
            let result = try await session.upload(
                upload,
                key: ActionKey("f0-\(attempt)"),
                timeoutMilliseconds: 60_000,
                output: output
            )
            #expect(result.status == .exited(0), "\(output.text)")
        }
        #expect(try Command.run(["cmp", source, server.home + "/target"]).status == 0)
        try Data("short".utf8).write(to: URL(fileURLWithPath: source))
        try FileManager.default.removeItem(atPath: server.home + "/target")
        await #expect(throws: TransportError.self) {
            try await session.upload(
                upload,
                key: ActionKey("f0-3"),
                timeoutMilliseconds: 60_000,
                output: output
            )
        }
        await session.close(removingRunDirectory: true)
    }

    @Test("A local file that cannot be opened yet holds up nobody else")
    func aSlowLocalFile() async throws {
        let transport = transport()
        let first = try await transport.open(server.endpoint(), rollout: "r1")
        let second = try await transport.open(server.endpoint(), rollout: "r2")
        let pipe = server.directory.path + "/pipe"
        // Whoever opens it waits until somebody writes.
        #expect(mkfifo(pipe, 0o600) == 0)
        let upload = Upload(
            source: pipe,
            sizeBytes: 6,
            sha256: String(repeating: "0", count: 64),
            prepare: Script(":"),
            finish: Script(":")
        )
        let output = output
        // As a rollout does: a host's work runs where its connection is served.
        let sending = Task(executorPreference: transport.executor(for: server.endpoint())) {
            try? await first.upload(
                upload,
                key: ActionKey("f0-1"),
                timeoutMilliseconds: 60_000,
                output: output
            )
        }
        let answers = Task {
            for _ in 0..<20 {
                _ = try await second.run(
                    Script("true"),
                    timeoutMilliseconds: 60_000,
                    output: output
                )
            }
        }
        try await answers.value
        // One that reads without waiting lets the writer in, and the writer lets the other reader go on.
        let file = Glibc.open(pipe, O_RDWR | O_NONBLOCK)
        #expect(file >= 0)
        _ = await sending.value
        close(file)
        await first.close(removingRunDirectory: true)
        await second.close(removingRunDirectory: true)
    }

    @Test func exchangesBytesWithAPortOfTheHost() async throws {
        let listener = try Listener()
        let answering = Thread {
            let client = accept(listener.descriptor, nil, nil)
            var buffer = [UInt8](repeating: 0, count: 100)
            let count = recv(client, &buffer, buffer.count, 0)
            send(client, buffer, count, 0)
            close(client)
        }
        answering.start()
        let session = try await open()
        let seen = OutputRecorder()
        try await session.exchange(
            host: "127.0.0.1",
            port: listener.port,
            request: Array("ping".utf8),
            withinMilliseconds: 10_000
        ) { bytes in
            bytes.withUnsafeBytes { seen.write($0) }
            return false
        }
        #expect(seen.text == "ping")
        let closed = try SSHDServer.freePort()
        await #expect(throws: TransportError.self) {
            try await session.exchange(
                host: "127.0.0.1",
                port: closed,
                request: [1],
                withinMilliseconds: 10_000,
                receive: { _ in true }
            )
        }
        // A refused port costs nothing but its own question.
        let after = try await session.run(Script(":"), timeoutMilliseconds: 10_000, output: output)
        #expect(after.status == .exited(0))
        await session.close(removingRunDirectory: false)
    }

    @Test func manySessionsAtOnce() async throws {
        let transport = transport()
        let endpoint = server.endpoint()
        let succeeded = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<60 {
                group.addTask {
                    let session = try await transport.open(endpoint, rollout: "r\(number)")
                    let result = try await session.run(
                        Script("exit 0"),
                        timeoutMilliseconds: 60_000,
                        output: OutputRecorder()
                    )
                    await session.close(removingRunDirectory: false)
                    return result.status == .exited(0)
                }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(succeeded == 60)
    }
}

/// Takes output that a test does not look at.
private struct DiscardedOutput: OutputSink {
    func write(_ bytes: UnsafeRawBufferPointer) {}
}

/// Counts bytes that are all the same.
private final class ByteCounter: OutputSink, @unchecked Sendable {
    // Written on one reactor, read after the command has ended.
    private(set) var count = 0
    private(set) var isUniform = true

    func write(_ bytes: UnsafeRawBufferPointer) {
        count += bytes.count
        isUniform = isUniform && bytes.allSatisfy { $0 == UInt8(ascii: "x") }
    }

    @Test(
        "A login that does something else is named by what it says, on standard error, too",
        arguments: [
            ("exec cat", "hands back what it is given"),
            ("echo 'maintenance until noon' >&2; exit 1", "maintenance until noon"),
            ("cat >/dev/null", "it said nothing"),
        ]
    )
    func loginsThatDoSomethingElse(command: String, words: String) async throws {
        let other = try SSHDServer(configuration: ["ForceCommand \(command)"])
        let session = try await SSHTransport(
            .init(home: other.directory.path, user: NSUserName(), agentSocket: nil)
        ).open(other.endpoint(), rollout: "r1")
        do throws(TransportError) {
            _ = try await session.run(
                Script(":"),
                timeoutMilliseconds: 60_000,
                output: OutputRecorder()
            )
            #expect(Bool(false), "it must not succeed")
        } catch {
            #expect(error.token == "E_SHELL" && !error.mayHaveRun, "\(error)")
            #expect(error.message.contains(words), "\(error.message)")
            #expect(!error.message.contains("fleet_"), "our own text is nobody's business")
        }
        await session.close(removingRunDirectory: false)
    }
}
