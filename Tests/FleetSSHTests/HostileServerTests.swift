import FleetTestSupport
import FleetTransport
import Foundation
import Testing

@testable import FleetSSH

/// Servers that break the protocol: no crash, no hang, and never a success that was none.
@Suite(.serialized) struct HostileServerTests {
    private let server: HostileSSHServer

    init() throws { server = try HostileSSHServer() }

    /// One for all: a transport's reactors live as long as the process.
    private static let transport = transport(loginMilliseconds: 2_000)
    /// For servers that are right in the end, on however busy a machine.
    private static let patient = transport(loginMilliseconds: 300_000)

    private static func transport(loginMilliseconds: Int) -> SSHTransport {
        var environment = SSHTransport.Environment(
            home: "/nonexistent",
            user: NSUserName(),
            agentSocket: nil
        )
        environment.busyMilliseconds = 0
        environment.loginMilliseconds = loginMilliseconds
        environment.systemConfiguration = "/nonexistent"
        return SSHTransport(environment)
    }

    /// What came of a command that prints 3,000 numbers and exits 7.
    private func outcome(
        as user: String,
        _ transport: SSHTransport,
        within milliseconds: Int = 300_000
    ) async -> Result<(CommandStatus, String), TransportError> {
        do throws(TransportError) {
            let session = try await transport.open(server.endpoint(user: user), rollout: "hostile")
            let output = OutputRecorder()
            do throws(TransportError) {
                let result = try await session.run(
                    Script("i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i + 1)); done; exit 7"),
                    timeoutMilliseconds: milliseconds,
                    output: output
                )
                await session.close(removingRunDirectory: false)
                return .success((result.status, output.text))
            } catch {
                await session.close(removingRunDirectory: false)
                throw error
            }
        } catch {
            return .failure(error)
        }
    }

    private static let expected = (0..<3000).map { "\($0)\n" }.joined()

    @Test(arguments: ["honest", "requests", "chatter", "nothings", "opens", "banners", "extended"])
    func whatIsOnlyOddChangesNothing(_ user: String) async throws {
        let (status, text) = try await outcome(as: user, Self.patient).get()
        #expect(status == .exited(7))
        // Bytes outside the frame are not the command's.
        #expect(text == Self.expected)
    }

    @Test(arguments: [
        "ignored-window", "window-overflow", "unknown-channel", "long-packet", "lying-length",
        "lying-request", "goodbye", "early-end", "unknown-message", "early-success",
    ])
    func whatIsWrongEndsInAnErrorOrTheTruth(_ user: String) async {
        // Whatever the server does, a deadline ends it.
        switch await outcome(as: user, Self.transport, within: 3_000) {
        case .success((.exited(let status), _)): #expect(status == 7)
        case .success((.timedOut, _)), .failure: break
        case .success((.fenced, _)): #expect(Bool(false), "nothing was locked")
        }
        // What it did to one session is that session's alone.
        let after = await outcome(as: "honest", Self.patient)
        guard case .success((.exited(7), Self.expected)) = after else {
            return #expect(Bool(false), "\(after)")
        }
    }

    @Test func aServerIsNotEndedWithACommandThatSharesItsGroup() async throws {
        let session = try await Self.transport.open(
            server.endpoint(user: "one-group"),
            rollout: "hostile"
        )
        let result = try await session.run(
            Script("sleep 20"),
            timeoutMilliseconds: 300,
            output: OutputRecorder()
        )
        await session.close(removingRunDirectory: false)
        #expect(result.status == .timedOut(confirmedDead: false))
        let after = await outcome(as: "honest", Self.patient)
        guard case .success((.exited(7), Self.expected)) = after else {
            return #expect(Bool(false), "\(after)")
        }
    }

    @Test func aServerThatNeverStopsAskingIsGivenUp() async {
        var ssh = server.endpoint(user: "questions").ssh
        ssh.identityFiles = []
        ssh.password = .environment("X")
        var environment = SSHTransport.Environment(
            home: server.directory.path,
            user: "me",
            agentSocket: nil,
            secret: { _ in .secret("never sent") }
        )
        environment.loginMilliseconds = 500
        environment.systemConfiguration = "/nonexistent"
        do throws(TransportError) {
            _ = try await SSHTransport(environment).open(
                HostEndpoint(name: "questions", ssh: ssh),
                rollout: "hostile"
            )
            #expect(Bool(false), "logged in without an answer")
        } catch {
            guard case .timedOut(.authentication, _) = error else {
                return #expect(Bool(false), "\(error)")
            }
        }
    }
}
