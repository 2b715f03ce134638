import FleetClients
import FleetSSH
import FleetTestSupport
import FleetTransport
import Foundation
import Testing

/// What stands between the login and a POSIX shell: it works, or is refused by name, whichever client it is.
@Suite(.serialized) struct StandingBetweenTests {
    private static let clients: [HostClient] = [.libssh2, .openssh]

    private func open(
        _ server: SSHDServer,
        _ client: HostClient,
        change: (inout SSHSettings) -> Void = { _ in }
    ) async throws(TransportError) -> any HostSession {
        var environment = SSHTransport.Environment(
            home: server.home,
            user: NSUserName(),
            agentSocket: nil
        )
        environment.busyMilliseconds = 1_500
        var ssh = server.endpoint().ssh
        ssh.client = client
        change(&ssh)
        return try await ClientTransport(
            environment,
            variables: ProcessInfo.processInfo.environment
        )
        .open(HostEndpoint(name: "web1", ssh: ssh), rollout: "r1")
    }

    /// Everything that a rollout needs of a host: an answer, a detached step, a file.
    private func works(_ session: any HostSession, _ directory: TemporaryDirectory) async throws {
        let output = OutputRecorder()
        let answer = try await session.run(
            Script(
                "printf '%s|' \"$A\" {a,b} $((2+3)); exit 3",
                environment: [.init("A", "!'\"x")]
            ),
            timeoutMilliseconds: 20_000,
            output: output
        )
        #expect(answer.status == .exited(3) && output.text == "!'\"x|{a,b}|5|", "\(output.text)")
        let step = OutputRecorder()
        let result = try await session.runDetached(
            Script("echo step; exit 4"),
            key: ActionKey("f0-1"),
            timeoutMilliseconds: 20_000,
            output: step
        )
        #expect(result.status == .exited(4) && step.text == "step\n", "\(step.text)")
        try directory.write("content", to: "sent")
        let sent = try await session.upload(
            Upload(
                source: directory.path + "/sent",
                sizeBytes: 7,
                sha256: "",
                handOver: nil,
                prepare: Script(":"),
                finish: Script("grep -qx content \"$FLEET_UPLOAD\"")
            ),
            key: ActionKey("f1-1"),
            timeoutMilliseconds: 20_000,
            output: OutputRecorder()
        )
        #expect(sent.status == .exited(0))
        await session.close(removingRunDirectory: true)
    }

    /// Why a host is of no use, whoever says so first: the login, or the first question.
    private func refusal(
        _ server: SSHDServer,
        _ client: HostClient,
        change: (inout SSHSettings) -> Void = { _ in }
    ) async throws -> TransportError? {
        do throws(TransportError) {
            let session = try await open(server, client, change: change)
            let result = try await session.run(
                Script(":"),
                timeoutMilliseconds: 60_000,
                output: OutputRecorder()
            )
            #expect(Bool(false), "it answered: \(result)")
            await session.close(removingRunDirectory: false)
        } catch {
            return error
        }
        return nil
    }

    @Test(
        "Every login shell will do",
        arguments: clients,
        ["fish", "tcsh", "busybox sh", "zsh", "bash -r", "dash"]
    )
    func loginShells(_ client: HostClient, _ shell: String) async throws {
        let server = try SSHDServer(configuration: [
            "ForceCommand exec \(shell) -c \"$SSH_ORIGINAL_COMMAND\""
        ])
        try await works(try await open(server, client), server.directory)
    }

    @Test("One session at a time, and no connections through", arguments: clients)
    func oneSessionAndNoForwarding(_ client: HostClient) async throws {
        let server = try SSHDServer(configuration: ["MaxSessions 1", "AllowTcpForwarding no"])
        try await works(try await open(server, client), server.directory)
    }

    private static let canMount =
        ((try? Command.run(["sh", "-c", "mount -t tmpfs none /mnt && umount /mnt"]))?.status ?? 1)
        == 0

