import FleetSSH
import FleetTestSupport
import FleetTransport
import Foundation
import Synchronization
import Testing

@testable import FleetRunner

/// Row K3: connections made by a program on the host, where sshd lets none through.
@Suite(.serialized) struct HostRelayTests {
    private static let tools = ["python3", "perl", "bash", "nc"]
    /// What the host's shell itself needs.
    private static let least = [
        "cat", "mkdir", "rm", "wc", "tail", "head", "cut", "sleep", "mv", "ln", "date", "df", "cp",
        "chmod", "readlink",
    ]

    /// A host that has one of the tools, or none, with a session on it.
    private struct Host {
        let directory: TemporaryDirectory
        let server: SSHDServer
        let session: any HostSession

        init(with tool: String?) async throws {
            directory = try TemporaryDirectory()
            try Command.shell("mkdir bin && ln -s /bin/dash bin/sh", in: directory.path)
            for name in HostRelayTests.least + (tool.map { [$0] } ?? []) {
                try Command.shell(
                    name == "nc"
                        ? "printf '#!/bin/sh\\nexec /bin/busybox nc \"$@\"\\n' >bin/nc; chmod +x bin/nc"
                        : "ln -s \"$(PATH=/usr/bin:/bin command -v \(name))\" bin/",
                    in: directory.path
                )
            }
            server = try SSHDServer(searchPath: directory.path + "/bin")
            session = try await SSHTransport(
                .init(home: server.directory.path, user: NSUserName(), agentSocket: nil)
            ).open(server.endpoint(), rollout: "r1")
        }

        func close() async { await session.close(removingRunDirectory: false) }
    }

    private func ask(
        _ session: any HostSession,
        host: String = "127.0.0.1",
        port: Int,
        request: String,
        within milliseconds: Int = 20_000,
        enough: String? = nil
    ) async throws -> (HostRelay.Outcome, String) {
        let heard = OutputRecorder()
        let result = try await HostRelay.exchange(
            on: session,
            host: host,
            port: port,
            request: Array(request.utf8),
            withinMilliseconds: milliseconds
        ) { bytes in
            bytes.withUnsafeBytes { heard.write($0) }
            return enough.map { heard.text.contains($0) } ?? false
        }
        return (result, heard.text)
    }

    @Test(arguments: tools)
    func asksAndTakesTheWholeAnswer(_ tool: String) async throws {
        let host = try await Host(with: tool)
        let page = String(repeating: "x'\"\\ %s \u{0} é\n", count: 20_000)
        let web = try TalkingServer(["HTTP/1.1 200 OK\r\n\r\n", page], hangsUp: true)
        let (result, heard) = try await ask(
            host.session,
            port: web.port,
            request: "GET / HTTP/1.1\r\nX: it's \"$x\" %s \\n é\r\n\r\n"
        )
        #expect(result == .connected(by: tool))
        #expect(heard == "HTTP/1.1 200 OK\r\n\r\n" + page)
        // Nothing is sent where only the connection is asked for.
        let (connected, _) = try await ask(host.session, port: web.port, request: "")
        #expect(connected == .connected(by: tool))
        await host.close()
    }

    @Test(arguments: tools)
    func nobodyAnswers(_ tool: String) async throws {
        let host = try await Host(with: tool)
        let port = try SSHDServer.freePort()
        for request in ["", "GET / HTTP/1.1\r\n\r\n"] {
            let (result, heard) = try await ask(host.session, port: port, request: request)
            guard case .refused(tool, let reason) = result else {
                #expect(Bool(false), "\(tool): \(result)")
                continue
            }
            #expect(reason.lowercased().contains("refused"), "\(reason)")
            #expect(heard.isEmpty)
        }
        await host.close()
    }

    @Test("A page that never ends counts once there is enough of it, and not before")
    func endlessPages() async throws {
        let host = try await Host(with: "python3")
        let web = try TalkingServer(["hello\n"])
        let (result, heard) = try await ask(
            host.session,
            port: web.port,
            request: "x",
            within: 1_000,
            enough: "hello"
        )
        #expect(
            result == .connected(by: "python3") && heard.hasPrefix("hello"),
            "\(result) \(heard)"
        )
        let error = await #expect(throws: TransportError.self) {
            _ = try await ask(
                host.session,
                port: web.port,
                request: "x",
                within: 1_000,
                enough: "more"
            )
        }
        #expect(error?.token == "E_TIMEOUT", "\(String(describing: error))")
        await host.close()
    }

    @Test func aHostWithoutAnyOfThemSaysSo() async throws {
        let host = try await Host(with: nil)
        let (result, _) = try await ask(host.session, port: 1, request: "x")
        #expect(result == .noTool)
        await host.close()
    }
}
