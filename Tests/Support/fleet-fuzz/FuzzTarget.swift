import FleetTestSupport
import FleetTransport
import Foundation
import Synchronization

@testable import FleetHostShell
@testable import FleetSSH

/// What is given bytes that nobody vouches for.
///
/// Run by `scripts/fuzz TARGET SECONDS`; the parsers must
/// neither trap nor hang, whatever they say about their input.
enum FuzzTarget: String, CaseIterable {
    /// A user's ssh_config.
    case configuration
    /// A known_hosts file.
    case knownHosts = "known-hosts"
    /// A private key file.
    case privateKey = "private-key"
    /// What a host's shell says.
    case trailer
    /// What a server says before it is known to be one.
    case opening
    /// A server, as the whole client meets it, up to the end of the key exchange.
    case server

    func run(_ bytes: [UInt8]) {
        switch self {
        case .configuration: configuration(bytes)
        case .knownHosts: knownHosts(bytes)
        case .privateKey: privateKey(bytes)
        case .trailer: trailer(bytes)
        case .opening:
            let opening = ServerOpening(bytes)
            _ = (opening.problem, opening.firstWords, opening.keyExchange, opening.hostKeys)
            _ = ServerOpening.beginsWithBanner(bytes)
        case .server: HostileServer.shared.meet(bytes)
        }
    }

    private func configuration(_ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        // It would read this machine's files.
        guard !text.lowercased().contains("include") else { return }
        let environment = SSHTransport.Environment(home: "/h", user: "u", agentSocket: nil)
        for name in ["web1", "db.example.org"] {
            do {
                let file = try SSHConfigurationReader.read(text: text, file: "c", home: "/h")
                _ = try EffectiveSettings(
                    HostEndpoint(name: HostName(name), ssh: SSHSettings()),
                    configuration: SSHConfiguration(files: [file]),
                    environment: environment
                )
            } catch {
                // A file that is refused is an answer.
            }
        }
    }

    private func knownHosts(_ bytes: [UInt8]) {
        var hosts = KnownHosts()
        hosts.read(bytes, file: "known_hosts")
        let key = HostKey(blob: [0, 0, 0, 11] + Array("ssh-ed25519".utf8) + [0, 0, 0, 1, 7])
        for (host, port) in [("web1", 22), ("10.0.0.1", 2222)] {
            _ = hosts.verdict(host: host, port: port, key: key)
            _ = hosts.knownTypes(host: host, port: port)
        }
    }

    private func privateKey(_ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        _ = PrivateKey.publicBlob(of: text)
        for passphrase in [nil, "x"] {
            do {
                let key = try PrivateKey.read(text, passphrase: passphrase)
                _ = (key.publicBlob, key.kind)
            } catch {
                // A file that is refused is an answer.
            }
        }
    }

    /// However the stream is cut into pieces, the same must come out.
    private func trailer(_ bytes: [UInt8]) {
        let nonce = "0123456789abcdef0123456789abcdef"
        // A nonce is hard to guess, for the fuzzer too: one byte stands for it.
        let stream = bytes.flatMap { $0 == 1 ? Array("\n\(nonce) ".utf8) : [$0] }
        func pieces(of size: Int) -> [String] {
            var reader = HostShellReader(nonce: nonce)
            var output: [UInt8] = []
            var lines: [String] = []
            for start in stride(from: 0, to: stream.count, by: size) {
                stream[start..<min(start + size, stream.count)].withUnsafeBytes { part in
                    reader.read(part) { piece in
                        switch piece {
                        case .bytes(let bytes): output += bytes
                        case .line(let words):
                            lines.append("\(output.count) \(words.joined(separator: " "))")
                        }
                    }
                }
            }
            return lines
        }
        let whole = pieces(of: max(1, stream.count))
        for size in [1, 7] { precondition(pieces(of: size) == whole, "pieces change the answer") }
    }
}

/// A server that says what the fuzzer wants and hangs up.
private final class HostileServer: Sendable {
    static let shared = HostileServer()
    private let port: Int
    private let script = Mutex<[UInt8]>([])
    private let transport: SSHTransport

    private init() {
        // A machine without sockets cannot run this.
        guard let listener = try? Listener() else { fatalError("no port to listen on") }
        port = listener.port
        var environment = SSHTransport.Environment(
            home: "/nonexistent",
            user: "nobody",
            agentSocket: nil
        )
        environment.systemConfiguration = "/nonexistent"
        environment.busyMilliseconds = 0
        environment.bannerMilliseconds = 1_000
        environment.handshakeMilliseconds = 1_000
        transport = SSHTransport(environment)
        Thread {
            while case let client = accept(listener.descriptor, nil, nil), client >= 0 {
                let bytes = self.script.withLock { $0 }
                _ = bytes.withUnsafeBytes {
                    send(client, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                shutdown(client, Int32(SHUT_WR))
                var buffer = [UInt8](repeating: 0, count: 4096)
                while recv(client, &buffer, buffer.count, 0) > 0 {}
                close(client)
            }
        }.start()
    }

    func meet(_ bytes: [UInt8]) {
        script.withLock { $0 = bytes }
        var ssh = SSHSettings()
        ssh.hostname = "127.0.0.1"
        ssh.port = port
        let endpoint = HostEndpoint(name: "hostile", ssh: ssh)
        let done = DispatchSemaphore(value: 0)
        Task {
            // Whatever the client makes of it, it must come to an end.
            _ = try? await transport.proveKey(of: endpoint, preferring: [])
            done.signal()
        }
        guard done.wait(timeout: .now() + 20) == .success else { fatalError("the client hangs") }
    }
}

private let target: FuzzTarget = {
    let name = ProcessInfo.processInfo.environment["FLEET_FUZZ_TARGET"] ?? ""
    guard let target = FuzzTarget(rawValue: name) else {
        fatalError("FLEET_FUZZ_TARGET is one of \(FuzzTarget.allCases.map(\.rawValue))")
    }
    return target
}()

/// What libFuzzer's runtime looks for by this name.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    target.run(Array(UnsafeBufferPointer(start: data, count: count)))
    return 0
}

/// libFuzzer's own entry, which its `main` calls; the package manager renames ours.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ target: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

@main enum Main {
    static func main() {
        var count = CommandLine.argc
        var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
        exit(runDriver(&count, &arguments) { testOneInput($0, $1) })
    }
}