    @Test(
        "Nothing of fleet's is started from a file system that forbids it",
        .enabled(if: canMount),
        arguments: clients
    )
    func noexec(_ client: HostClient) async throws {
        let server = try SSHDServer()
        let place = server.home + "/.fleet"
        try Command.shell(
            "mkdir -p '\(place)' && mount -t tmpfs -o noexec,mode=700 none '\(place)'"
        )
        defer { _ = try? Command.run(["umount", "-l", place]) }
        try await works(try await open(server, client), server.directory)
    }

    @Test(
        "A login that is no shell is named by what it says",
        arguments: clients,
        [
            ("internal-sftp", "sftp connections only"),
            ("echo this account is disabled", "this account is disabled"),
            ("/usr/sbin/nologin", "not available"),
        ]
    )
    func noShell(_ client: HostClient, _ case: (command: String, words: String)) async throws {
        let server = try SSHDServer(configuration: ["ForceCommand \(`case`.command)"])
        let error = try await refusal(server, client)
        #expect(
            error?.token == "E_SHELL" && error?.mayHaveRun == false,
            "\(String(describing: error))"
        )
        #expect(error?.message.contains(`case`.words) ?? false, "\(error?.message ?? "")")
    }

    @Test(
        "A password that has expired is named",
        .enabled(if: TestAccount.canBeMade),
        arguments: clients
    )
    func expiredPassword(_ client: HostClient) async throws {
        let keys = try SSHDServer()
        let account = try TestAccount(key: keys.keyFile + ".pub")
        // No password is known to nobody, but it is old.
        try Command.shell("usermod -p '$6$x$y' \(account.name); chage -d 0 \(account.name)")
        let server = try SSHDServer(configuration: account.configuration + ["UsePAM yes"])
        let error = try await refusal(server, client) {
            ($0.user, $0.identityFiles) = (account.name, [keys.keyFile])
        }
        #expect(
            error?.message.lowercased().contains("password") ?? false,
            "\(String(describing: error))"
        )
    }

    @Test(
        "An account that may start few processes works, or is told what it lacks",
        .enabled(if: TestAccount.canBeMade),
        arguments: clients,
        [10, 2]
    )
    func fewProcesses(_ client: HostClient, _ limit: Int) async throws {
        let keys = try SSHDServer()
        let account = try TestAccount(key: keys.keyFile + ".pub")
        let server = try SSHDServer(
            configuration: account.configuration + [
                "ForceCommand exec prlimit --nproc=\(limit) sh -c \"$SSH_ORIGINAL_COMMAND\""
            ]
        )
        let output = OutputRecorder()
        do throws(TransportError) {
            let session = try await open(server, client) {
                ($0.user, $0.identityFiles) = (account.name, [keys.keyFile])
            }
            let result = try await session.runDetached(
                Script("echo step"),
                key: ActionKey("f0-1"),
                timeoutMilliseconds: 20_000,
                output: output
            )
            // Ten are enough for a step, two are not.
            let isDone = result.status == .exited(0) && output.text == "step\n"
            #expect(isDone || output.text.contains("fork"), "\(result) \(output.text)")
            #expect(isDone || limit < 10, "\(result) \(output.text)")
            await session.close(removingRunDirectory: false)
        } catch {
            #expect(limit < 10 && error.message.contains("fork"), "\(error)")
        }
    }

    @Test(
        "A home directory that is not there, or not to be written to, is named",
        .enabled(if: TestAccount.canBeMade),
        arguments: clients,
        ["/nonexistent/home", "/usr"]
    )
    func noHome(_ client: HostClient, _ home: String) async throws {
        let keys = try SSHDServer()
        let account = try TestAccount(key: keys.keyFile + ".pub")
        let server = try SSHDServer(
            configuration: ["SetEnv HOME=\(home)"] + account.configuration
        )
        let session = try await open(server, client) {
            ($0.user, $0.identityFiles) = (account.name, [keys.keyFile])
        }
        let output = OutputRecorder()
        do throws(TransportError) {
            let result = try await session.runDetached(
                Script("echo step"),
                key: ActionKey("f0-1"),
                timeoutMilliseconds: 20_000,
                output: output
            )
            #expect(result.status != .exited(0), "\(result)")
            #expect(output.text.contains(home), "\(output.text)")
        } catch {
            #expect(error.message.contains(home), "\(error)")
        }
        await session.close(removingRunDirectory: false)
    }
}
