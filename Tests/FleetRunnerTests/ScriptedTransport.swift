import FleetTransport
import Synchronization

/// A transport that does what a test says and remembers what it was asked.
final class ScriptedTransport: Transport {
    typealias Answer =
        @Sendable (HostName, String) async throws(TransportError) -> CommandResult

    private let answer: Answer
    private let asked = Mutex<[String]>([])
    fileprivate let key: String?

    init(key: String? = nil, _ answer: @escaping Answer) {
        self.answer = answer
        self.key = key
    }

    /// What was asked, in order: `web1 run TEXT`, `web1 f0-1 TEXT`, `web1 recover f0-1`.
    var calls: [String] { asked.withLock { $0 } }

    func open(_ endpoint: HostEndpoint, rollout: String) async throws(TransportError)
        -> any HostSession
    {
        note("\(endpoint.name) open")
        return Session(host: endpoint.name, transport: self)
    }

    fileprivate func note(_ call: String) { asked.withLock { $0.append(call) } }

    fileprivate func ask(_ host: HostName, _ call: String) async throws(TransportError)
        -> CommandResult
    {
        note("\(host) \(call)")
        return try await answer(host, call)
    }

    private struct Session: HostSession {
        let host: HostName
        let transport: ScriptedTransport

        var hostKey: String? { transport.key }

        func run(_ script: Script, timeoutMilliseconds: Int, output: any OutputSink)
            async throws(TransportError) -> CommandResult
        {
            if script.text == "facts" {
                let facts = "commit=\(String(repeating: "a", count: 40))\ntag=v1\n"
                Array(facts.utf8).withUnsafeBytes { output.write($0) }
            }
            guard script.text.hasPrefix("look ") else {
                return try await transport.ask(host, "run \(script.text)")
            }
            // A step's check, which keeps and tells something; noted with what it was given of that.
            let given = script.environment.filter {
                $0.name == "FLEET_KEPT" || $0.name.hasPrefix("FLEET_TOLD")
            }.map { "\($0.name.dropFirst(6))=\($0.value)" }
            let tells = script.text == "look pull" ? "tell TREE b 1\n" : ""
            Array("keep 1/0\n\(tells)".utf8).withUnsafeBytes { output.write($0) }
            return try await transport.ask(
                host,
                (["run \(script.text)"] + given).joined(separator: " ")
            )
        }

        func runDetached(
            _ script: Script,
            key: ActionKey,
            timeoutMilliseconds: Int,
            output: any OutputSink
        ) async throws(TransportError) -> CommandResult {
            let snapshot = script.environment.first { $0.name == "FLEET_SNAPSHOT_TAG" }?.value ?? ""
            Array("said by \(host)\n".utf8).withUnsafeBytes { output.write($0) }
            return try await transport.ask(host, "\(key) \(script.text) \(snapshot)")
        }

        func recover(
            _ key: ActionKey,
            from offset: Int,
            timeoutMilliseconds: Int,
            output: any OutputSink
        )
            async throws(TransportError) -> Recovery
        {
            .ended(try await transport.ask(host, "recover \(key)"))
        }

        func stop(_ key: ActionKey) async throws(TransportError) -> Bool {
            try await transport.ask(host, "stop \(key)").status == .exited(0)
        }

        func upload(
            _ upload: Upload,
            key: ActionKey,
            timeoutMilliseconds: Int,
            output: any OutputSink
        ) async throws(TransportError) -> CommandResult {
            try await transport.ask(host, "upload \(upload.source)")
        }

        func exchange(
            host: String,
            port: Int,
            request: [UInt8],
            withinMilliseconds: Int,
            receive: @escaping @Sendable ([UInt8]) -> Bool
        ) async throws(TransportError) {
            let status = try await transport.ask(self.host, "http").status == .exited(0) ? 200 : 503
            _ = receive(Array("HTTP/1.1 \(status) X\r\nContent-Length: 0\r\n\r\n".utf8))
        }

        func close(removingRunDirectory: Bool) async {
            transport.note("\(host) close\(removingRunDirectory ? " and clean" : "")")
        }
    }
}
